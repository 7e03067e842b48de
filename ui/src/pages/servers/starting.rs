//! How a server starts: its line, its image, and whether it starts with its node.

use super::page::Seen;
use crate::{
    change::changed,
    i18n::t,
    parts::{Choice, Copyable, Field, Select, Submit, Toasts, Tone, complaint, nothing, notice},
    reactive::selector,
    remote::Remote,
    session::Session,
    task::Task,
};
use mamba_core::{
    access::{AdminRight, ServerKey},
    server::AutoStart,
};
use mamba_wire::api::{params::ServerPath, server::UpdateServer, startup::Startup, table};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// What a form about it gets.
#[derive(Clone, Copy)]
pub(super) struct Starting {
    /// Which server.
    pub(super) seen: Seen,
    /// How it starts, kept fresh.
    pub(super) told: ReadSignal<Rc<Startup>>,
    /// To be told of a change.
    pub(super) remote: Remote<Startup>,
}

impl Starting {
    /// Sends what changed, if anything did.
    fn send(self, task: Task, body: UpdateServer, done: impl FnOnce() + 'static) {
        let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
        if body.image.is_none() && body.startup.is_none() && body.auto_start.is_none() {
            return toasts.done(t().general.unchanged);
        }
        let path = ServerPath { server: self.seen.id };
        task.run(session.call::<table::UpdateServer>(path, (), body), move |server| {
            toasts.done(t().servers.startup_saved);
            done();
            self.remote.reload();
            self.seen.remote.put(server);
        });
    }
}

/// The line and the image, and what can be chosen for them.
#[component(inline_props)]
pub(super) fn LineAndImage(starting: Starting) -> View {
    let Starting { seen, told, .. } = starting;
    let session = use_context::<Session>();
    let is_admin = session.may_admin(AdminRight::ServersWrite);
    let first = told.get_clone_untracked();
    let stored =
        (first.template.clone().unwrap_or_default(), first.image.clone().unwrap_or_default());
    let before = create_signal(stored.clone());
    let (line, image) = (create_signal(stored.0), create_signal(stored.1));
    let may_line = is_admin || seen.may(ServerKey::StartupUpdate) && !first.templates.is_empty();
    let may_image = is_admin || seen.may(ServerKey::StartupDockerImage) && !first.image_is_own;
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let typed = (line.get_clone_untracked(), image.get_clone_untracked());
        let old = before.get_clone_untracked();
        let body = UpdateServer {
            startup: changed(&old.0, typed.0.clone()),
            image: changed(&old.1, typed.1.clone()),
            ..UpdateServer::default()
        };
        starting.send(task, body, move || before.set(typed));
    };
    let shown = selector(move || told.with(|it| it.line.clone()).unwrap_or_default());
    let wrong = complaint(task.failure, &["startup", "image"]);
    let is_own = first.image_is_own && !is_admin;
    let fields = fields(&first, (line, may_line), (image, may_image), is_admin, task);
    view! {
        section(class="card") {
            header { h2 { (t().servers.how_it_starts) } }
            form(class="body", on:submit=submit, novalidate=true) {
                (wrong)
                div {
                    p(class="muted") { (t().servers.start_line) }
                    (match shown.get_clone() {
                        line if line.is_empty() => view! { p { (t().servers.start_line_unknown) } },
                        line => view! { Copyable(text=line) },
                    })
                }
                (if is_own { notice(Tone::Calm, t().servers.image_is_own) } else { nothing() })
                (fields)
                (if may_line || may_image { view! {
                    div(class="actions") {
                        Submit(label=t().general.save, task=task)
                        span(class="muted") { (t().servers.startup_hint) }
                    }
                } } else { nothing() })
            }
        }
    }
}

/// Returns the fields: lists for users, free text beside them for administrators.
fn fields(
    told: &Startup,
    (line, may_line): (Signal<String>, bool),
    (image, may_image): (Signal<String>, bool),
    is_admin: bool,
    task: Task,
) -> View {
    let texts = &t().servers;
    let lines: Vec<Choice> =
        told.templates.iter().map(|it| Choice::new(&it.template, &it.label)).collect();
    let images: Vec<Choice> =
        told.images.iter().map(|it| Choice::new(&it.image, &it.label)).collect();
    let choose = |label, name, value: Signal<String>, choices: Vec<Choice>| {
        // What is in force stays to be seen, also when the blueprint does not list it.
        let now = value.get_clone_untracked();
        let mut choices = choices;
        if !choices.iter().any(|it| it.value == now) {
            choices.insert(
                0,
                Choice::new(now.clone(), if now.is_empty() { "–".to_owned() } else { now }),
            );
        }
        let choices = create_signal(choices);
        view! { Select(label=label, name=name, value=value, choices=*choices, failure=task.failure) }
    };
    let image_list = if may_image && (images.len() > 1 || !is_admin) {
        choose(texts.image, "image_choice", image, images)
    } else {
        nothing()
    };
    let line_list = if may_line && !lines.is_empty() {
        choose(texts.start_template, "startup_choice", line, lines)
    } else {
        nothing()
    };
    let own = if is_admin {
        view! {
            Field(label=texts.image_any, name="image", value=image, hint=texts.image_hint, failure=task.failure)
            Field(label=texts.start_any, name="startup", value=line, hint=texts.start_hint, failure=task.failure)
        }
    } else {
        nothing()
    };
    let is_read_only = !may_image;
    let image_now = told.image.clone().unwrap_or_else(|| "–".to_owned());
    let readable = if is_read_only {
        view! { div { p(class="muted") { (texts.image) } code { (image_now) } } }
    } else {
        nothing()
    };
    view! { (readable) div(class="columns") { (image_list) (line_list) (own) } }
}

/// Whether the server starts with its node.
#[component(inline_props)]
pub(super) fn OnBoot(starting: Starting) -> View {
    let first = name_of(starting.told.with_untracked(|it| it.auto_start));
    let before = create_signal(first.to_owned());
    let chosen = create_signal(first.to_owned());
    let choices = create_signal(vec![
        Choice::new("last_state", t().servers.boot_last),
        Choice::new("always", t().servers.boot_always),
        Choice::new("never", t().servers.boot_never),
    ]);
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let typed = chosen.get_clone_untracked();
        let changed = before.with_untracked(|before| changed(before, typed.clone()));
        let auto_start = changed.and_then(|it| named(&it));
        let body = UpdateServer { auto_start, ..UpdateServer::default() };
        starting.send(task, body, move || before.set(typed));
    };
    let wrong = complaint(task.failure, &[]);
    view! {
        section(class="card") {
            header { h2 { (t().servers.boot) } }
            form(class="body", on:submit=submit, novalidate=true) {
                (wrong)
                div(class="form") {
                    Select(label=t().servers.boot_label, name="auto_start", value=chosen, choices=*choices)
                    div(class="actions") { Submit(label=t().general.save, task=task) }
                }
            }
        }
    }
}

fn name_of(auto_start: AutoStart) -> &'static str {
    match auto_start {
        AutoStart::LastState => "last_state",
        AutoStart::Always => "always",
        AutoStart::Never => "never",
    }
}

fn named(name: &str) -> Option<AutoStart> {
    [AutoStart::LastState, AutoStart::Always, AutoStart::Never]
        .into_iter()
        .find(|it| name_of(*it) == name)
}

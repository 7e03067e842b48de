//! What a server is started with.

use super::{
    page::Seen,
    variables::{Values, Variables},
};
use crate::{
    i18n::t,
    parts::{Choice, Select, Submit, Toasts, Tone, complaint, nothing, notice, shown},
    remote::{self, watch},
    session::Session,
    task::Task,
};
use mamba_core::{
    access::{AdminRight, ServerKey},
    server::AutoStart,
};
use mamba_wire::api::{
    blueprint::Blueprint,
    params::{BlueprintPath, ServerPath},
    server::UpdateServer,
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The tab.
#[component(inline_props)]
pub(super) fn Startup(seen: Seen) -> View {
    let name = seen.server.with_untracked(|it| it.blueprint.clone());
    let remote = watch::<table::ShowBlueprint>(remote::NEVER_MS, move || {
        Some((BlueprintPath { blueprint: name.clone() }, ()))
    });
    shown(remote, move |blueprint| view! { Form(seen=seen, blueprint=blueprint) })
}

#[component(inline_props)]
fn Form(seen: Seen, blueprint: ReadSignal<Rc<Blueprint>>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let is_admin = session.may_admin(AdminRight::ServersWrite);
    let may_change = seen.may(ServerKey::StartupUpdate);
    let variables = blueprint.with_untracked(|it| it.variables.clone());
    let stored = seen.server.with_untracked(|it| it.variables.clone());
    let values = Values::new(&variables, &stored);
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = UpdateServer { variables: Some(values.changed()), ..UpdateServer::default() };
        let path = ServerPath { server: seen.id };
        task.run(session.call::<table::UpdateServer>(path, (), body), move |server| {
            toasts.done(t().servers.startup_saved);
            values.keep();
            seen.remote.put(server);
        });
    };
    let wrong = complaint(task.failure, &[]);
    let is_stopped = !may_change;
    view! {
        section(class="card") {
            header { h2 { (t().servers.variables) } }
            form(class="body", on:submit=submit, novalidate=true) {
                (if is_stopped { notice(Tone::Calm, t().servers.no_right) } else { nothing() })
                (wrong)
                Variables(values=values, all=is_admin, failure=task.failure)
                div(class="actions") {
                    (if may_change { view! { Submit(label=t().general.save, task=task) } } else { nothing() })
                    span(class="muted") { (t().servers.startup_hint) }
                }
            }
        }
        (if may_change { view! { OnBoot(seen=seen) } } else { nothing() })
    }
}

/// Whether the server starts with its node.
#[component(inline_props)]
fn OnBoot(seen: Seen) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let chosen = create_signal(String::new());
    let choices = create_signal(vec![
        Choice::new("", t().servers.boot_unchanged),
        Choice::new("last_state", t().servers.boot_last),
        Choice::new("always", t().servers.boot_always),
        Choice::new("never", t().servers.boot_never),
    ]);
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let auto_start = match chosen.get_clone_untracked().as_str() {
            "last_state" => AutoStart::LastState,
            "always" => AutoStart::Always,
            "never" => AutoStart::Never,
            _ => return,
        };
        let body = UpdateServer { auto_start: Some(auto_start), ..UpdateServer::default() };
        let path = ServerPath { server: seen.id };
        task.run(session.call::<table::UpdateServer>(path, (), body), move |server| {
            toasts.done(t().general.saved);
            seen.remote.put(server);
        });
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

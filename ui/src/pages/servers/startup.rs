//! What a server is started with.

use super::{
    page::Seen,
    starting::{LineAndImage, OnBoot, Starting},
    variables::{Values, Variables},
};
use crate::{
    i18n::t,
    parts::{Submit, Toasts, Tone, complaint, nothing, notice, shown},
    remote::{self, watch, watch_told},
    session::Session,
    task::Task,
};
use mamba_core::access::{AdminRight, ServerKey};
use mamba_wire::api::{
    blueprint::Blueprint,
    feed::Topic,
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
    let remote =
        watch_told::<table::ShowStartup>(remote::RARELY_MS, Topic::Server(seen.id), move || {
            Some((ServerPath { server: seen.id }, ()))
        });
    let how = shown(remote, move |told| {
        let starting = Starting { seen, told, remote };
        let may_change = seen.may(ServerKey::StartupUpdate);
        view! {
            LineAndImage(starting=starting)
            (if may_change { view! { OnBoot(starting=starting) } } else { nothing() })
        }
    });
    let name = seen.server.with_untracked(|it| it.blueprint.clone());
    let blueprint = watch::<table::ShowBlueprint>(remote::NEVER_MS, move || {
        Some((BlueprintPath { blueprint: name.clone() }, ()))
    });
    let variables =
        shown(blueprint, move |blueprint| view! { Form(seen=seen, blueprint=blueprint) });
    view! { (how) (variables) }
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
        let variables = Some(values.changed()).filter(|it| !it.is_empty());
        if variables.is_none() {
            return toasts.done(t().general.unchanged);
        }
        let body = UpdateServer { variables, ..UpdateServer::default() };
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
    }
}

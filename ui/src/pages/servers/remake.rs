//! What a server is made from: another blueprint, or the newest version of its own. For administrators.

use super::{
    page::Seen,
    variables::{Values, Variables},
};
use crate::{
    i18n::t,
    parts::{Choice, Select, Submit, Toasts, complaint, nothing, shown},
    reactive::selector,
    remote::{self, watch_all},
    session::Session,
    task::Task,
};
use mamba_core::server::InstallFiles;
use mamba_wire::api::{
    Page, blueprint::Blueprint, params::ServerPath, server::ChangeBlueprint, table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The card.
#[component(inline_props)]
pub(super) fn Remake(seen: Seen) -> View {
    let blueprints = watch_all::<table::ListBlueprints, _>(remote::NEVER_MS, None, true);
    let content = shown(blueprints, move |page| chooser(seen, page));
    view! {
        section(class="card") {
            header { h2 { (t().servers.remake) } }
            div(class="body") { p(class="muted") { (t().servers.remake_text) } (content) }
        }
    }
}

fn chooser(seen: Seen, page: ReadSignal<Rc<Page<Blueprint>>>) -> View {
    let own = seen.server.with_untracked(|it| it.blueprint.clone());
    let chosen = create_signal(own);
    let choices = page.with_untracked(|page| {
        page.items.iter().map(|it| Choice::new(&it.blueprint, &it.title)).collect::<Vec<_>>()
    });
    let choices = create_signal(choices);
    let name = selector(move || chosen.get_clone());
    view! {
        Select(label=t().servers.game, name="blueprint", value=chosen, choices=*choices)
        ({
            let name = name.get_clone();
            let found = page.with_untracked(|page| {
                page.items.iter().find(|it| it.blueprint == name).cloned()
            });
            found.map_or_else(nothing, |it| form(seen, it))
        })
    }
}

fn form(seen: Seen, blueprint: Blueprint) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let stored = seen.server.with_untracked(|it| it.variables.clone());
    let values = Values::new(&blueprint.variables, &stored);
    let (image, files) = (create_signal(String::new()), create_signal(String::new()));
    let images = std::iter::once(Choice::new("", t().servers.remake_image_kept));
    let images = images.chain(blueprint.images.iter().map(|it| Choice::new(&it.image, &it.label)));
    let images = create_signal(images.collect::<Vec<_>>());
    let installs = create_signal(vec![
        Choice::new("", t().servers.remake_install_none),
        Choice::new("keep", t().servers.remake_install_keep),
        Choice::new("wipe", t().servers.remake_install_wipe),
    ]);
    let (name, has_install) = (blueprint.blueprint, blueprint.has_install);
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = ChangeBlueprint {
            blueprint: name.clone(),
            image: Some(image.get_clone_untracked()).filter(|it| !it.is_empty()),
            variables: values.all(),
            install: files.with_untracked(|it| match it.as_str() {
                "keep" => Some(InstallFiles::Keep),
                "wipe" => Some(InstallFiles::Wipe),
                _ => None,
            }),
        };
        let path = ServerPath { server: seen.id };
        task.run(session.call::<table::ChangeBlueprint>(path, (), body), move |server| {
            toasts.done(t().servers.startup_saved);
            seen.remote.put(server);
        });
    };
    let wrong = complaint(task.failure, &["image"]);
    view! {
        form(on:submit=submit, novalidate=true) {
            div(class="columns") {
                Select(label=t().servers.image, name="image", value=image, choices=*images, failure=task.failure)
                (if has_install { view! {
                    Select(label=t().servers.remake_install, name="install", value=files, choices=*installs)
                } } else { nothing() })
            }
            Variables(values=values, all=true, failure=task.failure)
            (wrong)
            div(class="actions") {
                Submit(label=t().servers.remake_do, task=task)
                span(class="muted") { (t().servers.startup_hint) }
            }
        }
    }
}

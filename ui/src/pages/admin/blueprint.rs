//! One game definition: what it says, its files, and the next version of it.

use super::{blueprints::imported, ports::protocol};
use crate::{
    i18n::{fill, t},
    nav::Place,
    net::save_text,
    parts::{
        Action, Crumb, Kind, Question, Submit, TextArea, Toasts, ask, complaint, head, nothing,
        shown, table,
    },
    reactive::effect,
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
};
use mamba_core::{access::AdminRight, blueprint::Rule};
use mamba_wire::api::{
    blueprint::{Blueprint, ExportQuery, ImportBlueprint, ImportedBlueprint, Variable},
    params::BlueprintPath,
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// Our own format, which holds everything.
const OWN: &str = "mamba";
/// The format that Pterodactyl and Pelican read.
const EGG: &str = "ptdl_v2";

/// The page.
#[component(inline_props)]
pub(super) fn BlueprintPage(name: String) -> View {
    let path = BlueprintPath { blueprint: name };
    let asked = path.clone();
    let remote = watch::<table::ShowBlueprint>(remote::NEVER_MS, move || Some((asked.clone(), ())));
    shown(remote, move |it| {
        let path = path.clone();
        view! { Whole(path=path, remote=remote, blueprint=it) }
    })
}

#[component(inline_props)]
fn Whole(
    path: BlueprintPath,
    remote: Remote<Blueprint>,
    blueprint: ReadSignal<Rc<Blueprint>>,
) -> View {
    let session = use_context::<Session>();
    let may_write = session.may_admin(AdminRight::BlueprintsWrite);
    let title = blueprint.with_untracked(|it| it.title.clone());
    let files = files(&path);
    let head = head(vec![Crumb::new(t().admin.blueprints, "/admin/blueprints")], title, files);
    let changes = if may_write {
        let edited = path.clone();
        view! { Edit(path=edited, remote=remote) Delete(path=path) }
    } else {
        nothing()
    };
    view! {
        (head)
        (about(&blueprint.get_clone()))
        (changes)
    }
}

/// Returns the buttons that give it as a file.
fn files(path: &BlueprintPath) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let task = Task::new();
    let path = path.clone();
    let save = move |format: &str| {
        let query = ExportQuery { format: Some(format.to_owned()) };
        let call = session.call::<table::ExportBlueprint>(path.clone(), query, ());
        task.run(call, |file| save_text(&file.file_name, "application/json", &file.content));
    };
    let own = save.clone();
    effect(move || task.failure.get_clone().iter().for_each(|it| toasts.failed(it)));
    view! {
        Action(label=t().admin.export_egg, task=task, run=move || save(EGG))
        Action(label=t().admin.export_own, task=task, run=move || own(OWN))
    }
}

fn about(blueprint: &Blueprint) -> View {
    let texts = &t().admin;
    let version = match blueprint.version {
        0 => texts.shipped.to_owned(),
        version => version.to_string(),
    };
    let features: Vec<&str> = blueprint.features.iter().map(|it| it.name.as_str()).collect();
    let ports: Vec<&str> = blueprint.ports.iter().map(|it| protocol(*it)).collect();
    let rows = [
        (texts.short_name, blueprint.blueprint.clone()),
        (texts.version, version),
        (texts.author, blueprint.author.clone()),
        (texts.tags, blueprint.tags.join(", ")),
        (texts.features, features.join(", ")),
        (texts.ports_needed, ports.join(", ")),
        (texts.install, (if blueprint.has_install { texts.yes } else { texts.no }).to_owned()),
    ];
    let rows: View = rows
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| view! { dt { (name) } dd { (value) } })
        .collect::<Vec<_>>()
        .into();
    let images: View = blueprint
        .images
        .iter()
        .map(|it| {
            let (label, image) = (it.label.clone(), it.image.clone());
            view! { tr { td { (label) } td { code { (image) } } } }
        })
        .collect::<Vec<_>>()
        .into();
    let images = table(texts.images, &[t().servers.name, t().servers.image], images);
    let description = blueprint.description.clone();
    let variables = if blueprint.variables.is_empty() { nothing() } else { variables(blueprint) };
    view! {
        section(class="card") {
            div(class="body") { p { (description) } dl(class="facts") { (rows) } }
        }
        section(class="card") { header { h2 { (texts.images) } } (images) }
        (variables)
    }
}

fn variables(blueprint: &Blueprint) -> View {
    let lines: View = blueprint.variables.iter().map(variable).collect::<Vec<_>>().into();
    let texts = &t().admin;
    let heads = [t().servers.name, texts.variable, texts.default, texts.rules, texts.editable];
    let found = table(t().servers.variables, &heads, lines);
    view! { section(class="card") { header { h2 { (t().servers.variables) } } (found) } }
}

fn variable(variable: &Variable) -> View {
    let Variable { name, title, description, default, editable, rules } = variable.clone();
    let rules: Vec<String> = rules.iter().map(Rule::to_laravel).collect();
    let rules = rules.join("|");
    let editable = if editable { t().admin.yes } else { t().admin.no };
    view! {
        tr {
            td(class="wrap") { strong { (title) } div(class="muted") { (description) } }
            td { code { (name) } }
            td(class="cut") { code { (default) } }
            td(class="wrap") { code { (rules) } }
            td { (editable) }
        }
    }
}

/// The next version, written in our own format.
#[component(inline_props)]
fn Edit(path: BlueprintPath, remote: Remote<Blueprint>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (text, loading, task) = (create_signal(String::new()), Task::new(), Task::new());
    let is_open = create_signal(false);
    let done = create_signal(None::<ImportedBlueprint>);
    let load = move || {
        let query = ExportQuery { format: Some(OWN.to_owned()) };
        let call = session.call::<table::ExportBlueprint>(path.clone(), query, ());
        loading.run(call, move |file| {
            text.set(file.content);
            is_open.set(true);
        });
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = ImportBlueprint { content: text.get_clone_untracked() };
        task.run(session.call::<table::ImportBlueprint>((), (), body), move |made| {
            let made_version = [("version", &made.version as _)];
            toasts.done(fill(t().admin.edit_saved, &made_version));
            done.set(Some(made));
            remote.reload();
        });
    };
    let unread = complaint(loading.failure, &[]);
    let form = move || {
        let wrong = complaint(task.failure, &[]);
        view! {
            form(class="form-wide", on:submit=submit, novalidate=true) {
                TextArea(label=t().admin.edit_label, name="content", value=text, rows="24")
                (wrong)
                (done.get_clone().map_or_else(nothing, |it| imported(&it)))
                div(class="actions") { Submit(label=t().admin.edit_save, task=task) }
            }
        }
    };
    view! {
        section(class="card") {
            header { h2 { (t().admin.edit) } }
            div(class="body") {
                p(class="muted") { (t().admin.edit_text) }
                (unread)
                (if is_open.get() { form() } else {
                    let load = load.clone();
                    view! { div(class="actions") { Action(label=t().admin.edit_open, task=loading, run=load) } }
                })
            }
        }
    }
}

#[component(inline_props)]
fn Delete(path: BlueprintPath) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let place = use_context::<Place>();
    let deleting = create_signal(false);
    let name = path.blueprint.clone();
    let what = Question {
        title: t().admin.blueprint_delete.to_owned(),
        text: fill(t().admin.blueprint_delete_sure, &[("name", &name)]),
        label: t().admin.blueprint_delete,
        typed: Some((t().admin.type_name, name)),
    };
    let delete = ask(deleting, what, move |task| {
        let call = session.call::<table::DeleteBlueprint>(path.clone(), (), ());
        task.run(call, move |()| {
            toasts.done(t().admin.deleted);
            deleting.set(false);
            place.go("/admin/blueprints");
        });
    });
    view! {
        section(class="card", data-tone="bad") {
            header { h2 { (t().servers.danger) } }
            div(class="body") {
                div(class="choice") {
                    p { (t().admin.blueprint_delete_text) }
                    Action(label=t().admin.blueprint_delete, kind=Kind::Danger, run=move || deleting.set(true))
                }
            }
        }
        (delete)
    }
}

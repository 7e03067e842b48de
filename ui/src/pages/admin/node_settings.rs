//! What an administrator says about a node, and its end.

use super::{enrol::enrol_dialog, node::Seen};
use crate::{
    change::{changed, kept},
    i18n::{fill, t},
    nav::Place,
    net::Failure,
    parts::{
        Action, Field, Kind, Question, Submit, Toasts, ask, complaint, confirm, dialog, nothing,
    },
    reactive::selector,
    session::Session,
    task::Task,
};
use mamba_core::{allocation::PortRange, placement::NodeSettings, units::Mib};
use mamba_wire::api::{
    node::{DeleteNodeQuery, Standing, UpdateNode},
    params::NodePath,
    table,
};
use std::{collections::BTreeSet, str::FromStr};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// Fields that say themselves what is wrong with them.
const FIELDS: &[&str] = &[
    "name",
    "settings.region",
    "settings.tags",
    "settings.memory_mib",
    "settings.disk_mib",
    "settings.memory_over_percent",
    "settings.disk_over_percent",
    "settings.cpu_over_percent",
    "settings.self_service_ports",
];

/// The tab.
#[component(inline_props)]
pub(super) fn NodeSettingsTab(seen: Seen) -> View {
    view! { Form(seen=seen) End(seen=seen) }
}

/// What is typed.
#[derive(Clone, Copy)]
struct Draft {
    name: Signal<String>,
    region: Signal<String>,
    tags: Signal<String>,
    maintenance: Signal<bool>,
    memory: Signal<String>,
    disk: Signal<String>,
    memory_over: Signal<String>,
    disk_over: Signal<String>,
    cpu_over: Signal<String>,
    first: Signal<String>,
    last: Signal<String>,
}

impl Draft {
    fn new(name: &str, settings: &NodeSettings) -> Self {
        let text = |it: String| create_signal(it);
        let ports = settings.self_service_ports;
        let tags: Vec<&str> = settings.tags.iter().map(String::as_str).collect();
        Self {
            name: text(name.to_owned()),
            region: text(settings.region.clone().unwrap_or_default()),
            tags: text(tags.join(", ")),
            maintenance: create_signal(settings.maintenance),
            memory: text(number(settings.memory_mib.map(|it| it.0))),
            disk: text(number(settings.disk_mib.map(|it| it.0))),
            memory_over: text(settings.memory_over_percent.to_string()),
            disk_over: text(settings.disk_over_percent.to_string()),
            cpu_over: text(number(settings.cpu_over_percent)),
            first: text(number(ports.map(|it| it.first))),
            last: text(number(ports.map(|it| it.last))),
        }
    }

    /// Returns what is typed, `None` when a number is none.
    fn read(self) -> Option<(String, NodeSettings)> {
        let text = |it: Signal<String>| it.with_untracked(|it| it.trim().to_owned());
        let (first, last) = (maybe(self.first)?, maybe(self.last)?);
        let self_service_ports = match (first, last) {
            (Some(first), Some(last)) => Some(PortRange { first, last }),
            (Some(first), None) => Some(PortRange { first, last: first }),
            (None, Some(_)) => return None,
            (None, None) => None,
        };
        let settings = NodeSettings {
            region: Some(text(self.region)).filter(|it| !it.is_empty()),
            tags: split(&text(self.tags)),
            maintenance: self.maintenance.get_untracked(),
            memory_mib: maybe(self.memory)?.map(Mib),
            disk_mib: maybe(self.disk)?.map(Mib),
            memory_over_percent: maybe(self.memory_over)?.unwrap_or_default(),
            disk_over_percent: maybe(self.disk_over)?.unwrap_or_default(),
            cpu_over_percent: maybe(self.cpu_over)?,
            self_service_ports,
        };
        Some((text(self.name), settings))
    }
}

/// Returns settings with what somebody changed in them; the others as they are `now`.
fn kept_settings(before: &NodeSettings, typed: NodeSettings, now: &NodeSettings) -> NodeSettings {
    NodeSettings {
        region: kept(&before.region, typed.region, &now.region),
        tags: kept(&before.tags, typed.tags, &now.tags),
        maintenance: kept(&before.maintenance, typed.maintenance, &now.maintenance),
        memory_mib: kept(&before.memory_mib, typed.memory_mib, &now.memory_mib),
        disk_mib: kept(&before.disk_mib, typed.disk_mib, &now.disk_mib),
        memory_over_percent: kept(
            &before.memory_over_percent,
            typed.memory_over_percent,
            &now.memory_over_percent,
        ),
        disk_over_percent: kept(
            &before.disk_over_percent,
            typed.disk_over_percent,
            &now.disk_over_percent,
        ),
        cpu_over_percent: kept(
            &before.cpu_over_percent,
            typed.cpu_over_percent,
            &now.cpu_over_percent,
        ),
        self_service_ports: kept(
            &before.self_service_ports,
            typed.self_service_ports,
            &now.self_service_ports,
        ),
    }
}

fn number<T: ToString>(number: Option<T>) -> String {
    number.map(|it| it.to_string()).unwrap_or_default()
}

/// Reads a number that may be missing; `None` when what is there is none.
fn maybe<T: FromStr>(text: Signal<String>) -> Option<Option<T>> {
    text.with_untracked(|it| match it.trim() {
        "" => Some(None),
        text => text.parse().ok().map(Some),
    })
}

/// Splits tags at commas and blanks.
fn split(text: &str) -> BTreeSet<String> {
    text.split([',', ' ']).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

#[component(inline_props)]
fn Form(seen: Seen) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let node = seen.node.get_clone_untracked();
    let draft = Draft::new(&node.name, &node.settings);
    // What the form showed when it was sent last, or began.
    let before = create_signal((node.name.clone(), node.settings.clone()));
    let task = Task::new();
    let is_wrong = create_signal(false);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let typed = draft.read();
        is_wrong.set(typed.is_none());
        let Some(typed) = typed else { return };
        let (old_name, old) = before.get_clone_untracked();
        let name = changed(&old_name, typed.0.clone());
        let settings = changed(&old, typed.1.clone());
        if name.is_none() && settings.is_none() {
            return toasts.done(t().general.unchanged);
        }
        let now = seen.node.with_untracked(|it| it.settings.clone());
        let settings = settings.map(|typed| kept_settings(&old, typed, &now));
        let path = NodePath { node: seen.id };
        let body = UpdateNode { name, settings };
        task.run(session.call::<table::UpdateNode>(path, (), body), move |node| {
            toasts.done(t().general.saved);
            before.set(typed);
            seen.remote.put(node);
        });
    };
    let wrong = complaint(task.failure, FIELDS);
    let (place, room) = (place_fields(draft, task.failure), room_fields(draft, task.failure));
    let maintenance = draft.maintenance;
    view! {
        section(class="card") {
            header { h2 { (t().servers.tab_settings) } }
            form(class="body", on:submit=submit, novalidate=true) {
                (wrong)
                (place)
                label(class="check") {
                    input(r#type="checkbox", bind:checked=maintenance)
                    span { (t().admin.maintenance) span(class="hint") { (t().admin.maintenance_hint) } }
                }
                (room)
                p(class="field-error", role="alert", hidden=!is_wrong.get()) { (t().admin.numbers_wrong) }
                div(class="actions") { Submit(label=t().general.save, task=task) }
            }
        }
    }
}

fn place_fields(draft: Draft, failure: Signal<Option<Failure>>) -> View {
    let texts = &t().admin;
    view! {
        div(class="columns") {
            Field(label=t().servers.name, name="name", value=draft.name, failure=failure)
            Field(label=texts.region, name="settings.region", value=draft.region, optional=true,
                placeholder="eu-west", failure=failure)
            Field(label=texts.tags, name="settings.tags", value=draft.tags, optional=true,
                placeholder="nvme, ddos", hint=texts.tags_hint, failure=failure)
        }
    }
}

fn room_fields(draft: Draft, failure: Signal<Option<Failure>>) -> View {
    let texts = &t().admin;
    let field = |label: &'static str, name: &'static str, value, unit: &'static str, hint| {
        view! {
            Field(label=label, name=name, value=value, unit=unit, hint=hint, optional=true,
                inputmode="numeric", failure=failure)
        }
    };
    let fields = View::from(vec![
        field(texts.memory_for, "settings.memory_mib", draft.memory, "MiB", texts.all_without),
        field(texts.disk_for, "settings.disk_mib", draft.disk, "MiB", texts.all_without),
        field(texts.memory_over, "settings.memory_over_percent", draft.memory_over, "%", ""),
        field(texts.disk_over, "settings.disk_over_percent", draft.disk_over, "%", ""),
        field(
            texts.cpu_over,
            "settings.cpu_over_percent",
            draft.cpu_over,
            "%",
            texts.cpu_over_hint,
        ),
    ]);
    let ports = View::from(vec![
        field(texts.pool_first, "settings.self_service_ports", draft.first, "", texts.pool_hint),
        field(texts.pool_last, "pool-last", draft.last, "", ""),
    ]);
    view! {
        h3 { (texts.room) }
        div(class="columns") { (fields) }
        h3 { (texts.pool) }
        div(class="columns") { (ports) }
    }
}

/// What ends or replaces the node.
#[component(inline_props)]
fn End(seen: Seen) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let standing = selector(move || seen.node.with(|it| it.standing));
    let task = Task::new();
    let approve = move || {
        let path = NodePath { node: seen.id };
        task.run(session.call::<table::ApproveReplacement>(path, (), ()), move |node| {
            toasts.done(t().admin.approved);
            seen.remote.put(node);
        });
    };
    let (revoking, replacing) = (create_signal(false), create_signal(false));
    let name = seen.node.with_untracked(|it| it.name.clone());
    let what = Question {
        title: t().admin.revoke.to_owned(),
        text: fill(t().admin.revoke_sure, &[("name", &name)]),
        label: t().admin.revoke,
        typed: Some((t().admin.type_name, name)),
    };
    let revoke = ask(revoking, what, move |task| {
        let path = NodePath { node: seen.id };
        task.run(session.call::<table::RevokeNode>(path, (), ()), move |node| {
            toasts.done(t().admin.revoked_now);
            revoking.set(false);
            seen.remote.put(node);
        });
    });
    let (deleting, delete) = delete_dialog(seen);
    let node = seen.node.with_untracked(|it| (**it).clone());
    let replace = enrol_dialog(replacing, Some(node), move || seen.remote.reload());
    let wrong = complaint(task.failure, &[]);
    view! {
        section(class="card", data-tone="bad") {
            header { h2 { (t().servers.danger) } }
            div(class="body") {
                (wrong)
                (if standing.get() == Standing::Quarantined { view! {
                    div(class="choice") {
                        p { (t().admin.approve_text) }
                        Action(label=t().admin.approve, task=task, run=approve)
                    }
                } } else { nothing() })
                div(class="choice") {
                    p { (t().admin.replace_about) }
                    Action(label=t().admin.replace, run=move || replacing.set(true))
                }
                (if standing.get() == Standing::Revoked { nothing() } else { view! {
                    div(class="choice") {
                        p { (t().admin.revoke_text) }
                        Action(label=t().admin.revoke, kind=Kind::Danger, run=move || revoking.set(true))
                    }
                } })
                div(class="choice") {
                    p { (t().admin.node_delete_text) }
                    Action(label=t().admin.node_delete, kind=Kind::Danger, run=move || deleting.set(true))
                }
            }
        }
        (revoke) (replace) (delete)
    }
}

/// Returns what opens the dialog that deletes the node, and the dialog.
fn delete_dialog(seen: Seen) -> (Signal<bool>, View) {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (place, open) = (use_context::<Place>(), create_signal(false));
    let name = seen.node.with_untracked(|it| it.name.clone());
    let title = fill(t().admin.node_delete_sure, &[("name", &name)]);
    let view = dialog(open, title, move || {
        let (typed, force) = (create_signal(String::new()), create_signal(false));
        let task = Task::new();
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let name = Some(typed.get_clone_untracked());
            let query = DeleteNodeQuery { name, force: Some(force.get_untracked()) };
            let call = session.call::<table::DeleteNode>(NodePath { node: seen.id }, query, ());
            task.run(call, move |()| {
                toasts.done(t().admin.deleted);
                place.go("/admin/nodes");
            });
        };
        let wrong = complaint(task.failure, &["name"]);
        let button = view! { Submit(label=t().admin.node_delete, kind=Kind::Danger, task=task) };
        let footer = confirm(open, button);
        view! {
            form(on:submit=submit, novalidate=true) {
                p(class="muted") { (t().admin.node_delete_text) }
                (wrong)
                Field(label=t().admin.type_name, name="name", value=typed, autofocus=true, failure=task.failure)
                label(class="check") {
                    input(r#type="checkbox", name="force", bind:checked=force)
                    span { (t().admin.node_force) span(class="hint") { (t().admin.node_force_hint) } }
                }
                (footer)
            }
        }
    });
    (open, view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_split_at_commas_and_blanks() {
        let found: Vec<String> = split(" nvme,ddos  gpu,").into_iter().collect();
        assert_eq!(found, ["ddos", "gpu", "nvme"]);
    }
}

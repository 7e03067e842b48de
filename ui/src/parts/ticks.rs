//! Boxes for rights of any kind, by groups: what somebody is given.

use crate::{i18n::t, reactive::selector};
use std::collections::BTreeSet;
use sycamore::prelude::*;

/// What is chosen, by name.
pub(crate) type Chosen = Signal<BTreeSet<&'static str>>;

/// One box.
#[derive(Clone, Copy)]
pub(crate) struct Tick {
    /// Its name, which is unique.
    pub(crate) name: &'static str,
    /// What it allows.
    pub(crate) about: &'static str,
    /// With which others it stands.
    pub(crate) group: &'static str,
}

/// Returns boxes in groups, each of which can be chosen as a whole.
pub(crate) fn ticks(items: Vec<Tick>, chosen: Chosen) -> View {
    let mut groups: Vec<(&'static str, Vec<Tick>)> = Vec::new();
    for item in items {
        match groups.iter_mut().find(|(name, _)| *name == item.group) {
            Some((_, items)) => items.push(item),
            None => groups.push((item.group, vec![item])),
        }
    }
    let groups: Vec<View> = groups.into_iter().map(|it| group(it.0, it.1, chosen)).collect();
    let groups = View::from(groups);
    view! { div(class="matrix") { (groups) } }
}

fn group(name: &'static str, items: Vec<Tick>, chosen: Chosen) -> View {
    let all: BTreeSet<&'static str> = items.iter().map(|it| it.name).collect();
    let boxes: Vec<View> = items.into_iter().map(|it| tick(it, chosen)).collect();
    let (boxes, own) = (View::from(boxes), all.clone());
    let is_full = selector(move || chosen.with(|it| own.is_subset(it)));
    let toggle = move |_| {
        chosen.update(|it| {
            if all.is_subset(it) {
                it.retain(|name| !all.contains(name));
            } else {
                it.extend(&all);
            }
        });
    };
    view! {
        fieldset {
            legend {
                label(class="check") {
                    input(r#type="checkbox", prop:checked=is_full.get(), on:change=toggle)
                    span { (title(name)) }
                }
            }
            (boxes)
        }
    }
}

fn tick(item: Tick, chosen: Chosen) -> View {
    let Tick { name, about, .. } = item;
    let is_on = selector(move || chosen.with(|it| it.contains(name)));
    let toggle = move |_| {
        chosen.update(|it| {
            if !it.remove(name) {
                it.insert(name);
            }
        });
    };
    view! {
        label(class="check", title=name) {
            input(r#type="checkbox", name=name, prop:checked=is_on.get(), on:change=toggle)
            span { (about) }
        }
    }
}

/// Returns a group's name for people.
fn title(group: &'static str) -> &'static str {
    let texts = &t().keys;
    match group {
        "control" => texts.control,
        "user" => texts.user,
        "file" => texts.file,
        "backup" => texts.backup,
        "allocation" => texts.allocation,
        "startup" => texts.startup,
        "database" => texts.database,
        "schedule" => texts.schedule,
        "settings" => texts.settings,
        "activity" => texts.activity,
        "websocket" => texts.see,
        "tenant" => texts.tenant,
        "member" => texts.member,
        "role" => texts.role,
        "billing" => texts.billing,
        "audit" => texts.audit,
        "server" | "servers" => texts.servers,
        "child" => texts.child,
        "nodes" => texts.nodes,
        "tenants" => texts.tenants,
        "users" => texts.users,
        "blueprints" => texts.blueprints,
        "allocations" => texts.allocation,
        "mail" => texts.mail,
        "mounts" => texts.mounts,
        other => other,
    }
}

//! The permission matrix: what somebody may do with a server, by groups.

use crate::i18n::t;
use crate::reactive::selector;
use mamba_core::access::ServerKey;
use std::collections::BTreeSet;
use sycamore::prelude::*;

/// Boxes for all keys. `websocket.connect` is always among what is chosen: without it nothing is seen.
#[component(inline_props)]
pub(crate) fn Keys(chosen: Signal<BTreeSet<ServerKey>>) -> View {
    let mut groups: Vec<(&'static str, Vec<ServerKey>)> = Vec::new();
    for key in ServerKey::ALL.iter().copied().filter(|it| *it != ServerKey::WebsocketConnect) {
        match groups.iter_mut().find(|(name, _)| *name == key.group()) {
            Some((_, keys)) => keys.push(key),
            None => groups.push((key.group(), vec![key])),
        }
    }
    let groups: Vec<View> =
        groups.into_iter().map(|(name, keys)| group(name, &keys, chosen)).collect();
    let groups = View::from(groups);
    view! { div(class="matrix") { (groups) } }
}

fn group(name: &'static str, keys: &[ServerKey], chosen: Signal<BTreeSet<ServerKey>>) -> View {
    let all: BTreeSet<ServerKey> = keys.iter().copied().collect();
    let boxes: Vec<View> = keys.iter().map(|key| tick(*key, chosen)).collect();
    let boxes = View::from(boxes);
    let own = all.clone();
    let is_full = selector(move || chosen.with(|it| own.is_subset(it)));
    let toggle = move |_| {
        chosen.update(|it| {
            if all.is_subset(it) {
                it.retain(|key| !all.contains(key));
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

fn tick(key: ServerKey, chosen: Signal<BTreeSet<ServerKey>>) -> View {
    let is_on = selector(move || chosen.with(|it| it.contains(&key)));
    let toggle = move |_| {
        chosen.update(|it| {
            if !it.remove(&key) {
                it.insert(key);
            }
        });
    };
    let (name, about) = (key.name(), key.description());
    view! {
        label(class="check", title=name) {
            input(r#type="checkbox", name=name, prop:checked=is_on.get(), on:change=toggle)
            span { (about) }
        }
    }
}

/// Returns a group's name for people.
pub(super) fn title(group: &'static str) -> &'static str {
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
        "api-key" => texts.api_key,
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
        "registries" => texts.registries,
        other => other,
    }
}

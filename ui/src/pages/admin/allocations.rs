//! The ports of all nodes.

use super::ports::List;
use crate::{
    i18n::{fill, t},
    parts::Tone,
    parts::{Choice, Select, head, nothing, notice},
    remote::{self, watch_all},
    session::Session,
};
use mamba_core::{access::AdminRight, ids::NodeId};
use mamba_wire::api::{feed::Topic, table};
use std::collections::BTreeMap;
use sycamore::prelude::*;

/// The page.
#[component]
pub(super) fn Allocations() -> View {
    let session = use_context::<Session>();
    let sees_nodes = session.may_admin(AdminRight::NodesRead);
    let nodes = watch_all::<table::ListNodes, _>(remote::NEVER_MS, Some(Topic::Nodes), sees_nodes);
    let chosen = create_signal(String::new());
    let node = create_memo(move || chosen.with(|it| it.parse::<NodeId>().ok()));
    let names = create_memo(move || {
        nodes.value.with(|page| {
            let items = page.iter().flat_map(|it| &it.items);
            items.map(|it| (it.node, it.name.clone())).collect::<BTreeMap<_, _>>()
        })
    });
    let choices = create_memo(move || {
        let mut all = vec![Choice::new("", t().admin.all_nodes)];
        names.with(|it| all.extend(it.iter().map(|(id, name)| Choice::new(id.to_string(), name))));
        all
    });
    let pool = create_memo(move || {
        let node = node.get()?;
        nodes.value.with(|page| {
            let found = page.iter().flat_map(|it| &it.items).find(|it| it.node == node)?;
            found.settings.self_service_ports
        })
    });
    let head = head(Vec::new(), t().admin.allocations, nothing());
    view! {
        (head)
        div(class="columns filters") {
            Select(label=t().servers.node, name="node", value=chosen, choices=choices)
        }
        (match pool.get() {
            Some(pool) => {
                let range = [("first", &pool.first as _), ("last", &pool.last as _)];
                notice(Tone::Calm, fill(t().admin.pool_is, &range))
            }
            None => nothing(),
        })
        List(node=node, names=names)
    }
}

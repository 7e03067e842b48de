//! T1: no row and no answer of the hub shows a tenant what is another's.

use super::{
    super::world::{TENANTS, World, scope},
    Broken, ROWS_MAX,
};
use mamba_core::{
    db::{ReadTxn, Snapshot, Span, TxnError},
    ids::{NodeId, ServerId, TenantId},
};
use mamba_hub::{
    Hub, HubError,
    store::{ACTIVITY, COVERAGE, GAPS, HOURS, OBSERVED, POSTINGS},
};
use mamba_wire::api::{PageQuery, usage::UsageQuery};
use std::collections::BTreeSet;

/// Owner and server of each row; of a posting also who reported it.
type Owned = BTreeSet<(TenantId, ServerId, Option<NodeId>)>;

pub(super) fn check(world: &World, hub: &Hub) -> Result<(), Broken> {
    let rows: Result<Owned, TxnError> = hub.store().read(owned);
    let rows = rows.map_err(|err| Broken::new("T1", err.to_string()))?;
    for (tenant, server, node) in rows {
        let placed = world.servers.iter().find(|it| it.id == server && it.may_be_of(tenant));
        let is_right = placed.is_some_and(|it| {
            node.is_none_or(|node| {
                world.machines.iter().any(|edge| edge.node == node && it.may_be_on(edge.index))
            })
        });
        if !is_right {
            let text = format!("a row about {server} names tenant {tenant}, node {node:?}");
            return Err(Broken::new("T1", text));
        }
    }
    (1..=TENANTS).try_for_each(|number| check_answers(world, hub, number))
}

fn owned(txn: &ReadTxn) -> Result<Owned, TxnError> {
    let mut owned = Owned::new();
    for ((tenant, server, ..), _) in txn.range(HOURS, Span::all(), ROWS_MAX)? {
        owned.insert((tenant, server, None));
    }
    for ((tenant, server, ..), _) in txn.range(COVERAGE, Span::all(), ROWS_MAX)? {
        owned.insert((tenant, server, None));
    }
    for ((tenant, server, ..), _) in txn.range(GAPS, Span::all(), ROWS_MAX)? {
        owned.insert((tenant, server, None));
    }
    for ((tenant, server, ..), _) in txn.range(ACTIVITY, Span::all(), ROWS_MAX)? {
        owned.insert((tenant, server, None));
    }
    for ((tenant, server), _) in txn.range(OBSERVED, Span::all(), ROWS_MAX)? {
        owned.insert((tenant, server, None));
    }
    for ((tenant, server, ..), posting) in txn.range(POSTINGS, Span::all(), ROWS_MAX)? {
        owned.insert((tenant, server, Some(posting.node)));
    }
    Ok(owned)
}

/// Asks for everybody's servers as one tenant.
fn check_answers(world: &World, hub: &Hub, number: u8) -> Result<(), Broken> {
    let scope = scope(number);
    for placed in world.servers.iter().filter(|it| it.owner(hub) != scope.tenant()) {
        // Who owned it sees what he used, and what happened until then.
        let was_owner = placed.may_be_of(scope.tenant());
        let is_hidden = |err: Option<HubError>| matches!(err, Some(HubError::NotFound { .. }));
        let answers = [
            ("server", hub.server(&scope, placed.id).err()),
            ("node", hub.node_of(&scope, placed.id).err()),
            ("usage", hub.usage(&scope, placed.id, &UsageQuery { from: None, to: None }).err()),
            ("activity", hub.activity(&scope, placed.id, &PageQuery::FIRST).err()),
        ];
        for (what, err) in answers {
            if !is_hidden(err) && (!was_owner || matches!(what, "server" | "node")) {
                let text = format!("tenant {number} is told {what} of {}", placed.id);
                return Err(Broken::new("T1", text));
            }
        }
    }
    Ok(())
}

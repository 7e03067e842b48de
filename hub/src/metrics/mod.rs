//! Numbers for Prometheus: collected from the store when somebody asks, never kept.
//!
//! | name | kind | what |
//! |---|---|---|
//! | `mamba_hub_info` | gauge | 1, with the `version` |
//! | `mamba_hub_uptime_seconds` | gauge | time since the start |
//! | `mamba_hub_store_writable` | gauge | 1 when the store can write |
//! | `mamba_hub_nodes` | gauge | nodes by `standing` |
//! | `mamba_hub_nodes_connected` | gauge | nodes with a live session |
//! | `mamba_hub_servers` | gauge | servers that are not deleted and gone |
//! | `mamba_hub_alarms_open` | gauge | alarms that nobody cleared, at most 10000 |
//! | `mamba_hub_facts_total` | counter | facts taken into custody |
//! | `mamba_hub_facts_repeated_total` | counter | facts that came again |
//! | `mamba_hub_facts_quarantined_total` | counter | facts that were not booked |
//! | `mamba_hub_backup_timestamp_seconds` | gauge | when the newest good backup was made, 0 without one |
//! | `mamba_hub_backup_failing` | gauge | 1 when the last attempt failed |
//! | `mamba_hub_mails_kept` | gauge | letters that wait to be sent or could not be |
//! | `mamba_hub_requests_total` | counter | requests that the API answered, by class of `status` |
//! | `mamba_hub_request_milliseconds_total` | counter | time until the API's answers were there |
//!
//! Names and labels are part of the contract: new ones are added, none is renamed.

mod door;
mod requests;

pub use door::{MetricsError, Token, serve};
pub(crate) use requests::Requests;

use crate::{
    Hub, HubError, mail,
    store::{ALARMS, COUNTERS, NODES, PLACED},
};
use mamba_core::{
    clock::BootMs,
    db::{Snapshot as _, Span},
    metrics::Family,
};
use mamba_wire::{api::node::Standing, link::v1::SERVERS_MAX};

/// Most nodes of a hub.
const NODES_MAX: usize = 10_000;
/// Most alarms that are counted.
const ALARMS_MAX: usize = 10_000;

/// Collects everything. `started` is when the hub came up.
///
/// # Errors
/// `Unavailable`.
pub fn collect(hub: &Hub, started: BootMs) -> Result<Vec<Family>, HubError> {
    let mut families = health(hub, started);
    families.extend(hub.requests().families());
    families.extend(hub.read(|txn| {
        let nodes = txn.range(NODES, Span::all(), NODES_MAX)?;
        let standing = |standing: Standing, name: &'static str| {
            let count = nodes.iter().filter(|(_, it)| it.standing == standing).count();
            (vec![("standing", name.to_owned())], number(count))
        };
        let mut servers = 0;
        let (mut facts, mut repeated, mut quarantined) = (0, 0, 0);
        for (node, _) in &nodes {
            let placed = txn.prefix(PLACED, &(*node,), SERVERS_MAX)?;
            servers += placed.iter().filter(|(_, it)| !it.gone).count();
            if let Some(counters) = txn.get(COUNTERS, node)? {
                facts += counters.facts;
                repeated += counters.repeated;
                quarantined += counters.quarantined;
            }
        }
        let mails = mail::kept(txn)?;
        let alarms = txn.range(ALARMS, Span::all(), ALARMS_MAX)?.len();
        let by_standing = vec![
            standing(Standing::Active, "active"),
            standing(Standing::Quarantined, "quarantined"),
            standing(Standing::Revoked, "revoked"),
        ];
        Ok(vec![
            Family::gauge("mamba_hub_nodes", "Nodes by standing.", by_standing),
            Family::one(
                "mamba_hub_servers",
                "Servers that are not deleted and gone.",
                number(servers),
            ),
            Family::one("mamba_hub_alarms_open", "Alarms that nobody cleared.", number(alarms)),
            Family::one(
                "mamba_hub_mails_kept",
                "Letters that wait to be sent or could not be.",
                mails,
            ),
            Family::total("mamba_hub_facts_total", "Facts taken into custody.", facts),
            Family::total("mamba_hub_facts_repeated_total", "Facts that came again.", repeated),
            Family::total(
                "mamba_hub_facts_quarantined_total",
                "Facts that were not booked.",
                quarantined,
            ),
        ])
    })?);
    Ok(families)
}

fn health(hub: &Hub, started: BootMs) -> Vec<Family> {
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    let writable = hub.store().health().borrow().can_write();
    let uptime = hub.clock().boot().since(started) / 1_000;
    let backup = hub.backup_status();
    let connected = hub.live().connected().len();
    vec![
        Family::gauge("mamba_hub_info", "The program.", vec![(version, 1)]),
        Family::one("mamba_hub_uptime_seconds", "Time since the start.", uptime),
        Family::one(
            "mamba_hub_store_writable",
            "Whether the store can write.",
            u64::from(writable),
        ),
        Family::one("mamba_hub_nodes_connected", "Nodes with a live session.", number(connected)),
        Family::one(
            "mamba_hub_backup_failing",
            "Whether the last backup failed.",
            u64::from(backup.error.is_some()),
        ),
        Family::one(
            "mamba_hub_backup_timestamp_seconds",
            "When the newest good backup was made.",
            backup.last.map_or(0, |at| at.0 / 1_000),
        ),
    ]
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, tenant};
    use mamba_core::metrics::render;
    use std::collections::BTreeSet;

    #[tokio::test]
    async fn every_documented_name_is_served_and_no_other() {
        let mut world = World::new().await;
        let node = world.node("a").await;
        world.server(&tenant(1), node).await;
        let families = collect(&world.hub, BootMs(0)).unwrap();
        let served: BTreeSet<&str> = families.iter().map(|it| it.name).collect();
        let documented: BTreeSet<&str> = include_str!("mod.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `")?.split('`').next())
            .collect();
        assert_eq!(served, documented);
        let text = render(&families);
        for line in [
            "mamba_hub_servers 1",
            "mamba_hub_nodes{standing=\"active\"} 1",
            "mamba_hub_nodes_connected 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }
}

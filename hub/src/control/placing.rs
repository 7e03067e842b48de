//! What is known of each node when a server is placed, and where one would be placed now.

use super::{
    create::{NODES_MAX, candidate},
    ports,
};
use crate::{Hub, HubError, blueprints, store::NODES};
use mamba_core::{
    db::{Snapshot, Span},
    ids::{AllocationId, NodeId},
    placement::{Candidate, Needs, Placed, check_label, check_tags, place, refuse},
    server::PortProtocol,
};
use mamba_wire::api::node::Placement;
use std::collections::BTreeSet;

/// Nodes that a dry run looks at before others have their turn: each may hold thousands of servers.
const NODES_AT_ONCE: usize = 64;
const _: () = assert!(NODES_MAX >= NODES_AT_ONCE);

impl Hub {
    /// Says which node would take a server now, and why others could not, by the very decision that is
    /// made when one is made. Nothing is written, and nothing is kept free.
    ///
    /// # Errors
    /// `Invalid` names the field.
    pub async fn would_place(
        &self,
        needs: Needs,
        blueprint: Option<&str>,
    ) -> Result<Placement, HubError> {
        needs.region.as_deref().map_or(Ok(()), |it| check_label("region", it))?;
        check_tags("tags", &needs.tags)?;
        let protocols = match blueprint {
            None => Vec::new(),
            Some(key) => {
                let unknown = || HubError::invalid("blueprint", "is not a blueprint of this hub");
                let known = self.read(|txn| blueprints::newest(txn, key))?;
                known.ok_or_else(unknown)?.blueprint.ports
            }
        };
        let connected = self.live().connected();
        let mut known: Vec<Candidate> = Vec::new();
        while known.len() < NODES_MAX {
            let last = known.last().map(|it| it.node);
            let span = last.map_or_else(Span::all, |it| Span::all().after(&it));
            let ports = (protocols.as_slice(), &[][..]);
            let found =
                self.read(|txn| candidates(txn, span, NODES_AT_ONCE, &needs, ports, &connected))?;
            let is_all = found.len() < NODES_AT_ONCE;
            known.extend(found);
            if is_all {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(match place(&known, &needs) {
            Ok(Placed { node, rejected }) => {
                let name = known.iter().find(|it| it.node == node).map(|it| it.name.clone());
                Placement { node: Some(node), name, rejected }
            }
            Err(rejected) => Placement { node: None, name: None, rejected },
        })
    }
}

/// Returns what is known of the first `most` nodes of a span.
pub(super) fn candidates(
    txn: &impl Snapshot,
    span: Span<NodeId>,
    most: usize,
    needs: &Needs,
    (protocols, wishes): (&[PortProtocol], &[AllocationId]),
    connected: &BTreeSet<NodeId>,
) -> Result<Vec<Candidate>, HubError> {
    let mut candidates = Vec::new();
    for (node, record) in txn.range(NODES, span, most)? {
        let candidate = candidate(txn, node, record, connected.contains(&node))?;
        candidates.push(with_ports(txn, candidate, needs, (protocols, wishes))?);
    }
    Ok(candidates)
}

/// Adds to a node how many ports it lacks, where the rest fits.
pub(super) fn with_ports(
    txn: &impl Snapshot,
    candidate: Candidate,
    needs: &Needs,
    (protocols, wishes): (&[PortProtocol], &[AllocationId]),
) -> Result<Candidate, HubError> {
    if refuse(&candidate, needs).is_some() {
        return Ok(candidate);
    }
    let ports_missing = ports::missing(txn, candidate.node, protocols, wishes)?;
    Ok(Candidate { ports_missing, ..candidate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, admin, limits, new_server, tenant};
    use mamba_core::placement::{NodeSettings, Size};

    #[tokio::test]
    async fn a_dry_run_says_what_a_real_one_then_does() {
        let mut world = World::new().await;
        for (name, region, memory_mib) in [("far", "us", None), ("small", "eu", Some(64))] {
            let node = world.node(name).await;
            let memory_mib = memory_mib.map(mamba_core::units::Mib);
            let region = Some(region.to_owned());
            let settings = NodeSettings { region, memory_mib, ..Default::default() };
            world.hub.change_node(&admin(), node, None, Some(settings)).await.unwrap();
        }
        let right = world.node("right").await;
        let region = Some("eu".to_owned());
        let settings = NodeSettings { region: region.clone(), ..Default::default() };
        world.hub.change_node(&admin(), right, None, Some(settings)).await.unwrap();
        let needs = Needs { size: Size::of(&limits()), region, ..Needs::default() };
        let first = world.hub.would_place(needs.clone(), Some("teeworlds")).await.unwrap();
        assert_eq!((first.node, first.name.as_deref()), (Some(right), Some("right")));
        let reasons: Vec<_> =
            first.rejected.iter().map(|it| (it.name.as_str(), it.reason.as_str())).collect();
        assert_eq!(reasons[0], ("far", "is in `us`, not in `eu`"));
        assert!(reasons[1].1.starts_with("has 64 MiB of memory left"), "{reasons:?}");
        // Nothing was taken, so that it can be said again; and it is what happens.
        assert_eq!(world.hub.would_place(needs.clone(), Some("teeworlds")).await.unwrap(), first);
        let placing =
            crate::control::Placing { region: needs.region.clone(), ..Default::default() };
        let new = crate::control::NewServer { placing, ..new_server() };
        let made = world.hub.place_server(&tenant(1), new).await.unwrap();
        assert_eq!((Some(made.0.node), made.1), (first.node, first.rejected));
        let nowhere = Needs { region: Some("mars".to_owned()), ..needs };
        let none = world.hub.would_place(nowhere, None).await.unwrap();
        assert_eq!((none.node, none.name, none.rejected.len()), (None, None, 3));
        let unknown = world.hub.would_place(Needs::default(), Some("no-such-game")).await;
        assert!(matches!(unknown, Err(HubError::Invalid(err)) if err.field == "blueprint"));
    }

    #[tokio::test]
    async fn every_node_is_looked_at_however_many_there_are() {
        let mut world = World::new().await;
        for index in 0..NODES_AT_ONCE {
            world.node(&format!("n{index}")).await;
        }
        let all = world.hub.would_place(Needs::default(), Some("teeworlds")).await.unwrap();
        assert_eq!((all.name.as_deref(), all.rejected.len()), (Some("n0"), 0));
        let last = world.node("last").await;
        let region = Some("eu".to_owned());
        let settings = NodeSettings { region: region.clone(), ..Default::default() };
        world.hub.change_node(&admin(), last, None, Some(settings)).await.unwrap();
        let needs = Needs { region, ..Needs::default() };
        let found = world.hub.would_place(needs, Some("teeworlds")).await.unwrap();
        assert_eq!((found.node, found.rejected.len()), (Some(last), NODES_AT_ONCE));
    }
}

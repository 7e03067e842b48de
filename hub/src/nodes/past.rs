//! What became of each node's link: when it was up, when it was lost and why, the last changes only.
//!
//! Written with the beginning and the end of sessions. A hub that ended without a word could not write that
//! its links were lost: the next beginning does it for each, with the time at which the node was heard last.

use crate::{
    Hub, HubError,
    control::Cut,
    nodes::registry::find,
    store::{LINK_CHANGES, LinkRecord, NODE_STATES, NODES, NODES_SEEN},
};
use mamba_core::{
    clock::UnixMs,
    db::{Order, Snapshot, Span, Txn},
    ids::NodeId,
    scope::{AdminScope, NodeScope},
};
use mamba_wire::api::{
    Page, PageQuery,
    node::{LinkChange, LinkEvent, Regions, Standing},
};
use std::collections::BTreeSet;

/// Changes that are kept of each node: weeks of a good link, hours of one that comes and goes all the time.
const CHANGES_MAX: u64 = 100;
/// Longest reason that is kept: a sentence and its cause.
const DETAIL_BYTES_MAX: usize = 256;
/// Most nodes that are looked at for their regions.
const NODES_MAX: usize = 10_000;

impl Hub {
    /// Lists the last changes of a node's link, newest first.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` for the query.
    pub fn link_changes(
        &self,
        _admin: &AdminScope,
        node: NodeId,
        query: &PageQuery,
    ) -> Result<Page<LinkChange>, HubError> {
        let cut = Cut::<u64>::new(query)?;
        self.read(|txn| {
            find(txn, node)?;
            let mut span = Span::prefix(&(node,));
            if let Some(after) = cut.after {
                span = span.before(&(node, after));
            }
            let found = txn.scan(LINK_CHANGES, span, Order::Descending, cut.fetch())?;
            let view = |((_, number), it): ((NodeId, u64), LinkRecord)| {
                (number, LinkChange { at: it.at, change: it.event, detail: it.detail })
            };
            Ok(cut.page(found.into_iter().map(view).collect()))
        })
    }

    /// Notes the end of a certificate that is about to be given to a node.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn note_certificate(&self, scope: &NodeScope, until: UnixMs) -> Result<(), HubError> {
        let node = scope.node();
        self.write(move |txn| {
            let mut record = find(txn, node)?;
            record.certificate_until = Some(until);
            Ok(txn.put(NODES, &node, &record)?)
        })
        .await
    }

    /// Names the regions of the nodes that take new servers.
    ///
    /// # Errors
    /// What the store says.
    pub fn regions(&self) -> Result<Regions, HubError> {
        let nodes = self.read(|txn| Ok(txn.range(NODES, Span::all(), NODES_MAX)?))?;
        let open = nodes
            .into_iter()
            .map(|(_, it)| it)
            .filter(|it| it.standing == Standing::Active && !it.settings.maintenance);
        let names: BTreeSet<String> = open.filter_map(|it| it.settings.region).collect();
        Ok(Regions { regions: names.into_iter().collect() })
    }
}

/// Notes that a session began. `is_only`: there is no other one of the node.
pub(crate) fn note_begin(
    txn: &mut Txn<'_>,
    node: NodeId,
    now: UnixMs,
    peer: String,
    is_only: bool,
) -> Result<(), HubError> {
    let last = last(txn, node)?;
    if let Some((_, LinkRecord { event: LinkEvent::Connected, at, .. })) = last
        && is_only
    {
        let seen = txn.get(NODES_SEEN, &node)?.map_or(at, |it| it.last_heard);
        let told = txn.get(NODE_STATES, &node)?.map_or(at, |it| it.received_at);
        let at = at.max(seen).max(told).min(now);
        add(txn, node, at, LinkEvent::Lost, "hub ended without a word")?;
    }
    add(txn, node, now, LinkEvent::Connected, &peer)
}

/// Notes that the last session of a node ended.
pub(super) fn note_end(
    txn: &mut Txn<'_>,
    node: NodeId,
    at: UnixMs,
    why: &str,
) -> Result<(), HubError> {
    // A node that was deleted meanwhile has no past.
    if txn.contains(NODES, &node)? { add(txn, node, at, LinkEvent::Lost, why) } else { Ok(()) }
}

fn last(txn: &impl Snapshot, node: NodeId) -> Result<Option<(u64, LinkRecord)>, HubError> {
    let found = txn.scan(LINK_CHANGES, Span::prefix(&(node,)), Order::Descending, 1)?;
    Ok(found.into_iter().next().map(|((_, number), it)| (number, it)))
}

fn add(
    txn: &mut Txn<'_>,
    node: NodeId,
    at: UnixMs,
    event: LinkEvent,
    detail: &str,
) -> Result<(), HubError> {
    let number = last(txn, node)?.map_or(1, |(number, _)| number + 1);
    let detail = detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)].to_owned();
    txn.put(LINK_CHANGES, &(node, number), &LinkRecord { at, event, detail })?;
    match number.checked_sub(CHANGES_MAX) {
        Some(old) if old > 0 => Ok(txn.delete(LINK_CHANGES, &(node, old))?),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, admin, hello};
    use mamba_core::ids::InstanceId;

    async fn begin(world: &World, node: NodeId, instance: u8) {
        let scope = NodeScope::granted(node);
        let instance = InstanceId::from_bytes([instance; 16]);
        let hello = mamba_wire::link::v1::Hello { instance, ..hello(node, vec![]) };
        world.hub.hello(&scope, hello, "127.0.0.1:1".parse().unwrap()).await.unwrap();
    }

    async fn end(world: &World, node: NodeId, instance: u8, why: &str) {
        let scope = NodeScope::granted(node);
        let instance = InstanceId::from_bytes([instance; 16]);
        world.hub.note_gone(&scope, instance, world.hub.now(), why).await.unwrap();
    }

    fn past(world: &World, node: NodeId) -> Vec<LinkChange> {
        let mut query = PageQuery::FIRST;
        let mut all = Vec::new();
        loop {
            let page = world.hub.link_changes(&admin(), node, &query).unwrap();
            all.extend(page.items);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return all,
            }
        }
    }

    fn told(world: &World, node: NodeId) -> Vec<(LinkEvent, String)> {
        past(world, node).into_iter().map(|it| (it.change, it.detail)).collect()
    }

    #[tokio::test]
    async fn a_link_is_lost_with_its_last_session_and_says_why() {
        let mut world = World::new().await;
        let node = world.node("a").await;
        let up = || (LinkEvent::Connected, "127.0.0.1:1".to_owned());
        let lost = |why: &str| (LinkEvent::Lost, why.to_owned());
        assert_eq!(told(&world, node), [up()]);
        // A newer session takes over: the end of the older one is no loss.
        begin(&world, node, 2).await;
        end(&world, node, 1, "another session took over").await;
        end(&world, node, 2, &"é".repeat(200)).await;
        assert_eq!(told(&world, node), [lost(&"é".repeat(128)), up(), up()]);
        // A hub that fell tells it later, with the time of the last word.
        begin(&world, node, 1).await;
        let up_at = world.hub.now();
        world.clock.advance(10_000);
        world.reopen(world.disk.clone()).await;
        begin(&world, node, 1).await;
        let all = past(&world, node);
        assert_eq!((all[0].change, all[0].at), (LinkEvent::Connected, up_at.plus(10_000)));
        assert_eq!((all[1].change, all[1].at), (LinkEvent::Lost, up_at));
        assert_eq!(all[1].detail, "hub ended without a word");
    }

    #[tokio::test]
    async fn only_the_last_changes_are_kept() {
        let mut world = World::new().await;
        let (node, other) = (world.node("a").await, world.node("b").await);
        for round in 0..60 {
            end(&world, node, 1, &format!("round {round}")).await;
            begin(&world, node, 1).await;
        }
        let all = told(&world, node);
        assert_eq!(all.len(), usize::try_from(CHANGES_MAX).unwrap());
        assert_eq!((all[1].1.as_str(), all[99].1.as_str()), ("round 59", "round 10"));
        assert_eq!(told(&world, other).len(), 1);
    }

    #[tokio::test]
    async fn regions_are_those_of_nodes_that_take_servers() {
        let mut world = World::new().await;
        for (name, region, maintenance) in [
            ("a", Some("eu"), false),
            ("b", Some("eu"), false),
            ("c", Some("us"), true),
            ("d", None, false),
            ("e", Some("asia"), false),
        ] {
            let node = world.node(name).await;
            let region = region.map(str::to_owned);
            let settings =
                mamba_core::placement::NodeSettings { region, maintenance, ..Default::default() };
            world.hub.change_node(&admin(), node, None, Some(settings)).await.unwrap();
        }
        assert_eq!(world.hub.regions().unwrap().regions, ["asia", "eu"]);
    }
}

//! Who views, and what of all that they look at they may see.

use super::{looks::Sight, taps::Place};
use crate::{
    Hub, HubError,
    control::Seen,
    identity::{Caller, Identity},
    relay::{NodeDoor, Sockets},
    store::{PLACED, SERVER_TENANTS, SERVERS, TenantRef},
    tenants::lineage,
};
use mamba_core::{
    access::{AdminRight, ServerKey},
    db::Snapshot,
    ids::{NodeId, ServerId, SessionId, UserId},
};
use mamba_wire::{api::feed::Topic, link::v1::SERVERS_MAX};
use std::{collections::BTreeSet, sync::Arc};

/// Who opened a feed.
pub(crate) struct Viewer {
    pub(crate) hub: Hub,
    pub(crate) identity: Identity,
    pub(crate) links: Arc<dyn NodeDoor>,
    pub(crate) places: Arc<Sockets>,
    pub(crate) session: SessionId,
    pub(crate) user: UserId,
}

impl Viewer {
    /// Returns what the viewer may see of `wanted` now, `None` when its session ended. When the store
    /// cannot be read, nobody can be shown to be signed in.
    pub(super) fn look(&self, wanted: &BTreeSet<Topic>) -> Option<Sight> {
        let caller = self.identity.caller(self.session).ok()?.filter(|it| !it.is_limited)?;
        self.sight(&caller, wanted).ok()
    }

    fn sight(&self, caller: &Caller, wanted: &BTreeSet<Topic>) -> Result<Sight, HubError> {
        let mut sight = Sight::default();
        for topic in wanted {
            let node = match topic {
                Topic::Nodes if !caller.access.has(AdminRight::NodesRead) => continue,
                Topic::Administration
                    if !AdminRight::ALL.iter().any(|right| caller.access.has(*right)) =>
                {
                    continue;
                }
                Topic::Nodes | Topic::Administration => None,
                Topic::Servers => {
                    let sees_all = caller.access.has(AdminRight::ServersRead);
                    let some = || self.hub.seen_by(&caller.access);
                    sight.seen = Some(if sees_all { Seen::All } else { some()? });
                    None
                }
                Topic::Server(server) | Topic::Gauges(server) => {
                    let Some((node, keys)) = self.place_of(caller, *server)? else { continue };
                    sight.keys.insert(*server, keys);
                    Some(node)
                }
            };
            sight.topics.insert(*topic, node);
        }
        Ok(sight)
    }

    /// Returns where a server is and what the caller holds for it, `None` when there is none that the
    /// caller may see.
    fn place_of(&self, caller: &Caller, server: ServerId) -> Result<Option<Place>, HubError> {
        self.hub.read(|view| {
            let Some(TenantRef(tenant)) = view.get(SERVER_TENANTS, &server)? else {
                return Ok(None);
            };
            let keys = caller.access.with_server(server, &lineage(view, tenant)?);
            if !keys.contains(ServerKey::WebsocketConnect) {
                return Ok(None);
            }
            Ok(view.get(SERVERS, &(tenant, server))?.map(|record| (record.node, keys)))
        })
    }

    /// Whether a server of the list that the viewer looks at is on a node.
    pub(super) fn lists_some_of(&self, sight: &Sight, node: NodeId) -> bool {
        match &sight.seen {
            None => false,
            Some(Seen::All) => true,
            Some(Seen::These { .. }) => {
                let placed =
                    self.hub.read(|view| Ok(view.prefix(PLACED, &(node,), SERVERS_MAX)?));
                // In doubt it is read again.
                placed.map_or(true, |placed| {
                    placed.iter().any(|((_, server), it)| sight.lists(it.tenant, *server))
                })
            }
        }
    }
}

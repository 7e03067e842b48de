//! Which servers a node may speak for.

use super::Doubt;
use crate::{
    HubError, control,
    store::{LEASES, Lease},
};
use mamba_core::{
    clock::UnixMs,
    db::{Order, Snapshot, Span},
    ids::{NodeId, ServerId, TenantId},
};
use std::collections::{BTreeMap, btree_map::Entry};

/// Newest leases of a server that are looked at; a server moves rarely.
const LEASES_MAX: usize = 64;
/// How much earlier than its lease a span may begin: the node's estimate of hub time is off by the
/// round trip, and by its clock's drift since it last heard the hub.
const EARLY_MS_MAX: u64 = 60_000;
/// How much later than its lease a span may end, for the same reason: the lease of a deleted server
/// ends by the hub's clock when the node's word arrives, and its last usage was cut by the node's.
const LATE_MS_MAX: u64 = 60_000;

/// Leases and owners already read in this batch.
#[derive(Debug, Default)]
pub(super) struct Leases {
    known: BTreeMap<(TenantId, ServerId), Vec<(UnixMs, Lease)>>,
    owners: BTreeMap<ServerId, Vec<(UnixMs, TenantId)>>,
}

impl Leases {
    /// Checks that the node may report on a span of a server.
    pub(super) fn check_span(
        &mut self,
        txn: &impl Snapshot,
        node: NodeId,
        server: (TenantId, ServerId),
        (from, to): (UnixMs, UnixMs),
    ) -> Result<Result<(), Doubt>, HubError> {
        let leases = self.of(txn, server)?;
        let holds = |(start, lease): &&(UnixMs, Lease)| {
            lease.node == node
                && start.0 <= from.plus(EARLY_MS_MAX).0
                && lease.until.is_none_or(|until| to <= until.plus(LATE_MS_MAX))
        };
        Ok(leases.iter().find(holds).map(|_| ()).ok_or_else(no_lease))
    }

    /// Checks that the node ever was responsible for a server. Activity is not held against time,
    /// because it is dated by the node's calendar, which may be years off.
    pub(super) fn check_ever(
        &mut self,
        txn: &impl Snapshot,
        node: NodeId,
        (named, server): (TenantId, ServerId),
    ) -> Result<Result<(), Doubt>, HubError> {
        let owners = match self.owners(txn, (named, server))? {
            Ok(owners) => owners,
            Err(doubt) => return Ok(Err(doubt)),
        };
        let all = owners.into_iter().map(|(_, tenant)| tenant).chain([named]);
        for tenant in all {
            let leases = self.of(txn, (tenant, server))?;
            if leases.iter().any(|(_, lease)| lease.node == node) {
                return Ok(Ok(()));
            }
        }
        Ok(Err(no_lease()))
    }

    /// Returns the owners of a server in the order of time, none when it never changed hands. The one
    /// that a node names must have been among them.
    pub(super) fn owners(
        &mut self,
        txn: &impl Snapshot,
        (named, server): (TenantId, ServerId),
    ) -> Result<Result<Vec<(UnixMs, TenantId)>, Doubt>, HubError> {
        let found = match self.owners.entry(server) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(place) => place.insert(control::owners(txn, server)?).clone(),
        };
        let is_known = found.is_empty() || found.iter().any(|(_, tenant)| *tenant == named);
        Ok(if is_known { Ok(found) } else { Err(no_lease()) })
    }

    /// Forgets what was read of a server, because it changed.
    pub(super) fn forget(&mut self, server: (TenantId, ServerId)) {
        self.known.remove(&server);
    }

    fn of(
        &mut self,
        txn: &impl Snapshot,
        server: (TenantId, ServerId),
    ) -> Result<&[(UnixMs, Lease)], HubError> {
        match self.known.entry(server) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let span = Span::prefix(&server);
                let found = txn.scan(LEASES, span, Order::Descending, LEASES_MAX)?;
                let leases = found.into_iter().map(|((_, _, from), lease)| (from, lease));
                Ok(place.insert(leases.collect()))
            }
        }
    }
}

/// The same words for a server of another node, of another tenant, and for none at all.
fn no_lease() -> Doubt {
    Doubt::new("server was not on this node then")
}

//! Books activity: lists each event once, and takes note when a node deleted a server.

use super::{Booked, Booking, Doubt};
use crate::{
    HubError, audit,
    control::{end_on_node, hidden::mask_line, note},
    store::{ActivityRecord, EVENTS, NODE_ACTIVITY, NODE_EVENTS, PLACED},
    tenants::about_server,
};
use mamba_core::{
    audit::{AuditEntry, HUB_CHAIN},
    db::{Snapshot, Txn},
    fact::{Activity, ActivityFact},
    ids::{EventId, ServerId, TenantId},
    usage::owners::owner_of_event,
};

impl Booking {
    pub(super) fn book_activity(&mut self, txn: &mut Txn<'_>, body: &[u8]) -> Booked {
        let fact = match self.read_activity(txn, body)? {
            Ok(fact) => self.masked(txn, fact)?,
            Err(doubt) => return Ok(Err(doubt)),
        };
        let entry = AuditEntry::of_fact(self.now, self.node, &fact);
        let ActivityFact { event, at, about, actor, body: activity } = fact;
        let (is_deleted, is_left) = (activity == Activity::Deleted, activity == Activity::Left);
        let record = ActivityRecord { at, received_at: self.now, actor, activity };
        let Some(server) = about else {
            if txn.contains(NODE_EVENTS, &(self.node, event))? {
                self.counters.events_known += 1;
                return Ok(Ok(()));
            }
            let place = at.min(self.now);
            txn.put(NODE_EVENTS, &(self.node, event), &place.0)?;
            txn.put(NODE_ACTIVITY, &(self.node, place, event), &record)?;
            audit::append(txn, HUB_CHAIN, entry)?;
            return Ok(Ok(()));
        };
        if self.is_known(txn, server, event)? {
            self.counters.events_known += 1;
            return Ok(Ok(()));
        }
        note(txn, &server, event, &record)?;
        audit::append(txn, server.0, entry)?;
        about_server(txn, self.now, event, server, &record.activity)?;
        if is_deleted {
            self.end_server(txn, server)?;
        }
        if is_left {
            self.clear_left(txn, server.1)?;
        }
        Ok(Ok(()))
    }

    /// Returns an event that may be booked.
    pub(super) fn read_activity(
        &mut self,
        view: &impl Snapshot,
        body: &[u8],
    ) -> Result<Result<ActivityFact, Doubt>, HubError> {
        let fact = match ActivityFact::decode(body) {
            Ok(fact) => fact,
            Err(err) => return Ok(Err(Doubt::new(err.to_string()))),
        };
        if fact.body.is_made_at_hub() {
            return Ok(Err(Doubt::new("only the hub makes this kind of activity")));
        }
        let Some((named, server)) = fact.about else { return Ok(Ok(fact)) };
        if let Err(doubt) = self.leases.check_ever(view, self.node, (named, server))? {
            return Ok(Err(doubt));
        }
        let owners = match self.leases.owners(view, (named, server))? {
            Ok(owners) => owners,
            Err(doubt) => return Ok(Err(doubt)),
        };
        let about = Some((owner_of_event(&owners, named, fact.at), server));
        Ok(Ok(ActivityFact { about, ..fact }))
    }

    /// Masks what was typed: the node does so too, by what it knows.
    fn masked(
        &self,
        view: &impl Snapshot,
        mut fact: ActivityFact,
    ) -> Result<ActivityFact, HubError> {
        if let (Activity::ConsoleCommand { line }, Some(server)) = (&mut fact.body, &fact.about) {
            *line = mask_line(&self.hub, view, server, line)?;
        }
        Ok(fact)
    }

    /// Whether an event was listed before: also for an owner that the server had then.
    fn is_known(
        &mut self,
        view: &impl Snapshot,
        (tenant, server): (TenantId, ServerId),
        event: EventId,
    ) -> Result<bool, HubError> {
        let owners = self.leases.owners(view, (tenant, server))?.unwrap_or_default();
        for owner in owners.into_iter().map(|(_, owner)| owner).chain([tenant]) {
            if view.contains(EVENTS, &(owner, event))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes that the node cleared away what a server left behind that lives elsewhere.
    fn clear_left(&self, txn: &mut Txn<'_>, server: ServerId) -> Result<(), HubError> {
        let key = (self.node, server);
        if let Some(mut placed) = txn.get(PLACED, &key)?.filter(|it| it.left) {
            placed.gone = true;
            txn.put(PLACED, &key, &placed)?;
        }
        Ok(())
    }

    /// Notes that the node did what a tombstone says.
    fn end_server(
        &mut self,
        txn: &mut Txn<'_>,
        server: (TenantId, ServerId),
    ) -> Result<(), HubError> {
        if end_on_node(txn, self.node, server, self.now)? {
            self.leases.forget(server);
        }
        Ok(())
    }
}

//! What nodes say outside of facts: what they see, and what became of wishes and intents.
//!
//! Everything here is claimed by a node about itself. What it says of a server that is not placed on
//! it is ignored, in the same way as for a server that does not exist (T1).

use super::{past, registry::raise};
use crate::{
    Hub, HubError,
    store::{
        AlarmKind, INTENTS, INTENTS_OF_NODE, IntentState, NODE_STATES, NODES_SEEN, NodeStateRecord,
        OBSERVED, ObservedRecord, PLACED, PlacedServer,
    },
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot as _, Txn},
    ids::{EventId, InstanceId, NodeId},
    lifecycle::Observed,
    scope::NodeScope,
};
use mamba_wire::link::v1::{
    DesiredOutcome, DesiredResult, IntentOutcome, IntentResult, StateReport,
};

/// Longest reason of a refusal that is kept.
const REASON_BYTES_MAX: usize = 512;

impl Hub {
    /// Notes what the node sees.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_state(&self, scope: &NodeScope, report: StateReport) -> Result<(), HubError> {
        let node = scope.node();
        let now = self.now();
        self.live().heard(node, now);
        self.write(move |txn| {
            let state = NodeStateRecord { received_at: now, state: report.node.clone() };
            txn.put(NODE_STATES, &node, &state)?;
            for observed in &report.servers {
                note_observed(txn, node, observed, now)?;
            }
            Ok(())
        })
        .await
    }

    /// Notes what the node did with wishes.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_desired(
        &self,
        scope: &NodeScope,
        results: Vec<DesiredResult>,
    ) -> Result<(), HubError> {
        let node = scope.node();
        let now = self.now();
        let results: Vec<(DesiredResult, EventId)> =
            results.into_iter().map(|it| (it, self.new_id(EventId::new))).collect();
        self.write(move |txn| {
            for (result, alarm) in &results {
                note_result(txn, node, result, now, *alarm)?;
            }
            Ok(())
        })
        .await
    }

    /// Notes what the node did with intents.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_intents(
        &self,
        scope: &NodeScope,
        results: Vec<IntentResult>,
    ) -> Result<(), HubError> {
        let node = scope.node();
        let now = self.now();
        self.write(move |txn| {
            for result in &results {
                note_intent(txn, node, result, now)?;
            }
            Ok(())
        })
        .await
    }

    /// Notes that a session ended, and why.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_gone(
        &self,
        scope: &NodeScope,
        instance: InstanceId,
        at: UnixMs,
        why: &str,
    ) -> Result<(), HubError> {
        let node = scope.node();
        let heard = self.live().last_heard(node);
        let is_last = self.live().end(node, instance);
        let why = why.to_owned();
        self.write(move |txn| {
            if is_last {
                past::note_end(txn, node, at, &why)?;
            }
            let Some(mut seen) = txn.get(NODES_SEEN, &node)? else { return Ok(()) };
            if seen.instance == instance {
                seen.last_heard = seen.last_heard.max(heard.unwrap_or(at).min(at));
                txn.put(NODES_SEEN, &node, &seen)?;
            }
            Ok(())
        })
        .await
    }
}

fn note_observed(
    txn: &mut Txn<'_>,
    node: NodeId,
    observed: &Observed,
    now: UnixMs,
) -> Result<(), HubError> {
    let key = (node, observed.server);
    let Some(mut placed) = txn.get(PLACED, &key)? else { return Ok(()) };
    // What a server left behind is nobody's to look at.
    if !placed.left {
        let record = ObservedRecord { node, received_at: now, observed: observed.clone() };
        txn.put(OBSERVED, &(placed.tenant, observed.server), &record)?;
    }
    if observed.applied.is_some() && observed.applied > placed.held {
        placed.held = observed.applied;
        txn.put(PLACED, &key, &placed)?;
    }
    Ok(())
}

fn note_result(
    txn: &mut Txn<'_>,
    node: NodeId,
    result: &DesiredResult,
    now: UnixMs,
    alarm: EventId,
) -> Result<(), HubError> {
    let key = (node, result.server);
    let Some(mut placed) = txn.get(PLACED, &key)? else { return Ok(()) };
    if result.order > placed.order {
        return Ok(());
    }
    let before = placed.clone();
    match &result.outcome {
        DesiredOutcome::Adopted => {
            placed.held = placed.held.max(Some(result.order));
            placed.refused = None;
        }
        DesiredOutcome::NotStored => {}
        outcome @ (DesiredOutcome::Conflict
        | DesiredOutcome::Stale
        | DesiredOutcome::HubRollback
        | DesiredOutcome::Forged
        | DesiredOutcome::Invalid(_)
        | DesiredOutcome::NeedsForce) => {
            let is_known = |(order, known, _): &(_, DesiredOutcome, UnixMs)| {
                *order == result.order && known == outcome
            };
            if placed.refused.as_ref().is_some_and(is_known) {
                return Ok(());
            }
            placed.refused = Some((result.order, outcome.clone(), now));
            if let Some(text) = alarm_text(outcome) {
                let server = Some((placed.tenant, result.server));
                raise(txn, alarm, now, (Some(node), server), AlarmKind::WishRefused, text)?;
            }
        }
    }
    if placed != before {
        txn.put::<_, PlacedServer>(PLACED, &key, &placed)?;
    }
    Ok(())
}

/// Returns what an admin is told, if it is something for an admin.
fn alarm_text(outcome: &DesiredOutcome) -> Option<&'static str> {
    match outcome {
        DesiredOutcome::Adopted
        | DesiredOutcome::NotStored
        | DesiredOutcome::Stale
        | DesiredOutcome::Invalid(_) => None,
        DesiredOutcome::Conflict => Some("node holds another wish of the same rank"),
        DesiredOutcome::HubRollback => {
            Some("node holds a wish from a later life of this hub: was an old backup restored?")
        }
        DesiredOutcome::Forged => Some("node says that the hub's signature is wrong"),
        DesiredOutcome::NeedsForce => {
            Some("node refuses to end so many servers at once: repeat with force if this is meant")
        }
    }
}

fn note_intent(
    txn: &mut Txn<'_>,
    node: NodeId,
    result: &IntentResult,
    now: UnixMs,
) -> Result<(), HubError> {
    let waiting_key = (node, result.intent);
    let Some(waiting) = txn.get(INTENTS_OF_NODE, &waiting_key)? else { return Ok(()) };
    let key = (waiting.tenant, waiting.server, result.intent);
    if let Some(mut record) = txn.get(INTENTS, &key)? {
        record.state_at = now;
        record.state = match &result.outcome {
            IntentOutcome::Accepted => IntentState::Applied,
            IntentOutcome::Expired => IntentState::Expired,
            IntentOutcome::Refused(why) => {
                let end = why.floor_char_boundary(REASON_BYTES_MAX);
                IntentState::Refused(why[..end].to_owned())
            }
        };
        txn.put(INTENTS, &key, &record)?;
    }
    Ok(txn.delete(INTENTS_OF_NODE, &waiting_key)?)
}

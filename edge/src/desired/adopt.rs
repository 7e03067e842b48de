//! Takes over signed envelopes, each in a transaction of its own.

use super::fact_about;
use crate::{
    calendar::Moment,
    store::{ChangeError, DESIRED, Desired, EdgeStore, Held, append_all, desired_rows},
};
use mamba_core::{
    clock::{Entropy, UnixMs, draw},
    db::{Snapshot, Txn, TxnError, WriteError},
    desired::{Envelope, SignedEnvelope, Verdict, Wish, is_within_mass_limit, judge},
    error::{Invalid, chain},
    fact::Activity,
    ids::{EventId, NodeId, ServerId},
    lifecycle::{Actor, Refused},
};
use mamba_wire::link::v1::{DesiredLine, DesiredOutcome, DesiredResult};
use std::{collections::BTreeMap, sync::Arc};

/// Says whether an envelope was signed by the hub that this node belongs to.
pub type Verify = Arc<dyn Fn(&SignedEnvelope) -> bool + Send + Sync>;

/// Takes over envelopes of one node.
#[derive(Clone)]
pub struct Adopter {
    /// Where they are kept.
    pub store: EdgeStore,
    /// Whose they are; others are refused.
    pub node: NodeId,
    /// Checks signatures.
    pub verify: Verify,
    /// For the ids of facts.
    pub entropy: Arc<dyn Entropy>,
}

impl Adopter {
    /// Takes over the envelopes of one delta and says what became of each, in their order. When this
    /// returns, everything that is said to be adopted is on disk. What is no envelope at all has no
    /// server to report about and is left out.
    ///
    /// Cancelled, some of them are adopted; offering them again does no harm.
    pub async fn adopt_all(&self, delta: Vec<SignedEnvelope>, at: Moment) -> Vec<DesiredResult> {
        let mut opened = Vec::with_capacity(delta.len());
        for signed in delta {
            match signed.open() {
                Ok(envelope) => opened.push((envelope, signed)),
                Err(err) => tracing::warn!(error = %chain(&err), "envelope dropped"),
            }
        }
        let held_back = self.held_back(&opened, at.now);
        let mut results = Vec::with_capacity(opened.len());
        for (envelope, signed) in opened {
            let (server, order) = (envelope.server, envelope.order);
            let outcome = if !(self.verify)(&signed) || envelope.node != self.node {
                tracing::error!(%server, "envelope is forged or for another node");
                DesiredOutcome::Forged
            } else if held_back.contains(&server) && !envelope.force {
                DesiredOutcome::NeedsForce
            } else {
                self.adopt(envelope, signed, at).await
            };
            results.push(DesiredResult { server, order, outcome });
        }
        results
    }

    /// Returns the servers that this delta would end without an operator's force flag, when they are
    /// too many. Without a readable store nothing is adopted anyway.
    fn held_back(&self, delta: &[(Envelope, SignedEnvelope)], now: UnixMs) -> Vec<ServerId> {
        let held = self.store.desired().unwrap_or_default();
        let total = held.values().filter(|it| is_alive(it, now)).count();
        let ending: Vec<ServerId> = delta
            .iter()
            .filter(|(envelope, _)| !envelope.force && is_ending(envelope, now))
            .map(|(envelope, _)| envelope.server)
            .filter(|server| held.get(server).is_some_and(|it| is_alive(it, now)))
            .collect();
        if is_within_mass_limit(total, ending.len()) { Vec::new() } else { ending }
    }

    async fn adopt(
        &self,
        envelope: Envelope,
        signed: SignedEnvelope,
        at: Moment,
    ) -> DesiredOutcome {
        let server = envelope.server;
        let event = EventId::new(at.now, draw(&*self.entropy));
        let write = move |txn: &mut Txn<'_>| adopt(txn, &envelope, &signed, event, at);
        match self.store.raw().write(write).await {
            Ok(outcome) => outcome,
            Err(err) => {
                tracing::warn!(%server, error = %chain(&err), "envelope not stored");
                match err {
                    // Doing it again would fail again: the hub has to know why.
                    WriteError::TooLarge(_) => {
                        DesiredOutcome::Invalid(Invalid::new("spec", "must fit the node's store"))
                    }
                    _ => DesiredOutcome::NotStored,
                }
            }
        }
    }
}

/// Takes over one envelope whose signature was checked.
fn adopt(
    txn: &mut Txn<'_>,
    envelope: &Envelope,
    signed: &SignedEnvelope,
    event: EventId,
    at: Moment,
) -> Result<DesiredOutcome, ChangeError> {
    let now = at.now;
    let server = envelope.server;
    let mut desired = txn.get(DESIRED, &server)?.unwrap_or_default();
    let hash = signed.hash();
    // A hub that came back from a backup may not know yet where the server lives by now, or whose it is.
    let newest = desired.newest().and_then(|held| held.envelope.open().ok());
    if newest.is_some_and(|newest| envelope.home.is_before(&newest.home)) {
        return Ok(DesiredOutcome::Stale);
    }
    let held = desired.newest().map(|held| (held.order, held.hash));
    match judge(held, (envelope.order, hash)) {
        Verdict::Adopt => {}
        Verdict::Same => return Ok(DesiredOutcome::Adopted),
        Verdict::HubRollback => return Ok(DesiredOutcome::HubRollback),
        Verdict::Stale => return Ok(DesiredOutcome::Stale),
        Verdict::Conflict => return Ok(DesiredOutcome::Conflict),
    }
    let about = (envelope.tenant, server);
    if let Err(error) = check(envelope, &desired) {
        let refused = Refused { order: envelope.order, error: error.clone() };
        // The hub offers it again at each hello; that is not news.
        if desired.refused.as_ref() != Some(&refused) {
            desired.refused = Some(refused.clone());
            txn.put(DESIRED, &server, &desired)?;
            let body = Activity::Refused(refused);
            append_all(txn, &[fact_about(event, now, about, Actor::Edge, body)])?;
        }
        return Ok(DesiredOutcome::Invalid(error));
    }
    let (order, not_before) = (envelope.order, envelope.not_before);
    desired.next = Some(Held { order, hash, not_before, envelope: signed.clone() });
    desired.refused = None;
    if desired.promote(at) {
        let body = Activity::Applied { generation: order.generation.0 };
        append_all(txn, &[fact_about(event, now, about, Actor::Hub, body)])?;
    }
    txn.put(DESIRED, &server, &desired)?;
    Ok(DesiredOutcome::Adopted)
}

/// Checks the content of a wish, and that it does not move a server to another owner unless it says
/// that the server changed hands.
fn check(envelope: &Envelope, held: &Desired) -> Result<(), Invalid> {
    if let Some(spec) = envelope.body.spec() {
        spec.check()?;
    }
    let newest = held.newest().and_then(|held| held.envelope.open().ok());
    match newest {
        Some(held)
            if held.tenant != envelope.tenant && held.home.owners >= envelope.home.owners =>
        {
            Err(Invalid::new("tenant", "must stay the same until the server changes hands"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether the server exists and may run, as far as is held.
fn is_alive(desired: &Desired, now: UnixMs) -> bool {
    let opened = desired.newest().and_then(|held| held.envelope.open().ok());
    opened.is_some_and(|envelope| !is_ending(&envelope, now))
}

/// Whether the wish deletes the server or forbids it to run.
fn is_ending(envelope: &Envelope, now: UnixMs) -> bool {
    match &envelope.body {
        Wish::Deleted { .. } | Wish::Leaving { .. } | Wish::Moved { .. } => true,
        Wish::Exist(spec) => spec.suspended || spec.run_until.is_some_and(|at| at <= now),
    }
}

/// Returns the rank and content of the newest wish held for each server, tombstones included, for
/// the hello.
///
/// # Errors
/// When the store cannot be read.
pub fn desired_lines(txn: &impl Snapshot) -> Result<Vec<DesiredLine>, TxnError> {
    let rows: BTreeMap<ServerId, Desired> = desired_rows(txn)?;
    let line = |(&server, desired): (&ServerId, &Desired)| {
        let held = desired.newest()?;
        Some(DesiredLine { server, order: held.order, hash: held.hash })
    };
    Ok(rows.iter().filter_map(line).collect())
}

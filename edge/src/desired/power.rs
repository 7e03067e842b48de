//! Takes over power actions: those of the node's own doors, and the hub's intents.

use super::fact_about;
use crate::{
    install,
    store::{ChangeError, DESIRED, INTENTS, INTENTS_BY_END, IntentRecord, POWER, append_all},
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot, Span, Txn, TxnError},
    desired::{Envelope, Wish},
    fact::Activity,
    ids::{EventId, IntentId, ServerId},
    lifecycle::{Actor, PowerAction, power::Power},
};
use mamba_wire::{
    link::v1::{Intent, IntentOutcome, IntentResult},
    node::NodeError,
};

/// How long an answered intent is remembered after it expired. A copy that comes later is expired
/// anyway; the margin covers a calendar that is set back.
const INTENT_KEPT_MS: u64 = 24 * 3_600_000;
/// Old intents forgotten with each new one: more than one, so that their number falls.
const FORGET_MAX: usize = 8;

/// Stores a power action as the wish for a server, with its fact. Durable once the transaction is.
///
/// # Errors
/// `Refused` inside the result when the server is not here or may not do it; nothing is written.
pub fn record_power(
    txn: &mut Txn<'_>,
    server: ServerId,
    action: PowerAction,
    by: &Actor,
    event: EventId,
    now: UnixMs,
) -> Result<Result<(), NodeError>, ChangeError> {
    let envelope = match allowed(txn, server, action, now)? {
        Ok(envelope) => envelope,
        Err(refused) => return Ok(Err(refused)),
    };
    let power = txn.get(POWER, &server)?.unwrap_or_else(Power::never_asked);
    txn.put(POWER, &server, &power.then(action, by.clone(), now))?;
    let about = (envelope.tenant, server);
    append_all(txn, &[fact_about(event, now, about, by.clone(), Activity::Power { action })])?;
    Ok(Ok(()))
}

/// Carries an intent of the hub over into a wish, exactly once however often it comes.
///
/// `now` is hub time as best known. The answer may be sent once the transaction is durable.
///
/// # Errors
/// When the store cannot take it; then the intent is as good as not received.
pub fn accept_intent(
    txn: &mut Txn<'_>,
    intent: &Intent,
    event: EventId,
    now: UnixMs,
) -> Result<IntentResult, ChangeError> {
    let id = intent.intent;
    if let Some(known) = answered(txn, id)? {
        return Ok(known);
    }
    let by = Actor::User(intent.by);
    let outcome = if intent.expires_at <= now {
        IntentOutcome::Expired
    } else {
        match record_power(txn, intent.server, intent.action, &by, event, now)? {
            Ok(()) => IntentOutcome::Accepted,
            Err(refused) => IntentOutcome::Refused(refused.to_string()),
        }
    };
    let forget_at = intent.expires_at.max(now).plus(INTENT_KEPT_MS);
    txn.put(INTENTS, &id, &IntentRecord { outcome: outcome.clone(), forget_at })?;
    txn.put(INTENTS_BY_END, &(forget_at, id), &())?;
    forget_intents(txn, now)?;
    Ok(IntentResult { intent: id, outcome })
}

/// Returns what was answered to an intent before, as long as that is remembered.
///
/// # Errors
/// When the store cannot be read.
pub fn answered(txn: &impl Snapshot, intent: IntentId) -> Result<Option<IntentResult>, TxnError> {
    let known = txn.get(INTENTS, &intent)?;
    Ok(known.map(|it| IntentResult { intent, outcome: it.outcome }))
}

/// Returns the wish in force when it allows the action.
fn allowed(
    txn: &impl Snapshot,
    server: ServerId,
    action: PowerAction,
    now: UnixMs,
) -> Result<Result<Envelope, NodeError>, TxnError> {
    let desired = txn.get(DESIRED, &server)?;
    let held = desired.and_then(|it| it.in_force).and_then(|held| held.envelope.open().ok());
    let Some(envelope) = held else { return Ok(Err(NodeError::NoSuchServer(server))) };
    let refused = match (&envelope.body, action) {
        (Wish::Deleted { .. }, _) => Some("server is being deleted".to_owned()),
        (Wish::Moved { .. }, _) => Some("server was moved to another node".to_owned()),
        (Wish::Leaving { .. }, PowerAction::Start | PowerAction::Restart) => {
            Some("server is being moved to another node".to_owned())
        }
        (Wish::Exist(_) | Wish::Leaving { .. }, PowerAction::Stop | PowerAction::Kill) => None,
        (Wish::Exist(spec), PowerAction::Start | PowerAction::Restart) => match spec.run_until {
            _ if spec.suspended => Some("server is suspended".to_owned()),
            Some(at) if at <= now => Some(format!("entitlement to run ended at {at}")),
            Some(_) | None => install::refuses_start(txn, server, spec.install.as_ref())?,
        },
    };
    Ok(match refused {
        Some(reason) => Err(NodeError::NotAllowed(reason)),
        None => Ok(envelope),
    })
}

fn forget_intents(txn: &mut Txn<'_>, now: UnixMs) -> Result<(), TxnError> {
    for (key, ()) in txn.range(INTENTS_BY_END, Span::all(), FORGET_MAX)? {
        if key.0 > now {
            break;
        }
        txn.delete(INTENTS_BY_END, &key)?;
        txn.delete(INTENTS, &key.1)?;
    }
    Ok(())
}

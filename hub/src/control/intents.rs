//! Records power actions for nodes, and lists what became of them.

use super::{
    Cut,
    install::refuses_start,
    wish::{Happened, ServerKey, check_stays, find_alive},
};
use crate::{
    Hub, HubError,
    identity::access_now,
    store::{INTENTS, INTENTS_OF_NODE, IntentRecord, IntentState, IntentWaiting, SERVERS},
    tenants::lineage,
};
use mamba_core::{
    access::ServerKeys,
    clock::UnixMs,
    db::{Order, Snapshot, Span, Txn},
    fact::Activity,
    ids::{IntentId, NodeId, ServerId},
    lifecycle::{Actor, PowerAction},
    scope::TenantScope,
};
use mamba_wire::{
    api::{
        Page, PageQuery,
        server::{self, INTENT_TTL_MS_DEFAULT, INTENT_TTL_MS_MAX},
    },
    link::v1::INTENTS_MAX,
};

impl Hub {
    /// Records a power action for the server's node, which need not be connected. Without a time to
    /// live it expires after a minute, so that a stale start never fires next day.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for the time to live, `Refused` for a server that may not start or is
    /// being deleted, and when the node has too many open actions.
    pub async fn power(
        &self,
        scope: &TenantScope,
        server: ServerId,
        action: PowerAction,
        ttl_ms: Option<u64>,
    ) -> Result<server::Intent, HubError> {
        let ttl_ms = ttl_ms.unwrap_or(INTENT_TTL_MS_DEFAULT);
        if !(1..=INTENT_TTL_MS_MAX).contains(&ttl_ms) {
            let rule = format!("must be 1 to {INTENT_TTL_MS_MAX}");
            return Err(HubError::invalid("expires_in_ms", rule));
        }
        let Actor::User(by) = *scope.actor() else {
            let why = "power actions at the hub need a user's account; on the node use mamba-edge";
            return Err(HubError::Refused(why.to_owned()));
        };
        let (key, keys) = ((scope.tenant(), server), scope.keys());
        let intent = self.new_id(IntentId::new);
        let happened = Happened::of(self, scope);
        let record = self
            .write(move |txn| {
                let node = check_power(txn, &key, action)?;
                if settle_expired(txn, node, happened.now)? >= INTENTS_MAX {
                    let why = format!("node has {INTENTS_MAX} open actions already");
                    return Err(HubError::Refused(why));
                }
                let given_at = happened.now;
                let expires_at = given_at.plus(ttl_ms);
                let (state, state_at) = (IntentState::Pending, given_at);
                let record =
                    IntentRecord { node, action, by, keys, given_at, expires_at, state, state_at };
                txn.put(INTENTS, &(key.0, key.1, intent), &record)?;
                let waiting = IntentWaiting { tenant: key.0, server: key.1 };
                txn.put(INTENTS_OF_NODE, &(node, intent), &waiting)?;
                happened.record(txn, &key, Activity::PowerAsked { action })?;
                Ok(record)
            })
            .await?;
        self.live().changed(record.node);
        Ok(view(server, intent, &record, self.now()))
    }

    /// Takes back a power action that was not handed to the node. One that is cancelled already stays so.
    ///
    /// # Errors
    /// `NotFound`, and `Refused` once the node has it or it is settled.
    pub async fn cancel_intent(
        &self,
        scope: &TenantScope,
        server: ServerId,
        intent: IntentId,
    ) -> Result<server::Intent, HubError> {
        let key = (scope.tenant(), server);
        let happened = Happened::of(self, scope);
        let record = self
            .write(move |txn| {
                let place = (key.0, key.1, intent);
                let record = txn.get(INTENTS, &place)?;
                let mut record = record.ok_or(HubError::NotFound { what: "intent" })?;
                if record.state == IntentState::Cancelled {
                    return Ok(record);
                }
                if let Some(why) = too_late(&record.shown_state(happened.now)) {
                    return Err(HubError::Refused(why.to_owned()));
                }
                record.state = IntentState::Cancelled;
                record.state_at = happened.now;
                txn.put(INTENTS, &place, &record)?;
                txn.delete(INTENTS_OF_NODE, &(record.node, intent))?;
                let action = record.action;
                happened.record(txn, &key, Activity::PowerCancelled { action })?;
                Ok(record)
            })
            .await?;
        Ok(view(server, intent, &record, self.now()))
    }

    /// Shows one power action.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn intent(
        &self,
        scope: &TenantScope,
        server: ServerId,
        intent: IntentId,
    ) -> Result<server::Intent, HubError> {
        let record = self.read(|txn| Ok(txn.get(INTENTS, &(scope.tenant(), server, intent))?))?;
        let record = record.ok_or(HubError::NotFound { what: "intent" })?;
        Ok(view(server, intent, &record, self.now()))
    }

    /// Lists power actions of a server, newest first.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` for the query.
    pub fn intents(
        &self,
        scope: &TenantScope,
        server: ServerId,
        query: &PageQuery,
    ) -> Result<Page<server::Intent>, HubError> {
        let cut = Cut::<IntentId>::new(query)?;
        let (tenant, now) = (scope.tenant(), self.now());
        self.read(|txn| {
            if !txn.contains(SERVERS, &(tenant, server))? {
                return Err(HubError::NotFound { what: "server" });
            }
            let mut span = Span::prefix(&(tenant, server));
            if let Some(after) = cut.after {
                span = span.before(&(tenant, server, after));
            }
            let found = txn.scan(INTENTS, span, Order::Descending, cut.fetch())?;
            let found =
                found.into_iter().map(|((_, _, id), record)| (id, view(server, id, &record, now)));
            Ok(cut.page(found.collect()))
        })
    }
}

/// Returns the server's node if the action makes sense.
fn check_power(
    txn: &impl Snapshot,
    key: &ServerKey,
    action: PowerAction,
) -> Result<NodeId, HubError> {
    let record = find_alive(txn, key)?;
    let starts = matches!(action, PowerAction::Start | PowerAction::Restart);
    if starts && record.moving.is_some_and(|it| it.is_frozen) {
        check_stays(&record)?;
    }
    match action {
        PowerAction::Start | PowerAction::Restart if record.choices.suspended => {
            Err(HubError::Refused("server is suspended".to_owned()))
        }
        PowerAction::Start | PowerAction::Restart => match refuses_start(txn, key, &record)? {
            Some(why) => Err(HubError::Refused(why.to_owned())),
            None => Ok(record.node),
        },
        PowerAction::Stop | PowerAction::Kill => Ok(record.node),
    }
}

/// Returns why a power action cannot be taken back any more.
fn too_late(state: &IntentState) -> Option<&'static str> {
    match state {
        IntentState::Pending | IntentState::Cancelled => None,
        IntentState::Sent => Some("the node has the power action already: ask for the opposite"),
        IntentState::Applied => Some("the node carried the power action out already"),
        IntentState::Expired => Some("the power action expired and did nothing"),
        IntentState::Refused(_) => Some("the node refused the power action already"),
    }
}

/// Settles what expired before it was handed over. Returns how many actions stay open.
pub(crate) fn settle_expired(
    txn: &mut Txn<'_>,
    node: NodeId,
    now: UnixMs,
) -> Result<usize, HubError> {
    let waiting = txn.prefix(INTENTS_OF_NODE, &(node,), INTENTS_MAX + 1)?;
    let mut open = 0;
    for ((_, intent), IntentWaiting { tenant, server }) in waiting {
        let key = (tenant, server, intent);
        let record = txn.get(INTENTS, &key)?;
        match record {
            Some(mut record) if record.shown_state(now) == IntentState::Expired => {
                record.state_at = record.expires_at;
                record.state = IntentState::Expired;
                txn.put(INTENTS, &key, &record)?;
                txn.delete(INTENTS_OF_NODE, &(node, intent))?;
            }
            Some(_) => open += 1,
            None => txn.delete(INTENTS_OF_NODE, &(node, intent))?,
        }
    }
    Ok(open)
}

/// Returns what somebody who asked for a power action held then and holds still.
pub(crate) fn keys_left(
    view: &impl Snapshot,
    now: UnixMs,
    key: ServerKey,
    record: &IntentRecord,
) -> Result<ServerKeys, HubError> {
    let Some(access) = access_now(view, now, record.by, None)? else {
        return Ok(ServerKeys::NONE);
    };
    let (tenant, server) = key;
    let held = access.with_server(server, &lineage(view, tenant)?);
    Ok(record.keys.and(held))
}

fn view(server: ServerId, intent: IntentId, record: &IntentRecord, now: UnixMs) -> server::Intent {
    let state = record.shown_state(now);
    let state_at = if state == IntentState::Expired { record.expires_at } else { record.state_at };
    server::Intent {
        intent,
        server,
        action: record.action,
        by: record.by,
        given_at: record.given_at,
        expires_at: record.expires_at,
        state_at,
        state: match state {
            IntentState::Pending => server::IntentState::Pending,
            IntentState::Sent => server::IntentState::Sent,
            IntentState::Applied => server::IntentState::Applied,
            IntentState::Expired => server::IntentState::Expired,
            IntentState::Refused(why) => server::IntentState::Refused(why),
            IntentState::Cancelled => server::IntentState::Cancelled,
        },
    }
}

//! What a node should have: wishes, open intents and how far its facts are in custody.

use crate::{
    Hub, HubError,
    control::{hidden, keys_left, settle_expired},
    registries,
    store::{INTENTS, INTENTS_OF_NODE, IntentState, OPEN_EPOCHS, PLACED, STREAMS, stream_number},
};
use mamba_core::{
    db::Snapshot as _,
    desired::SignedEnvelope,
    fact::Stream,
    ids::{NodeId, ServerId},
    scope::NodeScope,
    seq::Epoch,
};
use mamba_wire::{
    link::v1::{Ack, DesiredLine, ENVELOPES_BYTES_MAX, INTENTS_MAX, Intent, SERVERS_MAX},
    session::Wanted,
};

/// Why a power action was not handed over.
const RIGHT_ENDED: &str = "who asked for it may not do it any more";

impl Hub {
    /// Returns everything that the node should have. Marks intents as handed over before they are:
    /// from then on only the node says what became of them. Those of who may not do it any more are not
    /// handed over.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn wanted(&self, scope: &NodeScope) -> Result<Wanted, HubError> {
        let node = scope.node();
        let (desired, acks, registries) = self.read(|txn| {
            let placed = txn.prefix(PLACED, &(node,), SERVERS_MAX)?;
            let line = |((_, server), it): ((NodeId, ServerId), crate::store::PlacedServer)| {
                DesiredLine { server, order: it.order, hash: it.hash }
            };
            let desired: Vec<DesiredLine> = placed.into_iter().map(line).collect();
            let mut acks = Vec::new();
            for stream in Stream::ALL {
                acks.extend(open_ack(txn, node, stream)?);
            }
            Ok((desired, acks, registries::logins(self, txn)?))
        })?;
        let intents = self.hand_over(node).await?;
        Ok(Wanted { desired, intents, acks, registries })
    }

    async fn hand_over(&self, node: NodeId) -> Result<Vec<Intent>, HubError> {
        let has_any = self.read(|txn| Ok(!txn.prefix(INTENTS_OF_NODE, &(node,), 1)?.is_empty()))?;
        if !has_any {
            return Ok(Vec::new());
        }
        let now = self.now();
        self.write(move |txn| {
            settle_expired(txn, node, now)?;
            let mut intents = Vec::new();
            for ((_, intent), waiting) in txn.prefix(INTENTS_OF_NODE, &(node,), INTENTS_MAX)? {
                let key = (waiting.tenant, waiting.server, intent);
                let Some(mut record) = txn.get(INTENTS, &key)? else { continue };
                // A node that had it before looks at these only when it has not carried it out.
                let keys = keys_left(txn, now, (waiting.tenant, waiting.server), &record)?;
                let is_pending = record.state == IntentState::Pending;
                if is_pending && !keys.contains(record.action.key()) {
                    record.state = IntentState::Refused(RIGHT_ENDED.to_owned());
                    record.state_at = now;
                    txn.put(INTENTS, &key, &record)?;
                    txn.delete(INTENTS_OF_NODE, &(node, intent))?;
                    continue;
                }
                if is_pending {
                    record.state = IntentState::Sent;
                    record.state_at = now;
                    txn.put(INTENTS, &key, &record)?;
                }
                intents.push(Intent {
                    intent,
                    server: waiting.server,
                    action: record.action,
                    by: record.by,
                    keys,
                    expires_at: record.expires_at,
                });
            }
            Ok(intents)
        })
        .await
    }

    /// Returns signed wishes for these servers of the node, in this order, as many as fit into one
    /// message.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn envelopes(
        &self,
        scope: &NodeScope,
        servers: &[ServerId],
    ) -> Result<Vec<SignedEnvelope>, HubError> {
        self.read(|txn| {
            let mut envelopes = Vec::new();
            let mut bytes = 0;
            for server in servers.iter().take(SERVERS_MAX) {
                let Some(placed) = txn.get(PLACED, &(scope.node(), *server))? else { continue };
                let found = match placed.left {
                    true => hidden::left_wish(self, txn, (scope.node(), *server))?,
                    false => hidden::wish(self, txn, &(placed.tenant, *server))?,
                };
                let Some(signed) = found else { continue };
                bytes += signed.bytes.len() + signed.signature.len() + 16;
                if bytes > ENVELOPES_BYTES_MAX && !envelopes.is_empty() {
                    break;
                }
                envelopes.push(signed);
            }
            Ok(envelopes)
        })
    }
}

fn open_ack(
    txn: &impl mamba_core::db::Snapshot,
    node: NodeId,
    stream: Stream,
) -> Result<Option<Ack>, HubError> {
    let number = stream_number(stream);
    let Some(epoch) = txn.get(OPEN_EPOCHS, &(node, number))?.map(Epoch) else { return Ok(None) };
    let record = txn.get(STREAMS, &(node, number, epoch))?;
    Ok(record.map(|it| Ack {
        stream,
        epoch,
        watermark: it.watermark,
        backup_watermark: it.backup_watermark,
    }))
}

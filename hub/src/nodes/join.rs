//! Join tokens, and the machines that use them.

use super::{
    TOKEN_MS_DEFAULT, TOKEN_MS_MAX, TOKENS_MAX,
    registry::{check_name, find, raise},
};
use crate::{
    Hub, HubError, audit,
    link::backend::{BackendError, EnrolError, Enrolment},
    store::{AlarmKind, JOIN_TOKENS, JoinTokenRecord, KeyRecord, NODE_KEYS, NODES, NodeRecord},
};
use mamba_core::{
    audit::Change,
    clock::{UnixMs, draw},
    db::{Snapshot, Span, Txn},
    error::chain,
    ids::{EventId, NodeId, TokenId},
    placement::NodeSettings,
    scope::AdminScope,
};
use mamba_wire::{
    api::node::{JoinToken, NewJoinToken, Standing},
    link::{
        enrol::PublicKey,
        token::{CaHash, JoinSecret, JoinToken as TokenText, SecretHash},
    },
};

/// A join token to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewToken {
    /// Name of the node.
    pub name: String,
    /// How long it can be used; an hour without.
    pub ttl_ms: Option<u64>,
    /// The node that gets a new key with it; a new node without.
    pub replaces: Option<NodeId>,
    /// `host:port` at which the edge finds the hub, written into the token.
    pub address: Option<String>,
}

impl Hub {
    /// Makes a join token. Its text is returned once and not kept.
    ///
    /// # Errors
    /// `Invalid` names the field, `NotFound` the node to be replaced, `Refused` when too many are
    /// open.
    pub async fn create_join_token(
        &self,
        admin: &AdminScope,
        new: NewToken,
    ) -> Result<NewJoinToken, HubError> {
        let ttl_ms = new.ttl_ms.unwrap_or(TOKEN_MS_DEFAULT);
        if !(1..=TOKEN_MS_MAX).contains(&ttl_ms) {
            return Err(HubError::invalid("ttl_ms", format!("must be 1 to {TOKEN_MS_MAX}")));
        }
        let secret = JoinSecret(draw(self.entropy()));
        let SecretHash(hash) = secret.hash();
        let hub_ca = CaHash::of(self.keys().hub_ca.certificate());
        let text = TokenText { secret, hub_ca, address: new.address.clone() }.to_string();
        let id = self.new_id(TokenId::new);
        let now = self.now();
        let expires_at = now.plus(ttl_ms);
        let admin = admin.clone();
        self.write(move |txn| {
            let name = match new.replaces {
                Some(node) => find(txn, node)?.name,
                None => new.name.clone(),
            };
            check_name(txn, &name, new.replaces)?;
            if make_room(txn, now)? >= TOKENS_MAX {
                return Err(HubError::Refused(format!(
                    "{TOKENS_MAX} join tokens are open already"
                )));
            }
            let record = JoinTokenRecord {
                token: id,
                name,
                made_at: now,
                expires_at,
                replaces: new.replaces,
                used: None,
            };
            txn.put(JOIN_TOKENS, &hash, &record)?;
            let change = Change::set("name", record.name);
            audit::append_admin(txn, &admin, now, "node:token.create", [change])
        })
        .await?;
        Ok(NewJoinToken { id, token: text, expires_at })
    }

    /// Lists join tokens that can still be used, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn join_tokens(&self, _admin: &AdminScope) -> Result<Vec<JoinToken>, HubError> {
        let now = self.now();
        let found = self.read(|txn| Ok(txn.range(JOIN_TOKENS, Span::all(), 2 * TOKENS_MAX)?))?;
        let is_open = |it: &JoinTokenRecord| it.used.is_none() && now < it.expires_at;
        let mut open: Vec<JoinToken> = found
            .into_iter()
            .filter(|(_, it)| is_open(it))
            .map(|(_, it)| JoinToken {
                id: it.token,
                name: it.name,
                made_at: it.made_at,
                expires_at: it.expires_at,
                replaces: it.replaces,
            })
            .collect();
        open.sort_by_key(|it| it.id);
        Ok(open)
    }

    /// Withdraws a join token that was not used.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_join_token(
        &self,
        admin: &AdminScope,
        token: TokenId,
    ) -> Result<(), HubError> {
        let (admin, now) = (admin.clone(), self.now());
        self.write(move |txn| {
            let found = txn.range(JOIN_TOKENS, Span::all(), 2 * TOKENS_MAX)?;
            let is_it =
                |it: &&([u8; 32], JoinTokenRecord)| it.1.token == token && it.1.used.is_none();
            let (hash, _) =
                found.iter().find(is_it).ok_or(HubError::NotFound { what: "join token" })?;
            txn.delete(JOIN_TOKENS, hash)?;
            let change = Change::set("token", token.to_string());
            audit::append_admin(txn, &admin, now, "node:token.delete", [change])
        })
        .await
    }

    /// Uses up a join token: makes the node, or gives it a new key, in one transaction. The same
    /// token with the same key gives the same node again.
    ///
    /// # Errors
    /// See [`EnrolError`]; a used, an expired and an unknown token look the same.
    pub async fn enrol(&self, enrolment: Enrolment) -> Result<NodeId, EnrolError> {
        let fresh = self.new_id(NodeId::new);
        let event = self.new_id(EventId::new);
        let now = self.now();
        let SecretHash(hash) = enrolment.secret;
        let PublicKey(key) = enrolment.key;
        let (node, is_replaced) = self
            .write(move |txn| {
                let Some(token) = txn.get(JOIN_TOKENS, &hash)? else {
                    return Ok(Err(EnrolError::Token));
                };
                if now >= token.expires_at {
                    return Ok(Err(EnrolError::Token));
                }
                match token.used {
                    Some((node, used_by)) if used_by == key => again(txn, node, key),
                    Some(_) => Ok(Err(EnrolError::Token)),
                    None => take(txn, (hash, token), fresh, key, now, event),
                }
            })
            .await
            .map_err(|err| EnrolError::Store(BackendError(chain(&err))))??;
        if is_replaced {
            self.live().end_replaced(node);
        }
        Ok(node)
    }
}

type Taken = Result<(NodeId, bool), EnrolError>;

/// The answer to the first use was lost.
fn again(txn: &mut Txn<'_>, node: NodeId, key: [u8; 32]) -> Result<Taken, HubError> {
    let record = find(txn, node)?;
    Ok(match record.standing {
        Standing::Active if record.key == key => Ok((node, false)),
        Standing::Active => Err(EnrolError::Token),
        Standing::Quarantined | Standing::Revoked => Err(EnrolError::Revoked),
    })
}

fn take(
    txn: &mut Txn<'_>,
    (hash, mut token): ([u8; 32], JoinTokenRecord),
    fresh: NodeId,
    key: [u8; 32],
    now: UnixMs,
    event: EventId,
) -> Result<Taken, HubError> {
    // One key is one node, for ever: a key that was replaced or revoked opens nothing again.
    if txn.contains(NODE_KEYS, &key)? {
        return Ok(Err(EnrolError::Token));
    }
    let node = token.replaces.unwrap_or(fresh);
    let record = match token.replaces {
        None => NodeRecord {
            name: token.name.clone(),
            key,
            standing: Standing::Active,
            why: None,
            enrolled_at: now,
            replaced_at: None,
            certificate_until: None,
            settings: NodeSettings::default(),
        },
        Some(node) => {
            let old = find(txn, node)?;
            let retired = KeyRecord { node, revoked_at: Some(now) };
            txn.put(NODE_KEYS, &old.key, &retired)?;
            let text = "node was given a new key";
            raise(txn, event, now, (Some(node), None), AlarmKind::NewKey, text)?;
            NodeRecord { key, standing: Standing::Active, why: None, replaced_at: Some(now), ..old }
        }
    };
    txn.put(NODES, &node, &record)?;
    txn.put(NODE_KEYS, &key, &KeyRecord { node, revoked_at: None })?;
    token.used = Some((node, key));
    txn.put(JOIN_TOKENS, &hash, &token)?;
    Ok(Ok((node, token.replaces.is_some())))
}

/// Forgets tokens past their life, and the oldest of too many used ones: a used one only answers a machine
/// that lost the first answer. Returns how many are open.
fn make_room(txn: &mut Txn<'_>, now: UnixMs) -> Result<usize, HubError> {
    let mut open = 0;
    let mut used = Vec::new();
    for (hash, record) in txn.range(JOIN_TOKENS, Span::all(), 2 * TOKENS_MAX)? {
        if now >= record.expires_at {
            txn.delete(JOIN_TOKENS, &hash)?;
        } else if record.used.is_some() {
            used.push((record.token, hash));
        } else {
            open += 1;
        }
    }
    used.sort_unstable();
    for (_, hash) in used.iter().rev().skip(TOKENS_MAX) {
        txn.delete(JOIN_TOKENS, hash)?;
    }
    Ok(open)
}

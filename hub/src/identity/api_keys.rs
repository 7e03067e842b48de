//! API keys: what programs sign in with.
//!
//! A key `mk_{id}_{secret}` is shown once; its hash is stored. It may what its owner may now, as far
//! as it was given that too. Its id is one of a session, so that whatever is opened with it (a console
//! ticket, a console) is bound to it and ends with it.

use super::{
    Caller, Identity, IdentityError, factors,
    records::{ACCOUNTS, API_KEYS, ApiKeyRecord, Present, USER_API_KEYS},
    sessions::{hash_of, hex, unhex},
    tenant_keys,
    trail::note,
};
use crate::{
    mail::{Letter, Way},
    tenants::access_of,
};
use ipnet::IpNet;
use mamba_core::{
    access::Access,
    audit::{Change, Door, Origin},
    clock::{UnixMs, draw},
    db::{Snapshot, Txn, TxnError},
    error::Invalid,
    ids::{SessionId, UserId},
    server::{NAME_BYTES_MAX, check_text},
};
use mamba_wire::api::account::{ApiKey, CreateApiKey, NewApiKey};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::sleep};

/// How every key begins.
pub(super) const KEY_PREFIX: &str = "mk_";
/// Keys of one account.
pub(super) const API_KEYS_MAX: usize = 25;
/// Networks of one key.
const NETWORKS_MAX: usize = 32;
/// Pause between two times that uses are written: they are worth no commit of their own.
const USES_MS: u64 = 60_000;
/// Uses written at one time.
const USES_MAX: usize = 500;

/// When keys were used, not yet written. There are no more entries than keys.
pub(super) type Uses = BTreeMap<SessionId, UnixMs>;

/// Returns what an account may do now, with an API key if it is one that asked; `None` when account or
/// key let nobody in any more.
pub(crate) fn access_now(
    view: &impl Snapshot,
    now: UnixMs,
    user: UserId,
    key: Option<SessionId>,
) -> Result<Option<Access>, TxnError> {
    let account = view.get(ACCOUNTS, &user)?.filter(|it| it.locked_at.is_none());
    let Some(account) = account else { return Ok(None) };
    let whole = access_of(view, user, &account.admin)?;
    let Some(key) = key else { return Ok(Some(whole)) };
    let record = open_key(view, now, key)?.filter(|it| it.user == user);
    Ok(record.map(|it| whole.narrowed(&it.admin, &it.rights, it.tenant)))
}

/// Returns a key whose time is not over.
fn open_key(
    view: &impl Snapshot,
    now: UnixMs,
    id: SessionId,
) -> Result<Option<ApiKeyRecord>, TxnError> {
    let record = view.get(API_KEYS, &id)?;
    Ok(record.filter(|record| record.until.is_none_or(|until| now < until)))
}

impl Identity {
    /// Returns the API keys of a caller, oldest first.
    ///
    /// # Errors
    /// What the store says.
    pub fn api_keys(&self, caller: &Caller) -> Result<Vec<ApiKey>, IdentityError> {
        let found = self.inner.store.read(|view| {
            let mut found = Vec::new();
            for ((_, id), Present) in view.prefix(USER_API_KEYS, &(caller.user,), API_KEYS_MAX)? {
                found.extend(view.get(API_KEYS, &id)?.map(|record| (id, record)));
            }
            Ok::<_, IdentityError>(found)
        })?;
        let uses = self.uses();
        let shown = found.into_iter().map(|(id, record)| {
            let used_at = uses.get(&id).copied().or(record.used_at);
            shown(id, ApiKeyRecord { used_at, ..record })
        });
        Ok(shown.collect())
    }

    /// Makes an API key.
    ///
    /// # Errors
    /// `Invalid`, `Refused` when the account or the tenant has too many, or what the store says.
    pub async fn create_api_key(
        &self,
        caller: &Caller,
        new: CreateApiKey,
    ) -> Result<NewApiKey, IdentityError> {
        check_text("name", &new.name, 1, NAME_BYTES_MAX)?;
        let (user, now) = (caller.user, self.inner.clock.wall());
        if new.until.is_some_and(|until| until <= now) {
            return Err(Invalid::new("until", "must be in the future").into());
        }
        let networks = networks(&new.networks)?;
        let id = SessionId::new(now, draw(&*self.inner.entropy));
        let secret = draw::<32>(&*self.inner.entropy);
        let record = ApiKeyRecord {
            user,
            name: new.name,
            hash: hash_of(&secret),
            admin: new.admin,
            rights: new.rights,
            tenant: new.tenant,
            networks,
            made_at: now,
            until: new.until,
            used_at: None,
        };
        let (row, who, letter) = (record.clone(), caller.who(), self.draw_id(now));
        self.inner
            .store
            .write(move |txn| {
                let own = txn.prefix(USER_API_KEYS, &(user,), API_KEYS_MAX)?;
                if own.len() >= API_KEYS_MAX {
                    return Err(IdentityError::Refused("the account has too many API keys"));
                }
                if let Some(tenant) = row.tenant {
                    tenant_keys::check_binding(txn, user, tenant)?;
                }
                tenant_keys::insert(txn, id, &row)?;
                tenant_keys::note_bound(txn, now, who, "tenant:api-key.create", (id, &row))?;
                note(txn, now, who, "user:api-key.create", described(id, &row))?;
                let added = Letter::WayAdded { way: Way::ApiKey, name: row.name.clone() };
                factors::tell(txn, now, letter, user, added)
            })
            .await?;
        let token = format!("{}_{}", prefix_of(id), hex(&secret));
        Ok(NewApiKey { token, key: shown(id, record) })
    }

    /// Deletes an API key, and with it whatever was opened with it.
    ///
    /// # Errors
    /// `NotFound`, or what the store says.
    pub async fn delete_api_key(
        &self,
        caller: &Caller,
        id: SessionId,
    ) -> Result<(), IdentityError> {
        let (user, who, now) = (caller.user, caller.who(), self.inner.clock.wall());
        self.inner
            .store
            .write(move |txn| {
                let own = txn.get(API_KEYS, &id)?.filter(|record| record.user == user);
                let record = own.ok_or(IdentityError::NotFound("API key"))?;
                tenant_keys::remove(txn, id, &record)?;
                tenant_keys::note_bound(txn, now, who, "tenant:api-key.delete", (id, &record))?;
                note(txn, now, who, "user:api-key.delete", described(id, &record))
            })
            .await?;
        self.uses().remove(&id);
        self.sessions_ended();
        Ok(())
    }

    /// Returns who holds a key, of which the prefix is cut.
    pub(super) fn caller_with_key(&self, peer: IpAddr, key: &str) -> Result<Caller, IdentityError> {
        let now = self.inner.clock.wall();
        let (id, secret) = parse(key).ok_or(IdentityError::NotSignedIn)?;
        let caller = self.inner.store.read(|view| {
            let Some(record) = view.get(API_KEYS, &id)? else { return Ok(None) };
            let peer = peer.to_canonical();
            let is_near = record.networks.iter().any(|network| network.contains(&peer));
            if record.hash != hash_of(&secret) || !(is_near || record.networks.is_empty()) {
                return Ok(None);
            }
            self.caller_of_key(view, now, id)
        })?;
        let mut caller = caller.ok_or(IdentityError::NotSignedIn)?;
        caller.origin.address = Some(peer);
        self.uses().insert(id, now);
        Ok(caller)
    }

    /// Returns who asks with a key, by its id; `None` when there is none or its time is over. A key of
    /// an account that must have a second factor and has none is as limited as its sessions are.
    pub(super) fn caller_of_key(
        &self,
        view: &impl Snapshot,
        now: UnixMs,
        id: SessionId,
    ) -> Result<Option<Caller>, IdentityError> {
        let Some(record) = open_key(view, now, id)? else { return Ok(None) };
        let account = view.get(ACCOUNTS, &record.user)?.filter(|it| it.locked_at.is_none());
        let Some(account) = account else { return Ok(None) };
        let whole = access_of(view, record.user, &account.admin)?;
        let lacks_factor =
            self.must_have_second_factor(&account) && !factors::has_one(view, record.user)?;
        Ok(Some(Caller {
            user: record.user,
            email: account.email,
            access: whole.narrowed(&record.admin, &record.rights, record.tenant),
            session: id,
            origin: Origin { door: Door::Api, address: None, key: Some(id) },
            is_key: true,
            is_limited: lacks_factor,
            seen_at: None,
        }))
    }

    /// Flushes every minute, until told to stop.
    pub async fn keep_flushed(self, mut stop: watch::Receiver<bool>) {
        loop {
            let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
            let is_last = tokio::select! {
                () = stopped => true,
                () = sleep(Duration::from_millis(USES_MS)) => false,
            };
            self.flush().await;
            if is_last {
                return;
            }
        }
    }

    /// Writes what is kept in memory for up to a minute: when keys were used, and attempts that failed.
    pub async fn flush(&self) {
        self.write_uses().await;
        self.write_attempts().await;
    }

    async fn write_uses(&self) {
        let uses: Vec<_> = {
            let mut uses = self.uses();
            let some: Vec<_> = uses.keys().take(USES_MAX).copied().collect();
            some.into_iter().filter_map(|id| Some((id, uses.remove(&id)?))).collect()
        };
        if uses.is_empty() {
            return;
        }
        let change = move |txn: &mut Txn<'_>| {
            for (id, at) in &uses {
                if let Some(record) = txn.get(API_KEYS, id)? {
                    txn.put(API_KEYS, id, &ApiKeyRecord { used_at: Some(*at), ..record })?;
                }
            }
            Ok::<_, IdentityError>(())
        };
        if let Err(err) = self.inner.store.write(change).await {
            let cause = mamba_core::error::chain(&IdentityError::from(err));
            tracing::warn!(cause, "uses of API keys were not written");
        }
    }

    pub(super) fn uses(&self) -> MutexGuard<'_, Uses> {
        self.inner.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how a key begins: all of it but its secret.
pub(super) fn prefix_of(id: SessionId) -> String {
    format!("{KEY_PREFIX}{}", hex(&id.to_bytes()))
}

fn shown(id: SessionId, record: ApiKeyRecord) -> ApiKey {
    ApiKey {
        key: id,
        name: record.name,
        prefix: prefix_of(id),
        admin: record.admin,
        rights: record.rights,
        tenant: record.tenant,
        networks: record.networks.iter().map(ToString::to_string).collect(),
        made_at: record.made_at,
        until: record.until,
        used_at: record.used_at,
    }
}

/// Says of a key what there is to know, without its secret.
pub(super) fn described(id: SessionId, record: &ApiKeyRecord) -> Vec<Change> {
    let admin: Vec<_> = record.admin.iter().map(|right| right.name()).collect();
    let networks: Vec<_> = record.networks.iter().map(ToString::to_string).collect();
    let mut changes = vec![
        Change::set("key", id.to_string()),
        Change::set("name", record.name.clone()),
        Change::set("admin", admin.join(" ")),
        Change::set("networks", networks.join(" ")),
    ];
    changes.extend(record.tenant.map(|it| Change::set("tenant", it.to_string())));
    changes.extend(record.until.map(|it| Change::set("until", it.to_string())));
    changes
}

fn networks(texts: &[String]) -> Result<Vec<IpNet>, Invalid> {
    let rule = "must be at most 32 networks or addresses such as `192.0.2.0/24`";
    if texts.len() > NETWORKS_MAX {
        return Err(Invalid::new("networks", rule));
    }
    let one = |text: &String| {
        let network = text.parse::<IpNet>().ok();
        network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    texts.iter().map(|text| one(text).ok_or_else(|| Invalid::new("networks", rule))).collect()
}

fn parse(key: &str) -> Option<(SessionId, [u8; 32])> {
    let (id, secret) = key.split_once('_')?;
    let id = (id.len() == 32).then(|| u128::from_str_radix(id, 16).ok()).flatten()?;
    Some((SessionId::from_bytes(id.to_be_bytes()), unhex(secret)?))
}

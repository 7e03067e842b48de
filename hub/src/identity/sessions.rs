//! Signing in, staying signed in, signing out.

use super::{
    ACCESS_TTL_MS, Caller, Identity, IdentityError, REFRESH_TTL_MS, SESSIONS_PER_USER_MAX,
    access::Claims,
    accounts::{PASSWORD_BYTES_MAX, normal_email},
    records::{ACCOUNTS, Account, EMAILS, Present, SESSIONS, Session, USER_SESSIONS},
};
use crate::tenants::{access_of, memberships};
use mamba_core::{
    clock::{UnixMs, draw},
    db::{Snapshot, Txn, TxnError},
    ids::{SessionId, UserId},
};
use mamba_wire::api::auth::{Me, Tokens};
use std::net::IpAddr;
use zeroize::Zeroizing;

impl Identity {
    /// Signs in.
    ///
    /// # Errors
    /// `WrongCredentials`, `Throttled`, `Busy`, or what the store says.
    pub async fn login(
        &self,
        peer: IpAddr,
        email: &str,
        password: Zeroizing<String>,
    ) -> Result<Tokens, IdentityError> {
        let inner = &self.inner;
        let email = normal_email(email);
        if email.len() > 1_024 || password.len() > PASSWORD_BYTES_MAX {
            return Err(IdentityError::WrongCredentials);
        }
        lock(&inner.throttle)
            .attempt(inner.clock.boot(), &email, peer)
            .map_err(|retry_after_ms| IdentityError::Throttled { retry_after_ms })?;
        let found = inner.store.read(|view| find(view, &email))?;
        let hash = found.as_ref().map(|(_, account)| account.password.clone());
        let is_right = inner.passwords.check(password, hash).await?;
        let Some((user, account)) = found.filter(|_| is_right) else {
            return Err(IdentityError::WrongCredentials);
        };
        lock(&inner.throttle).clear(&email, peer);
        let now = inner.clock.wall();
        let session = SessionId::new(now, draw(&*inner.entropy));
        let secret = draw(&*inner.entropy);
        let row = Session {
            user,
            made_at: now,
            refreshed_at: now,
            refresh_hash: hash_of(&secret),
            until: now.plus(REFRESH_TTL_MS),
        };
        inner.store.write(move |txn| start(txn, now, session, &row)).await?;
        self.tokens(now, session, user, &account, &secret)
    }

    /// Gives the next tokens of a session.
    ///
    /// # Errors
    /// `NotSignedIn`, or what the store says. A token that was used before has ended its session.
    pub async fn refresh(&self, token: &str) -> Result<Tokens, IdentityError> {
        let inner = &self.inner;
        let (session, secret) = parse_refresh(token).ok_or(IdentityError::NotSignedIn)?;
        let now = inner.clock.wall();
        let (old, next) = (hash_of(&secret), draw::<32>(&*inner.entropy));
        let next_hash = hash_of(&next);
        let outcome =
            inner.store.write(move |txn| rotate(txn, now, session, old, next_hash)).await?;
        let Some((user, account)) = outcome else {
            inner.ended.send_modify(|count| *count += 1);
            return Err(IdentityError::NotSignedIn);
        };
        self.tokens(now, session, user, &account, &next)
    }

    /// Ends a session. Ending one that is gone is no error.
    ///
    /// # Errors
    /// What the store says.
    pub async fn logout(&self, session: SessionId) -> Result<(), IdentityError> {
        self.inner
            .store
            .write(move |txn| match txn.get(SESSIONS, &session)? {
                Some(row) => Ok::<_, IdentityError>(end(txn, session, row.user)?),
                None => Ok(()),
            })
            .await?;
        self.inner.ended.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Returns who holds an access token.
    ///
    /// # Errors
    /// `NotSignedIn`, or what the store says.
    pub fn authenticate(&self, token: &str) -> Result<Caller, IdentityError> {
        let now = self.inner.clock.wall();
        let claims = self.inner.key.check(now, token).ok_or(IdentityError::NotSignedIn)?;
        self.caller(claims.session)?
            .filter(|caller| caller.user == claims.user)
            .ok_or(IdentityError::NotSignedIn)
    }

    /// Returns who is signed in with a session, `None` when it ended.
    ///
    /// # Errors
    /// What the store says.
    pub fn caller(&self, session: SessionId) -> Result<Option<Caller>, IdentityError> {
        let now = self.inner.clock.wall();
        self.inner.store.read(|view| {
            let Some(row) = view.get(SESSIONS, &session)?.filter(|row| now < row.until) else {
                return Ok(None);
            };
            let account = view.get(ACCOUNTS, &row.user)?;
            let Some(Account { email, admin, .. }) = account else { return Ok(None) };
            let access = access_of(view, row.user, &admin)?;
            Ok(Some(Caller { user: row.user, email, access, session }))
        })
    }

    /// Returns what a client is told of who is signed in.
    ///
    /// # Errors
    /// What the store says.
    pub fn who(&self, caller: &Caller) -> Result<Me, IdentityError> {
        let account =
            self.inner.store.read(|view| Ok::<_, TxnError>(view.get(ACCOUNTS, &caller.user)?));
        let account = account?.ok_or(IdentityError::NotSignedIn)?;
        self.me(caller.user, &account, caller.session)
    }

    fn me(&self, user: UserId, account: &Account, session: SessionId) -> Result<Me, IdentityError> {
        let tenants = self.inner.store.read(|view| memberships(view, user))?;
        let (email, admin) = (account.email.clone(), account.admin.clone());
        Ok(Me { user, email, admin, tenants, session })
    }

    fn tokens(
        &self,
        now: UnixMs,
        session: SessionId,
        user: UserId,
        account: &Account,
        secret: &[u8; 32],
    ) -> Result<Tokens, IdentityError> {
        let claims = Claims { user, session, until: now.plus(ACCESS_TTL_MS) };
        let access = self.inner.key.sign(now, claims);
        Ok(Tokens {
            access_token: access
                .ok_or_else(|| IdentityError::Broken("the access key cannot sign".into()))?,
            access_until: claims.until,
            refresh_token: format!("{session}.{}", hex(secret)),
            refresh_until: now.plus(REFRESH_TTL_MS),
            me: self.me(user, account, session)?,
        })
    }
}

fn find(view: &impl Snapshot, email: &String) -> Result<Option<(UserId, Account)>, TxnError> {
    let Some(owner) = view.get(EMAILS, email)? else { return Ok(None) };
    Ok(view.get(ACCOUNTS, &owner.user)?.map(|account| (owner.user, account)))
}

/// Adds a session; expired ones and those above the limit go.
fn start(
    txn: &mut Txn<'_>,
    now: UnixMs,
    id: SessionId,
    row: &Session,
) -> Result<(), IdentityError> {
    let mut live = Vec::new();
    let keys = txn.prefix(USER_SESSIONS, &(row.user,), SESSIONS_PER_USER_MAX + 1)?;
    for ((user, session), Present) in keys {
        match txn.get(SESSIONS, &session)?.filter(|other| now < other.until) {
            Some(other) => live.push((other.refreshed_at, session)),
            None => end(txn, session, user)?,
        }
    }
    live.sort_unstable();
    let surplus = (live.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX);
    for (_, session) in live.into_iter().take(surplus) {
        end(txn, session, row.user)?;
    }
    txn.put(SESSIONS, &id, row)?;
    Ok(txn.put(USER_SESSIONS, &(row.user, id), &Present)?)
}

/// Takes the newest refresh token for the next; `None` when it holds no longer, and then the session
/// has ended.
fn rotate(
    txn: &mut Txn<'_>,
    now: UnixMs,
    id: SessionId,
    old: [u8; 32],
    next: [u8; 32],
) -> Result<Option<(UserId, Account)>, IdentityError> {
    let Some(mut row) = txn.get(SESSIONS, &id)? else { return Ok(None) };
    let account = txn.get(ACCOUNTS, &row.user)?;
    let Some(account) = account.filter(|_| row.refresh_hash == old && now < row.until) else {
        end(txn, id, row.user)?;
        return Ok(None);
    };
    row.refresh_hash = next;
    row.refreshed_at = now;
    row.until = now.plus(REFRESH_TTL_MS);
    txn.put(SESSIONS, &id, &row)?;
    Ok(Some((row.user, account)))
}

fn end(txn: &mut Txn<'_>, session: SessionId, user: UserId) -> Result<(), TxnError> {
    txn.delete(SESSIONS, &session)?;
    txn.delete(USER_SESSIONS, &(user, session))
}

fn parse_refresh(token: &str) -> Option<(SessionId, [u8; 32])> {
    let (session, secret) = token.split_once('.')?;
    Some((session.parse().ok()?, unhex(secret)?))
}

/// The hashed form of a secret of 256 random bits; it needs no salt and no delay.
pub(super) fn hash_of(secret: &[u8; 32]) -> [u8; 32] {
    *blake3::hash(secret).as_bytes()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in out.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(out)
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

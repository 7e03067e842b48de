//! Sessions: begun by a sign-in, kept by refreshing, ended by whoever owns them.
//!
//! A session is a family of refresh tokens `session.generation.secret`. The secret is a keyed hash of
//! the session's salt and the generation: what is stored cannot be used, and a token that is right but
//! not the newest was copied by somebody, which ends the session. A client whose answer was lost asks
//! the same again: within [`RETRY_MS`], from the same client, it gets the same successor.

use super::{
    ACCESS_TTL_MS, Caller, Client, Identity, IdentityError, REFRESH_TTL_MS, RETRY_MS,
    SESSION_TTL_MS, SESSIONS_PER_USER_MAX,
    access::{Claims, Purpose},
    api_keys::KEY_PREFIX,
    factors,
    letters::chosen,
    passkeys::PASSKEYS_MAX,
    passwords::is_void,
    records::{ACCOUNTS, Account, PASSKEYS, Present, SESSIONS, Session, USER_SESSIONS},
    seen,
    trail::note,
};
use crate::tenants::{access_of, memberships};
use mamba_core::{
    audit::{Change, Door, Origin},
    clock::{UnixMs, draw},
    db::{Snapshot, Txn, TxnError},
    ids::{SessionId, UserId},
};
use mamba_wire::api::{
    account,
    auth::{Me, TokenPurpose, Tokens},
};
use std::net::IpAddr;

/// A session that was begun or refreshed.
#[derive(Clone)]
pub(super) struct Begun {
    pub(super) id: SessionId,
    pub(super) session: Session,
    pub(super) account: Account,
}

/// What somebody signed in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// A password alone.
    Password,
    /// A password, or another provider's word, and a code of an app.
    App,
    /// The same and a recovery code.
    RecoveryCode,
    /// A passkey.
    Passkey,
    /// Another provider's word.
    Provider(String),
}

impl How {
    fn has_second_factor(&self) -> bool {
        matches!(self, Self::App | Self::RecoveryCode | Self::Passkey)
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Password => "password",
            Self::App => "app",
            Self::RecoveryCode => "recovery code",
            Self::Passkey => "passkey",
            Self::Provider(provider) => provider,
        }
    }
}

/// What became of a refresh token.
enum Rotated {
    Next(Box<Begun>),
    /// It was used before: the session has ended.
    Reused,
    /// It is none, or its time is over.
    Unknown,
}

impl Identity {
    /// Gives the next tokens of a session.
    ///
    /// # Errors
    /// `NotSignedIn`, or what the store says. A token that was used before has ended its session.
    pub async fn refresh(&self, client: Client, token: &str) -> Result<Tokens, IdentityError> {
        let inner = self.inner.clone();
        let parsed = parse_refresh(token).ok_or(IdentityError::NotSignedIn)?;
        let now = inner.clock.wall();
        let of = self.clone();
        let rotated = inner.store.write(move |txn| of.rotate(txn, now, &client, parsed)).await?;
        match rotated {
            Rotated::Next(begun) => self.tokens(now, &begun),
            Rotated::Unknown => Err(IdentityError::NotSignedIn),
            Rotated::Reused => {
                tracing::warn!(session = %parsed.0, "a used refresh token came again");
                self.sessions_ended();
                Err(IdentityError::NotSignedIn)
            }
        }
    }

    /// Ends a session. Ending one that is gone is no error.
    ///
    /// # Errors
    /// What the store says.
    pub async fn logout(&self, caller: &Caller) -> Result<(), IdentityError> {
        let (session, who, now) = (caller.session, caller.who(), self.inner.clock.wall());
        self.inner
            .store
            .write(move |txn| match txn.get(SESSIONS, &session)? {
                Some(row) => {
                    end(txn, session, row.user)?;
                    note(txn, now, who, "auth:logout", [])
                }
                None => Ok(()),
            })
            .await?;
        self.sessions_ended();
        Ok(())
    }

    /// Returns how the account of a caller is protected.
    ///
    /// # Errors
    /// What the store says.
    pub fn account(&self, caller: &Caller) -> Result<account::Account, IdentityError> {
        let found = self.inner.store.read(|view| {
            Ok::<_, IdentityError>((
                view.get(ACCOUNTS, &caller.user)?,
                factors::of(view, caller.user)?,
                chosen(view, caller.user)?,
                view.prefix(PASSKEYS, &(caller.user,), PASSKEYS_MAX)?.len(),
            ))
        })?;
        let (Some(own), factors, letters, passkeys) = found else {
            return Err(IdentityError::NotSignedIn);
        };
        Ok(account::Account {
            email: own.email.clone(),
            email_verified_at: factors.email_verified_at,
            totp_since: factors.totp.map(|totp| totp.made_at),
            recovery_codes_left: u32::try_from(factors.recovery.len()).unwrap_or(u32::MAX),
            has_password: !is_void(&own.password),
            passkeys: u32::try_from(passkeys).unwrap_or(u32::MAX),
            second_factor_required: self.must_have_second_factor(&own),
            letters,
        })
    }

    /// Returns the sessions of a caller, the one used last first.
    ///
    /// # Errors
    /// What the store says.
    pub fn sessions(&self, caller: &Caller) -> Result<Vec<account::Session>, IdentityError> {
        let now = self.inner.clock.wall();
        let mut all = self.inner.store.read(|view| live(view, now, caller.user))?;
        all.sort_by_key(|(id, row)| std::cmp::Reverse((row.refreshed_at, *id)));
        let shown = all.into_iter().map(|(id, row)| account::Session {
            session: id,
            device: row.device,
            address: row.address,
            made_at: row.made_at,
            used_at: row.refreshed_at,
            until: row.until,
            has_second_factor: row.has_second_factor,
            is_this: id == caller.session,
        });
        Ok(shown.collect())
    }

    /// Ends one session of a caller.
    ///
    /// # Errors
    /// `NotFound`, also for the session of somebody else; or what the store says.
    pub async fn end_session(&self, caller: &Caller, id: SessionId) -> Result<(), IdentityError> {
        let (user, who, now) = (caller.user, caller.who(), self.inner.clock.wall());
        let change = move |txn: &mut Txn<'_>| match txn.get(SESSIONS, &id)? {
            Some(row) if row.user == user => {
                end(txn, id, user)?;
                note(txn, now, who, "user:session.delete", [Change::set("device", row.device)])
            }
            Some(_) | None => Err(IdentityError::NotFound("session")),
        };
        self.inner.store.write(change).await?;
        self.sessions_ended();
        Ok(())
    }

    /// Ends all sessions of a caller but the one it asks from.
    ///
    /// # Errors
    /// What the store says.
    pub async fn end_other_sessions(&self, caller: &Caller) -> Result<(), IdentityError> {
        let (user, kept) = (caller.user, caller.session);
        let (who, now) = (caller.who(), self.inner.clock.wall());
        let change = move |txn: &mut Txn<'_>| {
            end_all(txn, user, Some(kept))?;
            note(txn, now, who, "user:session.delete", [Change::set("device", "all others")])
        };
        self.inner.store.write(change).await?;
        self.sessions_ended();
        Ok(())
    }

    /// Returns who holds an access token.
    ///
    /// # Errors
    /// `NotSignedIn`, or what the store says.
    pub fn authenticate(&self, peer: IpAddr, token: &str) -> Result<Caller, IdentityError> {
        if let Some(key) = token.strip_prefix(KEY_PREFIX) {
            return self.caller_with_key(peer, key);
        }
        let now = self.inner.clock.wall();
        let claims = self.inner.key.check(now, token).ok_or(IdentityError::NotSignedIn)?;
        let mut caller = self
            .caller(claims.session)?
            .filter(|caller| caller.user == claims.user)
            .ok_or(IdentityError::NotSignedIn)?;
        caller.is_limited |= claims.purpose == Purpose::SetUp;
        caller.origin.address = Some(peer);
        Ok(caller)
    }

    /// Returns who is signed in with a session, `None` when it ended.
    ///
    /// # Errors
    /// What the store says.
    pub fn caller(&self, session: SessionId) -> Result<Option<Caller>, IdentityError> {
        let now = self.inner.clock.wall();
        self.inner.store.read(|view| {
            let Some(row) = view.get(SESSIONS, &session)?.filter(|row| now < row.until) else {
                return self.caller_of_key(view, now, session);
            };
            let account = view.get(ACCOUNTS, &row.user)?.filter(|it| it.locked_at.is_none());
            let Some(account) = account else { return Ok(None) };
            let access = access_of(view, row.user, &account.admin)?;
            let is_limited = self.is_limited(&account, &row);
            let (user, email) = (row.user, account.email);
            let origin = Origin { door: Door::Api, ..Origin::default() };
            let (is_key, seen_at) = (false, Some(row.seen_at));
            let caller =
                Caller { user, email, access, session, origin, is_key, is_limited, seen_at };
            Ok(Some(caller))
        })
    }

    /// Returns what a client is told of who is signed in; an API key, no other tenants than it reaches.
    ///
    /// # Errors
    /// What the store says.
    pub fn who(&self, caller: &Caller) -> Result<Me, IdentityError> {
        let account = self.inner.store.read(|view| view.get(ACCOUNTS, &caller.user))?;
        let account = account.ok_or(IdentityError::NotSignedIn)?;
        let mut me = self.me(caller.user, &account, caller.session)?;
        if caller.is_key {
            me.tenants.retain(|it| caller.access.tenants.contains_key(&it.tenant));
        }
        Ok(me)
    }

    fn me(&self, user: UserId, account: &Account, session: SessionId) -> Result<Me, IdentityError> {
        let tenants = self.inner.store.read(|view| memberships(view, user))?;
        let (email, admin) = (account.email.clone(), account.admin.clone());
        Ok(Me { user, email, admin, tenants, session })
    }

    /// Whether a session may only set up a second factor.
    fn is_limited(&self, account: &Account, row: &Session) -> bool {
        self.must_have_second_factor(account) && !row.has_second_factor
    }

    pub(super) fn must_have_second_factor(&self, account: &Account) -> bool {
        self.inner.settings.second_factor.requires(account.admin.is_admin())
    }

    /// Begins a session in a transaction. Expired ones and those above the limit go. That an account is
    /// locked is told to who has proved to own it, and to nobody else; so is that it must use its passkey
    /// where a second factor is wanted and that is all it has.
    pub(super) fn begin(
        &self,
        txn: &mut Txn<'_>,
        now: UnixMs,
        client: &Client,
        (user, account): (UserId, Account),
        how: &How,
    ) -> Result<Begun, IdentityError> {
        if account.locked_at.is_some() {
            return Err(IdentityError::Forbidden("an administrator has locked this account"));
        }
        if self.must_have_second_factor(&account)
            && !how.has_second_factor()
            && factors::has_one(txn, user)?
        {
            let why = "a second factor is wanted here: sign in with the account's passkey";
            return Err(IdentityError::Forbidden(why));
        }
        for ((_, id), Present) in txn.prefix(USER_SESSIONS, &(user,), SESSIONS_PER_USER_MAX + 1)? {
            if txn.get(SESSIONS, &id)?.is_none_or(|row| row.until <= now) {
                end(txn, id, user)?;
            }
        }
        let mut live = live(txn, now, user)?;
        live.sort_by_key(|(id, other)| (other.refreshed_at, *id));
        if seen::remember(txn, now, client, user)? {
            self.mail_of_new_device(txn, now, client, &account)?;
        }
        let surplus = (live.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX);
        for (session, _) in live.into_iter().take(surplus) {
            end(txn, session, user)?;
        }
        let id = SessionId::new(now, draw(&*self.inner.entropy));
        let session = Session {
            user,
            made_at: now,
            refreshed_at: now,
            salt: draw(&*self.inner.entropy),
            generation: 1,
            until: now.plus(REFRESH_TTL_MS),
            ends_at: now.plus(SESSION_TTL_MS),
            device: client.device.clone(),
            address: client.peer,
            has_second_factor: how.has_second_factor(),
            seen_at: now,
        };
        txn.put(SESSIONS, &id, &session)?;
        txn.put(USER_SESSIONS, &(user, id), &Present)?;
        let changes =
            [Change::set("with", how.name()), Change::set("device", client.device.clone())];
        note(txn, now, client.who(user), "auth:success", changes)?;
        Ok(Begun { id, session, account })
    }

    /// Takes the newest refresh token for the next.
    fn rotate(
        &self,
        txn: &mut Txn<'_>,
        now: UnixMs,
        client: &Client,
        (id, generation, secret): (SessionId, u64, [u8; 32]),
    ) -> Result<Rotated, IdentityError> {
        let Some(mut row) = txn.get(SESSIONS, &id)? else { return Ok(Rotated::Unknown) };
        let expected = self.inner.key.refresh_secret(&row.salt, generation);
        // Hashed, so that the comparison tells nothing by its time.
        if hash_of(&expected) != hash_of(&secret) || generation > row.generation {
            return Ok(Rotated::Unknown);
        }
        let is_open = |it: &Account| now < row.until && it.locked_at.is_none();
        let account = txn.get(ACCOUNTS, &row.user)?.filter(is_open);
        let Some(account) = account else {
            end(txn, id, row.user)?;
            return Ok(Rotated::Unknown);
        };
        let is_retry = generation + 1 == row.generation
            && now.since(row.refreshed_at) <= RETRY_MS
            && row.device == client.device
            && row.address == client.peer;
        if generation < row.generation && !is_retry {
            end(txn, id, row.user)?;
            let device = Change::set("device", row.device);
            note(txn, now, client.who(row.user), "auth:token-reused", [device])?;
            return Ok(Rotated::Reused);
        }
        if !is_retry {
            row.generation += 1;
            row.refreshed_at = now;
            row.until = now.plus(REFRESH_TTL_MS).min(row.ends_at);
            row.device.clone_from(&client.device);
            row.address = client.peer;
            txn.put(SESSIONS, &id, &row)?;
            seen::renew(txn, now, client, row.user)?;
        }
        Ok(Rotated::Next(Box::new(Begun { id, session: row, account })))
    }

    pub(super) fn tokens(&self, now: UnixMs, begun: &Begun) -> Result<Tokens, IdentityError> {
        let Begun { id, session: row, account } = begun;
        let is_limited = self.is_limited(account, row);
        let purpose = if is_limited { Purpose::SetUp } else { Purpose::Api };
        let until = now.plus(ACCESS_TTL_MS).min(row.until);
        let claims = Claims { user: row.user, session: *id, purpose, until };
        let access = self.inner.key.sign(now, claims);
        let secret = self.inner.key.refresh_secret(&row.salt, row.generation);
        Ok(Tokens {
            access_token: access
                .ok_or_else(|| IdentityError::Broken("the access key cannot sign".into()))?,
            access_until: until,
            purpose: if is_limited { TokenPurpose::SetUp } else { TokenPurpose::Api },
            refresh_token: Some(format!("{id}.{}.{}", row.generation, hex(&secret))),
            refresh_until: row.until,
            me: self.me(row.user, account, *id)?,
        })
    }

    pub(super) fn sessions_ended(&self) {
        self.inner.ended.send_modify(|count| *count += 1);
    }
}

/// Returns the sessions of an account that have not ended, in no order that matters.
pub(super) fn live(
    view: &impl Snapshot,
    now: UnixMs,
    user: UserId,
) -> Result<Vec<(SessionId, Session)>, TxnError> {
    let mut live = Vec::new();
    for ((_, id), Present) in view.prefix(USER_SESSIONS, &(user,), SESSIONS_PER_USER_MAX + 1)? {
        live.extend(view.get(SESSIONS, &id)?.filter(|row| now < row.until).map(|row| (id, row)));
    }
    Ok(live)
}

/// Ends the sessions of an account, all or all but one.
pub(super) fn end_all(
    txn: &mut Txn<'_>,
    user: UserId,
    kept: Option<SessionId>,
) -> Result<(), TxnError> {
    for ((_, id), Present) in txn.prefix(USER_SESSIONS, &(user,), SESSIONS_PER_USER_MAX + 1)? {
        if Some(id) != kept {
            end(txn, id, user)?;
        }
    }
    Ok(())
}

pub(super) fn end(txn: &mut Txn<'_>, session: SessionId, user: UserId) -> Result<(), TxnError> {
    txn.delete(SESSIONS, &session)?;
    txn.delete(USER_SESSIONS, &(user, session))
}

fn parse_refresh(token: &str) -> Option<(SessionId, u64, [u8; 32])> {
    let (session, rest) = token.split_once('.')?;
    let (generation, secret) = rest.split_once('.')?;
    Some((session.parse().ok()?, generation.parse().ok()?, unhex(secret)?))
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

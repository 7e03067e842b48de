//! Passkeys: keys that live in a device and open it with a finger or a number (WebAuthn).
//!
//! The device checks who holds it, so that a passkey counts as both factors. Whether an address has
//! an account, or an account a passkey, is not told: who has none is asked for keys that nobody has.

use super::{
    Caller, Client, Identity, IdentityError, Step,
    accounts::{check_email, normal_email},
    factors,
    presence::use_passkey,
    records::{Owned, PASSKEY_IDS, PASSKEYS, PasskeyRecord, SESSIONS},
    sessions::How,
    sign_in::find,
    throttle::Attempt,
    trail::note,
};
use crate::mail::{Letter, Way};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mamba_core::{
    audit::Change,
    clock::draw,
    db::Snapshot,
    error::Invalid,
    ids::{TokenId, UserId},
    server::{NAME_BYTES_MAX, check_text},
};
use mamba_wire::api::{
    account::Passkey as Shown,
    auth::{PasskeyChallenge, Tokens},
};
use webauthn_rs::prelude::{
    Passkey, PasskeyAuthentication, PublicKeyCredential, RegisterPublicKeyCredential, Uuid,
    Webauthn, WebauthnBuilder, WebauthnError,
};
use zeroize::Zeroizing;

/// Passkeys of one account.
pub(super) const PASSKEYS_MAX: usize = 20;
/// What devices show beside the account.
const NAME: &str = "Mamba Host Panel";

impl Identity {
    /// Begins to add a passkey.
    ///
    /// # Errors
    /// `WrongCredentials`, `Throttled`, `Busy`, `Forbidden` when the account has a factor that was not
    /// proved, `Refused` when there are too many, or what the store says.
    pub async fn begin_passkey(
        &self,
        client: Client,
        caller: &Caller,
        password: Zeroizing<String>,
    ) -> Result<PasskeyChallenge, IdentityError> {
        self.prove(&client, caller, password).await?;
        self.inner.store.read(|view| factors::check_may_add(view, caller))?;
        let own = self.own(caller.user)?;
        if own.len() >= PASSKEYS_MAX {
            return Err(IdentityError::Refused("the account has too many passkeys"));
        }
        let known = own.iter().map(|(_, _, passkey)| passkey.cred_id().clone()).collect();
        let (options, state) = self
            .webauthn()?
            .start_passkey_registration(
                Uuid::from_bytes(caller.user.to_bytes()),
                &caller.email,
                &caller.email,
                Some(known),
            )
            .map_err(broken)?;
        let step = Step::NewPasskey { user: caller.user, state: Box::new(state) };
        let challenge = self.begin_step(&client, step);
        Ok(PasskeyChallenge { challenge, options: json(&options)? })
    }

    /// Adds a passkey. This session then counts as begun with a second factor.
    ///
    /// # Errors
    /// `NotFound` when nothing was begun, `Invalid`, `Forbidden` and `Refused` as when it began, or what
    /// the store says.
    pub async fn add_passkey(
        &self,
        caller: &Caller,
        challenge: &str,
        name: String,
        credential: serde_json::Value,
    ) -> Result<Shown, IdentityError> {
        check_text("name", &name, 1, NAME_BYTES_MAX)?;
        let user = caller.user;
        let state = self.steps().take(self.inner.clock.boot(), challenge, |step| match step {
            Step::NewPasskey { user: owner, state } if *owner == user => Some(state.clone()),
            _ => None,
        });
        let state = state.ok_or(IdentityError::NotFound("challenge"))?;
        let credential: RegisterPublicKeyCredential = parse(credential)?;
        let passkey = self
            .webauthn()?
            .finish_passkey_registration(&credential, &state)
            .map_err(|err| Invalid::new("credential", format!("was not accepted: {err:?}")))?;
        let now = self.inner.clock.wall();
        let id = TokenId::new(now, draw(&*self.inner.entropy));
        let text = serde_json::to_string(&passkey).map_err(unstorable)?;
        let record = PasskeyRecord { name, passkey: text, made_at: now, used_at: None };
        let (row, credential_id) = (record.clone(), passkey.cred_id().to_vec());
        let (by, letter, who) = (caller.clone(), self.draw_id(now), caller.who());
        self.inner
            .store
            .write(move |txn| {
                factors::check_may_add(txn, &by)?;
                if txn.contains(PASSKEY_IDS, &credential_id)? {
                    return Err(IdentityError::Refused("an account has this passkey already"));
                }
                if txn.prefix(PASSKEYS, &(user,), PASSKEYS_MAX)?.len() >= PASSKEYS_MAX {
                    return Err(IdentityError::Refused("the account has too many passkeys"));
                }
                txn.put(PASSKEY_IDS, &credential_id, &Owned { user, id })?;
                txn.put(PASSKEYS, &(user, id), &row)?;
                if let Some(mut row) = txn.get(SESSIONS, &by.session)? {
                    row.has_second_factor = true;
                    txn.put(SESSIONS, &by.session, &row)?;
                }
                let name = Change::set("name", row.name.clone());
                note(txn, now, who, "user:passkey.create", [name])?;
                factors::tell(txn, now, letter, user, Letter::SecondFactorOn)
            })
            .await?;
        Ok(shown(id, record))
    }

    /// Returns the passkeys of a caller, oldest first.
    ///
    /// # Errors
    /// What the store says.
    pub fn passkeys(&self, caller: &Caller) -> Result<Vec<Shown>, IdentityError> {
        Ok(self.own(caller.user)?.into_iter().map(|(id, record, _)| shown(id, record)).collect())
    }

    /// Gives a passkey another name.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, or what the store says.
    pub async fn rename_passkey(
        &self,
        caller: &Caller,
        id: TokenId,
        name: String,
    ) -> Result<Shown, IdentityError> {
        check_text("name", &name, 1, NAME_BYTES_MAX)?;
        let (user, who, now) = (caller.user, caller.who(), self.inner.clock.wall());
        let renamed = self.inner.store.write(move |txn| {
            let found = txn.get(PASSKEYS, &(user, id))?;
            let found = found.ok_or(IdentityError::NotFound("passkey"))?;
            let change = Change::new("name", Some(found.name.clone()), Some(name.clone()));
            note(txn, now, who, "user:passkey.update", [change])?;
            let record = PasskeyRecord { name: name.clone(), ..found };
            txn.put(PASSKEYS, &(user, id), &record)?;
            Ok::<_, IdentityError>(record)
        });
        Ok(shown(id, renamed.await?))
    }

    /// Removes a passkey.
    ///
    /// # Errors
    /// `NotFound`, or what the store says.
    pub async fn remove_passkey(&self, caller: &Caller, id: TokenId) -> Result<(), IdentityError> {
        let (user, who, now) = (caller.user, caller.who(), self.inner.clock.wall());
        let letter = self.draw_id(now);
        self.inner
            .store
            .write(move |txn| {
                let found = txn.get(PASSKEYS, &(user, id))?;
                let record = found.ok_or(IdentityError::NotFound("passkey"))?;
                let passkey = stored(&record)?;
                txn.delete(PASSKEYS, &(user, id))?;
                txn.delete(PASSKEY_IDS, &passkey.cred_id().to_vec())?;
                let name = Change::new("name", Some(record.name.clone()), None::<String>);
                note(txn, now, who, "user:passkey.delete", [name])?;
                let removed = Letter::WayRemoved { way: Way::Passkey, name: record.name };
                factors::tell(txn, now, letter, user, removed)
            })
            .await?;
        Ok(())
    }

    /// Begins to sign in with a passkey.
    ///
    /// # Errors
    /// `Invalid`, `Throttled`, or what the store says; never whether there is an account.
    pub fn begin_passkey_sign_in(
        &self,
        client: &Client,
        email: &str,
    ) -> Result<PasskeyChallenge, IdentityError> {
        let email = check_email(email)?;
        let at = format!("passkey of {email}");
        let candidate = self.candidate(client, &email)?;
        self.count(Attempt { at: &at, peer: client.peer, is_known: candidate.is_known })?;
        let user = candidate.found.map(|(user, _)| user);
        let keys = user.map_or_else(|| Ok(Vec::new()), |user| self.passkeys_of(user))?;
        let (mut options, state) = self.challenge(&keys)?;
        if keys.is_empty() {
            // The same each time, as a real one would be.
            let decoy = self.inner.key.refresh_secret(blake3::hash(email.as_bytes()).as_bytes(), 0);
            let id = URL_SAFE_NO_PAD.encode(decoy);
            let decoy = serde_json::json!([{ "type": "public-key", "id": id }]);
            if let Some(list) = options.pointer_mut("/publicKey/allowCredentials") {
                *list = decoy;
            }
        }
        let step = Step::Passkey { email, state: Box::new(state) };
        let challenge = self.begin_step(client, step);
        Ok(PasskeyChallenge { challenge, options })
    }

    /// Signs in with what a passkey signed.
    ///
    /// # Errors
    /// `WrongCredentials`, or what the store says.
    pub async fn finish_passkey_sign_in(
        &self,
        client: Client,
        challenge: &str,
        credential: serde_json::Value,
    ) -> Result<Tokens, IdentityError> {
        let found = self.steps().take(self.inner.clock.boot(), challenge, |step| match step {
            Step::Passkey { email, state } => Some((email.clone(), state.clone())),
            _ => None,
        });
        let (email, state) = found.ok_or(IdentityError::WrongCredentials)?;
        let credential: PublicKeyCredential = parse(credential)?;
        let checked = self.webauthn()?.finish_passkey_authentication(&credential, &state);
        let result = checked.map_err(|_| {
            self.attempted("auth:fail", None, client.peer);
            IdentityError::WrongCredentials
        })?;
        let (of, now) = (self.clone(), self.inner.clock.wall());
        let email = normal_email(&email);
        let begun = self
            .inner
            .store
            .write(move |txn| {
                let wrong = || IdentityError::WrongCredentials;
                let Owned { user, .. } = use_passkey(txn, now, &result)?.ok_or_else(wrong)?;
                let (owner, account) = find(txn, &email)?.ok_or_else(wrong)?;
                if owner != user {
                    return Err(wrong());
                }
                of.begin(txn, now, &client, (user, account), &How::Passkey)
            })
            .await?;
        self.tokens(now, &begun)
    }

    fn own(&self, user: UserId) -> Result<Vec<(TokenId, PasskeyRecord, Passkey)>, IdentityError> {
        let found = self.inner.store.read(|view| view.prefix(PASSKEYS, &(user,), PASSKEYS_MAX))?;
        let whole = |((_, id), record): ((UserId, TokenId), PasskeyRecord)| {
            let passkey = stored(&record)?;
            Ok((id, record, passkey))
        };
        found.into_iter().map(whole).collect()
    }

    /// Returns the passkeys of an account.
    pub(super) fn passkeys_of(&self, user: UserId) -> Result<Vec<Passkey>, IdentityError> {
        Ok(self.own(user)?.into_iter().map(|(_, _, passkey)| passkey).collect())
    }

    /// Begins to ask a device that has one of these.
    pub(super) fn challenge(
        &self,
        keys: &[Passkey],
    ) -> Result<(serde_json::Value, PasskeyAuthentication), IdentityError> {
        let started = self.webauthn()?.start_passkey_authentication(keys);
        let (options, state) = started.map_err(broken)?;
        Ok((json(&options)?, state))
    }

    pub(super) fn webauthn(&self) -> Result<Webauthn, IdentityError> {
        let url = self.inner.settings.public_url.url();
        let name = url.host_str().unwrap_or_default();
        // It takes no address for a name.
        let refused = |_| IdentityError::Refused("passkeys need a host name in `public_url`");
        let builder = WebauthnBuilder::new(name, url).map_err(refused)?;
        builder.rp_name(NAME).build().map_err(refused)
    }
}

fn shown(id: TokenId, record: PasskeyRecord) -> Shown {
    let PasskeyRecord { name, made_at, used_at, .. } = record;
    Shown { key: id, name, made_at, used_at }
}

pub(super) fn stored(record: &PasskeyRecord) -> Result<Passkey, IdentityError> {
    serde_json::from_str(&record.passkey).map_err(unstorable)
}

fn json(value: &impl serde::Serialize) -> Result<serde_json::Value, IdentityError> {
    serde_json::to_value(value).map_err(unstorable)
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(
    value: serde_json::Value,
) -> Result<T, IdentityError> {
    serde_json::from_value(value)
        .map_err(|err| Invalid::new("credential", format!("is none: {err}")).into())
}

fn broken(err: WebauthnError) -> IdentityError {
    IdentityError::Broken(Box::new(err))
}

pub(super) fn unstorable(err: serde_json::Error) -> IdentityError {
    IdentityError::Broken(Box::new(err))
}

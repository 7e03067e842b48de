//! Step-up: whether somebody is still there, and the proof that it is.
//!
//! A session lives for weeks, in a browser that may be left open or copied. What outlives it (a key, a
//! passkey, an account elsewhere) is made only by who proved within [`PRESENCE_MS`] to be there, by signing
//! in or by [`Identity::confirm`]. Which endpoints want that, the contract says; [`is_present`] decides.
//! What asks for the password itself anyway needs nothing of this.

use super::{
    Caller, Client, Identity, IdentityError, Step,
    factors::tries_of,
    passkeys::{parse, stored, unstorable},
    records::{Owned, PASSKEY_IDS, PASSKEYS, SESSIONS},
    sessions::How,
    throttle::Attempt,
    trail::note,
};
use mamba_core::{
    audit::Change,
    clock::UnixMs,
    db::{Snapshot as _, Txn},
    ids::UserId,
};
use mamba_wire::api::{account::Confirmation, auth::PasskeyChallenge};
use webauthn_rs::prelude::{AuthenticationResult, PasskeyAuthentication, PublicKeyCredential};
use zeroize::Zeroizing;

/// How long a proof of presence counts: to look for the phone once, not for each of three keys.
pub const PRESENCE_MS: u64 = 10 * 60_000;

/// Pure: whether who proved to be there at this time, if at all, counts as there.
#[must_use]
pub fn is_present(now: UnixMs, seen_at: Option<UnixMs>) -> bool {
    seen_at.is_some_and(|at| now.since(at) < PRESENCE_MS)
}

impl Caller {
    /// Whether it may be asked for what outlives its session.
    pub(crate) fn is_present(&self, now: UnixMs) -> bool {
        is_present(now, self.seen_at)
    }
}

impl Identity {
    /// Begins to confirm with a passkey.
    ///
    /// # Errors
    /// `NotFound` without one, `Throttled`, or what the store says.
    pub fn begin_confirm(
        &self,
        client: &Client,
        caller: &Caller,
    ) -> Result<PasskeyChallenge, IdentityError> {
        let at = asked_of(caller.user);
        self.count(Attempt { at: &at, peer: client.peer, is_known: true })?;
        let keys = self.passkeys_of(caller.user)?;
        if keys.is_empty() {
            return Err(IdentityError::NotFound("passkey"));
        }
        let (options, state) = self.challenge(&keys)?;
        let step = Step::Confirm { user: caller.user, state: Box::new(state) };
        Ok(PasskeyChallenge { challenge: self.begin_step(client, step), options })
    }

    /// Takes a proof that the caller is there: it then counts as there in this session for a while.
    ///
    /// # Errors
    /// `WrongCredentials`, `WrongCode`, `NotFound` for what the account does not have, `Throttled`, or
    /// what the store says.
    pub async fn confirm(
        &self,
        client: Client,
        caller: &Caller,
        proof: Confirmation,
    ) -> Result<(), IdentityError> {
        let how = self.prove_presence(&client, caller, proof).await?;
        let (session, who, now) = (caller.session, caller.who(), self.inner.clock.wall());
        let change = move |txn: &mut Txn<'_>| {
            let mut row = txn.get(SESSIONS, &session)?.ok_or(IdentityError::NotSignedIn)?;
            row.seen_at = now;
            txn.put(SESSIONS, &session, &row)?;
            note(txn, now, who, "auth:confirm", [Change::set("with", how.name())])
        };
        Ok(self.inner.store.write(change).await?)
    }

    /// Checks a proof that the caller is there; says what it was.
    ///
    /// # Errors
    /// As [`Identity::confirm`].
    pub(super) async fn prove_presence(
        &self,
        client: &Client,
        caller: &Caller,
        proof: Confirmation,
    ) -> Result<How, IdentityError> {
        match proof {
            Confirmation::Password(password) => {
                self.prove(client, caller, Zeroizing::new(password)).await?;
                Ok(How::Password)
            }
            Confirmation::Code(code) => self.prove_code(client, caller, code).await,
            Confirmation::Passkey(proof) => {
                let is_own = |step: &Step| match step {
                    Step::Confirm { user, state } if *user == caller.user => Some(state.clone()),
                    _ => None,
                };
                let boot = self.inner.clock.boot();
                let state = self.steps().take(boot, &proof.challenge, is_own);
                let state = state.ok_or(IdentityError::WrongCredentials)?;
                let credential: PublicKeyCredential = parse(proof.credential)?;
                self.prove_passkey(client, caller, &state, &credential).await
            }
        }
    }

    async fn prove_code(
        &self,
        client: &Client,
        caller: &Caller,
        code: String,
    ) -> Result<How, IdentityError> {
        let (user, vault, now) = (caller.user, self.inner.vault.clone(), self.inner.clock.wall());
        let at = tries_of(user);
        let attempt = Attempt { at: &at, peer: client.peer, is_known: true };
        self.count(attempt)?;
        let used = self.inner.store.write(move |txn| Self::use_code(&vault, txn, now, user, &code));
        let how = used
            .await
            .map_err(IdentityError::from)
            .inspect_err(|err| self.note_wrong_code(err, user, client.peer))?;
        self.throttle().clear(attempt);
        Ok(how)
    }

    async fn prove_passkey(
        &self,
        client: &Client,
        caller: &Caller,
        state: &PasskeyAuthentication,
        credential: &PublicKeyCredential,
    ) -> Result<How, IdentityError> {
        let checked = self.webauthn()?.finish_passkey_authentication(credential, state);
        let result = checked.map_err(|_| {
            self.attempted("auth:fail", Some(caller.user), client.peer);
            IdentityError::WrongCredentials
        })?;
        let (user, now) = (caller.user, self.inner.clock.wall());
        let change = move |txn: &mut Txn<'_>| match use_passkey(txn, now, &result)? {
            Some(owned) if owned.user == user => Ok(()),
            Some(_) | None => Err(IdentityError::WrongCredentials),
        };
        self.inner.store.write(change).await?;
        let at = asked_of(user);
        self.throttle().clear(Attempt { at: &at, peer: client.peer, is_known: true });
        Ok(How::Passkey)
    }
}

/// What questions to the passkeys of an account are counted under.
fn asked_of(user: UserId) -> String {
    format!("presence of {user}")
}

/// Notes that a passkey was used; returns whose it is, `None` for one that is gone.
pub(super) fn use_passkey(
    txn: &mut Txn<'_>,
    now: UnixMs,
    result: &AuthenticationResult,
) -> Result<Option<Owned>, IdentityError> {
    let Some(owned) = txn.get(PASSKEY_IDS, &result.cred_id().to_vec())? else { return Ok(None) };
    let key = (owned.user, owned.id);
    let Some(mut record) = txn.get(PASSKEYS, &key)? else { return Ok(None) };
    let mut passkey = stored(&record)?;
    passkey.update_credential(result);
    record.passkey = serde_json::to_string(&passkey).map_err(unstorable)?;
    record.used_at = Some(now);
    txn.put(PASSKEYS, &key, &record)?;
    Ok(Some(owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_wears_off() {
        let at = UnixMs(1_000_000_000);
        for (seen_at, now, expected) in [
            (Some(at), at, true),
            (Some(at), at.plus(PRESENCE_MS - 1), true),
            (Some(at), at.plus(PRESENCE_MS), false),
            // A clock that was set back makes nobody absent.
            (Some(at.plus(5)), at, true),
            // A program is nobody.
            (None, at, false),
        ] {
            assert_eq!(is_present(now, seen_at), expected, "{seen_at:?} {now:?}");
        }
    }
}

//! The second factor: an authenticator app (RFC 6238) and recovery codes.
//!
//! Each time step of the app is good for one code and each recovery code for one sign-in: what was
//! used is written in the transaction that uses it, so that neither a second request at the same
//! moment nor a restart of the hub makes it good again.

use super::{
    Caller, Client, Identity, IdentityError, Step,
    passwords::fingerprint,
    records::{ACCOUNTS, FACTORS, Factors, PASSKEYS, SESSIONS, TotpRecord},
    sessions::{How, end_all},
    throttle::Attempt,
    trail::note,
};
use crate::{
    mail::{self, Letter},
    secrets::{Place, Vault},
    store::META,
};
use mamba_core::{
    clock::{Entropy, UnixMs, draw},
    db::{Snapshot, Txn},
    ids::UserId,
};
use mamba_wire::api::account::{NewTotp, RecoveryCodes};
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

/// Recovery codes made at one time.
pub const RECOVERY_CODES: usize = 10;
/// Seconds for which an app shows one code.
const STEP_S: u64 = 30;
/// Bytes of a seed: as many as the hash has (RFC 4226).
const SEED_BYTES: usize = 20;
/// What apps show above the account.
const ISSUER: &str = "Mamba Host Panel";

/// Returns what an account has besides a password.
pub(super) fn of(view: &impl Snapshot, user: UserId) -> Result<Factors, IdentityError> {
    Ok(view.get(FACTORS, &user)?.unwrap_or_default())
}

/// Whether an account has a second factor: an app, or a passkey, which is both factors in one.
pub(super) fn has_one(view: &impl Snapshot, user: UserId) -> Result<bool, IdentityError> {
    Ok(of(view, user)?.totp.is_some() || !view.prefix(PASSKEYS, &(user,), 1)?.is_empty())
}

/// Refuses another factor to a session that proved none where the account has one and must: a password
/// alone sets up the first, and is nothing beside it.
pub(super) fn check_may_add(view: &impl Snapshot, caller: &Caller) -> Result<(), IdentityError> {
    let row = view.get(SESSIONS, &caller.session)?;
    let has_proved = !caller.is_limited || row.is_some_and(|it| it.has_second_factor);
    if has_proved || !has_one(view, caller.user)? {
        return Ok(());
    }
    let why = "the account has a passkey already: sign in with it, then set up more";
    Err(IdentityError::Forbidden(why))
}

impl Identity {
    /// Begins to set up an authenticator app.
    ///
    /// # Errors
    /// `WrongCredentials`, `Forbidden` when the account has a factor that was not proved, `Refused` when
    /// there is an app already, `Busy`, or what the store says.
    pub async fn begin_totp(
        &self,
        client: Client,
        caller: &Caller,
        password: Zeroizing<String>,
    ) -> Result<NewTotp, IdentityError> {
        self.prove(&client, caller, password).await?;
        let has_app = self.inner.store.read(|view| {
            check_may_add(view, caller)?;
            Ok::<_, IdentityError>(of(view, caller.user)?.totp.is_some())
        })?;
        if has_app {
            return Err(IdentityError::Refused("there is an authenticator app already"));
        }
        let seed: [u8; SEED_BYTES] = draw(&*self.inner.entropy);
        let app = app(&seed, &caller.email).ok_or_else(unusable)?;
        let setup = self.begin_step(&client, Step::Totp { user: caller.user, seed });
        let url = app.to_url().map_err(|err| IdentityError::Broken(Box::new(err)))?;
        Ok(NewTotp { setup, secret: app.secret().to_base32(), url })
    }

    /// Takes an authenticator app into use with a code that it shows. This session then counts as
    /// begun with it, and all others end.
    ///
    /// # Errors
    /// `NotFound` when nothing was begun, `WrongCode`, `Forbidden` and `Refused` as when it began, or
    /// what the store says.
    pub async fn confirm_totp(
        &self,
        caller: &Caller,
        setup: &str,
        code: &str,
    ) -> Result<RecoveryCodes, IdentityError> {
        let kind = |step: &Step| match step {
            Step::Totp { user, seed } if *user == caller.user => Some(*seed),
            _ => None,
        };
        let (boot, now) = (self.inner.clock.boot(), self.inner.clock.wall());
        let seed = self.steps().look(boot, setup, kind).ok_or(IdentityError::NotFound("set-up"))?;
        let app = app(&seed, &caller.email).ok_or_else(unusable)?;
        let last_step = app.check(code, now.0 / 1_000).ok_or(IdentityError::WrongCode)?;
        let (codes, recovery) = recovery_codes(&*self.inner.entropy);
        let (user, session, who) = (caller.user, caller.session, caller.who());
        let (id, entropy) = (self.draw_id(now), self.inner.entropy.clone());
        let (vault, by) = (self.inner.vault.clone(), caller.clone());
        self.inner
            .store
            .write(move |txn| {
                check_may_add(txn, &by)?;
                let mut factors = of(txn, user)?;
                if factors.totp.is_some() {
                    let why = "there is an authenticator app already";
                    return Err(IdentityError::Refused(why));
                }
                vault.put(txn, &*entropy, &seed_place(user), &seed)?;
                factors.totp = Some(TotpRecord { last_step, made_at: now });
                factors.recovery.clone_from(&recovery);
                txn.put(FACTORS, &user, &factors)?;
                end_all(txn, user, Some(session))?;
                if let Some(mut row) = txn.get(SESSIONS, &session)? {
                    row.has_second_factor = true;
                    txn.put(SESSIONS, &session, &row)?;
                }
                note(txn, now, who, "user:two-factor.create", [])?;
                tell(txn, now, id, user, Letter::SecondFactorOn)
            })
            .await?;
        self.steps().take(boot, setup, kind);
        self.sessions_ended();
        Ok(codes)
    }

    /// Takes the authenticator app out of use, and ends all other sessions.
    ///
    /// # Errors
    /// `WrongCredentials`, `WrongCode`, `NotFound` without one, `Throttled`, or what the store says.
    pub async fn remove_totp(
        &self,
        client: Client,
        caller: &Caller,
        password: Zeroizing<String>,
        code: &str,
    ) -> Result<(), IdentityError> {
        self.prove(&client, caller, password).await?;
        let (user, kept, vault) = (caller.user, caller.session, self.inner.vault.clone());
        let (now, code) = (self.inner.clock.wall(), code.to_owned());
        let (id, who) = (self.draw_id(now), caller.who());
        let at = tries_of(user);
        let attempt = Attempt { at: &at, peer: client.peer, is_known: true };
        self.count(attempt)?;
        self.inner
            .store
            .write(move |txn| {
                Self::use_code(&vault, txn, now, user, &code)?;
                let mut factors = of(txn, user)?;
                (factors.totp, factors.recovery) = (None, Vec::new());
                txn.put(FACTORS, &user, &factors)?;
                vault.delete(txn, &seed_place(user))?;
                end_all(txn, user, Some(kept))?;
                if let Some(mut row) = txn.get(SESSIONS, &kept)? {
                    row.has_second_factor = false;
                    txn.put(SESSIONS, &kept, &row)?;
                }
                note(txn, now, who, "user:two-factor.delete", [])?;
                tell(txn, now, id, user, Letter::SecondFactorOff)
            })
            .await
            .map_err(IdentityError::from)
            .inspect_err(|err| self.note_wrong_code(err, user, client.peer))?;
        self.throttle().clear(attempt);
        self.sessions_ended();
        Ok(())
    }

    /// Makes new recovery codes; those from before are void.
    ///
    /// # Errors
    /// As [`Identity::remove_totp`].
    pub async fn renew_recovery_codes(
        &self,
        client: Client,
        caller: &Caller,
        password: Zeroizing<String>,
        code: &str,
    ) -> Result<RecoveryCodes, IdentityError> {
        self.prove(&client, caller, password).await?;
        let (codes, recovery) = recovery_codes(&*self.inner.entropy);
        let (user, code, vault) = (caller.user, code.to_owned(), self.inner.vault.clone());
        let (now, who) = (self.inner.clock.wall(), caller.who());
        let at = tries_of(user);
        let attempt = Attempt { at: &at, peer: client.peer, is_known: true };
        self.count(attempt)?;
        self.inner
            .store
            .write(move |txn| {
                Self::use_code(&vault, txn, now, user, &code)?;
                let mut factors = of(txn, user)?;
                factors.recovery.clone_from(&recovery);
                txn.put(FACTORS, &user, &factors)?;
                note(txn, now, who, "user:recovery-codes.create", [])
            })
            .await
            .map_err(IdentityError::from)
            .inspect_err(|err| self.note_wrong_code(err, user, client.peer))?;
        self.throttle().clear(attempt);
        Ok(codes)
    }

    /// Checks the password of who is signed in already, throttled like a sign-in.
    pub(super) async fn prove(
        &self,
        client: &Client,
        caller: &Caller,
        password: Zeroizing<String>,
    ) -> Result<[u8; 32], IdentityError> {
        let account = self.inner.store.read(|view| view.get(ACCOUNTS, &caller.user))?;
        let account = account.ok_or(IdentityError::NotSignedIn)?;
        let attempt = Attempt { at: &caller.email, peer: client.peer, is_known: true };
        self.count(attempt)?;
        let print = fingerprint(&account.password);
        if !self.inner.passwords.check(password, Some(account.password)).await? {
            self.attempted("auth:fail", Some(caller.user), client.peer);
            return Err(IdentityError::WrongCredentials);
        }
        self.throttle().clear(attempt);
        Ok(print)
    }

    /// Uses up a code, of the app or for recovery, and says which it was.
    pub(super) fn use_code(
        vault: &Vault,
        txn: &mut Txn<'_>,
        now: UnixMs,
        user: UserId,
        code: &str,
    ) -> Result<How, IdentityError> {
        let mut factors = of(txn, user)?;
        let Some(totp) = &mut factors.totp else { return Err(IdentityError::NotFound("app")) };
        let seed = vault.get(txn, &seed_place(user))?.ok_or_else(unusable)?;
        let app = app(&seed, "").ok_or_else(unusable)?;
        let last = totp.last_step.max(restored_step(txn)?);
        let step = app.check(code.trim(), now.0 / 1_000).filter(|step| *step > last);
        let how = if let Some(step) = step {
            totp.last_step = step;
            How::App
        } else {
            let hash = recovery_hash(code);
            let at = factors.recovery.iter().position(|known| *known == hash);
            factors.recovery.remove(at.ok_or(IdentityError::WrongCode)?);
            How::RecoveryCode
        };
        txn.put(FACTORS, &user, &factors)?;
        Ok(how)
    }
}

/// Returns the newest step of a code that may have been used in a life of the hub that a restore ended: what
/// was written down of that is gone. For a minute after a restore only recovery codes are good.
fn restored_step(view: &impl Snapshot) -> Result<u64, IdentityError> {
    let restored_at = view.get(META, &())?.and_then(|it| it.restored_at);
    Ok(restored_at.map_or(0, |at| at.0 / 1_000 / STEP_S + 1))
}

/// Writes to the owner of an account.
pub(super) fn tell(
    txn: &mut Txn<'_>,
    now: UnixMs,
    id: mamba_core::ids::EventId,
    user: UserId,
    letter: Letter,
) -> Result<(), IdentityError> {
    if let Some(account) = txn.get(ACCOUNTS, &user)? {
        mail::queue(txn, now, id, &account.email, &letter)?;
    }
    Ok(())
}

/// What tries at the codes of an account are counted under, wherever they are made: a right password
/// does not make them anew.
pub(super) fn tries_of(user: UserId) -> String {
    format!("second factor of {user}")
}

/// Where the seed of an account's app is sealed.
pub(super) fn seed_place(user: UserId) -> Place {
    Place::new(FACTORS.def().id, &user)
}

fn unusable() -> IdentityError {
    IdentityError::Broken("the seed of an authenticator app is not usable".into())
}

/// Returns the app of a seed: SHA-1, six digits, thirty seconds, one step to each side, which is what
/// every app knows.
fn app(seed: &[u8], email: &str) -> Option<Totp> {
    Builder::new()
        .with_secret(Secret::from(seed.to_vec()))
        .with_issuer(Some(ISSUER))
        .with_step_duration(STEP_S)
        .with_account_name(email.replace(':', " "))
        .build()
        .ok()
}

/// Makes codes such as `k3m9-q7p2-t5ax-hz4n`, 80 random bits each, and their hashes.
fn recovery_codes(entropy: &dyn Entropy) -> (RecoveryCodes, Vec<[u8; 32]>) {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let one = || {
        let random: [u8; 16] = draw(entropy);
        let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
        let group = |bytes: &[u8]| bytes.iter().map(letter).collect::<String>();
        random.chunks(4).map(group).collect::<Vec<_>>().join("-")
    };
    let codes: Vec<_> = std::iter::repeat_with(one).take(RECOVERY_CODES).collect();
    let hashes = codes.iter().map(|code| recovery_hash(code)).collect();
    (RecoveryCodes { codes }, hashes)
}

fn recovery_hash(code: &str) -> [u8; 32] {
    let plain = |c: &char| c.is_ascii_alphanumeric();
    let code: String = code.chars().filter(plain).take(64).collect();
    *blake3::hash(code.to_ascii_lowercase().as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::clock::SystemEntropy;

    #[test]
    fn codes_are_many_different_and_read_without_their_dashes() {
        let (codes, hashes) = recovery_codes(&SystemEntropy);
        let mut unique = hashes.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!((codes.codes.len(), unique.len()), (RECOVERY_CODES, RECOVERY_CODES));
        assert_eq!(codes.codes[0].len(), 19);
        let typed = codes.codes[0].replace('-', " ").to_uppercase();
        assert_eq!(recovery_hash(&typed), hashes[0]);
    }

    /// The test vectors of RFC 6238, cut to six digits.
    #[test]
    fn the_app_shows_what_the_standard_says() {
        let app = app(b"12345678901234567890", "a@b").unwrap();
        for (second, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")]
        {
            assert_eq!(app.check(code, second), Some(second / 30), "{second}");
            assert_eq!(app.check(code, second + 90), None);
        }
    }
}

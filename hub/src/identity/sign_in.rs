//! Signing in with a password, and with what comes after it.

use super::{
    Client, Identity, IdentityError, Step,
    accounts::{PASSWORD_BYTES_MAX, normal_email},
    factors,
    passwords::fingerprint,
    records::{ACCOUNTS, Account, EMAILS},
    sessions::{How, live},
    throttle::{Attempt, origin},
};
use mamba_core::{
    clock::{UnixMs, draw},
    db::{Snapshot, TxnError},
    ids::UserId,
};
use mamba_wire::api::auth::{Method, SecondFactorNeeded, SignIn, Tokens};
use std::net::IpAddr;
use zeroize::Zeroizing;

/// What is known of somebody who tries to sign in.
pub(super) struct Candidate {
    pub(super) found: Option<(UserId, Account)>,
    /// Whether the account has a session from where the attempt comes.
    pub(super) is_known: bool,
}

impl Identity {
    /// Signs in, as far as a password goes.
    ///
    /// # Errors
    /// `WrongCredentials`, `Throttled`, `Busy`, or what the store says.
    pub async fn login(
        &self,
        client: Client,
        email: &str,
        password: Zeroizing<String>,
    ) -> Result<SignIn, IdentityError> {
        let inner = &self.inner;
        let email = normal_email(email);
        if email.len() > 1_024 || password.len() > PASSWORD_BYTES_MAX {
            return Err(IdentityError::WrongCredentials);
        }
        let candidate = self.candidate(&client, &email)?;
        let attempt = Attempt { at: &email, peer: client.peer, is_known: candidate.is_known };
        self.count(attempt)?;
        let hash = candidate.found.as_ref().map(|(_, account)| account.password.clone());
        let is_right = inner.passwords.check(password, hash).await?;
        let known = candidate.found.as_ref().map(|(user, _)| *user);
        let Some((user, account)) = candidate.found.filter(|_| is_right) else {
            self.attempted("auth:fail", known, client.peer);
            return Err(IdentityError::WrongCredentials);
        };
        self.throttle().clear(attempt);
        if inner.store.read(|view| factors::of(view, user))?.totp.is_some() {
            self.attempted("auth:checkpoint", Some(user), client.peer);
            let step = Step::SecondFactor { user, password: fingerprint(&account.password) };
            let challenge = self.begin_step(&client, step);
            let methods = vec![Method::Totp, Method::RecoveryCode];
            return Ok(SignIn::SecondFactor(SecondFactorNeeded { challenge, methods }));
        }
        self.sign_in(client, user, account.password, How::Password).await.map(SignIn::SignedIn)
    }

    /// Completes a sign-in with a code of an authenticator app or a recovery code.
    ///
    /// # Errors
    /// `NotSignedIn` when the challenge does not hold, `WrongCode`, `Throttled`, or what the store
    /// says.
    pub async fn second_factor(
        &self,
        client: Client,
        challenge: &str,
        code: &str,
    ) -> Result<Tokens, IdentityError> {
        let kind = |step: &Step| match step {
            Step::SecondFactor { user, password } => Some((*user, *password)),
            _ => None,
        };
        let now = self.inner.clock.boot();
        let found = self.steps().look(now, challenge, kind);
        let (user, password) = found.ok_or(IdentityError::NotSignedIn)?;
        let at = factors::tries_of(user);
        let is_known = self.is_known(&client, user)?;
        let attempt = Attempt { at: &at, peer: client.peer, is_known };
        self.count(attempt)?;
        let (of, code, wall) = (self.clone(), code.to_owned(), self.inner.clock.wall());
        let from = client.clone();
        let begun = self
            .inner
            .store
            .write(move |txn| {
                let account = txn.get(ACCOUNTS, &user)?;
                let account = account
                    .filter(|account| fingerprint(&account.password) == password)
                    .ok_or(IdentityError::NotSignedIn)?;
                let how = Self::use_code(&of.inner.vault, txn, wall, user, &code)?;
                of.begin(txn, wall, &from, (user, account), &how)
            })
            .await
            .map_err(IdentityError::from)
            .inspect_err(|err| self.note_wrong_code(err, user, client.peer))?;
        self.throttle().clear(attempt);
        self.steps().take(now, challenge, kind);
        self.tokens(wall, &begun)
    }

    /// Begins a session of an account, if its password is still this.
    pub(super) async fn sign_in(
        &self,
        client: Client,
        user: UserId,
        password: String,
        how: How,
    ) -> Result<Tokens, IdentityError> {
        let (of, now) = (self.clone(), self.inner.clock.wall());
        let begun = self
            .inner
            .store
            .write(move |txn| {
                let account = txn.get(ACCOUNTS, &user)?;
                let account = account
                    .filter(|account| account.password == password)
                    .ok_or(IdentityError::WrongCredentials)?;
                of.begin(txn, now, &client, (user, account), &how)
            })
            .await?;
        self.tokens(now, &begun)
    }

    /// Looks for an account, in the same steps whether there is one or not.
    pub(super) fn candidate(
        &self,
        client: &Client,
        email: &String,
    ) -> Result<Candidate, IdentityError> {
        let now = self.inner.clock.wall();
        self.inner.store.read(|view| {
            let found = find(view, email)?;
            let user = found.as_ref().map_or(UserId::from_bytes([0; 16]), |(user, _)| *user);
            Ok(Candidate { found, is_known: is_known(view, now, client, user)? })
        })
    }

    pub(super) fn is_known(&self, client: &Client, user: UserId) -> Result<bool, IdentityError> {
        let now = self.inner.clock.wall();
        self.inner.store.read(|view| Ok(is_known(view, now, client, user)?))
    }

    /// Counts a code that was wrong for the audit trail.
    pub(super) fn note_wrong_code(&self, err: &IdentityError, user: UserId, peer: IpAddr) {
        if matches!(err, IdentityError::WrongCode) {
            self.attempted("auth:fail", Some(user), peer);
        }
    }

    /// Counts an attempt.
    pub(super) fn count(&self, attempt: Attempt<'_>) -> Result<(), IdentityError> {
        let now = self.inner.clock.boot();
        let counted = self.throttle().attempt(now, attempt);
        counted.map_err(|retry_after_ms| {
            self.attempted("auth:ip-blocked", None, attempt.peer);
            IdentityError::Throttled { retry_after_ms }
        })
    }

    pub(super) fn begin_step(&self, client: &Client, step: Step) -> String {
        let secret = draw(&*self.inner.entropy);
        self.steps().begin(self.inner.clock.boot(), secret, origin(client.peer), step)
    }
}

pub(super) fn find(
    view: &impl Snapshot,
    email: &String,
) -> Result<Option<(UserId, Account)>, TxnError> {
    let Some(owner) = view.get(EMAILS, email)? else { return Ok(None) };
    Ok(view.get(ACCOUNTS, &owner.user)?.map(|account| (owner.user, account)))
}

/// The same for an address that must have an account: `NotFound`.
pub(super) fn account_at(
    view: &impl Snapshot,
    email: &String,
) -> Result<(UserId, Account), IdentityError> {
    find(view, email)?.ok_or(IdentityError::NotFound("account"))
}

/// Returns an account that must be there: `NotFound`.
pub(super) fn account(view: &impl Snapshot, user: UserId) -> Result<Account, IdentityError> {
    view.get(ACCOUNTS, &user)?.ok_or(IdentityError::NotFound("account"))
}

fn is_known(
    view: &impl Snapshot,
    now: UnixMs,
    client: &Client,
    user: UserId,
) -> Result<bool, TxnError> {
    let from = origin(client.peer);
    Ok(live(view, now, user)?.iter().any(|(_, row)| origin(row.address) == from))
}

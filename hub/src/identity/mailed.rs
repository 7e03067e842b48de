//! What is proved by reading mail: registrations, addresses, and passwords that were forgotten.
//!
//! A token of 256 random bits goes out by mail and its hash is stored; using it deletes it in the
//! transaction of what it does. Whoever asks learns nothing: the answer is the same with and without
//! an account, and so is the work, down to one commit.

use super::{
    Caller, Client, Identity, IdentityError,
    accounts::{check_email, check_password, register},
    factors,
    passwords::fingerprint,
    planted::{is_app_void, void_keys},
    records::{
        ACCOUNTS, Account, EMAILS, EmailOwner, FACTORS, MAIL_TOKEN_ENDS, MAIL_TOKENS, MailToken,
        MailUse, Present,
    },
    sessions::{end_all, hash_of, hex, unhex},
    settings::Registration,
    sign_in::find,
    throttle::Attempt,
    trail::note,
};
use crate::mail::{self, Letter};
use mamba_core::{
    audit::Change,
    clock::{HOUR_MS, UnixMs, draw},
    db::{Snapshot as _, Span, Txn},
    error::Invalid,
    ids::{EventId, UserId},
};
use zeroize::Zeroizing;

/// Life of a token that makes an account or sets a password.
pub const RESET_TTL_MS: u64 = HOUR_MS;
/// Life of a token that confirms an address, or that nobody asked for who gets it.
pub const ADDRESS_TTL_MS: u64 = 24 * HOUR_MS;
/// What the audit trail calls it.
pub(super) const ADDRESS_CHANGED: &str = "user:account.email-changed";
/// Expired tokens that go whenever one is made.
const SWEEP_MAX: usize = 16;

impl Identity {
    /// Sends a mail that completes a registration, or says that there is an account.
    ///
    /// # Errors
    /// `Forbidden` when registration is closed, `Invalid`, `Throttled`, `Busy`, or what the store
    /// says; never whether there is an account.
    pub async fn register(
        &self,
        client: Client,
        email: &str,
        password: Zeroizing<String>,
    ) -> Result<(), IdentityError> {
        self.check_open()?;
        let email = check_email(email)?;
        check_password("password", &password)?;
        self.count_mail(&client, &email, false)?;
        let password = self.inner.passwords.hash(password, draw(&*self.inner.entropy)).await?;
        let link = "/register/confirm";
        self.send(RESET_TTL_MS, link, move |txn, link| {
            let letter = match find(txn, &email)? {
                Some(_) => Letter::AlreadyRegistered,
                None => Letter::Register { link },
            };
            let purpose = match &letter {
                Letter::AlreadyRegistered => MailUse::Decoy,
                _ => MailUse::Register { email: email.clone(), password: password.clone() },
            };
            Ok((purpose, Some((email.clone(), letter))))
        })
        .await
    }

    /// Makes the account of a registration, with a tenant of its own.
    ///
    /// # Errors
    /// `Forbidden` when registration is closed, `Invalid` for a token that does not hold, or what the
    /// store says.
    pub async fn confirm_registration(
        &self,
        client: Client,
        token: &str,
    ) -> Result<(), IdentityError> {
        self.check_open()?;
        let (hash, now) = (token_hash(token)?, self.inner.clock.wall());
        let entropy = self.inner.entropy.clone();
        self.inner
            .store
            .write(move |txn| match take(txn, now, hash)? {
                MailUse::Register { email, password } => {
                    let email_told = Change::set("email", email.clone());
                    let user = register(txn, now, &*entropy, email, password)?;
                    note(txn, now, client.who(user), "user:create", [email_told])
                }
                _ => Err(bad_token()),
            })
            .await?;
        Ok(())
    }

    /// Sends a mail that sets a new password, if there is such an account.
    ///
    /// # Errors
    /// `Throttled`, or what the store says; never whether there is an account.
    pub async fn request_reset(&self, client: Client, email: &str) -> Result<(), IdentityError> {
        let email = check_email(email)?;
        let is_known = self.candidate(&client, &email)?.is_known;
        self.count_mail(&client, &email, is_known)?;
        let now = self.inner.clock.wall();
        self.send(RESET_TTL_MS, "/reset-password", move |txn, link| {
            let Some((user, account)) = find(txn, &email)? else {
                return Ok((MailUse::Decoy, None));
            };
            note(txn, now, client.who(user), "auth:reset-password", [])?;
            let letter = Letter::Reset { link };
            Ok((reset_of(user, &account), Some((account.email, letter))))
        })
        .await
    }

    /// Sets a new password and ends all sessions. What was made before the address was proved opens
    /// the account no more, see `planted`; the second factor stays otherwise.
    ///
    /// # Errors
    /// `Invalid` for a token that does not hold or a bad password, `Busy`, or what the store says.
    pub async fn reset_password(
        &self,
        client: Client,
        token: &str,
        password: Zeroizing<String>,
    ) -> Result<(), IdentityError> {
        check_password("password", &password)?;
        let (hash, now) = (token_hash(token)?, self.inner.clock.wall());
        // Looked up first, so that nobody makes the hub hash with tokens that are none.
        let known =
            self.inner.store.read(|view| Ok::<_, IdentityError>(view.get(MAIL_TOKENS, &hash)?));
        known?.ok_or_else(bad_token)?;
        let next = self.inner.passwords.hash(password, draw(&*self.inner.entropy)).await?;
        let (id, vault) = (self.draw_id(now), self.inner.vault.clone());
        self.inner
            .store
            .write(move |txn| {
                let MailUse::Reset { user, password, email } = take(txn, now, hash)? else {
                    return Err(bad_token());
                };
                let account = txn.get(ACCOUNTS, &user)?;
                let is_of =
                    |it: &Account| fingerprint(&it.password) == password && it.email == email;
                let account = account.filter(is_of).ok_or_else(bad_token)?;
                // Who reads the mail has proved that the address is the account's.
                let mut factors = factors::of(txn, user)?;
                if is_app_void(&account, &factors) {
                    (factors.totp, factors.recovery) = (None, Vec::new());
                    vault.delete(txn, &factors::seed_place(user))?;
                }
                let proved_at = *factors.email_verified_at.get_or_insert(now);
                txn.put(FACTORS, &user, &factors)?;
                txn.put(ACCOUNTS, &user, &Account { password: next.clone(), ..account })?;
                end_all(txn, user, None)?;
                let gone = void_keys(txn, user, proved_at)?;
                note(txn, now, client.who(user), "event:password-reset", gone)?;
                factors::tell(txn, now, id, user, Letter::PasswordChanged)
            })
            .await?;
        self.sessions_ended();
        Ok(())
    }

    /// Changes the password of who is signed in, and ends all other sessions.
    ///
    /// # Errors
    /// `WrongCredentials`, `Invalid`, `Throttled`, `Busy`, or what the store says.
    pub async fn change_password(
        &self,
        client: Client,
        caller: &Caller,
        password: Zeroizing<String>,
        new_password: Zeroizing<String>,
    ) -> Result<(), IdentityError> {
        check_password("new_password", &new_password)?;
        let print = self.prove(&client, caller, password).await?;
        let next = self.inner.passwords.hash(new_password, draw(&*self.inner.entropy)).await?;
        let (user, kept, now) = (caller.user, caller.session, self.inner.clock.wall());
        let (id, who) = (self.draw_id(now), caller.who());
        self.inner
            .store
            .write(move |txn| {
                let account = txn.get(ACCOUNTS, &user)?;
                let account = account.filter(|it| fingerprint(&it.password) == print);
                let account = account.ok_or(IdentityError::WrongCredentials)?;
                txn.put(ACCOUNTS, &user, &Account { password: next.clone(), ..account })?;
                end_all(txn, user, Some(kept))?;
                note(txn, now, who, "user:account.password-changed", [])?;
                factors::tell(txn, now, id, user, Letter::PasswordChanged)
            })
            .await?;
        self.sessions_ended();
        Ok(())
    }

    /// Sends a mail to an address that the account has or shall have.
    ///
    /// # Errors
    /// `WrongCredentials`, `Invalid`, `Throttled`, or what the store says; never whether the address
    /// belongs to another account.
    pub async fn change_address(
        &self,
        client: Client,
        caller: &Caller,
        password: Zeroizing<String>,
        email: &str,
    ) -> Result<(), IdentityError> {
        let email = check_email(email)?;
        self.prove(&client, caller, password).await?;
        let is_known = self.is_known(&client, caller.user)?;
        self.count_mail(&client, &email, is_known)?;
        let (user, from) = (caller.user, caller.email.clone());
        self.send(ADDRESS_TTL_MS, "/confirm-address", move |txn, link| {
            if find(txn, &email)?.is_some_and(|(owner, _)| owner != user) {
                return Ok((MailUse::Decoy, None));
            }
            let purpose = MailUse::Address { user, from: from.clone(), email: email.clone() };
            Ok((purpose, Some((email.clone(), Letter::Verify { link }))))
        })
        .await
    }

    /// Takes an address as proved, and as the account's. When it is a new one, the old one is told.
    ///
    /// # Errors
    /// `Invalid` for a token that does not hold, `EmailTaken` when another account was faster, or
    /// what the store says.
    pub async fn confirm_address(&self, client: Client, token: &str) -> Result<(), IdentityError> {
        let (hash, now) = (token_hash(token)?, self.inner.clock.wall());
        let id = self.draw_id(now);
        self.inner
            .store
            .write(move |txn| {
                let MailUse::Address { user, from, email } = take(txn, now, hash)? else {
                    return Err(bad_token());
                };
                let account = txn.get(ACCOUNTS, &user)?.filter(|it| it.email == from);
                let account = account.ok_or_else(bad_token)?;
                if account.email != email {
                    let change = change_address(txn, now, id, (user, account), email)?;
                    note(txn, now, client.who(user), ADDRESS_CHANGED, [change])?;
                }
                let mut factors = factors::of(txn, user)?;
                factors.email_verified_at = Some(now);
                Ok(txn.put(FACTORS, &user, &factors)?)
            })
            .await?;
        Ok(())
    }

    /// Writes of a sign-in from a new place.
    pub(super) fn mail_of_new_device(
        &self,
        txn: &mut Txn<'_>,
        now: UnixMs,
        client: &Client,
        account: &Account,
    ) -> Result<(), IdentityError> {
        let letter = Letter::NewDevice {
            device: client.device.clone(),
            address: client.peer.to_string(),
            at: now.to_string(),
        };
        Ok(mail::queue(txn, now, self.draw_id(now), &account.email, &letter)?)
    }

    fn check_open(&self) -> Result<(), IdentityError> {
        match self.inner.settings.registration {
            Registration::Open => Ok(()),
            Registration::Closed => Err(IdentityError::Forbidden("registration is closed here")),
        }
    }

    /// Counts a mail, by sender and by recipient: nobody's mailbox is filled through us. Who asks from
    /// where the account has a session does not wait for what strangers asked.
    fn count_mail(
        &self,
        client: &Client,
        email: &str,
        is_known: bool,
    ) -> Result<(), IdentityError> {
        let at = format!("mail to {email}");
        self.count(Attempt { at: &at, peer: client.peer, is_known })
    }

    /// Counts an invitation before it is made: nobody's mailbox is filled through us, nor the spool.
    ///
    /// # Errors
    /// `Invalid` for the address, or `Throttled`.
    pub fn count_invitation(&self, caller: &Caller, email: &str) -> Result<(), IdentityError> {
        let (email, now) = (check_email(email)?, self.inner.clock.boot());
        let counted = self.throttle().invitation(now, caller.user, &email);
        counted.map_err(|retry_after_ms| IdentityError::Throttled { retry_after_ms })
    }

    /// Makes a token and writes the letter that holds it, in one transaction that decides both.
    pub(super) async fn send(
        &self,
        ttl_ms: u64,
        page: &str,
        decide: impl Fn(
            &mut Txn<'_>,
            String,
        ) -> Result<(MailUse, Option<(String, Letter)>), IdentityError>
        + Send
        + 'static,
    ) -> Result<(), IdentityError> {
        let now = self.inner.clock.wall();
        let secret = Zeroizing::new(draw::<32>(&*self.inner.entropy));
        let link = self.inner.settings.public_url.page(page, &hex(&*secret));
        let (hash, until, id) = (hash_of(&secret), now.plus(ttl_ms), self.draw_id(now));
        self.inner
            .store
            .write(move |txn| {
                let expired = txn.range(MAIL_TOKEN_ENDS, Span::all(), SWEEP_MAX)?;
                for ((at, hash), Present) in expired.into_iter().filter(|((at, _), _)| *at <= now) {
                    txn.delete(MAIL_TOKENS, &hash)?;
                    txn.delete(MAIL_TOKEN_ENDS, &(at, hash))?;
                }
                let (purpose, letter) = decide(txn, link.clone())?;
                txn.put(MAIL_TOKENS, &hash, &MailToken { purpose, until })?;
                txn.put(MAIL_TOKEN_ENDS, &(until, hash), &Present)?;
                if let Some((to, letter)) = letter {
                    mail::queue(txn, now, id, &to, &letter)?;
                }
                Ok::<_, IdentityError>(())
            })
            .await?;
        Ok(())
    }
}

/// Returns what sets the next password of an account, as long as this one and its address are its own.
pub(super) fn reset_of(user: UserId, account: &Account) -> MailUse {
    let (password, email) = (fingerprint(&account.password), account.email.clone());
    MailUse::Reset { user, password, email }
}

/// Gives an account another address and tells the old one; returns what changed.
pub(super) fn change_address(
    txn: &mut Txn<'_>,
    now: UnixMs,
    letter: EventId,
    (user, account): (UserId, Account),
    email: String,
) -> Result<Change, IdentityError> {
    if txn.contains(EMAILS, &email)? {
        return Err(IdentityError::EmailTaken(email));
    }
    let told = Letter::AddressChanged { to: email.clone() };
    mail::queue(txn, now, letter, &account.email, &told)?;
    txn.delete(EMAILS, &account.email)?;
    txn.put(EMAILS, &email, &EmailOwner { user })?;
    let change = Change::new("email", Some(account.email.clone()), Some(email.clone()));
    txn.put(ACCOUNTS, &user, &Account { email, ..account })?;
    Ok(change)
}

/// Uses up a token.
fn take(txn: &mut Txn<'_>, now: UnixMs, hash: [u8; 32]) -> Result<MailUse, IdentityError> {
    let token = txn.get(MAIL_TOKENS, &hash)?.filter(|token| now < token.until);
    let token = token.ok_or_else(bad_token)?;
    txn.delete(MAIL_TOKENS, &hash)?;
    txn.delete(MAIL_TOKEN_ENDS, &(token.until, hash))?;
    Ok(token.purpose)
}

fn token_hash(token: &str) -> Result<[u8; 32], IdentityError> {
    unhex(token).map(|secret| hash_of(&secret)).ok_or_else(bad_token)
}

fn bad_token() -> IdentityError {
    Invalid::new("token", "is unknown, used or expired").into()
}

//! Accounts made and changed by somebody else: an administrator, or who has the machine.
//!
//! Whoever makes an account for another person need not know its password: without one a letter goes to
//! the address, and its link sets the first. Who chooses the address of an account chooses who it is: that
//! needs every right that the account has, in its tenants too.

use super::{
    ADDRESS_TTL_MS, Caller, Identity, IdentityError,
    accounts::{NewAccount, check_email, check_password, insert},
    administration::{check_takeover, check_within},
    factors,
    mailed::{ADDRESS_CHANGED, change_address, reset_of},
    passwords::{hash_now, void},
    records::{ACCOUNTS, Account, AccountRef, FACTORS, Factors, NAMES},
    sessions::end_all,
    sign_in,
    trail::{Who, note},
};
use crate::{audit, external::ExternalId, mail::Letter};
use mamba_core::{
    access::Administration,
    audit::Change,
    clock::{Entropy, UnixMs, draw},
    db::{Store, Txn},
    ids::UserId,
    scope::AdminScope,
};
use mamba_wire::api::user::{UpdateUser, User};
use zeroize::Zeroizing;

/// What the audit trail calls an account that is made.
const MADE: &str = "user:create";
/// The page on which a letter's link sets a password.
const RESET_PAGE: &str = "/reset-password";

/// An account to make.
pub struct NewUser {
    /// Address, in any case.
    pub email: String,
    /// Its first password; without one a letter says how to set it.
    pub password: Option<Zeroizing<String>>,
    /// Whether the address counts as proved.
    pub is_verified: bool,
    /// Its name in another system.
    pub external_id: Option<ExternalId>,
}

impl Identity {
    /// Makes an account that administers nothing and is in no tenant.
    ///
    /// # Errors
    /// `Invalid`, `EmailTaken`, `Busy`, or what the store says.
    pub async fn create_user(&self, by: &Caller, new: NewUser) -> Result<User, IdentityError> {
        let email = check_email(&new.email)?;
        let (now, entropy) = (self.inner.clock.wall(), &*self.inner.entropy);
        let (user, who, verified) = (UserId::new(now, draw(entropy)), by.who(), new.is_verified);
        let account = |password| Account {
            external_id: new.external_id,
            ..Account::new(email, Administration::None, password, now)
        };
        match new.password {
            Some(password) => {
                check_password("password", &password)?;
                let hash = self.inner.passwords.hash(password, draw(entropy)).await?;
                let account = account(hash);
                let change = move |txn: &mut Txn<'_>| make(txn, who, user, &account, verified);
                self.inner.store.write(change).await?;
            }
            None => {
                let account = account(void(draw(entropy)));
                self.send(ADDRESS_TTL_MS, RESET_PAGE, move |txn, link| {
                    make(txn, who, user, &account, verified)?;
                    let letter = Letter::AccountMade { link };
                    Ok((reset_of(user, &account), Some((account.email.clone(), letter))))
                })
                .await?;
            }
        }
        self.user(user)
    }

    /// Changes the address of an account, whether it is proved, or its name in another system. Links in
    /// letters that went to the old address open nothing any more.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `EmailTaken`, `Refused` for one's own address, `Forbidden` when the account may
    /// do more than who changes it, or what the store says.
    pub async fn update_user(
        &self,
        by: &Caller,
        user: UserId,
        wanted: UpdateUser,
    ) -> Result<User, IdentityError> {
        let UpdateUser { email, is_verified, external_id } = wanted;
        if by.user == user && (email.is_some() || is_verified.is_some()) {
            return Err(IdentityError::Refused("the own address is changed in the own account"));
        }
        let name = external_id.as_deref().map(ExternalId::or_none).transpose()?;
        let email = email.as_deref().map(check_email).transpose()?;
        let (by, now) = (by.clone(), self.inner.clock.wall());
        let letter = self.draw_id(now);
        let change = move |txn: &mut Txn<'_>| {
            let mut account = sign_in::account(txn, user)?;
            check_takeover(txn, &by, (user, &account))?;
            let mut factors = factors::of(txn, user)?;
            let told = Change::set("account", user.to_string());
            if let Some(name) = name.clone().filter(|it| *it != account.external_id) {
                let change = name_outside(txn, (user, &mut account), name)?;
                note(txn, now, by.who(), "user:account.external-id", [told.clone(), change])?;
            }
            if let Some(email) = email.clone().filter(|it| *it != account.email) {
                factors.email_verified_at = None;
                let change = change_address(txn, now, letter, (user, account), email)?;
                note(txn, now, by.who(), ADDRESS_CHANGED, [told.clone(), change])?;
            }
            let before = factors.email_verified_at;
            factors.email_verified_at = match is_verified {
                Some(true) => before.or(Some(now)),
                Some(false) => None,
                None => before,
            };
            if factors.email_verified_at != before {
                let text = |at: Option<UnixMs>| at.is_some().to_string();
                let after = text(factors.email_verified_at);
                let change = Change::new("verified", Some(text(before)), Some(after));
                note(txn, now, by.who(), "user:account.verified", [told, change])?;
            }
            Ok::<_, IdentityError>(txn.put(FACTORS, &user, &factors)?)
        };
        self.inner.store.write(change).await?;
        self.user(user)
    }

    /// Makes the password of an account void, ends its sessions, and writes to its address how to set
    /// another. Keys, passkeys and accounts elsewhere go on.
    ///
    /// # Errors
    /// `NotFound`, `Refused` for one's own, `Forbidden` when the account has more rights over the
    /// installation than who asks, or what the store says.
    pub async fn require_reset(&self, by: &Caller, user: UserId) -> Result<User, IdentityError> {
        if by.user == user {
            return Err(IdentityError::Refused("the own password is changed in the own account"));
        }
        let (by, now) = (by.clone(), self.inner.clock.wall());
        let password = void(draw(&*self.inner.entropy));
        self.send(ADDRESS_TTL_MS, RESET_PAGE, move |txn, link| {
            let account = sign_in::account(txn, user)?;
            check_within(txn, &by, &[&account.admin])?;
            let account = Account { password: password.clone(), ..account };
            txn.put(ACCOUNTS, &user, &account)?;
            end_all(txn, user, None)?;
            let changes =
                [Change::set("account", user.to_string()), Change::set("email", &*account.email)];
            note(txn, now, by.who(), "user:account.password-void", changes)?;
            let purpose = reset_of(user, &account);
            Ok((purpose, Some((account.email, Letter::MustReset { link }))))
        })
        .await?;
        self.sessions_ended();
        self.user(user)
    }
}

/// Makes an account, as who has the machine may. Hashes on this thread.
///
/// # Errors
/// `Invalid`, `EmailTaken`, or what the store says.
pub async fn create_account(
    store: &Store,
    scope: &AdminScope,
    now: UnixMs,
    entropy: &dyn Entropy,
    new: NewAccount,
) -> Result<UserId, IdentityError> {
    let email = check_email(&new.email)?;
    check_password("password", &new.password)?;
    let (user, scope) = (UserId::new(now, draw(entropy)), scope.clone());
    let password = hash_now(new.password.as_bytes(), draw(entropy));
    let account = Account::new(email, Administration::None, password, now);
    store
        .write(move |txn| {
            insert(txn, user, &account)?;
            Ok::<_, IdentityError>(audit::append_admin(
                txn,
                &scope,
                now,
                MADE,
                told(user, &account),
            )?)
        })
        .await?;
    Ok(user)
}

fn make(
    txn: &mut Txn<'_>,
    who: Who,
    user: UserId,
    account: &Account,
    is_verified: bool,
) -> Result<(), IdentityError> {
    let now = account.made_at;
    insert(txn, user, account)?;
    if is_verified {
        let factors = Factors { email_verified_at: Some(now), ..Factors::default() };
        txn.put(FACTORS, &user, &factors)?;
    }
    note(txn, now, who, MADE, told(user, account))
}

/// Gives an account another name in another system, or none; returns what changed.
fn name_outside(
    txn: &mut Txn<'_>,
    (user, account): (UserId, &mut Account),
    name: Option<ExternalId>,
) -> Result<Change, IdentityError> {
    NAMES.change(txn, AccountRef(user), account.external_id.as_ref(), name.as_ref())?;
    let change = Change::new("external_id", account.external_id.take(), name.clone());
    account.external_id = name;
    txn.put(ACCOUNTS, &user, account)?;
    Ok(change)
}

fn told(user: UserId, account: &Account) -> impl Iterator<Item = Change> {
    let named = account.external_id.clone().map(|it| Change::set("external_id", it));
    [Change::set("account", user.to_string()), Change::set("email", &*account.email)]
        .into_iter()
        .chain(named)
}

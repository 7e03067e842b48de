//! Making and finding accounts and tenants.

use super::{
    Caller, Identity, IdentityError,
    passwords::hash_now,
    records::{
        ACCOUNTS, Account, AccountRef, EMAILS, EmailOwner, FACTORS, Factors, NAMES, Present, ROOTS,
    },
};
use crate::{
    audit,
    external::ExternalId,
    tenants::{self, TENANTS, Tenant},
};
use mamba_core::{
    access::Administration,
    audit::{AuditEntry, Change, HUB_CHAIN},
    clock::{Entropy, UnixMs, draw},
    db::{Snapshot, Span, Store, Txn, TxnError},
    error::Invalid,
    ids::{TenantId, UserId},
    lifecycle::Actor,
    quota::Quota,
    server::{NAME_BYTES_MAX, check_text},
};
use zeroize::Zeroizing;

/// Longest address, by RFC 5321.
const EMAIL_BYTES_MAX: usize = 254;
/// Shortest password: with Argon2id, out of reach of guessing when it is not a phrase in use.
const PASSWORD_BYTES_MIN: usize = 12;
/// Longest password: a passphrase fits.
pub(super) const PASSWORD_BYTES_MAX: usize = 256;

/// An account to make.
pub struct NewAccount {
    /// Address, in any case.
    pub email: String,
    /// Password.
    pub password: Zeroizing<String>,
}

/// A tenant to make, which only the hub owns, with the account that owns it.
pub struct NewTenant {
    /// Name for people.
    pub name: String,
    /// What it may use.
    pub quota: Quota,
    /// Its owner.
    pub owner: NewAccount,
    /// Its name in another system.
    pub external_id: Option<ExternalId>,
}

impl NewAccount {
    /// Checks address and password and returns the address as it is stored.
    fn check(&self) -> Result<String, Invalid> {
        check_password("password", &self.password)?;
        check_email(&self.email)
    }
}

/// Checks an address and returns it as it is stored.
pub(crate) fn check_email(email: &str) -> Result<String, Invalid> {
    let email = normal_email(email);
    let is_address = email
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    let is_plain = !email.chars().any(|c| c.is_whitespace() || c.is_control());
    if email.len() > EMAIL_BYTES_MAX || !is_address || !is_plain {
        let rule = format!("must be an e-mail address of at most {EMAIL_BYTES_MAX} bytes");
        return Err(Invalid::new("email", rule));
    }
    Ok(email)
}

/// Checks a password that somebody chose.
pub(super) fn check_password(field: &str, password: &str) -> Result<(), Invalid> {
    if (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
        return Ok(());
    }
    let rule = format!("must be {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes long");
    Err(Invalid::new(field, rule))
}

/// Makes the account of somebody who registered, which is returned, and a tenant of its own.
pub(super) fn register(
    txn: &mut Txn<'_>,
    now: UnixMs,
    entropy: &dyn Entropy,
    email: String,
    password: String,
) -> Result<UserId, IdentityError> {
    let (id, owner) = (TenantId::new(now, draw(entropy)), UserId::new(now, draw(entropy)));
    let name: String = email.split('@').next().unwrap_or_default().chars().take(16).collect();
    // It may have no server until somebody gives it a plan.
    let quota = Quota { servers: Some(0), ..Quota::default() };
    let tenant = Tenant { name, parent: None, quota, made_at: now, external_id: None };
    let admin = Administration::None;
    insert(txn, owner, &Account::new(email, admin, password, now))?;
    let factors = Factors { email_verified_at: Some(now), ..Factors::default() };
    txn.put(FACTORS, &owner, &factors)?;
    tenants::insert(txn, id, &tenant, owner)?;
    Ok(owner)
}

/// Returns the address of an account.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn email_of(view: &impl Snapshot, user: UserId) -> Result<Option<String>, TxnError> {
    Ok(view.get(ACCOUNTS, &user)?.map(|account| account.email))
}

/// Returns an address as it is stored and compared.
pub(super) fn normal_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Makes an administrator without a running hub. Hashes on this thread.
///
/// # Errors
/// `Invalid`, `EmailTaken`, or what the store says.
pub async fn create_admin(
    store: &Store,
    now: UnixMs,
    entropy: &dyn Entropy,
    new: NewAccount,
) -> Result<UserId, IdentityError> {
    let email = new.check()?;
    let user = UserId::new(now, draw(entropy));
    let password = hash_now(new.password.as_bytes(), draw(entropy));
    let account = Account::new(email, Administration::Root, password, now);
    store.write(move |txn| insert(txn, user, &account)).await?;
    Ok(user)
}

/// Whether any administrator exists.
///
/// # Errors
/// When the store cannot be read.
pub fn has_admin(view: &impl Snapshot) -> Result<bool, TxnError> {
    Ok(!view.range(ROOTS, Span::all(), 1)?.is_empty())
}

/// Returns a tenant.
///
/// # Errors
/// When the store cannot be read.
pub fn tenant(view: &impl Snapshot, tenant: TenantId) -> Result<Option<Tenant>, TxnError> {
    view.get(TENANTS, &tenant)
}

impl Identity {
    /// Whether it is the root administrator in person who asks, and not one of its API keys, which may be
    /// given less.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_root(&self, caller: &Caller) -> Result<bool, IdentityError> {
        let account = self.inner.store.read(|view| view.get(ACCOUNTS, &caller.user))?;
        Ok(!caller.is_key && account.is_some_and(|it| it.admin == Administration::Root))
    }

    /// Makes a tenant and its owner's account, both or neither. The trails of the new tenant and of
    /// the installation tell it.
    ///
    /// # Errors
    /// `Invalid`, `EmailTaken`, `Busy`, or what the store says.
    pub async fn create_tenant(
        &self,
        by: &Caller,
        new: NewTenant,
    ) -> Result<(TenantId, Tenant), IdentityError> {
        check_text("name", &new.name, 1, NAME_BYTES_MAX)?;
        let email = new.owner.check().map_err(|err| err.under("owner"))?;
        let inner = &self.inner;
        let now = inner.clock.wall();
        let password = inner.passwords.hash(new.owner.password, draw(&*inner.entropy)).await?;
        let id = TenantId::new(now, draw(&*inner.entropy));
        let owner = UserId::new(now, draw(&*inner.entropy));
        let account = Account::new(email, Administration::None, password, now);
        let NewTenant { name, quota, external_id, .. } = new;
        let tenant = Tenant { name, parent: None, quota, made_at: now, external_id };
        let row = tenant.clone();
        let named = tenant.external_id.clone();
        let entry = AuditEntry::new(now, &Actor::User(by.user), by.origin, "tenant:create");
        let entry = entry.with([
            Change::set("tenant", id.to_string()),
            Change::set("name", tenant.name.clone()),
            Change::set("owner", account.email.clone()),
        ]);
        let entry = entry.with(named.map(|it| Change::set("external_id", it)));
        inner
            .store
            .write(move |txn| {
                insert(txn, owner, &account)?;
                tenants::insert(txn, id, &row, owner)?;
                audit::append(txn, HUB_CHAIN, entry.clone())?;
                Ok(audit::append(txn, id, entry.clone())?)
            })
            .await?;
        Ok((id, tenant))
    }

    /// Returns a tenant.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, IdentityError> {
        self.inner.store.read(|view| Ok(tenant(view, id)?))
    }
}

/// Makes the account of somebody whom a test lets act without signing in.
#[cfg(test)]
pub(crate) fn insert_root(txn: &mut Txn<'_>, user: UserId) -> Result<(), IdentityError> {
    let (email, admin) = (format!("{user}@example.org"), Administration::Root);
    insert(txn, user, &Account::new(email, admin, String::new(), UnixMs(0)))
}

pub(super) fn insert(
    txn: &mut Txn<'_>,
    user: UserId,
    account: &Account,
) -> Result<(), IdentityError> {
    if txn.contains(EMAILS, &account.email)? {
        return Err(IdentityError::EmailTaken(account.email.clone()));
    }
    txn.put(EMAILS, &account.email, &EmailOwner { user })?;
    if account.admin == Administration::Root {
        txn.put(ROOTS, &user, &Present)?;
    }
    NAMES.change(txn, AccountRef(user), None, account.external_id.as_ref())?;
    Ok(txn.put(ACCOUNTS, &user, account)?)
}

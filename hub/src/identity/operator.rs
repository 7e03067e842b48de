//! What who has the machine may do to any account: help people who are locked out.

use super::{
    IdentityError,
    accounts::{check_password, normal_email},
    factors,
    passkeys::{PASSKEYS_MAX, stored},
    passwords::hash_now,
    records::{ACCOUNTS, Account, FACTORS, PASSKEY_IDS, PASSKEYS},
    sessions::end_all,
    sign_in,
};
use crate::{audit, mail::Letter, secrets::Vault};
use mamba_core::{
    audit::Change,
    clock::{Entropy, UnixMs, draw},
    db::{Snapshot as _, Store},
    ids::EventId,
    scope::AdminScope,
};
use zeroize::Zeroizing;

/// Sets the password of an account, unlocks it, ends its sessions, and tells its owner. Hashes on this
/// thread.
///
/// # Errors
/// `NotFound`, `Invalid`, or what the store says.
pub async fn set_password(
    store: &Store,
    scope: &AdminScope,
    now: UnixMs,
    entropy: &dyn Entropy,
    email: &str,
    password: Zeroizing<String>,
) -> Result<(), IdentityError> {
    check_password("password", &password)?;
    let email = normal_email(email);
    let hash = hash_now(password.as_bytes(), draw(entropy));
    let (id, scope) = (EventId::new(now, draw(entropy)), scope.clone());
    store
        .write(move |txn| {
            let (user, account) = sign_in::account_at(txn, &email)?;
            let next = Account { password: hash.clone(), locked_at: None, ..account };
            txn.put(ACCOUNTS, &user, &next)?;
            end_all(txn, user, None)?;
            let account = Change::set("account", user.to_string());
            audit::append_admin(txn, &scope, now, "user:account.password-changed", [account])?;
            factors::tell(txn, now, id, user, Letter::PasswordChanged)
        })
        .await?;
    Ok(())
}

/// Takes authenticator app, recovery codes and passkeys off an account, ends its sessions, and tells its
/// owner: who lost the only passkey gets in with the password again, also where two factors are wanted.
///
/// # Errors
/// `NotFound`, or what the store says.
pub async fn disable_second_factor(
    store: &Store,
    vault: Vault,
    scope: &AdminScope,
    now: UnixMs,
    entropy: &dyn Entropy,
    email: &str,
) -> Result<(), IdentityError> {
    let email = normal_email(email);
    let (id, scope) = (EventId::new(now, draw(entropy)), scope.clone());
    store
        .write(move |txn| {
            let (user, _) = sign_in::account_at(txn, &email)?;
            let mut factors = factors::of(txn, user)?;
            (factors.totp, factors.recovery) = (None, Vec::new());
            txn.put(FACTORS, &user, &factors)?;
            vault.delete(txn, &factors::seed_place(user))?;
            for (own, record) in txn.prefix(PASSKEYS, &(user,), PASSKEYS_MAX)? {
                txn.delete(PASSKEYS, &own)?;
                txn.delete(PASSKEY_IDS, &stored(&record)?.cred_id().to_vec())?;
            }
            end_all(txn, user, None)?;
            let account = Change::set("account", user.to_string());
            audit::append_admin(txn, &scope, now, "user:two-factor.delete", [account])?;
            factors::tell(txn, now, id, user, Letter::SecondFactorOff)
        })
        .await?;
    Ok(())
}

//! What opens an account besides its password, and was made before its owner proved its address.
//!
//! Whoever makes an account for somebody else knows its first password, and may leave keys behind.
//! Setting a new password by mail is how the owner takes the account over: with it goes everything
//! that may be of others. What was made after the address was proved stays, as does the
//! authenticator app of an account whose address was proved, or which administers the hub: reading
//! somebody's mail must not take a second factor away.

use super::{
    IdentityError,
    api_keys::API_KEYS_MAX,
    oidc::PROVIDERS_MAX,
    passkeys::{PASSKEYS_MAX, stored},
    records::{
        API_KEYS, Account, Factors, LINKS, PASSKEY_IDS, PASSKEYS, Present, SSH_KEY_IDS, SSH_KEYS,
        USER_API_KEYS, USER_LINKS,
    },
    ssh_keys::SSH_KEYS_MAX,
    tenant_keys,
};
use mamba_core::{
    audit::Change,
    clock::UnixMs,
    db::{Snapshot as _, Txn},
    ids::UserId,
};

/// Whether the authenticator app of an account goes too, when its password is set by mail.
pub(super) fn is_app_void(account: &Account, factors: &Factors) -> bool {
    factors.email_verified_at.is_none() && !account.admin.is_admin() && factors.totp.is_some()
}

/// Removes the keys and links of an account that were made until then, some 250 deletions at most;
/// returns of each kind how many, where there were any.
pub(super) fn void_keys(
    txn: &mut Txn<'_>,
    user: UserId,
    until: UnixMs,
) -> Result<Vec<Change>, IdentityError> {
    let (mut api_keys, mut ssh_keys, mut passkeys, mut links) = (0_u32, 0_u32, 0_u32, 0_u32);
    for (own, Present) in txn.prefix(USER_API_KEYS, &(user,), API_KEYS_MAX)? {
        let Some(record) = txn.get(API_KEYS, &own.1)? else { continue };
        if record.made_at <= until {
            tenant_keys::remove(txn, own.1, &record)?;
            api_keys += 1;
        }
    }
    for (own, record) in txn.prefix(SSH_KEYS, &(user,), SSH_KEYS_MAX)? {
        if record.made_at <= until {
            txn.delete(SSH_KEYS, &own)?;
            txn.delete(SSH_KEY_IDS, &record.fingerprint)?;
            ssh_keys += 1;
        }
    }
    for (own, record) in txn.prefix(PASSKEYS, &(user,), PASSKEYS_MAX)? {
        if record.made_at <= until {
            txn.delete(PASSKEYS, &own)?;
            txn.delete(PASSKEY_IDS, &stored(&record)?.cred_id().to_vec())?;
            passkeys += 1;
        }
    }
    for (own, link) in txn.prefix(USER_LINKS, &(user,), PROVIDERS_MAX)? {
        let key = (own.1.clone(), link.subject);
        if txn.get(LINKS, &key)?.is_none_or(|it| it.made_at <= until) {
            txn.delete(LINKS, &key)?;
            txn.delete(USER_LINKS, &own)?;
            links += 1;
        }
    }
    let all =
        [("api-keys", api_keys), ("ssh-keys", ssh_keys), ("passkeys", passkeys), ("links", links)];
    let some = all.into_iter().filter(|(_, count)| *count > 0);
    Ok(some
        .map(|(kind, count)| Change::new(kind, Some(count.to_string()), None::<String>))
        .collect())
}

//! Every account, for administrators: who there is, and who is let in no more.

use super::{
    Caller, Identity, IdentityError,
    accounts::normal_email,
    administration::check_within,
    factors,
    passkeys::PASSKEYS_MAX,
    records::{ACCOUNTS, Account, AccountRef, NAMES, PASSKEYS},
    sessions::{end_all, live},
    sign_in,
    trail::note,
};
use crate::{
    control::{PlaceOf, Sort, behind},
    tenants::memberships,
};
use mamba_core::{
    audit::Change,
    clock::UnixMs,
    db::{Snapshot, Txn},
    ids::UserId,
};
use mamba_wire::api::{
    Page, PageQuery,
    user::{User, UserQuery},
};

impl Identity {
    /// Lists accounts, oldest first unless another order is asked for. With a filter a page may be short,
    /// or empty, and have a next one all the same.
    ///
    /// # Errors
    /// `Invalid` for the query, or what the store says.
    pub fn users(&self, query: &UserQuery) -> Result<Page<User>, IdentityError> {
        let page = PageQuery { after: query.after.clone(), limit: query.limit };
        let by_email: PlaceOf<Account> = |it| it.email.clone().into_bytes();
        let sort = Sort::read(query.sort.as_deref(), "made", &[("email", by_email)])?;
        let wanted = query.email.as_deref().map(normal_email).unwrap_or_default();
        let now = self.inner.clock.wall();
        self.inner.store.read(|view| {
            sort.page(
                &page,
                !wanted.is_empty() || query.external_id.is_some(),
                |after, most| match &query.external_id {
                    Some(name) => {
                        Ok(NAMES.row(view, (ACCOUNTS, |it: AccountRef| it.0), name, after)?)
                    }
                    None => Ok(view.range(ACCOUNTS, behind(after), most)?),
                },
                |_, account| Ok(account.email.contains(&wanted)),
                |user, account| shown(view, now, *user, account),
            )
        })
    }

    /// Returns an account.
    ///
    /// # Errors
    /// `NotFound`, or what the store says.
    pub fn user(&self, user: UserId) -> Result<User, IdentityError> {
        let now = self.inner.clock.wall();
        self.inner.store.read(|view| {
            let account = sign_in::account(view, user)?;
            shown(view, now, user, account)
        })
    }

    /// Locks an account: its sessions end, its API keys open nothing, and it cannot sign in.
    ///
    /// # Errors
    /// `NotFound`, `Refused` for one's own, `Forbidden` when it may do more than who locks it, or what
    /// the store says.
    pub async fn lock_user(&self, by: &Caller, user: UserId) -> Result<User, IdentityError> {
        if by.user == user {
            return Err(IdentityError::Refused("nobody locks the own account"));
        }
        let now = self.inner.clock.wall();
        self.set_locked(by, user, Some(now), "user:account.lock").await
    }

    /// Lets a locked account in again.
    ///
    /// # Errors
    /// As [`Identity::lock_user`].
    pub async fn unlock_user(&self, by: &Caller, user: UserId) -> Result<User, IdentityError> {
        self.set_locked(by, user, None, "user:account.unlock").await
    }

    async fn set_locked(
        &self,
        by: &Caller,
        user: UserId,
        locked_at: Option<UnixMs>,
        event: &'static str,
    ) -> Result<User, IdentityError> {
        let (by, now) = (by.clone(), self.inner.clock.wall());
        let change = move |txn: &mut Txn<'_>| {
            let account = sign_in::account(txn, user)?;
            check_within(txn, &by, &[&account.admin])?;
            if account.locked_at.is_some() == locked_at.is_some() {
                return Ok(());
            }
            let changes =
                [Change::set("account", user.to_string()), Change::set("email", &*account.email)];
            txn.put(ACCOUNTS, &user, &Account { locked_at, ..account })?;
            if locked_at.is_some() {
                end_all(txn, user, None)?;
            }
            note(txn, now, by.who(), event, changes)
        };
        self.inner.store.write(change).await?;
        self.sessions_ended();
        self.user(user)
    }
}

fn shown(
    view: &impl Snapshot,
    now: UnixMs,
    user: UserId,
    account: Account,
) -> Result<User, IdentityError> {
    let factors = factors::of(view, user)?;
    let sessions = live(view, now, user)?;
    let passkeys = view.prefix(PASSKEYS, &(user,), PASSKEYS_MAX)?.len();
    Ok(User {
        user,
        email: account.email,
        admin: account.admin,
        made_at: account.made_at,
        email_verified_at: factors.email_verified_at,
        totp_since: factors.totp.map(|it| it.made_at),
        passkeys: u32::try_from(passkeys).unwrap_or(u32::MAX),
        sessions: u32::try_from(sessions.len()).unwrap_or(u32::MAX),
        used_at: sessions.iter().map(|(_, it)| it.refreshed_at).max(),
        locked_at: account.locked_at,
        external_id: account.external_id.map(String::from),
        tenants: memberships(view, user)?,
    })
}

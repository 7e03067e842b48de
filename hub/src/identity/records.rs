//! What is stored about accounts, tenants and sessions.

use mamba_core::{
    access::Role,
    clock::UnixMs,
    db::{Table, TableDef},
    ids::{SessionId, TenantId, UserId},
    record,
};
use serde::{Deserialize, Serialize};

/// Accounts by id.
pub(super) const ACCOUNTS: Table<UserId, Account> = Table::new(150, "accounts");
/// Accounts by address in lower case.
pub(super) const EMAILS: Table<String, EmailOwner> = Table::new(151, "emails");
/// Tenants by id.
pub(super) const TENANTS: Table<TenantId, Tenant> = Table::new(152, "tenants");
/// Sessions by id.
pub(super) const SESSIONS: Table<SessionId, Session> = Table::new(153, "sessions");
/// Sessions of each account.
pub(super) const USER_SESSIONS: Table<(UserId, SessionId), Present> =
    Table::new(154, "user_sessions");

/// All tables of this module.
pub const TABLES: &[TableDef] =
    &[ACCOUNTS.def(), EMAILS.def(), TENANTS.def(), SESSIONS.def(), USER_SESSIONS.def()];

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Address in lower case.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// Argon2id in PHC form.
    pub password: String,
    /// When it was made.
    pub made_at: UnixMs,
}

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Name for people.
    pub name: String,
    /// Account that owns it.
    pub owner: UserId,
    /// Address of that account.
    pub owner_email: String,
    /// When it was made.
    pub made_at: UnixMs,
}

/// Which account has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EmailOwner {
    pub(super) user: UserId,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) user: UserId,
    pub(super) made_at: UnixMs,
    /// When its refresh token was made.
    pub(super) refreshed_at: UnixMs,
    /// BLAKE3 of the newest refresh token.
    pub(super) refresh_hash: [u8; 32],
    /// End, unless it is refreshed before.
    pub(super) until: UnixMs,
}

/// The key says it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Present;

record!(Account, 1);
record!(Tenant, 1);
record!(EmailOwner, 1);
record!(Session, 1);
record!(Present, 1);

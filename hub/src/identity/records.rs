//! What is stored about accounts, tenants and sessions.

use mamba_core::{
    access::Administration,
    clock::UnixMs,
    db::{Table, TableDef},
    ids::{SessionId, UserId},
    record,
};
use serde::{Deserialize, Serialize};

/// Accounts by id.
pub(super) const ACCOUNTS: Table<UserId, Account> = Table::new(150, "accounts");
/// Accounts by address in lower case.
pub(super) const EMAILS: Table<String, EmailOwner> = Table::new(151, "emails");
/// Sessions by id.
pub(super) const SESSIONS: Table<SessionId, Session> = Table::new(153, "sessions");
/// Sessions of each account.
pub(super) const USER_SESSIONS: Table<(UserId, SessionId), Present> =
    Table::new(154, "user_sessions");

/// All tables of this module.
pub const TABLES: &[TableDef] =
    &[ACCOUNTS.def(), EMAILS.def(), SESSIONS.def(), USER_SESSIONS.def()];

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Address in lower case.
    pub email: String,
    /// Its part in running the hub.
    pub admin: Administration,
    /// Argon2id in PHC form.
    pub password: String,
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
record!(EmailOwner, 1);
record!(Session, 1);
record!(Present, 1);

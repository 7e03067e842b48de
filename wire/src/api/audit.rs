//! Pure: the audit trail.

use super::params::params;
use mamba_core::{
    audit::{AuditEntry, Change, Door},
    clock::UnixMs,
    ids::{ServerId, UserId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

params! {
    /// Which entries.
    AuditQuery {
        /// Only what this account did.
        actor: Option<UserId>,
        /// Only events whose name begins so, for example `server:power`.
        event: Option<String>,
        /// Only about this server.
        server: Option<ServerId>,
        /// Not before.
        from: Option<UnixMs>,
        /// Before.
        until: Option<UnixMs>,
        /// `next` of the page before; from the newest without.
        after: Option<String>,
        /// Most items.
        limit: Option<u32> where 1..=super::page::PAGE_ITEMS_MAX,
    }
}

impl AuditQuery {
    /// Every entry that one may read, the newest first.
    pub const ALL: Self = Self {
        actor: None,
        event: None,
        server: None,
        from: None,
        until: None,
        after: None,
        limit: None,
    };
}

/// Something that an account did, or that was tried with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountEvent {
    /// When.
    pub at: UnixMs,
    /// What, for example `auth:success`.
    pub event: String,
    /// By which way in.
    pub door: Door,
    /// From which address.
    pub address: Option<IpAddr>,
    /// Whether it was done with one of the account's API keys.
    pub by_key: bool,
    /// What became of what; secrets are `***`.
    pub changes: Vec<Change>,
}

/// One entry of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditItem {
    /// Its number in the chain.
    pub number: u64,
    /// What it tells.
    #[serde(flatten)]
    pub entry: AuditEntry,
}

//! Writes what the audit trail says into a file of the reader's.

use super::event;
use crate::{net::Failure, session::Session};
use mamba_core::ids::UserId;
use mamba_wire::api::{audit::AuditQuery, page::PAGE_ITEMS_MAX, params::TenantPath, table};
use std::collections::BTreeMap;
use sycamore::prelude::*;

/// Most entries of one file: 100 requests, some megabytes.
const ENTRIES_MAX: usize = 20_000;

/// What was read.
pub(super) struct Exported {
    /// The file.
    pub(super) text: String,
    /// Its entries.
    pub(super) count: usize,
    /// Whether there are more than one file takes.
    pub(super) is_cut: bool,
}

/// Reads all entries that fit `query`, the newest first. `count` tells how many were read so far.
pub(super) async fn read(
    session: Session,
    path: TenantPath,
    query: AuditQuery,
    names: BTreeMap<UserId, String>,
    count: Signal<usize>,
) -> Result<Exported, Failure> {
    let name = |user: UserId| names.get(&user).cloned();
    let mut exported =
        Exported { text: event::line(&event::COLUMNS.map(str::to_owned)), count: 0, is_cut: false };
    let mut after = None;
    loop {
        let query = AuditQuery { after, limit: Some(PAGE_ITEMS_MAX), ..query.clone() };
        let page = session.call::<table::ListAudit>(path.clone(), query, ()).await?;
        for item in &page.items {
            exported.text.push_str(&event::row(item, &name));
        }
        exported.count += page.items.len();
        count.set(exported.count);
        after = page.next;
        exported.is_cut = after.is_some();
        if after.is_none() || exported.count >= ENTRIES_MAX {
            return Ok(exported);
        }
    }
}

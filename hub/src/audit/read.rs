//! Reads a chain, newest first, with filters.

use super::{ENTRIES, HEADS, told};
use crate::{Hub, HubError, control::Cut};
use mamba_core::{
    audit::AuditEntry,
    db::{Order, Snapshot},
    ids::TenantId,
};
use mamba_wire::api::{
    Page, PageQuery,
    audit::{AuditItem, AuditQuery},
};

/// Most entries that one request looks at: a filter that fits nothing gives an empty page with the
/// place to go on from.
const LOOK_MAX: usize = 2_000;

impl Hub {
    /// Lists the entries of a chain that fit, newest first. A page may be short, or empty, and have a
    /// next one all the same.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn audit(&self, tenant: TenantId, query: &AuditQuery) -> Result<Page<AuditItem>, HubError> {
        let page = PageQuery { after: query.after.clone(), limit: query.limit };
        let cut = Cut::<u64>::new(&page)?;
        self.read(|view| {
            let Some(head) = view.get(HEADS, &tenant)? else {
                return Ok(Page { items: Vec::new(), next: None });
            };
            let mut span = head.span(tenant);
            if let Some(after) = cut.after {
                span = span.before(&(tenant, after));
            }
            let rows = view.scan(ENTRIES, span, Order::Descending, LOOK_MAX)?;
            let is_cut_short = rows.len() == LOOK_MAX;
            let last_seen = rows.last().map(|((_, number), _)| *number);
            let mut found = Vec::new();
            for ((_, number), row) in rows {
                let entry = told(&row)?;
                if fits(&entry, query) {
                    found.push((number, AuditItem { number, entry }));
                    if found.len() == cut.fetch() {
                        return Ok(cut.page(found));
                    }
                }
            }
            let mut page = cut.page(found);
            if let Some(number) = last_seen.filter(|_| is_cut_short) {
                page.next = Some(cut.cursor(&number));
            }
            Ok(page)
        })
    }
}

/// Pure: whether an entry is asked for.
pub(super) fn fits(entry: &AuditEntry, query: &AuditQuery) -> bool {
    query.actor.is_none_or(|user| entry.is_by(user))
        && query.event.as_ref().is_none_or(|prefix| entry.event.starts_with(prefix.as_str()))
        && query.server.is_none_or(|server| entry.server == Some(server))
        && query.from.is_none_or(|from| entry.at >= from)
        && query.until.is_none_or(|until| entry.at < until)
}

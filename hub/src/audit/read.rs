//! Reads a chain, newest first, with filters.

use super::{ENTRIES, HEADS, told};
use crate::{Hub, HubError, control::Cut, identity::KEY_ENDED};
use mamba_core::{
    audit::{AuditActor, AuditEntry, Change, HUB_CHAIN},
    db::{Order, Snapshot},
    ids::{TenantId, UserId},
};
use mamba_wire::api::{
    Page, PageQuery,
    audit::{AccountEvent, AuditItem, AuditQuery},
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
        self.entries(
            tenant,
            &page,
            |entry| fits(entry, query),
            |number, entry| AuditItem { number, entry },
        )
    }

    /// Lists what an account did itself, who failed to sign in to it, and which of its keys were ended in
    /// tenants, newest first. Nothing else that others did to it is told here: it would tell where
    /// administrators sit. A page may be short, or empty, and have a next one all the same.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn account_activity(
        &self,
        user: UserId,
        page: &PageQuery,
    ) -> Result<Page<AccountEvent>, HubError> {
        let id = user.to_string();
        self.entries(
            HUB_CHAIN,
            page,
            |entry| entry.is_by(user) || is_told_to(entry, &id),
            |_, it| account_event(user, it),
        )
    }

    /// Walks back through a chain.
    fn entries<T>(
        &self,
        tenant: TenantId,
        page: &PageQuery,
        fits: impl Fn(&AuditEntry) -> bool,
        show: impl Fn(u64, AuditEntry) -> T,
    ) -> Result<Page<T>, HubError> {
        let cut = Cut::<u64>::new(page)?;
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
                if fits(&entry) {
                    found.push((number, show(number, entry)));
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

/// Pure: an entry as the account that it is about sees it. Where who ended its key sits is not told.
fn account_event(user: UserId, it: AuditEntry) -> AccountEvent {
    let is_by_others = it.event == KEY_ENDED && !it.is_by(user);
    AccountEvent {
        at: it.at,
        event: it.event,
        door: it.door,
        address: it.address.filter(|_| !is_by_others),
        by_key: !is_by_others && matches!(it.actor, AuditActor::ApiKey { .. }),
        changes: it.changes,
    }
}

/// Pure: whether an account is told what others did: failed to sign in to it, or ended a key of it.
fn is_told_to(entry: &AuditEntry, id: &str) -> bool {
    let is_of = |it: &Change| it.field == "account" && it.after.as_deref() == Some(id);
    ["auth:fail", KEY_ENDED].contains(&&*entry.event) && entry.changes.iter().any(is_of)
}

/// Pure: whether an entry is asked for.
pub(super) fn fits(entry: &AuditEntry, query: &AuditQuery) -> bool {
    query.actor.is_none_or(|user| entry.is_by(user))
        && query.event.as_ref().is_none_or(|prefix| entry.event.starts_with(prefix.as_str()))
        && query.server.is_none_or(|server| entry.server == Some(server))
        && query.from.is_none_or(|from| entry.at >= from)
        && query.until.is_none_or(|until| entry.at < until)
}

//! The audit trail of a tenant: filtered, read page by page, exported.

use super::{event, export, page::Seen};
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    net,
    parts::{Action, Choice, Field, Icon, Select, Toasts, complaint, listed, listing},
    remote::{self, Pages, Remote, watch},
    session::Session,
    task::Task,
    time::{self, Age},
};
use mamba_core::{access::TenantRight, clock::UnixMs, ids::UserId};
use mamba_wire::api::{
    Page, PageQuery,
    audit::{AuditItem, AuditQuery},
    member::Member,
    page::PAGE_ITEMS_MAX,
    table,
};
use std::collections::BTreeMap;
use sycamore::prelude::*;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600_000;

/// What is looked for.
#[derive(Clone, Copy)]
struct Filter {
    event: Signal<String>,
    actor: Signal<String>,
    from: Signal<String>,
    to: Signal<String>,
}

impl Filter {
    fn query(self, after: Option<String>) -> AuditQuery {
        let text = |signal: Signal<String>| signal.get_clone();
        let event = Some(text(self.event)).filter(|it| !it.is_empty());
        let actor = text(self.actor).parse::<UserId>().ok();
        let from = time::day(&text(self.from));
        let until = time::day(&text(self.to)).map(|it| UnixMs(it.0.saturating_add(DAY_MS)));
        AuditQuery { event, actor, from, until, after, ..AuditQuery::ALL }
    }
}

/// The tab.
#[component(inline_props)]
pub(super) fn Audit(seen: Seen) -> View {
    let text = || create_signal(String::new());
    let filter = Filter { event: text(), actor: text(), from: text(), to: text() };
    let members = watch::<table::ListMembers>(remote::NEVER_MS, move || {
        let all = PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) };
        seen.may(TenantRight::MemberRead).then(|| (seen.path(), all))
    });
    let pages = Pages::<AuditItem>::open::<table::ListAudit>(move |after| {
        (seen.path(), filter.query(after))
    });
    let none = (Icon::Log, t().tenant.audit_none, t().tenant.audit_none_text);
    view! {
        div(class="toolbar") {
            p(class="muted grow") { (t().tenant.audit_text) }
            Export(seen=seen, filter=filter, members=members)
        }
        Filters(filter=filter, members=members)
        (listed(pages, none, move || {
            let rows = view! {
                Keyed(list=pages.items, key=|it: &AuditItem| it.number, view=move |it| line(&it, members))
            };
            let texts = &t().tenant;
            let heads =
                [texts.audit_when, texts.audit_who, texts.audit_event, texts.audit_what, texts.audit_where];
            listing(&heads, rows)
        }))
    }
}

#[component(inline_props)]
fn Filters(filter: Filter, members: Remote<Page<Member>>) -> View {
    let events = event::areas().map(|(value, label)| Choice::new(value, label)).to_vec();
    let events = create_signal(events);
    let people = selector(move || {
        let names = names(members).into_iter();
        let anybody = Choice::new("", t().tenant.audit_anybody);
        let each = names.map(|(user, email)| Choice::new(user.to_string(), email));
        std::iter::once(anybody).chain(each).collect::<Vec<_>>()
    });
    view! {
        div(class="columns filters") {
            Select(label=t().tenant.audit_event, name="event", value=filter.event, choices=*events)
            Select(label=t().tenant.audit_who, name="actor", value=filter.actor, choices=people)
            Field(label=t().tenant.audit_from, name="from", value=filter.from, kind="date", optional=true)
            Field(label=t().tenant.audit_to, name="to", value=filter.to, kind="date", optional=true)
        }
    }
}

#[component(inline_props)]
fn Export(seen: Seen, filter: Filter, members: Remote<Page<Member>>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (task, count) = (Task::new(), create_signal(0_usize));
    let run = move || {
        count.set(0);
        let query = untrack(|| filter.query(None));
        let names = untrack(|| names(members));
        let reading = export::read(session, seen.path(), query, names, count);
        task.run(reading, move |it| {
            net::save_text("audit.csv", "text/csv", &it.text);
            let text = if it.is_cut { t().tenant.audit_cut } else { t().tenant.audit_exported };
            toasts.done(fill(text, &[("n", &it.count)]));
        });
    };
    let progress = move || fill(t().tenant.audit_exporting, &[("n", &count.get())]);
    let wrong = complaint(task.failure, &[]);
    view! {
        (wrong)
        span(class="muted", role="status", hidden=!task.busy.get()) { (progress()) }
        Action(label=t().tenant.audit_export, task=task, run=run)
    }
}

/// Returns who is known by name.
fn names(members: Remote<Page<Member>>) -> BTreeMap<UserId, String> {
    let me = use_context::<Session>().me();
    let mut names: BTreeMap<UserId, String> = members.value.with(|page| {
        let items = page.iter().flat_map(|it| &it.items);
        items.map(|it| (it.user, it.email.clone())).collect()
    });
    names.extend(me.map(|it| (it.user, it.email.clone())));
    names
}

fn line(item: &AuditItem, members: Remote<Page<Member>>) -> View {
    let entry = &item.entry;
    let (at, event, what) = (entry.at, entry.event.clone(), event::what(&entry.changes));
    let address = entry.address.map(|it| it.to_string()).unwrap_or_default();
    let actor = entry.actor.clone();
    let who = selector(move || {
        let names = names(members);
        event::who(&actor, &|user| names.get(&user).cloned())
    });
    let server = entry.server.map(|it| format!("/servers/{it}/activity"));
    let about =
        server.map(|to| view! { a(class="hint", href=to) { (t().tenant.invite_to_server) } });
    view! {
        tr {
            td(class="muted") { Age(at=at) }
            td(class="cut") { (who.get_clone()) }
            td { code { (event) } " " (about) }
            td(class="wrap small") { (what) }
            td { code { (address) } }
        }
    }
}

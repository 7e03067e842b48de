//! API keys that are bound to a tenant: whose they are, and an end to them. They are made in one's own account.

use super::page::Seen;
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{
        Action, Badge, Icon, Kind, Question, Toasts, Tone, ask, elided, empty, listing, nothing,
        shown,
    },
    remote::{self, Remote, watch},
    session::Session,
    time::{self, Age},
};
use mamba_core::{access::TenantRight, clock::UnixMs};
use mamba_wire::api::{
    Page, PageQuery,
    member::{TenantApiKey, TenantApiKeyPath},
    page::PAGE_ITEMS_MAX,
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;

/// The tab. There are never more keys than one page holds.
#[component(inline_props)]
pub(super) fn ApiKeys(seen: Seen) -> View {
    let remote = watch::<table::ListTenantApiKeys>(remote::RARELY_MS, move || {
        Some((seen.path(), PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) }))
    });
    view! {
        section(class="card") {
            header { h2 { (t().account.api_keys) } }
            div(class="body") {
                p(class="muted") {
                    (t().tenant.api_text) " " a(href="/account/keys") { (t().tenant.api_own) }
                }
            }
            (shown(remote, move |page| list(seen, remote, page)))
        }
    }
}

fn list(
    seen: Seen,
    remote: Remote<Page<TenantApiKey>>,
    page: ReadSignal<Rc<Page<TenantApiKey>>>,
) -> View {
    let items = selector(move || page.with(|it| it.items.clone()));
    view! {
        (if items.with(Vec::is_empty) {
            empty(Icon::Key, t().account.api_none, t().tenant.api_none_text, nothing())
        } else {
            let rows = view! {
                Indexed(list=items, view=move |it| view! { Line(seen=seen, remote=remote, key=it) })
            };
            let texts = &t().account;
            let heads = [
                t().tenant.api_owner, t().servers.name, texts.api_prefix, texts.api_rights,
                texts.api_networks, texts.api_until, texts.used, "",
            ];
            listing(&heads, rows)
        })
    }
}

#[component(inline_props)]
fn Line(seen: Seen, remote: Remote<Page<TenantApiKey>>, key: TenantApiKey) -> View {
    let ending = create_signal(false);
    let end = end_dialog(seen, remote, &key, ending);
    let may = selector(move || seen.may(TenantRight::MemberWrite));
    let texts = &t().account;
    let count = key.rights.tenant.len() + key.rights.server.len();
    let rights = fill(texts.api_rights_count, &[("n", &count)]);
    let networks = match key.networks.as_slice() {
        [] => texts.api_networks_any.to_owned(),
        all => all.join(", "),
    };
    let until = until(key.until, time::now());
    let used = key.used_at.map_or_else(|| view! { (t().account.never) }, |at| view! { Age(at=at) });
    let (email, name, prefix) = (key.email, key.name, elided(key.prefix));
    view! {
        tr {
            td(class="cut") { (email) }
            td(class="cut") { (name) }
            td { (prefix) }
            td(class="num") { (rights) }
            td(class="wrap small") { (networks) }
            td(class="muted") { (until) }
            td(class="muted") { (used) }
            td(class="end") {
                (if may.get() { view! {
                    Action(label=t().tenant.api_end, kind=Kind::Danger, run=move || ending.set(true))
                } } else { nothing() })
                (end)
            }
        }
    }
}

fn until(until: Option<UnixMs>, now: UnixMs) -> View {
    match until {
        None => view! { (t().account.never) },
        Some(at) if at <= now => view! { Badge(tone=Tone::Calm, label=t().tenant.api_over) },
        Some(at) => {
            let at = time::local(at);
            view! { (at) }
        }
    }
}

fn end_dialog(
    seen: Seen,
    remote: Remote<Page<TenantApiKey>>,
    key: &TenantApiKey,
    open: Signal<bool>,
) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let path = TenantApiKeyPath { tenant: seen.id, key: key.key };
    let question = Question {
        title: t().tenant.api_end_title.to_owned(),
        text: fill(t().tenant.api_end_text, &[("name", &key.name), ("email", &key.email)]),
        label: t().tenant.api_end_title,
        typed: None,
    };
    ask(open, question, move |task| {
        task.run(session.call::<table::EndTenantApiKey>(path.clone(), (), ()), move |()| {
            toasts.done(t().tenant.api_ended);
            open.set(false);
            remote.reload();
        });
    })
}

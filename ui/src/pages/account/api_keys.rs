//! API keys: what each may, where, until when, and when it was used last.

use super::api_key_new::new_dialog;
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{Action, Icon, Kind, Question, Toasts, ask, elided, empty, listing, nothing, shown},
    remote::{self, Remote, watch},
    session::Session,
    time::{self, Age},
};
use mamba_wire::api::{
    Page,
    account::{ApiKey, ApiKeyPath},
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;

/// The card.
#[component]
pub(super) fn ApiKeys() -> View {
    let remote = watch::<table::ListApiKeys>(remote::RARELY_MS, || Some(((), ())));
    let making = create_signal(false);
    let make = new_dialog(remote, making);
    view! {
        section(class="card") {
            header {
                h2 { (t().account.api_keys) }
                Action(label=t().account.api_new, picture=Icon::Plus, run=move || making.set(true))
            }
            div(class="body") { p(class="muted") { (t().account.api_text) } }
            (shown(remote, move |page| list(remote, page)))
        }
        (make)
    }
}

fn list(remote: Remote<Page<ApiKey>>, page: ReadSignal<Rc<Page<ApiKey>>>) -> View {
    let items = selector(move || page.with(|it| it.items.clone()));
    view! {
        (if items.with(Vec::is_empty) {
            empty(Icon::Key, t().account.api_none, t().account.api_none_text, nothing())
        } else {
            let rows =
                view! { Indexed(list=items, view=move |it| view! { Line(remote=remote, key=it) }) };
            let texts = &t().account;
            let heads = [
                t().servers.name, texts.api_prefix, texts.api_rights, texts.api_tenant,
                texts.api_networks, texts.api_until, texts.used, "",
            ];
            listing(&heads, rows)
        })
    }
}

#[component(inline_props)]
fn Line(remote: Remote<Page<ApiKey>>, key: ApiKey) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let deleting = create_signal(false);
    let path = ApiKeyPath { key: key.key };
    let question = Question {
        title: t().account.api_delete.to_owned(),
        text: fill(t().account.api_delete_text, &[("name", &key.name)]),
        label: t().account.api_delete,
        typed: None,
    };
    let delete = ask(deleting, question, move |task| {
        task.run(session.call::<table::DeleteApiKey>(path.clone(), (), ()), move |()| {
            toasts.done(t().account.api_deleted);
            deleting.set(false);
            remote.reload();
        });
    });
    let texts = &t().account;
    let count = key.admin.len() + key.rights.tenant.len() + key.rights.server.len();
    let rights = fill(texts.api_rights_count, &[("n", &count)]);
    let tenant = key.tenant.map_or_else(
        || texts.api_all_tenants.to_owned(),
        |id| {
            let me = session.me();
            let own = me.and_then(|me| me.tenants.iter().find(|it| it.tenant == id).cloned());
            own.map_or_else(|| id.to_string(), |it| it.name)
        },
    );
    let networks = match key.networks.as_slice() {
        [] => texts.api_networks_any.to_owned(),
        all => all.join(", "),
    };
    let until = key.until.map_or_else(|| texts.never.to_owned(), time::local);
    let used = key.used_at.map_or_else(|| view! { (t().account.never) }, |at| view! { Age(at=at) });
    let (name, prefix) = (key.name, elided(key.prefix));
    view! {
        tr {
            td(class="cut") { (name) }
            td { (prefix) }
            td(class="num") { (rights) }
            td(class="cut") { (tenant) }
            td(class="wrap small") { (networks) }
            td(class="muted") { (until) }
            td(class="muted") { (used) }
            td(class="end") {
                Action(label=t().general.remove, kind=Kind::Danger, run=move || deleting.set(true))
                (delete)
            }
        }
    }
}

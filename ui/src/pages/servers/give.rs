//! Its way to another tenant: for who may delete it here and make servers there.

use super::page::Seen;
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    nav::Place,
    parts::{
        Choice, Field, Icon, Kind, Select, Submit, Toasts, complaint, confirm, dialog, empty,
        loading, nothing,
    },
    remote::{self, watch},
    session::Session,
    task::Task,
};
use mamba_core::access::TenantRight;
use mamba_wire::api::{
    PageQuery, page::PAGE_ITEMS_MAX, params::ServerPath, server::GiveServer, table,
};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// All tenants, for choosing.
const ALL: PageQuery = PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) };

/// What stands in the dialog.
#[derive(Clone, Copy, PartialEq)]
enum Now {
    Loading,
    Nobody,
    Some,
}

/// Returns the dialog that asks to whom. The name has to be typed: what was given may not come back.
pub(super) fn give_dialog(seen: Seen, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let place = use_context::<Place>();
    dialog(open, t().servers.give, move || {
        let tenants = watch::<table::ListTenants>(remote::NEVER_MS, || Some(((), ALL.into())));
        let others = create_memo(move || {
            let page = tenants.value.get_clone()?;
            let may = |it| session.may_tenant(it, TenantRight::ServerCreate);
            let owner = seen.server.with(|it| it.tenant);
            let others = page.items.iter().filter(|it| it.tenant != owner && may(it.tenant));
            let others = others.map(|it| Choice::new(it.tenant.to_string(), &it.name));
            Some(others.collect::<Vec<_>>())
        });
        let now = selector(move || match others.with(|it| it.as_ref().map(Vec::is_empty)) {
            None if tenants.failure.with(Option::is_none) => Now::Loading,
            None | Some(true) => Now::Nobody,
            Some(false) => Now::Some,
        });
        let choices = create_memo(move || {
            let first = Choice::new("", t().servers.choose);
            std::iter::once(first).chain(others.get_clone().unwrap_or_default()).collect::<Vec<_>>()
        });
        let (tenant, typed) = (create_signal(String::new()), create_signal(String::new()));
        let task = Task::new();
        let failed = complaint(tenants.failure, &[]);
        let form = move || {
            let name = seen.server.with_untracked(|it| it.name.clone());
            let text = fill(t().servers.give_sure, &[("name", &name)]);
            let submit = move |event: SubmitEvent| {
                event.prevent_default();
                let Ok(to) = tenant.with_untracked(|it| it.parse()) else { return };
                if typed.with_untracked(|it| *it != name) {
                    return;
                }
                let (path, body) = (ServerPath { server: seen.id }, GiveServer { tenant: to });
                task.run(session.call::<table::GiveServer>(path, (), body), move |_| {
                    toasts.done(t().servers.given);
                    open.set(false);
                    // What may be done with it is another thing now.
                    place.go("/servers");
                });
            };
            let wrong = complaint(task.failure, &["tenant"]);
            let button = view! { Submit(label=t().servers.give, kind=Kind::Danger, task=task) };
            let footer = confirm(open, button);
            view! {
                form(on:submit=submit, novalidate=true) {
                    p { (text) }
                    (wrong)
                    Select(label=t().servers.give_to, name="tenant", value=tenant, choices=choices, failure=task.failure)
                    Field(label=t().servers.delete_type, name="confirm", value=typed)
                    (footer)
                }
            }
        };
        let nobody = || {
            empty(Icon::People, t().servers.give_nobody, t().servers.give_nobody_text, nothing())
        };
        view! {
            (failed)
            (match now.get() {
                Now::Loading => loading(),
                Now::Nobody if tenants.failure.with(Option::is_some) => nothing(),
                Now::Nobody => nobody(),
                Now::Some => form(),
            })
        }
    })
}

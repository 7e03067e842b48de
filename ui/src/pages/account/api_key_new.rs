//! A new API key: what it may, in which tenant, from where, until when.

use crate::{
    i18n::t,
    parts::{
        Choice, Chosen, Copyable, Field, Picked, Select, Submit, TextArea, Tick, complaint,
        confirm, dialog, nothing, ticks,
    },
    remote::Remote,
    session::Session,
    task::Task,
    time,
};
use mamba_core::access::{AdminRight, Rights};
use mamba_wire::api::{
    Page,
    account::{ApiKey, CreateApiKey},
    table,
};
use std::collections::BTreeSet;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600_000;

/// What is typed and chosen.
#[derive(Clone, Copy)]
struct Form {
    name: Signal<String>,
    tenant: Signal<String>,
    networks: Signal<String>,
    /// Days; empty for no end.
    days: Signal<String>,
    /// `read`, `all` or `own`.
    level: Signal<String>,
    rights: Picked,
    admin: Chosen,
}

impl Form {
    fn new() -> Self {
        let text = |text: &str| create_signal(text.to_owned());
        Self {
            name: text(""),
            tenant: text(""),
            networks: text(""),
            days: text("90"),
            level: text("read"),
            rights: Picked::new(&Rights::default()),
            admin: create_signal(BTreeSet::new()),
        }
    }

    fn read(self, own: &BTreeSet<AdminRight>) -> CreateApiKey {
        let days = self.days.with_untracked(|it| it.parse::<u64>().ok());
        let level = self.level.get_clone_untracked();
        let (rights, admin) = match level.as_str() {
            "all" => (Rights::all(), own.clone()),
            "own" => {
                let admin = self.admin.get_clone_untracked();
                (self.rights.read(), admin.iter().filter_map(|it| it.parse().ok()).collect())
            }
            _ => (Rights::all().read_only(), own.iter().filter_map(|it| reading(*it)).collect()),
        };
        let tenant = self.tenant.with_untracked(|it| it.parse().ok());
        CreateApiKey {
            name: self.name.get_clone_untracked(),
            // A key for one tenant reaches nothing of the installation.
            admin: if tenant.is_some() { BTreeSet::new() } else { admin },
            rights,
            tenant,
            networks: self.networks.with_untracked(|it| lines(it)),
            until: days.map(|days| time::now().plus(days * DAY_MS)),
        }
    }
}

/// Returns a right that only lets look.
fn reading(right: AdminRight) -> Option<AdminRight> {
    // The smaller half stands first.
    AdminRight::ALL.iter().copied().find(|it| it.write() == right.write())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// Returns the dialog.
pub(super) fn new_dialog(remote: Remote<Page<ApiKey>>, open: Signal<bool>) -> View {
    dialog(open, t().account.api_new, move || {
        let made = create_signal(None::<String>);
        view! {
            (match made.get_clone() {
                Some(token) => view! {
                    div(class="body") { p { (t().account.api_made) } Copyable(text=token) }
                },
                None => form(remote, open, made),
            })
        }
    })
}

fn form(remote: Remote<Page<ApiKey>>, open: Signal<bool>, made: Signal<Option<String>>) -> View {
    let session = use_context::<Session>();
    let me = session.me();
    let own = me.as_ref().map(|me| me.admin.rights()).unwrap_or_default();
    let (form, task, has_own) = (Form::new(), Task::new(), own.clone());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = form.read(&own);
        task.run(session.call::<table::CreateApiKey>((), (), body), move |it| {
            made.set(Some(it.token));
            remote.reload();
        });
    };
    let texts = &t().account;
    let choice = |value: &str, label: &str| Choice::new(value, label);
    let tenants = me.iter().flat_map(|me| &me.tenants);
    let tenants = tenants.map(|it| Choice::new(it.tenant.to_string(), it.name.clone()));
    let all = std::iter::once(choice("", texts.api_all_tenants));
    let tenants = create_signal(all.chain(tenants).collect::<Vec<_>>());
    let ends = create_signal(vec![
        choice("30", texts.api_days_30),
        choice("90", texts.api_days_90),
        choice("365", texts.api_days_365),
        choice("", texts.never),
    ]);
    let levels = create_signal(vec![
        choice("read", texts.api_rights_read),
        choice("all", texts.api_rights_all),
        choice("own", texts.api_rights_own),
    ]);
    let wrong = complaint(task.failure, &["name"]);
    let footer = confirm(open, view! { Submit(label=texts.api_new, task=task) });
    let is_own = crate::reactive::selector(move || form.level.with(|it| it == "own"));
    view! {
        form(on:submit=submit, novalidate=true) {
            (wrong)
            Field(label=t().servers.name, name="name", value=form.name, autofocus=true, failure=task.failure)
            div(class="columns") {
                Select(label=texts.api_tenant, name="tenant", value=form.tenant, choices=*tenants)
                Select(label=texts.api_until, name="until", value=form.days, choices=*ends)
            }
            TextArea(label=texts.api_networks, name="networks", value=form.networks, rows="2",
                hint=texts.api_networks_hint, failure=task.failure)
            Select(label=texts.api_rights, name="rights", value=form.level, choices=*levels)
            (if is_own.get() { boxes(form, &has_own) } else { nothing() })
            (footer)
        }
    }
}

fn boxes(form: Form, own: &BTreeSet<AdminRight>) -> View {
    let rights = form.rights.boxes(&Rights::all());
    let each = own.iter();
    let admin: Vec<Tick> = each
        .map(|it| Tick { name: it.name(), about: it.description(), group: it.group() })
        .collect();
    if admin.is_empty() {
        return rights;
    }
    let admin = ticks(admin, form.admin);
    view! { h3 { (t().account.api_rights_admin) } (admin) (rights) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_is_the_smaller_half_of_each_right() {
        assert_eq!(reading(AdminRight::NodesWrite), Some(AdminRight::NodesRead));
        assert_eq!(reading(AdminRight::NodesRead), Some(AdminRight::NodesRead));
        for right in AdminRight::ALL {
            assert!(reading(*right).is_some_and(|it| it.name().ends_with(".read")));
        }
    }

    #[test]
    fn networks_are_lines() {
        assert_eq!(lines(" 10.0.0.0/8 \n\n::1/128"), ["10.0.0.0/8", "::1/128"]);
        assert!(lines("\n").is_empty());
    }
}

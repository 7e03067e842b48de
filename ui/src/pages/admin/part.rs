//! The dialog that sets an account's part in running the installation.

use super::users::replace;
use crate::{
    i18n::{fill, t},
    parts::{Choice, Select, Submit, Tick, Toasts, complaint, confirm, dialog, nothing, ticks},
    reactive::selector,
    remote::Pages,
    session::Session,
    task::Task,
};
use mamba_core::access::{AdminRight, Administration};
use mamba_wire::api::{
    table,
    user::{SetAdministration, User, UserPath},
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// Returns the dialog.
pub(super) fn part_dialog(pages: Pages<User>, user: &User, open: Signal<bool>) -> View {
    let title = fill(t().admin.part_of, &[("email", &user.email)]);
    let user = Rc::new(user.clone());
    dialog(open, title, move || form(pages, &user, open))
}

fn form(pages: Pages<User>, user: &User, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (id, task) = (user.user, Task::new());
    let level = match &user.admin {
        Administration::None => "none",
        Administration::Some(_) => "some",
        Administration::Root => "root",
    };
    let level = create_signal(level.to_owned());
    let given = match &user.admin {
        Administration::Some(rights) => rights.iter().map(|it| it.name()).collect(),
        Administration::None | Administration::Root => std::collections::BTreeSet::new(),
    };
    // What one does not have cannot be given; what the account has already stays in sight.
    let own = session.me().map(|it| it.admin.clone()).unwrap_or_default();
    let is_offered = |it: &&AdminRight| own.rights().contains(it) || given.contains(it.name());
    let offered: Vec<Tick> = AdminRight::ALL.iter().filter(is_offered).map(tick).collect();
    let chosen = create_signal(given);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let admin = match level.get_clone_untracked().as_str() {
            "root" => Administration::Root,
            "some" => Administration::Some(
                chosen
                    .with_untracked(|it| it.iter().filter_map(|name| name.parse().ok()).collect()),
            ),
            _ => Administration::None,
        };
        let call = session.call::<table::SetAdministration>(
            UserPath { user: id },
            (),
            SetAdministration { admin },
        );
        task.run(call, move |changed| {
            toasts.done(t().general.saved);
            open.set(false);
            replace(pages, changed);
        });
    };
    let choice = |value: &str, label: &str| Choice::new(value, label);
    let mut choices =
        vec![choice("none", t().admin.part_none), choice("some", t().admin.part_some)];
    if own == Administration::Root {
        choices.push(choice("root", t().admin.part_root));
    }
    let choices = create_signal(choices);
    let is_some = selector(move || level.with(|it| it == "some"));
    let wrong = complaint(task.failure, &[]);
    let footer = confirm(open, view! { Submit(label=t().general.save, task=task) });
    view! {
        form(on:submit=submit, novalidate=true) {
            (wrong)
            Select(label=t().admin.part, name="part", value=level, choices=*choices)
            (if is_some.get() { ticks(offered.clone(), chosen) } else { nothing() })
            (footer)
        }
    }
}

fn tick(right: &AdminRight) -> Tick {
    Tick { name: right.name(), about: right.description(), group: right.group() }
}

//! Every account: who there is, and who is let in no more.

use super::{
    part::part_dialog,
    user_edit::{edit_dialogs, make_dialog},
};
use crate::{
    i18n::{fill, t},
    parts::{
        Action, Badge, Icon, Kind, Question, Toasts, Tone, ask, head, icon, listed, nothing, table,
    },
    reactive::effect,
    remote::Pages,
    session::Session,
    task::Task,
    time::{self, Age},
};
use mamba_core::access::{AdminRight, Administration};
use mamba_wire::api::{
    PageQuery,
    page::PAGE_ITEMS_DEFAULT,
    table,
    user::{User, UserPath, UserQuery},
};
use sycamore::{futures::spawn_local_scoped, prelude::*};

/// How long somebody may type before the hub is asked.
const TYPING_MS: u32 = 250;

/// The page.
#[component]
pub(super) fn Users() -> View {
    let session = use_context::<Session>();
    let may_write = session.may_admin(AdminRight::UsersWrite);
    let (typed, wanted) = (create_signal(String::new()), create_signal(String::new()));
    settle(typed, wanted);
    let pages = Pages::<User>::open::<table::ListUsers>(move |after| {
        let email = Some(wanted.with(|it| it.trim().to_owned())).filter(|it| !it.is_empty());
        let page = PageQuery { after, limit: Some(PAGE_ITEMS_DEFAULT) };
        ((), UserQuery { email, ..page.into() })
    });
    let making = create_signal(false);
    let make = make_dialog(pages, making);
    let button = if may_write {
        view! {
            Action(label=t().admin.user_new, kind=Kind::Primary, picture=Icon::Plus,
                run=move || making.set(true))
        }
    } else {
        nothing()
    };
    let head = head(Vec::new(), t().admin.users, button);
    let magnifier = icon(Icon::Search);
    let items = pages.items;
    let none = (Icon::Account, t().admin.users_none, t().admin.users_none_text);
    let found = listed(pages, none, move || {
        let lines = view! {
            Indexed(list=items, view=move |it| view! {
                Line(pages=pages, user=it, may_write=may_write)
            })
        };
        let texts = &t().admin;
        let heads =
            [t().sign_in.email, texts.tenants, texts.factors, texts.signed_in, texts.made, ""];
        table(texts.users, &heads, lines)
    });
    view! {
        (head)
        div(class="toolbar") {
            label(class="search") {
                (magnifier) span(class="sr") { (t().admin.users_search) }
                input(r#type="search", placeholder=t().admin.users_search, bind:value=typed)
            }
        }
        (found) (make)
    }
}

/// Takes over what was typed once nothing more is.
fn settle(typed: Signal<String>, wanted: Signal<String>) {
    effect(move || {
        let text = typed.get_clone();
        spawn_local_scoped(async move {
            time::sleep(TYPING_MS).await;
            let is_last = typed.with_untracked(|it| *it == text);
            if is_last && wanted.with_untracked(|it| *it != text) {
                wanted.set(text);
            }
        });
    });
}

#[component(inline_props)]
fn Line(pages: Pages<User>, user: User, may_write: bool) -> View {
    let session = use_context::<Session>();
    let is_own = session.me().is_some_and(|it| it.user == user.user);
    let locking = create_signal(false);
    let lock = lock_dialog(pages, &user, locking);
    let tenants: Vec<&str> = user.tenants.iter().map(|it| it.name.as_str()).collect();
    let (tenants, factors) = (tenants.join(", "), factors(&user));
    let part = match &user.admin {
        Administration::Root => Some(t().admin.root),
        Administration::Some(rights) if !rights.is_empty() => Some(t().admin.administrator),
        Administration::Some(_) | Administration::None => None,
    };
    let part = part.map_or_else(nothing, |it| view! { " " span(class="tag") { (it) } });
    let locked = user.locked_at.map_or_else(nothing, |_| {
        view! { " " Badge(tone=Tone::Bad, label=t().admin.locked) }
    });
    let seen = seen(&user);
    let (giving, editing) = (create_signal(false), create_signal(false));
    let (give, edit) = (part_dialog(pages, &user, giving), edit_dialogs(pages, &user, editing));
    let action = if user.locked_at.is_some() { t().admin.unlock } else { t().admin.lock };
    // What is one's own is changed in the own account.
    let may_change = may_write && !is_own;
    let is_root = |admin: &Administration| *admin == Administration::Root;
    // What is root's, only root gives and takes.
    let may_give =
        may_write && (!is_root(&user.admin) || session.me().is_some_and(|it| is_root(&it.admin)));
    let (email, made) = (user.email, user.made_at);
    view! {
        tr {
            td(class="cut") { strong { (email) } (part) (locked) }
            td(class="cut muted") { (tenants) }
            td(class="muted") { (factors) }
            td(class="muted") { (seen) }
            td(class="muted") { Age(at=made) }
            td(class="end") {
                (if may_give { view! {
                    Action(label=t().servers.rights, kind=Kind::Quiet, run=move || giving.set(true))
                } } else { nothing() })
                (if may_change { view! {
                    Action(label=action, kind=Kind::Quiet, run=move || locking.set(true))
                    Action(label=t().admin.edit, kind=Kind::Quiet, run=move || editing.set(true))
                } } else { nothing() })
                (lock) (give) (edit)
            }
        }
    }
}

/// Returns what protects an account beside its password.
fn factors(user: &User) -> String {
    let texts = &t().admin;
    match (user.totp_since.is_some(), user.passkeys) {
        (false, 0) => texts.factor_none.to_owned(),
        (true, 0) => texts.factor_app.to_owned(),
        (false, n) => fill(texts.factor_keys, &[("n", &n)]),
        (true, n) => format!("{}, {}", texts.factor_app, fill(texts.factor_keys, &[("n", &n)])),
    }
}

/// Returns where an account is signed in, and when it was used.
fn seen(user: &User) -> View {
    let count = user.sessions;
    match user.used_at {
        Some(at) => {
            let text = fill(t().admin.sessions, &[("n", &count)]);
            view! { (text) ", " Age(at=at) }
        }
        None => view! { "–" },
    }
}

/// Takes over how an account is now.
pub(super) fn replace(pages: Pages<User>, changed: User) {
    pages.items.update(|all| {
        if let Some(it) = all.iter_mut().find(|it| it.user == changed.user) {
            *it = changed;
        }
    });
}

fn lock_dialog(pages: Pages<User>, user: &User, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (id, is_locked) = (user.user, user.locked_at.is_some());
    let texts = &t().admin;
    let (title, text, typed, label) = if is_locked {
        (texts.unlock_sure, texts.unlock_text, None, texts.unlock)
    } else {
        (texts.lock_sure, texts.lock_text, Some((texts.type_email, user.email.clone())), texts.lock)
    };
    let text = fill(text, &[("email", &user.email)]);
    let what = Question { title: title.to_owned(), text, label, typed };
    ask(open, what, move |task: Task| {
        let path = UserPath { user: id };
        let call = async move {
            if is_locked {
                session.call::<table::UnlockUser>(path, (), ()).await
            } else {
                session.call::<table::LockUser>(path, (), ()).await
            }
        };
        task.run(call, move |changed| {
            toasts.done(t().general.saved);
            open.set(false);
            replace(pages, changed);
        });
    })
}

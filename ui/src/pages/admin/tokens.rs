//! Join tokens that were not used yet.

use crate::{
    i18n::{fill, t},
    parts::{Action, Kind, Question, Toasts, ask, nothing, table},
    reactive::selector,
    remote::Remote,
    session::Session,
    task::Task,
    time::{self, Age, Ticking},
};
use mamba_core::access::AdminRight;
use mamba_wire::api::{Page, node::JoinToken, params::TokenPath, table};
use sycamore::prelude::*;

/// The card; not there while there are none.
#[component(inline_props)]
pub(super) fn Tokens(tokens: Remote<Page<JoinToken>>) -> View {
    let items = selector(move || {
        tokens.value.with(|page| page.as_ref().map(|it| it.items.clone()).unwrap_or_default())
    });
    let is_empty = selector(move || items.with(Vec::is_empty));
    view! {
        (if is_empty.get() { nothing() } else {
            let lines = view! {
                Keyed(list=items, key=|it: &JoinToken| it.id, view=move |token| view! {
                    Line(tokens=tokens, token=token)
                })
            };
            let texts = &t().admin;
            let found = table(texts.tokens, &[texts.token_for, texts.made, texts.token_left, ""], lines);
            view! { section(class="card") { header { h2 { (texts.tokens) } } (found) } }
        })
    }
}

#[component(inline_props)]
fn Line(tokens: Remote<Page<JoinToken>>, token: JoinToken) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let ticking = use_context::<Ticking>().0;
    let JoinToken { id, name, replaces, made_at, expires_at } = token;
    let may_delete = session.may_admin(AdminRight::NodesWrite);
    let withdrawing = create_signal(false);
    let what = Question {
        title: t().admin.token_withdraw_sure.to_owned(),
        text: fill(t().admin.token_withdraw_text, &[("name", &name)]),
        label: t().admin.token_withdraw,
        typed: None,
    };
    let withdraw = ask(withdrawing, what, move |task: Task| {
        let call = session.call::<table::DeleteJoinToken>(TokenPath { token: id }, (), ());
        task.run(call, move |()| {
            toasts.done(t().admin.token_withdrawn);
            withdrawing.set(false);
            tokens.reload();
        });
    });
    let left = selector(move || left(expires_at.since(ticking.get())));
    let is_replacement = replaces.is_some();
    view! {
        tr {
            td { (name) " " span(class="tag", hidden=!is_replacement) { (t().admin.replaces) } }
            td(class="muted") { Age(at=made_at) }
            td(class="num") { (left.get_clone()) }
            td(class="end") {
                (if may_delete { view! {
                    Action(label=t().admin.token_withdraw, kind=Kind::Quiet, run=move || withdrawing.set(true))
                } } else { nothing() })
                (withdraw)
            }
        }
    }
}

/// Returns how long a token can still be used.
pub(super) fn left(ms: u64) -> String {
    if ms == 0 { t().admin.token_over.to_owned() } else { time::span(ms) }
}

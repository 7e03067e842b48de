//! The dialog that makes a machine a node: a token, the command that uses it, and the wait for the machine.

use super::tokens::left;
use crate::{
    i18n::{fill, t},
    parts::{
        Copyable, Field, Icon, Submit, Tone, complaint, confirm, dialog, icon, nothing, notice,
    },
    reactive::selector,
    remote::{self, watch_all},
    session::Session,
    task::Task,
    time::Ticking,
};
use mamba_core::{clock::UnixMs, ids::NodeId};
use mamba_wire::api::{
    LinkState,
    feed::Topic,
    node::{CreateJoinToken, NewJoinToken, Node},
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// Returns the dialog. With a node it makes a token with which another machine takes that node's place.
/// `changed` is called when a token was made and when the machine has come.
pub(super) fn enrol_dialog(
    open: Signal<bool>,
    replaces: Option<Node>,
    changed: impl Fn() + 'static,
) -> View {
    let changed: Rc<dyn Fn()> = Rc::new(changed);
    let title = if replaces.is_some() { t().admin.replace } else { t().admin.enrol };
    dialog(open, title, move || {
        let made = create_signal(None::<Made>);
        let (replaces, changed) = (replaces.clone(), changed.clone());
        view! {
            (match made.get_clone() {
                None => ask(open, replaces.clone(), made, changed.clone()),
                Some(token) => wait(open, &token, changed.clone()),
            })
        }
    })
}

/// A token that was made.
#[derive(Clone)]
struct Made {
    name: String,
    replaces: Option<NodeId>,
    token: Rc<NewJoinToken>,
    at: UnixMs,
}

/// Asks for the name of a new node, or says what a replacement does.
fn ask(
    open: Signal<bool>,
    replaces: Option<Node>,
    made: Signal<Option<Made>>,
    changed: Rc<dyn Fn()>,
) -> View {
    let session = use_context::<Session>();
    let (name, task) = (create_signal(String::new()), Task::new());
    let is_new = replaces.is_none();
    let text = replaces.as_ref().map_or_else(
        || t().admin.enrol_text.to_owned(),
        |it| fill(t().admin.replace_text, &[("name", &it.name)]),
    );
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let typed = name.with_untracked(|it| it.trim().to_owned());
        let (name, replaces) = match &replaces {
            Some(node) => (node.name.clone(), Some(node.node)),
            None => (typed, None),
        };
        let body =
            CreateJoinToken { name: if is_new { name.clone() } else { String::new() }, replaces };
        let changed = changed.clone();
        let at = crate::time::now();
        task.run(session.call::<table::CreateJoinToken>((), (), body), move |token| {
            made.set(Some(Made { name, replaces, token: Rc::new(token), at }));
            changed();
        });
    };
    let wrong = complaint(task.failure, &["name"]);
    let footer = confirm(open, view! { Submit(label=t().admin.token_make, task=task) });
    let field = if is_new {
        view! {
            Field(label=t().admin.node_name, name="name", value=name, hint=t().admin.node_name_hint,
                autofocus=true, failure=task.failure)
        }
    } else {
        nothing()
    };
    view! { form(on:submit=submit, novalidate=true) { p { (text) } (wrong) (field) (footer) } }
}

/// Shows the command, and waits until the machine has come.
fn wait(open: Signal<bool>, made: &Made, changed: Rc<dyn Fn()>) -> View {
    let ticking = use_context::<Ticking>().0;
    let nodes = watch_all::<table::ListNodes, _>(remote::OFTEN_MS, Some(Topic::Nodes), true);
    let command = format!("sudo mamba-edge enrol {}", made.token.token);
    let (expires_at, seek) = (made.token.expires_at, made.clone());
    let come = selector(move || {
        nodes.value.with(|page| {
            let found = page.iter().flat_map(|it| &it.items).find(|it| is_it(it, &seek))?;
            Some((found.node, found.freshness.link))
        })
    });
    crate::reactive::effect(move || {
        if come.get().is_some() {
            changed();
        }
    });
    let left = selector(move || left(expires_at.since(ticking.get())));
    let close = t().general.close;
    view! {
        div(class="body") {
            p { (t().admin.enrol_run) }
            Copyable(text=command)
            p(class="muted") { (t().admin.enrol_then) }
            (match come.get() {
                None => waiting(left),
                Some((node, link)) => arrived(node, link),
            })
            footer {
                button(r#type="button", class="btn", on:click=move |_| open.set(false)) { (close) }
            }
        }
    }
}

/// Whether a node is the one that was waited for. One that takes a place is known by its new session.
fn is_it(node: &Node, made: &Made) -> bool {
    match made.replaces {
        Some(id) => {
            let is_later = node.freshness.as_of.is_some_and(|it| it > made.at);
            node.node == id && is_later && node.freshness.link == LinkState::Live
        }
        None => node.name == made.name && node.enrolled_at.0 + CLOCKS_MS >= made.at.0,
    }
}

/// How far this browser's idea of the hub's time may be off.
const CLOCKS_MS: u64 = 60_000;

fn waiting(left: ReadSignal<String>) -> View {
    let text = selector(move || fill(t().admin.enrol_left, &[("left", &left.get_clone())]));
    // What changes each second is not read aloud.
    view! {
        div(class="waiting") {
            span(class="spinner", aria-hidden="true") {}
            span(role="status") { (t().admin.enrol_waits) }
            span { (text.get_clone()) }
        }
    }
}

fn arrived(node: NodeId, link: LinkState) -> View {
    let to = format!("/admin/nodes/{node}");
    if link == LinkState::Unreachable {
        return notice(Tone::Busy, t().admin.enrol_known);
    }
    let check = icon(Icon::Check);
    view! {
        div(class="notice", data-tone="good", role="status") {
            (check) div { (t().admin.enrol_come) " " a(href=to) { (t().admin.enrol_open) } }
        }
    }
}

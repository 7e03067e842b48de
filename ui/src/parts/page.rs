//! What pages are laid out with.

use crate::net::show_current;
use sycamore::prelude::*;

/// A step on the way to a page.
pub(crate) struct Crumb {
    /// Its name.
    pub(crate) label: String,
    /// Where it is.
    pub(crate) to: String,
}

impl Crumb {
    /// Makes one.
    pub(crate) fn new(label: impl Into<String>, to: impl Into<String>) -> Self {
        Self { label: label.into(), to: to.into() }
    }
}

/// Returns the head of a page: the way to it, its title, and what can be done.
pub(crate) fn head(crumbs: Vec<Crumb>, title: impl Into<String>, actions: View) -> View {
    let title = title.into();
    titled(&title);
    let has_way = !crumbs.is_empty();
    let way: View = crumbs
        .into_iter()
        .map(
            |Crumb { label, to }| view! { a(href=to) { (label) } span(aria-hidden="true") { "/" } },
        )
        .collect::<Vec<_>>()
        .into();
    view! {
        header(class="head") {
            nav(class="crumbs", hidden=!has_way, aria-label=crate::i18n::t().general.way) { (way) }
            div(class="head-line") { h1 { (title) } div(class="actions") { (actions) } }
        }
    }
}

/// Names the page in the browser's tab.
pub(crate) fn titled(title: &str) {
    if cfg!(target_arch = "wasm32") {
        document().set_title(&format!("{title} · Mamba"));
    }
}

/// Returns nothing to see.
pub(crate) fn nothing() -> View {
    view! {}
}

/// Returns links between parts of one thing; the present one is marked.
pub(crate) fn menu(label: &'static str, links: Vec<(String, &'static str, bool)>) -> View {
    let links: View = links
        .into_iter()
        .map(|(to, text, is_here)| {
            let here = is_here.then_some("page");
            view! { a(href=to, aria-current=here) { (text) } }
        })
        .collect::<Vec<_>>()
        .into();
    let node = create_node_ref();
    // On a phone they are one line that scrolls.
    on_mount(move || {
        if let Some(element) = node.try_get() {
            show_current(&element);
        }
    });
    view! { nav(class="tabs", aria-label=label, r#ref=node) { (links) } }
}

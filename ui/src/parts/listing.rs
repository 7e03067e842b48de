//! Tables with a head, and lists that are read page by page.

use super::{Action, Icon, Tone, empty, loading, nothing, notice, table};
use crate::{i18n::t, remote::Pages};
use sycamore::prelude::*;

/// Returns a table. An empty head is that of the column with what can be done.
pub(crate) fn listing(heads: &[&'static str], rows: View) -> View {
    table(t().general.list, heads, rows)
}

/// Returns what stands below a list that is read page by page: what went wrong, and the way to more.
pub(crate) fn more<T: Clone>(pages: Pages<T>) -> View {
    view! {
        (match pages.task.failure.get_clone() {
            Some(failure) => notice(Tone::Bad, failure.text()),
            None => nothing(),
        })
        (if pages.has_more() {
            view! { div { Action(label=t().general.more, task=pages.task, run=move || pages.more()) } }
        } else { nothing() })
    }
}

/// Returns a list, or what stands in its place while there is nothing in it.
pub(crate) fn listed<T: Clone + 'static>(
    pages: Pages<T>,
    none: (Icon, &'static str, &'static str),
    list: impl Fn() -> View + 'static,
) -> View {
    let is_empty = crate::reactive::selector(move || pages.items.with(Vec::is_empty));
    let (picture, title, text) = none;
    view! {
        (if !is_empty.get() {
            list()
        } else if pages.task.busy.get() {
            loading()
        } else if pages.task.failure.with(Option::is_none) {
            empty(picture, title, text, nothing())
        } else {
            nothing()
        })
        (more(pages))
    }
}

//! Tables.

use crate::i18n::t;
use sycamore::prelude::*;

/// Returns a table in its box, which scrolls by itself when it is wide. A head without text is that of
/// buttons.
pub(crate) fn table(label: &'static str, heads: &[&'static str], body: View) -> View {
    // On a phone each line is a block, whose values are told by their heads.
    let names: String = heads
        .iter()
        .enumerate()
        .map(|(index, text)| format!("--h{}:\"{text}\";", index + 1))
        .collect();
    let heads = row_of(heads);
    view! {
        div(class="table-wrap", tabindex="0", role="group", aria-label=label) {
            table(class="listing", style=names) { thead { tr { (heads) } } tbody { (body) } }
        }
    }
}

/// Returns what a chart shows as a table, folded away until somebody wants it.
pub(crate) fn numbers(heads: &[&'static str], body: View) -> View {
    let heads = row_of(heads);
    view! {
        details(class="numbers") {
            summary { (t().servers.as_table) }
            div(class="table-wrap") {
                table { thead { tr { (heads) } } tbody { (body) } }
            }
        }
    }
}

fn row_of(heads: &[&'static str]) -> View {
    let heads: Vec<View> = heads.iter().map(|text| head(text)).collect();
    View::from(heads)
}

fn head(text: &'static str) -> View {
    if text.is_empty() {
        return view! { th(scope="col") { span(class="sr") { (t().servers.actions) } } };
    }
    view! { th(scope="col") { (text) } }
}

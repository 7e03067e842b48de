//! Text to be copied.

use super::{Icon, icon, nothing};
use crate::{i18n::t, time};
use sycamore::{futures::spawn_local_scoped, prelude::*, web::window};

/// How long the button says that it copied.
const SAID_MS: u32 = 2_000;

/// Shows a text with a button that copies it. Without a clipboard (plain HTTP) the text can be selected.
#[component(inline_props)]
pub(crate) fn Copyable(#[prop(setter(into))] text: String) -> View {
    let shown = text.clone();
    let button = copier(move || Some(text.clone()));
    view! { div(class="copyable") { code { (shown) } (button) } }
}

/// Letters at the end of an id that are always shown: two of one minute differ only there.
const ENDING_CHARS: usize = 8;

/// Returns how something secret begins. Where there is no room its middle is not shown; all of it is in its
/// title, and copied when it is selected.
pub(crate) fn elided(text: String) -> View {
    let cut = text.floor_char_boundary(text.len().saturating_sub(ENDING_CHARS));
    let (begin, ending) = (text[..cut].to_owned(), format!("{}…", &text[cut..]));
    view! { code(class="elided", title=text) { span(class="cut") { (begin) } span { (ending) } } }
}

/// Returns a button that copies what `text` gives at that time; nothing where there is no clipboard.
pub(crate) fn copier(text: impl Fn() -> Option<String> + 'static) -> View {
    // Plain HTTP has no clipboard.
    if !cfg!(target_arch = "wasm32") || !window().is_secure_context() {
        return nothing();
    }
    let copied = create_signal(false);
    let copy = move |_| {
        let Some(text) = text() else { return };
        spawn_local_scoped(async move {
            let writing = window().navigator().clipboard().write_text(&text);
            if wasm_bindgen_futures::JsFuture::from(writing).await.is_ok() {
                copied.set(true);
                time::sleep(SAID_MS).await;
                copied.set(false);
            }
        });
    };
    view! {
        button(r#type="button", class="btn", data-kind="quiet", on:click=copy, aria-live="polite") {
            span(class="with-icon", hidden=!copied.get()) { (icon(Icon::Check)) (t().general.copied) }
            span(class="with-icon", hidden=copied.get()) { (icon(Icon::Copy)) (t().general.copy) }
        }
    }
}

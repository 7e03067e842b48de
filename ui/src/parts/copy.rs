//! Text to be copied.

use super::{Icon, icon};
use crate::{i18n::t, time};
use sycamore::{futures::spawn_local_scoped, prelude::*, web::window};

/// How long the button says that it copied.
const SAID_MS: u32 = 2_000;

/// Shows a text with a button that copies it. Without a clipboard (plain HTTP) the text can be selected.
#[component(inline_props)]
pub(crate) fn Copyable(#[prop(setter(into))] text: String) -> View {
    let copied = create_signal(false);
    let shown = text.clone();
    let copy = move |_| {
        let text = text.clone();
        spawn_local_scoped(async move {
            let writing = window().navigator().clipboard().write_text(&text);
            if wasm_bindgen_futures::JsFuture::from(writing).await.is_ok() {
                copied.set(true);
                time::sleep(SAID_MS).await;
                copied.set(false);
            }
        });
    };
    // Plain HTTP has no clipboard.
    let has_clipboard = cfg!(target_arch = "wasm32") && window().is_secure_context();
    view! {
        div(class="copyable") {
            code { (shown) }
            (if has_clipboard {
                let copy = copy.clone();
                view! {
                    button(r#type="button", class="btn", data-kind="quiet", on:click=copy,
                        aria-live="polite") {
                        span(hidden=!copied.get()) { (icon(Icon::Check)) (t().general.copied) }
                        span(hidden=copied.get()) { (icon(Icon::Copy)) (t().general.copy) }
                    }
                }
            } else { view! {} })
        }
    }
}

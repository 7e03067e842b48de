//! Dialogs: the browser's own, which keep the keyboard inside and close with Escape.

use super::{Icon, IconButton};
use crate::i18n::t;
use crate::reactive::selector;
use sycamore::{prelude::*, web::document};
use wasm_bindgen::JsCast as _;
use web_sys::{HtmlDialogElement, HtmlElement};

/// Returns a dialog that is there while `open` is set. Its content is made anew each time.
pub(crate) fn dialog(
    open: Signal<bool>,
    title: impl Into<String>,
    content: impl Fn() -> View + 'static,
) -> View {
    let title = title.into();
    let is_open = selector(move || open.get());
    view! {
        (if is_open.get() { opened(open, title.clone(), content()) } else { view! {} })
    }
}

fn opened(open: Signal<bool>, title: String, content: View) -> View {
    let node = create_node_ref();
    let before = document().active_element().and_then(|it| it.dyn_into::<HtmlElement>().ok());
    on_mount(move || {
        if let Some(dialog) = node.try_get() {
            // It fails only for one that is open or not in the page.
            dialog.unchecked_into::<HtmlDialogElement>().show_modal().ok();
        }
    });
    on_cleanup(move || {
        if let Some(before) = &before {
            before.focus().ok();
        }
    });
    view! {
        dialog(class="dialog", r#ref=node, aria-labelledby="dialog-title", on:close=move |_| open.set(false)) {
            header {
                h2(id="dialog-title") { (title) }
                IconButton(label=t().general.close, picture=Icon::Close, run=move || open.set(false))
            }
            (content)
        }
    }
}

/// Returns what a dialog ends with: its buttons, the one that gives up first.
pub(crate) fn confirm(open: Signal<bool>, button: View) -> View {
    view! {
        footer {
            button(r#type="button", class="btn", on:click=move |_| open.set(false)) {
                (t().general.cancel)
            }
            (button)
        }
    }
}

//! Short words on what just happened.

use super::{Icon, icon};
use crate::{i18n::t, net::Failure, reactive::selector, time};
use sycamore::{futures::spawn_local, prelude::*};

/// How long they stay. What went wrong stays until it is closed.
const SHOWN_MS: u32 = 5_000;
/// Most at one time: the oldest go.
const SHOWN_MAX: usize = 4;

#[derive(Clone, PartialEq)]
struct Toast {
    number: u32,
    is_bad: bool,
    text: String,
}

/// All of them.
#[derive(Clone, Copy)]
pub(crate) struct Toasts {
    list: Signal<Vec<Toast>>,
    last: Signal<u32>,
}

impl Toasts {
    /// There are none yet. Call once, in the root.
    pub(crate) fn start() -> Self {
        let toasts = Self { list: create_signal(Vec::new()), last: create_signal(0) };
        provide_context(toasts);
        toasts
    }

    /// Says that something was done.
    pub(crate) fn done(self, text: impl Into<String>) {
        let number = self.add(false, text.into());
        spawn_local(async move {
            time::sleep(SHOWN_MS).await;
            self.close(number);
        });
    }

    /// Says that something failed.
    pub(crate) fn failed(self, failure: &Failure) {
        self.add(true, failure.text());
    }

    fn add(self, is_bad: bool, text: String) -> u32 {
        let number = self.last.get_untracked().wrapping_add(1);
        self.last.set(number);
        self.list.update(|list| {
            if list.len() == SHOWN_MAX {
                list.remove(0);
            }
            list.push(Toast { number, is_bad, text });
        });
        number
    }

    fn close(self, number: u32) {
        self.list.update(|list| list.retain(|it| it.number != number));
    }
}

/// Where they are shown.
#[component]
pub(crate) fn Corner() -> View {
    let toasts = use_context::<Toasts>();
    // What went wrong is read aloud at once, what was done when there is a pause.
    let (bad, good) = (pile(toasts, true), pile(toasts, false));
    view! { div(class="toasts") { div(role="alert") { (bad) } div(role="status") { (good) } } }
}

/// Returns those of one kind.
fn pile(toasts: Toasts, is_bad: bool) -> View {
    let list = selector(move || {
        let mut list = toasts.list.get_clone();
        list.retain(|it| it.is_bad == is_bad);
        list
    });
    let (tone, picture) = if is_bad { ("bad", Icon::Warn) } else { ("good", Icon::Check) };
    view! {
        Keyed(list=list, key=|it| it.number, view=move |toast: Toast| {
            let number = toast.number;
            let (picture, close) = (icon(picture), icon(Icon::Close));
            view! {
                div(class="toast", data-tone=tone) {
                    (picture) p { (toast.text) }
                    button(class="btn icon-btn", data-kind="quiet", aria-label=t().general.close,
                        on:click=move |_| toasts.close(number)) { (close) }
                }
            }
        })
    }
}

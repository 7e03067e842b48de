//! Keys that work on every page, and the dialogs they open. All of them need Ctrl or Cmd: a single letter
//! would take the words out of the mouth of who speaks to the browser.

use crate::{
    i18n::t,
    lazy,
    parts::{Icon, dialog, icon},
};
use sycamore::prelude::*;
use wasm_bindgen::{JsCast as _, closure::Closure};
use web_sys::KeyboardEvent;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shortcut {
    Palette,
    Help,
}

/// Which of the dialogs is open.
#[derive(Clone, Copy)]
pub(crate) struct Shortcuts {
    palette: Signal<bool>,
    help: Signal<bool>,
}

impl Shortcuts {
    /// Listens as long as the component lives.
    pub(crate) fn start() -> Self {
        let it = Self { palette: create_signal(false), help: create_signal(false) };
        listen(move |shortcut| {
            it.palette.set(shortcut == Shortcut::Palette && !it.palette.get_untracked());
            it.help.set(shortcut == Shortcut::Help && !it.help.get_untracked());
        });
        it
    }

    /// Returns the button that opens the palette.
    pub(crate) fn button(self) -> View {
        let magnifier = icon(Icon::Search);
        view! {
            button(r#type="button", class="btn find", aria-keyshortcuts="Control+K Meta+K",
                on:click=move |_| self.palette.set(true)) {
                (magnifier) span { (t().palette.open) } kbd(aria-hidden="true") { (command("K")) }
            }
        }
    }

    /// Returns the dialogs.
    pub(crate) fn dialogs(self) -> View {
        let Self { palette, help } = self;
        let find = move || lazy::page(lazy::palette(palette, help));
        let (find, keys) =
            (dialog(palette, t().palette.title, find), dialog(help, t().palette.shortcuts, keys));
        view! { (find) (keys) }
    }
}

/// Returns the list of all keys.
fn keys() -> View {
    let texts = &t().palette;
    let rows = [
        (command("K"), texts.title),
        (command("/"), texts.shortcuts),
        ("↑ ↓".to_owned(), texts.arrows),
        ("Tab".to_owned(), texts.tab),
        ("Esc".to_owned(), texts.escape),
    ];
    let rows = rows.into_iter().map(|(key, text)| view! { dt { kbd { (key) } } dd { (text) } });
    let rows = View::from(rows.collect::<Vec<_>>());
    view! { div(class="body") { dl(class="facts shortcuts") { (rows) } } }
}

/// Returns how a key with the machine's command key is written.
fn command(key: &str) -> String {
    let agent = window().navigator().user_agent().unwrap_or_default();
    if agent.contains("Mac OS") { format!("⌘ {key}") } else { format!("Ctrl {key}") }
}

/// Calls `act` for each shortcut as long as the component lives.
fn listen(act: impl Fn(Shortcut) + 'static) {
    let scope = use_current_scope();
    let listener = Closure::<dyn FnMut(KeyboardEvent)>::new(move |event: KeyboardEvent| {
        let has_command = (event.ctrl_key() || event.meta_key()) && !event.alt_key();
        if let Some(shortcut) = meaning(&event.key(), has_command) {
            event.prevent_default();
            scope.run_in(|| act(shortcut));
        }
    });
    let told = listener.as_ref().unchecked_ref::<js_sys::Function>().clone();
    document().add_event_listener_with_callback("keydown", &told).ok();
    on_cleanup(move || {
        document().remove_event_listener_with_callback("keydown", &told).ok();
        drop(listener);
    });
}

fn meaning(key: &str, has_command: bool) -> Option<Shortcut> {
    match key {
        "k" | "K" if has_command => Some(Shortcut::Palette),
        "/" if has_command => Some(Shortcut::Help),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_letter_alone_does_anything() {
        for (key, has_command, expected) in [
            ("k", true, Some(Shortcut::Palette)),
            ("K", true, Some(Shortcut::Palette)),
            ("/", true, Some(Shortcut::Help)),
            ("k", false, None),
            ("/", false, None),
            ("x", true, None),
        ] {
            assert_eq!(meaning(key, has_command), expected, "{key}");
        }
    }
}

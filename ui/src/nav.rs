//! Where the visitor is: the address bar as signals, and links that load nothing anew.

use mamba_wire::api::{decode_query, decode_segment};
use std::cell::RefCell;
use sycamore::{
    prelude::*,
    web::{document, window},
};
use wasm_bindgen::{JsCast as _, JsValue, closure::Closure};
use web_sys::{Element, HtmlAnchorElement, HtmlElement, MouseEvent};

/// The place in the panel.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Parts of the path, decoded.
    pub(crate) path: Signal<Vec<String>>,
    /// The query, without its question mark.
    pub(crate) query: Signal<String>,
}

impl Place {
    /// Listens for links and for Back. Call once, in the root: the listeners live as long as the page.
    pub(crate) fn start() -> Self {
        let place = Self { path: create_signal(Vec::new()), query: create_signal(String::new()) };
        place.read();
        provide_context(place);
        let scope = use_current_scope();
        let on_pop = Closure::<dyn FnMut()>::new(move || scope.run_in(|| place.read()));
        let pop = on_pop.as_ref().unchecked_ref();
        window().add_event_listener_with_callback("popstate", pop).ok();
        on_pop.forget();
        // On the document, so that links in dialogs are caught as well.
        let on_click = Closure::<dyn FnMut(MouseEvent)>::new(move |event: MouseEvent| {
            scope.run_in(|| place.click(&event));
        });
        let click = on_click.as_ref().unchecked_ref();
        document().add_event_listener_with_callback("click", click).ok();
        on_click.forget();
        place
    }

    fn read(self) {
        let location = window().location();
        let path = parts(&location.pathname().unwrap_or_default());
        let query = location.search().unwrap_or_default().trim_start_matches('?').to_owned();
        batch(|| {
            if self.path.with_untracked(|old| *old != path) {
                self.path.set(path);
            }
            if self.query.with_untracked(|old| *old != query) {
                self.query.set(query);
            }
        });
    }

    fn click(self, event: &MouseEvent) {
        let is_plain = event.button() == 0
            && !(event.meta_key() || event.ctrl_key() || event.shift_key() || event.alt_key());
        if event.default_prevented() || !is_plain {
            return;
        }
        let target = event.target().and_then(|it| it.dyn_into::<Element>().ok());
        let link = target.and_then(|it| it.closest("a[href]").ok().flatten());
        let Some(link) = link.and_then(|it| it.dyn_into::<HtmlAnchorElement>().ok()) else {
            return;
        };
        let here = window().location();
        let leaves = link.has_attribute("download")
            || !matches!(link.target().as_str(), "" | "_self")
            || here.origin() != Ok(link.origin())
            || link.pathname().starts_with("/api");
        let is_in_page = !link.hash().is_empty()
            && here.pathname() == Ok(link.pathname())
            && here.search() == Ok(link.search());
        if leaves || is_in_page {
            return;
        }
        event.prevent_default();
        self.go(&format!("{}{}{}", link.pathname(), link.search(), link.hash()));
    }

    /// Goes to a page, as a link would.
    pub(crate) fn go(self, address: &str) {
        let before = self.path.get_clone_untracked();
        if let Ok(history) = window().history() {
            history.push_state_with_url(&JsValue::NULL, "", Some(address)).ok();
        }
        self.read();
        if self.path.with_untracked(|path| *path != before) {
            window().scroll_to_with_x_and_y(0.0, 0.0);
            focus_main();
        }
    }

    /// Goes to a page in place of this one, which Back will not show again.
    pub(crate) fn replace(self, address: &str) {
        if let Ok(history) = window().history() {
            history.replace_state_with_url(&JsValue::NULL, "", Some(address)).ok();
        }
        self.read();
    }

    /// Returns one value of the query as it is now.
    pub(crate) fn query_value(self, name: &str) -> Option<String> {
        let pairs = self.query.with_untracked(|query| decode_query(query)).ok()?;
        pairs.into_iter().find(|(its, _)| its == name).map(|(_, value)| value)
    }
}

/// Goes on at the top of a new page for readers and keyboards.
fn focus_main() {
    if let Some(main) = document().get_element_by_id("main") {
        main.unchecked_into::<HtmlElement>().focus().ok();
    }
}

thread_local! {
    /// A link's secret while somebody signs in before following it.
    static KEPT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the secret behind `#` in memory, for the page that is shown after signing in.
pub(crate) fn keep_secret() {
    keep(take_secret());
}

/// Keeps a secret that was taken already, for the same.
pub(crate) fn keep(secret: String) {
    KEPT.with_borrow_mut(|kept| *kept = secret);
}

/// Takes the secret behind `#` out of the address, so that it stays neither there nor in the history.
/// Without one there it is the one that was kept.
pub(crate) fn take_secret() -> String {
    let location = window().location();
    let secret = location.hash().unwrap_or_default().trim_start_matches('#').to_owned();
    if !secret.is_empty()
        && let Ok(history) = window().history()
    {
        let path = location.pathname().unwrap_or_default();
        history.replace_state_with_url(&JsValue::NULL, "", Some(&path)).ok();
    }
    if secret.is_empty() { KEPT.take() } else { secret }
}

/// Cuts a path into its decoded parts; what cannot be decoded stays as it is.
fn parts(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|it| !it.is_empty());
    parts.map(|it| decode_segment(it).unwrap_or_else(|| it.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cut_and_decoded() {
        assert_eq!(parts("/"), Vec::<String>::new());
        assert_eq!(parts("/servers/a%20b/"), ["servers", "a b"]);
        assert_eq!(parts("/x/%ff"), ["x", "%ff"]);
    }
}

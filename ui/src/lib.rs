//! The panel: what people see of the hub, in their browser.
//!
//! `app` is the root, and `lazy` says which pages are loaded only when they are shown. A page (`pages`) is
//! built from `parts`, reads from the hub with `remote` and changes with a `task`; only `net` touches the
//! network. Texts are in `i18n`, looks in `ui/css`, what comes from
//! npm in `ui/js`. The hub serves the result, packed by `scripts/ui`.

mod app;
mod change;
mod feed;
mod i18n;
mod lazy;
mod nav;
mod net;
mod pages;
mod palette;
mod parts;
mod reactive;
mod remote;
mod route;
mod session;
mod shell;
mod shortcuts;
mod storage;
mod task;
mod theme;
mod time;

/// Begins. Called by the browser once the panel is loaded.
#[wasm_bindgen::prelude::wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
    sycamore::render(app::App);
}

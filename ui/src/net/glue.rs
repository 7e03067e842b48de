//! What is called in JavaScript: `ui/js/src/glue.js`.

use super::Failure;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};
use sycamore::{futures::spawn_local, prelude::*};
use wasm_bindgen::{JsCast as _, prelude::*};
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(raw_module = "ui-glue")]
extern "C" {
    fn mount_terminal(element: &web_sys::Node) -> js_sys::Promise;

    /// Whether a pattern matches a value; `None` when the browser cannot read the pattern.
    pub(crate) fn matches_pattern(pattern: &str, value: &str) -> Option<bool>;

    /// Gives the reader a text as a file.
    pub(crate) fn save_text(name: &str, kind: &str, text: &str);

    /// Whether this browser can use passkeys here.
    pub(crate) fn has_passkeys() -> bool;

    fn create_passkey(options: &str) -> js_sys::Promise;

    fn use_passkey(options: &str) -> js_sys::Promise;

    /// A terminal on the screen.
    #[derive(Clone)]
    pub(crate) type Terminal;

    #[wasm_bindgen(method)]
    pub(crate) fn write(this: &Terminal, text: &str);

    #[wasm_bindgen(method)]
    pub(crate) fn clear(this: &Terminal);

    #[wasm_bindgen(method)]
    pub(crate) fn find(this: &Terminal, text: &str, backwards: bool) -> bool;

    #[wasm_bindgen(method)]
    fn dispose(this: &Terminal);
}

/// Shows a terminal in an element as long as the component lives, and calls `ready` once it is there. The
/// library is loaded at the first time; when the component went meanwhile, what came late is removed.
pub(crate) fn terminal(node: NodeRef, ready: impl FnOnce(Terminal) + 'static) {
    let held: Rc<RefCell<Option<Terminal>>> = Rc::default();
    let is_gone = Rc::new(Cell::new(false));
    on_cleanup({
        let (held, is_gone) = (held.clone(), is_gone.clone());
        move || {
            is_gone.set(true);
            if let Some(terminal) = held.borrow_mut().take() {
                terminal.dispose();
            }
        }
    });
    let scope = use_current_scope();
    on_mount(move || {
        let Some(element) = node.try_get() else { return };
        let mounting = mount_terminal(&element);
        // Not bound to the component: what the promise makes must be seen, or it would stay for ever.
        spawn_local(async move {
            let Ok(made) = JsFuture::from(mounting).await else { return };
            let terminal: Terminal = made.unchecked_into();
            if is_gone.get() {
                terminal.dispose();
                return;
            }
            *held.borrow_mut() = Some(terminal.clone());
            scope.run_in(|| ready(terminal));
        });
    });
}

/// What a device is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// Make a passkey.
    Make,
    /// Sign in with one.
    Use,
}

/// Has a device do something with what the hub said, and returns what goes back to the hub.
pub(crate) async fn ask_device(
    device: Device,
    options: serde_json::Value,
) -> Result<serde_json::Value, Failure> {
    let options = options.to_string();
    let asking = match device {
        Device::Make => create_passkey(&options),
        Device::Use => use_passkey(&options),
    };
    let made = JsFuture::from(asking).await.ok().and_then(|it| it.as_string());
    made.and_then(|it| serde_json::from_str(&it).ok()).ok_or(Failure::NoPasskey)
}

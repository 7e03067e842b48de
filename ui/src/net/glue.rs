//! What is called in JavaScript: `ui/js/src/glue.js`.

use super::Failure;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};
use sycamore::{futures::spawn_local, prelude::*};
use wasm_bindgen::{JsCast as _, closure::Closure, prelude::*};
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(raw_module = "ui-glue")]
extern "C" {
    /// The answer to what was asked before the panel was here; once.
    pub(super) fn early_answer(method: &str, target: &str) -> Option<js_sys::Promise>;

    /// What somebody did with the sign-in before the panel was here.
    pub(crate) fn typed_early() -> Typed;

    /// What was typed, and more.
    pub(crate) type Typed;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn email(this: &Typed) -> String;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn password(this: &Typed) -> String;

    /// Whether the password is being typed.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn is_at_password(this: &Typed) -> bool;

    /// Whether the form was sent: nobody sent it on yet.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn is_sent(this: &Typed) -> bool;

    fn mount_terminal(element: &web_sys::Node) -> js_sys::Promise;

    /// Whether a pattern matches a value; `None` when the browser cannot read the pattern.
    pub(crate) fn matches_pattern(pattern: &str, value: &str) -> Option<bool>;

    /// Gives the reader a text as a file.
    pub(crate) fn save_text(name: &str, kind: &str, text: &str);

    /// Whether this browser can use passkeys here.
    pub(crate) fn has_passkeys() -> bool;

    fn create_passkey(options: &str) -> js_sys::Promise;

    fn use_passkey(options: &str) -> js_sys::Promise;

    /// Scrolls a line of links so that the present one is seen.
    pub(crate) fn show_current(element: &web_sys::Node);

    /// How many pixels of an element's content are above what is seen of it.
    pub(crate) fn scrolled(element: &web_sys::Node) -> f64;

    /// A terminal on the screen.
    #[derive(Clone)]
    pub(crate) type Terminal;

    #[wasm_bindgen(method)]
    pub(crate) fn write(this: &Terminal, text: &str);

    /// Whether something that was written is not on the screen yet.
    #[wasm_bindgen(method)]
    pub(crate) fn is_busy(this: &Terminal) -> bool;

    #[wasm_bindgen(method)]
    pub(crate) fn clear(this: &Terminal);

    /// What is marked, or all of it.
    #[wasm_bindgen(method)]
    pub(crate) fn text(this: &Terminal) -> String;

    /// Marks the next place of a text, if there is one.
    #[wasm_bindgen(method)]
    pub(crate) fn find(this: &Terminal, text: &str, backwards: bool) -> bool;

    fn mount_chart(element: &web_sys::Node, is_bars: bool, label: &JsValue) -> js_sys::Promise;

    /// A chart on the screen.
    #[derive(Clone)]
    pub(crate) type Drawing;

    /// Shows these points on an axis between two times.
    #[wasm_bindgen(method)]
    pub(crate) fn set(this: &Drawing, times: &[f64], values: &[f64], from: f64, to: f64);

    /// Anything that a library put into an element.
    type Mounted;

    #[wasm_bindgen(method)]
    fn dispose(this: &Mounted);
}

/// Shows a terminal in an element as long as the component lives, and calls `ready` once it is there. The
/// library is loaded at the first time.
pub(crate) fn terminal(node: NodeRef, ready: impl FnOnce(Terminal) + 'static) {
    let mount = |element: &web_sys::Node| mount_terminal(element);
    mounted(node, Box::new(mount), Box::new(|made: JsValue| ready(made.unchecked_into())));
}

/// The same for a chart, as bars or a line, whose values `label` makes readable.
pub(crate) fn drawing(
    node: NodeRef,
    is_bars: bool,
    label: fn(f64) -> String,
    ready: impl FnOnce(Drawing) + 'static,
) {
    if cfg!(not(target_arch = "wasm32")) {
        return;
    }
    let label = Closure::<dyn Fn(f64) -> String>::new(label).into_js_value();
    let mount = move |element: &web_sys::Node| mount_chart(element, is_bars, &label);
    mounted(node, Box::new(mount), Box::new(|made: JsValue| ready(made.unchecked_into())));
}

type Mount = Box<dyn FnOnce(&web_sys::Node) -> js_sys::Promise>;

/// Keeps what `mount` promises as long as the component lives. When the component went meanwhile, what came
/// late is removed.
fn mounted(node: NodeRef, mount: Mount, ready: Box<dyn FnOnce(JsValue)>) {
    let held: Rc<RefCell<Option<JsValue>>> = Rc::default();
    let is_gone = Rc::new(Cell::new(false));
    on_cleanup({
        let (held, is_gone) = (held.clone(), is_gone.clone());
        move || {
            is_gone.set(true);
            if let Some(made) = held.borrow_mut().take() {
                made.unchecked_into::<Mounted>().dispose();
            }
        }
    });
    let scope = use_current_scope();
    on_mount(move || {
        let Some(element) = node.try_get() else { return };
        let mounting = mount(&element);
        // Not bound to the component: what the promise makes must be seen, or it would stay for ever.
        spawn_local(async move {
            let Ok(made) = JsFuture::from(mounting).await else { return };
            if is_gone.get() {
                made.unchecked_into::<Mounted>().dispose();
                return;
            }
            *held.borrow_mut() = Some(made.clone());
            scope.run_in(|| ready(made));
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

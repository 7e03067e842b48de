//! Effects and selectors whose closures are boxed. Sycamore's own are compiled anew for every closure, which
//! is most of what a browser would have to load; these are compiled once for each type of value.

use sycamore::prelude::*;

/// Runs `f` now, and again whenever what it looks at changes.
pub(crate) fn effect(f: impl FnMut() + 'static) {
    let boxed: Box<dyn FnMut()> = Box::new(f);
    create_effect(boxed);
}

/// Follows a value: who looks at it is told only when it becomes another.
pub(crate) fn selector<T: PartialEq + 'static>(f: impl FnMut() -> T + 'static) -> ReadSignal<T> {
    let boxed: Box<dyn FnMut() -> T> = Box::new(f);
    create_selector(boxed)
}

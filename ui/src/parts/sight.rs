//! Long lists: only the rows in sight are drawn, and some on both sides of them.

use crate::{net::scrolled, reactive::selector};
use std::ops::Range;
use sycamore::prelude::*;
use wasm_bindgen::{JsCast as _, closure::Closure};

/// Rows on each side that are drawn although nobody sees them: quick scrolling and the Tab key reach them.
const BEYOND: usize = 20;
/// What is drawn changes by so many rows at once, so that little is done while somebody scrolls.
const STEP: usize = 10;

/// Rows from the first up to and without the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Height of each.
    pub(crate) row_px: usize,
    /// The first one that is drawn.
    pub(crate) first: usize,
    /// The first one after them.
    pub(crate) last: usize,
}

impl Span {
    /// Returns them as a part of a list that may have become shorter meanwhile.
    pub(crate) fn of(self, count: usize) -> Range<usize> {
        self.first.min(count)..self.last.min(count)
    }
}

/// Follows which of `count` rows of equal height are to be drawn in an element, whether it scrolls itself or
/// the page does. `row_px` says how high they are in a window of that width.
pub(crate) fn in_sight(
    node: NodeRef,
    row_px: fn(f64) -> usize,
    count: ReadSignal<usize>,
) -> ReadSignal<Span> {
    let (width, height) = window_size();
    let seen = create_signal((0.0, height, row_px(width)));
    let scope = use_current_scope();
    let look = move || {
        if let Some(element) = node.try_get() {
            let (width, height) = window_size();
            seen.set((scrolled(&element), height, row_px(width)));
        }
    };
    let listener = Closure::<dyn FnMut()>::new(move || scope.run_in(look));
    let told = listener.as_ref().unchecked_ref::<js_sys::Function>().clone();
    // Caught on its way down: an element's own scrolling does not rise.
    window().add_event_listener_with_callback_and_bool("scroll", &told, true).ok();
    window().add_event_listener_with_callback("resize", &told).ok();
    on_cleanup(move || {
        window().remove_event_listener_with_callback_and_bool("scroll", &told, true).ok();
        window().remove_event_listener_with_callback("resize", &told).ok();
        drop(listener);
    });
    selector(move || {
        let (above_px, seen_px, row_px) = seen.get();
        span((above_px, seen_px), row_px, count.get())
    })
}

fn window_size() -> (f64, f64) {
    let number = |it: Result<wasm_bindgen::JsValue, _>| it.ok().and_then(|it| it.as_f64());
    let (width, height) = (number(window().inner_width()), number(window().inner_height()));
    (width.unwrap_or_default(), height.unwrap_or_default())
}

/// Returns which rows to draw when so many pixels of the list are above what is seen, and so many are seen.
fn span((above_px, seen_px): (f64, f64), row_px: usize, count: usize) -> Span {
    let rows = |px: f64| usize::try_from(crate::time::whole(px)).unwrap_or(usize::MAX) / row_px;
    let first = (rows(above_px) / STEP * STEP).saturating_sub(BEYOND).min(count);
    let many = rows(seen_px).saturating_add(STEP + 2 * BEYOND);
    Span { first, last: first.saturating_add(many).min(count), row_px }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_sight_are_drawn_and_few_others() {
        for (above, seen, count, expected) in [
            (0.0, 400.0, 5, (0, 5)),
            (0.0, 400.0, 1_000, (0, 60)),
            (4_050.0, 400.0, 1_000, (80, 140)),
            (39_600.0, 400.0, 1_000, (970, 1_000)),
            // The list became shorter than what was scrolled.
            (39_600.0, 400.0, 3, (3, 3)),
        ] {
            let found = span((above, seen), 40, count);
            assert_eq!((found.first, found.last), expected, "{above} of {count}");
        }
        assert_eq!(Span { first: 80, last: 130, row_px: 40 }.of(100), 80..100);
    }

    #[test]
    fn what_is_seen_is_always_drawn() {
        for above in 0..1_000_usize {
            let px = f64::from(u32::try_from(above * 40).unwrap());
            let found = span((px, 800.0), 40, 1_000);
            assert!(found.first <= above && found.last >= (above + 20).min(1_000), "{above}");
        }
    }
}

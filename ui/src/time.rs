//! The hub's time as this browser knows it, and how old things are.

use crate::i18n::{fill, t};
use crate::reactive::selector;
use mamba_core::clock::UnixMs;
use std::cell::Cell;
use sycamore::prelude::*;
use wasm_bindgen::{JsCast as _, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;

/// How often ages are shown anew.
const TICK_MS: i32 = 1_000;
/// Below this an age is `just now`: the clocks of browser and hub are only compared to the second.
const NOW_MS: u64 = 2_000;

thread_local! {
    /// Hub's time minus the browser's, in milliseconds.
    static AHEAD_MS: Cell<f64> = const { Cell::new(0.0) };
}

/// The time, shown anew each second.
#[derive(Clone, Copy)]
pub(crate) struct Ticking(pub(crate) ReadSignal<UnixMs>);

/// Starts the clock of the page.
pub(crate) fn start() {
    let ticking = create_signal(now());
    let tick = Closure::<dyn FnMut()>::new(move || ticking.set(now()));
    let callback = tick.as_ref().unchecked_ref();
    // Without a timer ages stand still, which is better than no page.
    window().set_interval_with_callback_and_timeout_and_arguments_0(callback, TICK_MS).ok();
    tick.forget();
    provide_context(Ticking(*ticking));
}

/// Returns the hub's time.
pub(crate) fn now() -> UnixMs {
    UnixMs(whole(js_sys::Date::now() + AHEAD_MS.get()))
}

/// Learns the hub's time from the `date` of an answer, which has whole seconds: the middle is right to
/// half a second.
pub(crate) fn learn(date: &str) {
    let hub = js_sys::Date::parse(date);
    if hub.is_finite() {
        let ahead = hub + 500.0 - js_sys::Date::now();
        // Half a second is noise.
        AHEAD_MS.set(if ahead.abs() < 1_000.0 { 0.0 } else { ahead });
    }
}

/// Returns a number of JavaScript as a whole one, 0 for what is none.
pub(crate) fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, and times are far from it"
    )]
    #[expect(clippy::cast_sign_loss, reason = "below zero it saturates at zero")]
    let whole = number as u64;
    whole
}

/// Waits.
pub(crate) async fn sleep(ms: u32) {
    let promise = js_sys::Promise::new(&mut |done, _| {
        let ms = i32::try_from(ms).unwrap_or(i32::MAX);
        window().set_timeout_with_callback_and_timeout_and_arguments_0(&done, ms).ok();
    });
    JsFuture::from(promise).await.ok();
}

/// Returns a time between half of it and all of it: pages that lost the same hub do not come back at once.
pub(crate) fn jittered(ms: u32) -> u32 {
    let half = ms / 2;
    let part = whole(js_sys::Math::random() * f64::from(half));
    half + u32::try_from(part).unwrap_or(half)
}

/// Returns a span in its largest unit: `12 s`, `3 min`, `2 h`, `5 d`.
pub(crate) fn span(ms: u64) -> String {
    let texts = &t().general;
    let (number, unit) = match ms / 1_000 {
        seconds @ 0..60 => (seconds, texts.seconds),
        seconds @ 60..3_600 => (seconds / 60, texts.minutes),
        seconds @ 3_600..172_800 => (seconds / 3_600, texts.hours),
        seconds => (seconds / 86_400, texts.days),
    };
    fill(unit, &[("n", &number)])
}

/// Returns how long ago something was.
pub(crate) fn ago(now: UnixMs, at: UnixMs) -> String {
    let age = now.since(at);
    if age < NOW_MS {
        return t().general.just_now.to_owned();
    }
    fill(t().general.ago, &[("span", &span(age))])
}

/// Returns a time as the reader's country writes it.
pub(crate) fn local(at: UnixMs) -> String {
    #[expect(clippy::cast_precision_loss, reason = "times stay below 2^53 for 285,000 years")]
    let date = js_sys::Date::new(&JsValue::from_f64(at.0 as f64));
    String::from(date.to_locale_string("en-GB", &JsValue::UNDEFINED))
}

/// Returns a day as it is written everywhere: `2026-11-22`.
pub(crate) fn date(at: UnixMs) -> String {
    #[expect(clippy::cast_precision_loss, reason = "times stay below 2^53 for 285,000 years")]
    let date = js_sys::Date::new(&JsValue::from_f64(at.0 as f64));
    let iso = String::from(date.to_iso_string());
    iso.split('T').next().unwrap_or_default().to_owned()
}

/// Returns the beginning of a day, by the reader's calendar, that a field of dates holds.
pub(crate) fn day(text: &str) -> Option<UnixMs> {
    if text.is_empty() {
        return None;
    }
    let start = js_sys::Date::parse(&format!("{text}T00:00:00"));
    start.is_finite().then(|| UnixMs(whole(start)))
}

/// Shows how long ago something was; the exact time is its tooltip.
#[component(inline_props)]
pub(crate) fn Age(at: UnixMs) -> View {
    let ticking = use_context::<Ticking>().0;
    let text = selector(move || ago(ticking.get(), at));
    let exact = local(at);
    let machine = at.to_string();
    view! { time(class="age", datetime=machine, title=exact) { (text.get_clone()) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        for (ms, expected) in [
            (0, "just now"),
            (1_999, "just now"),
            (2_000, "2 s ago"),
            (59_999, "59 s ago"),
            (60_000, "1 min ago"),
            (3_600_000, "1 h ago"),
            (172_799_000, "47 h ago"),
            (172_800_000, "2 d ago"),
        ] {
            assert_eq!(ago(UnixMs(1_000_000_000 + ms), UnixMs(1_000_000_000)), expected);
        }
        assert_eq!(ago(UnixMs(1), UnixMs(2)), "just now");
    }
}

//! Charts, and amounts as people read them. The library that draws them is loaded with the first one.

use crate::net::{Drawing, drawing};
use crate::reactive::effect;
use sycamore::prelude::*;

/// What a chart shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Points {
    /// Times in seconds since 1970, ascending.
    pub(crate) times: Vec<f64>,
    /// A value for each; `NaN` is a gap.
    pub(crate) values: Vec<f64>,
    /// First time on the axis.
    pub(crate) from: f64,
    /// Last time on it.
    pub(crate) to: f64,
}

/// How a chart is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A line through moments.
    Line,
    /// A bar for each hour.
    Bars,
}

/// Returns a chart that follows its points. `name` says what it shows to who cannot see it; the numbers
/// are to be read elsewhere on the page.
pub(crate) fn chart(
    shape: Shape,
    name: &'static str,
    label: fn(f64) -> String,
    points: ReadSignal<Points>,
) -> View {
    let node = create_node_ref();
    let shown = create_signal(None::<Drawing>);
    drawing(node, shape == Shape::Bars, label, move |it| shown.set(Some(it)));
    effect(move || {
        let points = points.get_clone();
        if let Some(drawing) = shown.get_clone() {
            drawing.set(&points.times, &points.values, points.from, points.to);
        }
    });
    view! { div(class="drawing", role="img", aria-label=name, r#ref=node) {} }
}

/// Returns bytes in the unit in which one reads them: `1.5 GiB`.
pub(crate) fn bytes(value: f64) -> String {
    let mut value = value;
    let mut units = ["B", "KiB", "MiB", "GiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if value < 1_024.0 {
            break;
        }
        (value, unit) = (value / 1_024.0, larger);
    }
    format!("{} {unit}", short(value))
}

/// Returns bytes per second.
pub(crate) fn rate(value: f64) -> String {
    format!("{}/s", bytes(value))
}

/// Returns thousandths of a core as a share of one core: `12.5 %`.
pub(crate) fn cores(millicores: f64) -> String {
    format!("{} %", short(millicores / 10.0))
}

/// Returns a number with as many decimals as one can read.
pub(crate) fn short(value: f64) -> String {
    let decimals = match value {
        it if it >= 100.0 || it == 0.0 => 0,
        it if it >= 1.0 => 1,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_their_unit() {
        for (value, expected) in [
            (1234.5, "1234"),
            (12.34, "12.3"),
            (0.0123, "0.012"),
            (0.5, "0.5"),
            (0.0, "0"),
            (2.0, "2"),
            (100.0, "100"),
        ] {
            assert_eq!(short(value), expected);
        }
        for (value, expected) in [
            (0.0, "0 B"),
            (1_023.0, "1023 B"),
            (1_536.0, "1.5 KiB"),
            (1_073_741_824.0, "1 GiB"),
            (5e15, "4656613 GiB"),
        ] {
            assert_eq!(bytes(value), expected);
        }
        assert_eq!(rate(2_048.0), "2 KiB/s");
        assert_eq!(cores(125.0), "12.5 %");
        assert_eq!(cores(5.0), "0.5 %");
    }
}

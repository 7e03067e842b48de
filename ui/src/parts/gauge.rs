//! How much of something is taken.

use super::Tone;
use sycamore::prelude::*;

/// From so many percent on it is worth a look.
const BUSY_PERCENT: u64 = 90;

/// Returns a bar with what it means beside it. More than there is, is bad.
pub(crate) fn gauge(used: u64, all: u64, text: impl Into<String>) -> View {
    let (text, tone) = (text.into(), tone(used, all).name());
    let width = percent(used, all).min(100).to_string();
    view! {
        div(class="meter-line", data-tone=tone) {
            svg(class="gauge", "viewBox"="0 0 100 6", "preserveAspectRatio"="none", aria-hidden="true") {
                rect(width=width, height="6")
            }
            span(class="num") { (text) }
        }
    }
}

fn percent(used: u64, all: u64) -> u64 {
    let (used, all) = (u128::from(used), u128::from(all));
    (used * 100)
        .checked_div(all)
        .map_or(u64::from(used > 0) * 101, |it| u64::try_from(it).unwrap_or(u64::MAX))
}

fn tone(used: u64, all: u64) -> Tone {
    match percent(used, all) {
        _ if used > all => Tone::Bad,
        BUSY_PERCENT.. => Tone::Busy,
        _ => Tone::Good,
    }
}

/// Returns bytes in the largest unit that they fill: `512 MiB`, `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let Some((each, unit)) = units.into_iter().find(|(each, _)| bytes >= *each) else {
        return format!("{bytes} B");
    };
    let tenths = u128::from(bytes) * 10 / u128::from(each);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, _) if whole >= 100 => format!("{whole} {unit}"),
        (whole, tenth) => format!("{whole}.{tenth} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_is_bad() {
        for (used, all, percents, expected) in [
            (0, 0, 0, Tone::Good),
            (1, 0, 101, Tone::Bad),
            (89, 100, 89, Tone::Good),
            (90, 100, 90, Tone::Busy),
            (100, 100, 100, Tone::Busy),
            (1_001, 1_000, 100, Tone::Bad),
        ] {
            assert_eq!((percent(used, all), tone(used, all)), (percents, expected), "{used}/{all}");
        }
    }

    #[test]
    fn sizes_are_told_in_the_unit_that_they_fill() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1 << 20, "1 MiB"),
            (1_536 << 20, "1.5 GiB"),
            ((16 << 30) - 1, "15.9 GiB"),
            (250_500 << 20, "244 GiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}

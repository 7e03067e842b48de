//! How the installation is, and was in the last 90 days.

use super::titled;
use crate::{
    i18n::{fill, t},
    parts::{Badge, Icon, Tone, icon, shown},
    remote::{self, watch},
    time::{self, Age},
};
use mamba_core::clock::UnixMs;
use mamba_wire::api::{
    status::{Condition, Day, STATUS_DAYS, Status as Told, WHOLE_PERMILLE},
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;

/// A day with at least this share is good: a minute and a half may be missing.
const GOOD_PERMILLE: u32 = 999;
/// A day with at least this share is impaired, and bad below.
const IMPAIRED_PERMILLE: u32 = 950;
/// Path of the same as data.
const DATA: &str = "/api/v1/status";

/// The page.
#[component]
pub(super) fn Status() -> View {
    let remote = watch::<table::ShowStatus>(remote::RARELY_MS, || Some(((), ())));
    let title = titled(t().public.status);
    view! { (title) (shown(remote, |told| view! { (whole(&told.get_clone())) })) }
}

/// One line: something with how it is and was.
struct Part {
    title: String,
    condition: Condition,
    detail: String,
    /// Share of each day in thousandths; `None` where nothing is known.
    days: Vec<(UnixMs, Option<u32>)>,
}

fn whole(told: &Rc<Told>) -> View {
    let (tone, text) = match told.condition {
        Condition::Good => (Tone::Good, t().public.status_good),
        Condition::Impaired => (Tone::Busy, t().public.status_impaired),
        Condition::Down => (Tone::Bad, t().public.status_down),
    };
    let (tone, at) = (tone.name(), told.at);
    let picture = icon(if tone == "good" { Icon::Check } else { Icon::Warn });
    let parts: Vec<View> = parts(told).iter().map(line).collect();
    let parts = View::from(parts);
    let history =
        if told.days.is_empty() { t().public.history_none } else { t().public.history_text };
    let data = fill(t().public.api, &[("to", &DATA)]);
    view! {
        section(class="overall", data-tone=tone) {
            (picture)
            div { h2 { span(role="status") { (text) } } p { (t().public.looked_at) " " Age(at=at) } }
        }
        p(class="muted") { (t().public.status_note) }
        section(class="card") {
            header { h2 { (t().public.history) } }
            (parts)
        }
        p(class="hint") { (history) }
        p(class="hint") { a(href=DATA, rel="external") { (data) } }
    }
}

fn parts(told: &Told) -> Vec<Part> {
    let texts = &t().public;
    let of = |share: fn(&Day) -> u32| -> Vec<(UnixMs, Option<u32>)> {
        told.days.iter().map(|day| (day.day, Some(share(day)))).collect()
    };
    let part = |title: &str, condition, days| Part {
        title: title.to_owned(),
        condition,
        detail: String::new(),
        days,
    };
    let mut parts = vec![
        // Who reads this reads it from the hub.
        part(texts.hub, Condition::Good, of(|day| day.hub_permille)),
        part(texts.store, told.store, of(|day| day.store_permille)),
        part(texts.ingest, told.ingest, of(|day| day.ingest_permille)),
    ];
    for region in &told.regions {
        let title = region
            .region
            .as_ref()
            .map_or_else(|| texts.nowhere.to_owned(), |name| fill(texts.region, &[("name", name)]));
        let share = |day: &Day| {
            let found = day.regions.iter().find(|it| it.region == region.region);
            (day.day, found.map(|it| it.permille))
        };
        parts.push(Part {
            title,
            condition: region.condition,
            detail: fill(texts.connected, &[("n", &region.connected), ("all", &region.nodes)]),
            days: told.days.iter().map(share).collect(),
        });
    }
    parts
}

fn line(part: &Part) -> View {
    let (tone, word) = match part.condition {
        Condition::Good => (Tone::Good, t().public.good),
        Condition::Impaired => (Tone::Busy, t().public.impaired),
        Condition::Down => (Tone::Bad, t().public.down),
    };
    let (title, detail, chart) = (part.title.clone(), part.detail.clone(), chart(&part.days));
    let share = part.share();
    view! {
        div(class="part") {
            div(class="part-line") {
                h3 { (title) }
                span(class="muted") { (detail) }
                Badge(tone=tone, label=word)
            }
            (chart)
            p(class="hint") { (share) }
        }
    }
}

impl Part {
    /// Returns the mean of the known days in words.
    fn share(&self) -> String {
        let known: Vec<u64> = self.days.iter().filter_map(|(_, it)| it.map(u64::from)).collect();
        let count = u64::try_from(known.len()).unwrap_or(u64::MAX);
        match known.iter().sum::<u64>().checked_div(count) {
            None => String::new(),
            Some(mean) => {
                let mean = percent(u32::try_from(mean).unwrap_or(WHOLE_PERMILLE));
                fill(t().public.share, &[("share", &mean), ("n", &count)])
            }
        }
    }
}

/// Returns one bar for each of 90 days, today at the end.
fn chart(days: &[(UnixMs, Option<u32>)]) -> View {
    let slots = usize::try_from(STATUS_DAYS).unwrap_or_default();
    let missing = slots.saturating_sub(days.len());
    let empty = std::iter::repeat_n((None, None), missing);
    let known = days.iter().map(|(day, share)| (Some(*day), *share));
    let bars: Vec<View> =
        empty.chain(known).enumerate().map(|(slot, (day, share))| bar(slot, day, share)).collect();
    let (bars, frame) = (View::from(bars), format!("0 0 {} 10", slots * 4));
    view! {
        svg(class="days", "viewBox"=frame, "preserveAspectRatio"="none", aria-hidden="true") { (bars) }
    }
}

fn bar(slot: usize, day: Option<UnixMs>, share: Option<u32>) -> View {
    let tone = match share {
        None => "none",
        Some(GOOD_PERMILLE..) => "good",
        Some(IMPAIRED_PERMILLE..) => "busy",
        Some(_) => "bad",
    };
    let text = match (day, share) {
        (Some(day), Some(share)) => {
            let day = time::date(day);
            fill(t().public.day, &[("day", &day), ("share", &percent(share))])
        }
        (_, _) => String::new(),
    };
    let x = (slot * 4).to_string();
    view! { rect(x=x, y="0", width="3", height="10", data-tone=tone) { title { (text) } } }
}

/// Returns thousandths as percent.
fn percent(permille: u32) -> String {
    match permille % 10 {
        0 => format!("{} %", permille / 10),
        rest => format!("{}.{rest} %", permille / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_told_in_percent_over_the_known_days() {
        let part = |days: &[Option<u32>]| Part {
            title: String::new(),
            condition: Condition::Good,
            detail: String::new(),
            days: days.iter().map(|it| (UnixMs(0), *it)).collect(),
        };
        for (days, expected) in [
            (&[][..], ""),
            (&[None], ""),
            (&[Some(1_000), None], "100 % · days known: 1"),
            (&[Some(1_000), Some(998)], "99.9 % · days known: 2"),
            (&[Some(0)], "0 % · days known: 1"),
        ] {
            assert_eq!(part(days).share(), expected);
        }
    }
}

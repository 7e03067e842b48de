//! What a server uses, and what it used hour by hour.

use super::{gauges::Minutes, page::Seen};
use crate::reactive::selector;
use crate::{
    feed::{Feed, seconds},
    i18n::{fill, t},
    parts::{
        Choice, Fresh, Icon, Points, Select, Shape, chart, empty, nothing, numbers, short, shown,
    },
    remote::{self, watch},
    time,
};
use mamba_core::{
    clock::{HOUR_MS, UnixMs},
    fact::Meter,
};
use mamba_wire::api::{
    params::ServerPath,
    table,
    usage::{Usage, UsageQuery},
};
use std::rc::Rc;
use sycamore::prelude::*;

/// Spans to choose from, in hours.
const SPANS: [u64; 3] = [24, 7 * 24, 30 * 24];

/// The tab.
#[component(inline_props)]
pub(super) fn Used(seen: Seen) -> View {
    let hours = create_signal(SPANS[0].to_string());
    let id = seen.id;
    let live = use_context::<Feed>().gauges(id);
    let remote = watch::<table::ShowUsage>(remote::RARELY_MS, move || {
        let hours = hours.with(|it| it.parse::<u64>().unwrap_or(SPANS[0]));
        let to = time::now().hour().plus(HOUR_MS);
        let from = UnixMs(to.0.saturating_sub(hours * HOUR_MS));
        Some((ServerPath { server: id }, UsageQuery { from: Some(from), to: Some(to) }))
    });
    let choices = create_signal(vec![
        Choice::new("24", t().servers.span_day),
        Choice::new("168", t().servers.span_week),
        Choice::new("720", t().servers.span_month),
    ]);
    view! {
        Minutes(seen=seen, series=live)
        div(class="toolbar") {
            div { h2 { (t().servers.hours_title) } p(class="muted") { (t().servers.usage_text) } }
            div(class="narrow") { Select(label=t().servers.span, name="span", value=hours, choices=*choices) }
        }
        (shown(remote, charts))
    }
}

fn charts(usage: ReadSignal<Rc<Usage>>) -> View {
    let freshness = selector(move || usage.with(|it| it.freshness));
    let is_empty = selector(move || usage.with(|it| it.hours.is_empty()));
    view! {
        Fresh(freshness=freshness)
        (if is_empty.get() {
            empty(Icon::Gauge, t().servers.usage_none, t().servers.usage_none_text, nothing())
        } else {
            let charts: Vec<View> = METERS.into_iter().map(|meter| hours(usage, meter)).collect();
            let charts = View::from(charts);
            let heads = [t().servers.measured, t().servers.total, t().servers.highest];
            let numbers = numbers(&heads, rows(usage));
            view! {
                div(class="grid charts") { (charts) }
                (numbers)
            }
        })
    }
}

/// A meter and its name.
type Named = (Meter, fn() -> &'static str);

const METERS: [Named; 4] = [
    (Meter::CpuUsed, || t().servers.meter_cpu),
    (Meter::MemoryUsed, || t().servers.meter_memory),
    (Meter::DiskUsed, || t().servers.meter_disk),
    (Meter::Egress, || t().servers.meter_egress),
];

/// Amounts of one meter.
struct Series {
    bars: Vec<(UnixMs, f64)>,
    total: f64,
    most: f64,
    unit: String,
    gaps: usize,
}

fn series(usage: &Usage, meter: Meter) -> Series {
    let mut series =
        Series { bars: Vec::new(), total: 0.0, most: 0.0, unit: String::new(), gaps: 0 };
    for hour in &usage.hours {
        let Some(amount) = hour.amounts.iter().find(|it| it.meter == meter) else { continue };
        let value = amount.shown.parse::<f64>().unwrap_or_default();
        series.bars.push((hour.hour, value));
        series.total += value;
        series.most = series.most.max(value);
        series.unit.clone_from(&amount.shown_unit);
        series.gaps += usize::from(!hour.gaps.is_empty());
    }
    series
}

/// Returns the bars of a chart. An hour of which nothing is known is a gap.
fn points(usage: &Usage, meter: Meter) -> Points {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    let mut hour = usage.from;
    for (at, value) in series(usage, meter).bars {
        while hour < at {
            times.push(seconds(hour));
            values.push(f64::NAN);
            hour = hour.plus(HOUR_MS);
        }
        times.push(seconds(at));
        values.push(value);
        hour = at.plus(HOUR_MS);
    }
    Points { times, values, from: seconds(usage.from), to: seconds(usage.to) }
}

fn hours(usage: ReadSignal<Rc<Usage>>, (meter, title): Named) -> View {
    let shown = selector(move || usage.with(|it| points(it, meter)));
    let words = selector(move || {
        let series = usage.with(|it| series(it, meter));
        (format!("{} {}", short(series.total), series.unit), series.gaps)
    });
    let drawn = chart(Shape::Bars, title(), short, shown);
    view! {
        section(class="stat chart") {
            h3 { (title()) }
            p(class="big") { (words.with(|it| it.0.clone())) }
            (drawn)
            p(class="muted", hidden=words.with(|it| it.1 == 0)) {
                (words.with(|it| fill(t().servers.usage_gaps, &[("n", &it.1)])))
            }
        }
    }
}

fn rows(usage: ReadSignal<Rc<Usage>>) -> View {
    METERS
        .into_iter()
        .map(|(meter, title)| {
            let told = selector(move || {
                let Series { total, most, unit, .. } = usage.with(|it| series(it, meter));
                [total, most].map(|it| format!("{} {unit}", short(it)))
            });
            let cell = move |index: usize| told.with(|it| it[index].clone());
            view! { tr { th(scope="row") { (title()) } td { (cell(0)) } td { (cell(1)) } } }
        })
        .collect::<Vec<_>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::ids::ServerId;
    use mamba_wire::api::{
        Freshness, LinkState,
        usage::{Amount, UsageHour},
    };

    #[test]
    fn hours_of_which_nothing_is_known_are_gaps() {
        let hour = |n: u64, bytes: u128| UsageHour {
            hour: UnixMs(n * HOUR_MS),
            amounts: vec![Amount::of(Meter::Egress, bytes)],
            gaps: Vec::new(),
        };
        let usage = Usage {
            server: ServerId::from_bytes([1; 16]),
            from: UnixMs(10 * HOUR_MS),
            to: UnixMs(14 * HOUR_MS),
            hours: vec![hour(11, 2_000_000_000), hour(13, 500_000_000)],
            freshness: Freshness { as_of: None, link: LinkState::Live },
        };
        let points = points(&usage, Meter::Egress);
        assert_eq!(points.times, [36_000.0, 39_600.0, 43_200.0, 46_800.0]);
        let values: Vec<String> = points.values.iter().map(|it| short(*it)).collect();
        assert_eq!(values, ["NaN", "2", "NaN", "0.5"]);
        assert_eq!(short(series(&usage, Meter::Egress).total), "2.5");
    }
}

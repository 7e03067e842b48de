//! What a server used, hour by hour.

use super::page::Seen;
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{Choice, Fresh, Icon, Select, empty, nothing, shown},
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
        div(class="toolbar") {
            p(class="muted") { (t().servers.usage_text) }
            div(class="narrow") { Select(label=t().servers.span, name="span", value=hours, choices=*choices) }
        }
        (shown(remote, charts))
    }
}

fn charts(usage: ReadSignal<Rc<Usage>>) -> View {
    let freshness = selector(move || usage.with(|it| it.freshness));
    view! {
        Fresh(freshness=freshness)
        (if usage.with(|it| it.hours.is_empty()) {
            empty(Icon::Gauge, t().servers.usage_none, t().servers.usage_none_text, nothing())
        } else {
            let charts: Vec<View> = [
                (Meter::CpuUsed, t().servers.meter_cpu),
                (Meter::MemoryUsed, t().servers.meter_memory),
                (Meter::DiskUsed, t().servers.meter_disk),
                (Meter::Egress, t().servers.meter_egress),
            ]
            .into_iter()
            .map(|(meter, title)| chart(&usage.get_clone(), meter, title))
            .collect();
            let charts = View::from(charts);
            view! { div(class="grid charts") { (charts) } }
        })
    }
}

/// Amounts of one meter.
struct Series {
    bars: Vec<(UnixMs, f64)>,
    total: f64,
    unit: String,
    gaps: usize,
}

fn series(usage: &Usage, meter: Meter) -> Series {
    let mut series = Series { bars: Vec::new(), total: 0.0, unit: String::new(), gaps: 0 };
    for hour in &usage.hours {
        let Some(amount) = hour.amounts.iter().find(|it| it.meter == meter) else { continue };
        let value = amount.shown.parse::<f64>().unwrap_or_default();
        series.bars.push((hour.hour, value));
        series.total += value;
        series.unit.clone_from(&amount.shown_unit);
        series.gaps += usize::from(!hour.gaps.is_empty());
    }
    series
}

fn chart(usage: &Usage, meter: Meter, title: &'static str) -> View {
    let series = series(usage, meter);
    let slots = usage.to.since(usage.from) / HOUR_MS;
    let most = series.bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let bars: View = series
        .bars
        .iter()
        .map(|(hour, value)| {
            let slot = hour.since(usage.from) / HOUR_MS;
            let height = if most > 0.0 { value / most * 100.0 } else { 0.0 };
            let (x, y, height) =
                (slot.to_string(), format!("{:.2}", 100.0 - height), format!("{height:.2}"));
            let text = format!("{}: {} {}", time::local(*hour), short(*value), series.unit);
            view! { rect(x=x, y=y, width="0.8", height=height) { title { (text) } } }
        })
        .collect::<Vec<_>>()
        .into();
    let total = format!("{} {}", short(series.total), series.unit);
    let label = format!("{title}: {total}");
    let frame = format!("0 0 {slots} 100");
    let gaps = fill(t().servers.usage_gaps, &[("n", &series.gaps)]);
    let has_gaps = series.gaps > 0;
    view! {
        section(class="stat chart") {
            h2 { (title) }
            p(class="big") { (total) }
            svg("viewBox"=frame, "preserveAspectRatio"="none", "role"="img", aria-label=label) { (bars) }
            p(class="muted", hidden=!has_gaps) { (gaps) }
        }
    }
}

/// Returns a number with as many decimals as one can read.
fn short(value: f64) -> String {
    let decimals = match value {
        it if it >= 100.0 => 0,
        it if it >= 1.0 => 1,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_decimals_that_matter() {
        for (value, expected) in
            [(1234.5, "1234"), (12.34, "12.3"), (0.0123, "0.012"), (0.0, "0.000")]
        {
            assert_eq!(short(value), expected);
        }
    }
}

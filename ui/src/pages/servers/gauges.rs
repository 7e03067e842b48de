//! What a server uses just now: in its head, and as charts of the last minutes.

use super::page::Seen;
use crate::reactive::{effect, selector};
use crate::{
    feed::{Feed, STALE_MS, Series, seconds},
    i18n::{fill, t},
    parts::{Points, Shape, bytes, chart, cores, nothing, numbers, rate, short},
    session::Session,
    time::{self, Ticking},
};
use mamba_core::{clock::UnixMs, ids::ServerId, server::Limits};
use mamba_wire::{
    api::{params::ServerPath, table},
    node::{Gauges, RECENT_MS},
};
use sycamore::{futures::spawn_local_scoped, prelude::*};

/// One thing that is measured.
#[derive(Clone, Copy)]
struct Gauge {
    title: fn() -> &'static str,
    value: fn(&Gauges) -> Option<f64>,
    label: fn(f64) -> String,
    limit: fn(&Limits, &Gauges) -> Option<f64>,
    /// Whether it is shown only where it was told: not every game says it.
    is_rare: bool,
}

#[expect(clippy::cast_precision_loss, reason = "a byte more or less is not seen above 2^53")]
const GAUGES: [Gauge; 5] = [
    Gauge {
        title: || t().servers.meter_cpu,
        value: |it| it.cpu_millicores.map(|it| it as f64),
        label: cores,
        limit: |it, _| Some(f64::from(it.cpu_millicores.0)).filter(|it| *it > 0.0),
        is_rare: false,
    },
    Gauge {
        title: || t().servers.meter_memory,
        value: |it| it.memory_bytes.map(|it| it as f64),
        label: bytes,
        limit: |it, _| Some(f64::from(it.memory_mib.0) * 1_048_576.0).filter(|it| *it > 0.0),
        is_rare: false,
    },
    Gauge {
        title: || t().servers.meter_sent,
        value: |it| it.sent_bytes_per_s.map(|it| it as f64),
        label: rate,
        limit: |_, _| None,
        is_rare: false,
    },
    Gauge {
        title: || t().servers.meter_disk,
        value: |it| it.disk.map(|it| it.0 as f64),
        label: bytes,
        limit: |it, _| Some(f64::from(it.disk_mib.0) * 1_048_576.0).filter(|it| *it > 0.0),
        is_rare: false,
    },
    Gauge {
        title: || t().servers.meter_players,
        value: |it| it.players.map(|it| f64::from(it.now)),
        label: short,
        limit: |_, it| it.players.map(|it| f64::from(it.max)),
        is_rare: true,
    },
];

impl Gauge {
    /// Follows whether it is to be shown.
    fn is_shown(self, series: ReadSignal<Series>) -> ReadSignal<bool> {
        selector(move || !self.is_rare || series.with(|it| it.knows(self.value)))
    }

    /// Returns the newest value in words, with its limit.
    fn now(self, gauges: Option<&Gauges>, limits: &Limits) -> String {
        let known = gauges.and_then(|it| Some((it, (self.value)(it)?)));
        let Some((gauges, value)) = known else {
            return t().servers.not_measured.to_owned();
        };
        let value = (self.label)(value);
        match (self.limit)(limits, gauges) {
            None => value,
            Some(limit) => {
                fill(t().servers.of_limit, &[("value", &value), ("limit", &(self.label)(limit))])
            }
        }
    }
}

/// Returns how old the newest gauges are, if that is worth a word.
fn old(series: &Series, now: UnixMs) -> Option<String> {
    let at = series.newest()?.at;
    (now.since(at) > STALE_MS).then(|| time::ago(now, at))
}

/// One line with what the server uses now.
#[component(inline_props)]
pub(super) fn Now(seen: Seen, series: ReadSignal<Series>) -> View {
    let ticking = use_context::<Ticking>().0;
    let limits = selector(move || seen.server.with(|it| it.limits));
    let is_known = selector(move || series.with(|it| it.newest().is_some()));
    let age = selector(move || series.with(|it| old(it, ticking.get())));
    let lines: View = GAUGES
        .into_iter()
        .map(|gauge| {
            let text = selector(move || series.with(|it| gauge.now(it.newest(), &limits.get())));
            let title = (gauge.title)();
            let is_known =
                selector(move || series.with(|it| it.newest().and_then(gauge.value).is_some()));
            view! { div(hidden=!is_known.get()) { dt { (title) } dd { (text.get_clone()) } } }
        })
        .collect::<Vec<_>>()
        .into();
    view! {
        dl(class="gauges", hidden=!is_known.get(), data-old=age.with(Option::is_some).then_some("")) {
            (lines)
            div(hidden=age.with(Option::is_none)) {
                dt { (t().servers.as_of) } dd { (age.get_clone().unwrap_or_default()) }
            }
        }
    }
}

/// Charts of the last minutes, and their numbers as a table.
#[component(inline_props)]
pub(super) fn Minutes(seen: Seen, series: ReadSignal<Series>) -> View {
    let ticking = use_context::<Ticking>().0;
    let limits = selector(move || seen.server.with(|it| it.limits));
    let age = selector(move || series.with(|it| old(it, ticking.get())));
    // Without the age, which changes each second: it is not to be read aloud again and again.
    let state = selector(move || {
        match (age.with(Option::is_some), series.with(|it| it.newest().is_some())) {
            (_, false) => t().servers.live_waiting,
            (true, true) => t().servers.live_old,
            (false, true) => t().servers.live_now,
        }
    });
    let charts: Vec<View> = GAUGES
        .into_iter()
        .map(|gauge| {
            let is_shown = gauge.is_shown(series);
            view! { (if is_shown.get() { drawn(gauge, series, limits, age) } else { nothing() }) }
        })
        .collect();
    let charts = View::from(charts);
    let texts = &t().servers;
    let heads = [texts.measured, texts.lowest, texts.mean, texts.highest];
    let numbers = numbers(&heads, table_rows(series));
    remember(seen.id, series);
    view! {
        div(class="toolbar") {
            h2 { (t().servers.live_title) }
            span(class="muted", role="status") { (state.get()) }
            span(class="muted num", hidden=age.with(Option::is_none)) {
                (t().servers.as_of) " " (age.get_clone().unwrap_or_default())
            }
        }
        div(class="grid charts") { (charts) }
        (numbers)
    }
}

/// Asks the node for what was before the gauges that it tells, whenever it begins to tell some.
fn remember(server: ServerId, series: ReadSignal<Series>) {
    let (session, feed) = (use_context::<Session>(), use_context::<Feed>());
    let since = selector(move || series.with(Series::since));
    effect(move || {
        if since.get().is_none() {
            return;
        }
        spawn_local_scoped(async move {
            let path = ServerPath { server };
            // A node that remembers nothing, or is too old for the question: the charts begin now.
            if let Ok(recent) = session.call::<table::ShowRecentResources>(path, (), ()).await {
                feed.recall(recent);
            }
        });
    });
}

/// Returns the chart of one gauge.
fn drawn(
    gauge: Gauge,
    series: ReadSignal<Series>,
    limits: ReadSignal<Limits>,
    age: ReadSignal<Option<String>>,
) -> View {
    let ticking = use_context::<Ticking>().0;
    let points = selector(move || {
        let (times, values) = series.with(|it| it.points(gauge.value));
        let to = ticking.get();
        let from = UnixMs(to.0.saturating_sub(RECENT_MS));
        Points { times, values, from: seconds(from), to: seconds(to) }
    });
    let now = selector(move || series.with(|it| gauge.now(it.newest(), &limits.get())));
    let title = (gauge.title)();
    let drawn = chart(Shape::Line, title, gauge.label, points);
    view! {
        section(class="stat chart", data-old=age.with(Option::is_some).then_some("")) {
            h3 { (title) }
            p(class="big") { (now.get_clone()) }
            (drawn)
        }
    }
}

fn table_rows(series: ReadSignal<Series>) -> View {
    GAUGES
        .into_iter()
        .map(|gauge| {
            let told = selector(move || {
                let (_, values) = series.with(|it| it.points(gauge.value));
                let label = |it: f64| (gauge.label)(it);
                extent(&values).map_or([t().servers.not_measured.to_owned(), String::new(), String::new()], |it| it.map(label))
            });
            let (title, is_shown) = ((gauge.title)(), gauge.is_shown(series));
            let cell = move |index: usize| told.with(|it| it[index].clone());
            view! { tr(hidden=!is_shown.get()) { th(scope="row") { (title) } td { (cell(0)) } td { (cell(1)) } td { (cell(2)) } } }
        })
        .collect::<Vec<_>>()
        .into()
}

/// Returns the lowest of what is known, the mean and the highest.
fn extent(values: &[f64]) -> Option<[f64; 3]> {
    let known: Vec<f64> = values.iter().copied().filter(|it| !it.is_nan()).collect();
    let lowest = known.iter().copied().reduce(f64::min)?;
    let highest = known.iter().copied().reduce(f64::max)?;
    #[expect(clippy::cast_precision_loss, reason = "some hundred values")]
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    Some([lowest, mean, highest])
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::{
        ids::ServerId,
        lifecycle::ServerState,
        players::Players,
        units::{Mib, Millicores},
    };

    #[test]
    fn numbers_say_their_limit_and_that_nothing_is_known() {
        let limits = Limits {
            memory_mib: Mib(1_024),
            swap_mib: Mib(0),
            cpu_millicores: Millicores(0),
            disk_mib: Mib(0),
            pids: 64,
            sharing: mamba_core::server::Sharing::USUAL,
        };
        let gauges = Gauges {
            server: ServerId::from_bytes([1; 16]),
            at: UnixMs(1),
            state: ServerState::Running,
            memory_bytes: Some(512 << 20),
            cpu_millicores: Some(250),
            sent_bytes_per_s: None,
            disk: None,
            players: Some(Players { now: 3, max: 8 }),
        };
        let words = GAUGES.map(|gauge| gauge.now(Some(&gauges), &limits));
        let none = "not measured";
        assert_eq!(words, ["25 %", "512 MiB of 1 GiB", none, none, "3 of 8"]);
        assert_eq!(GAUGES[0].now(None, &limits), "not measured");
    }

    #[test]
    fn gaps_do_not_count_in_the_summary() {
        assert_eq!(extent(&[f64::NAN, 1.0, f64::NAN, 4.0]), Some([1.0, 2.5, 4.0]));
        assert_eq!(extent(&[f64::NAN]), None);
    }
}

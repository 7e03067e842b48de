//! Pure: what a tenant may use, as fields and as bars.

use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    net::Failure,
    parts::Field,
};
use mamba_core::quota::{Amounts, Quota};
use sycamore::prelude::*;

/// One thing that is limited.
struct Part {
    title: &'static str,
    /// Path of its field in the hub's words.
    field: &'static str,
    unit: &'static str,
}

const COUNT: usize = 6;

fn parts() -> [Part; COUNT] {
    let texts = &t().tenant;
    [
        Part { title: texts.memory, field: "quota.memory_mib", unit: "MiB" },
        Part { title: texts.cpu, field: "quota.cpu_millicores", unit: texts.millicores },
        Part { title: texts.disk, field: "quota.disk_mib", unit: "MiB" },
        Part { title: texts.servers, field: "quota.servers", unit: "" },
        Part { title: texts.backups, field: "quota.backups", unit: "" },
        Part { title: texts.allocations, field: "quota.allocations", unit: "" },
    ]
}

fn limits(quota: &Quota) -> [Option<u64>; COUNT] {
    let Quota { memory_mib, cpu_millicores, disk_mib, servers, backups, allocations } = *quota;
    [memory_mib, cpu_millicores, disk_mib, servers, backups, allocations]
}

fn amounts(used: &Amounts) -> [u64; COUNT] {
    let Amounts { memory_mib, cpu_millicores, disk_mib, servers, backups, allocations } = *used;
    [memory_mib, cpu_millicores, disk_mib, servers, backups, allocations]
}

/// Returns each limit with what is taken of it.
pub(super) fn bars(quota: &Quota, used: &Amounts) -> View {
    let each = parts().into_iter().zip(limits(quota)).zip(amounts(used));
    let bars: Vec<View> = each.map(|((part, limit), used)| bar(&part, limit, used)).collect();
    let bars = View::from(bars);
    view! { div(class="grid") { (bars) } }
}

fn bar(part: &Part, limit: Option<u64>, used: u64) -> View {
    let (title, shown) = (part.title, amount(part.unit, used));
    let limit_text = limit.map(|limit| amount(part.unit, limit));
    let text = match &limit_text {
        Some(limit) => fill(t().tenant.quota_of, &[("used", &shown), ("limit", limit)]),
        None => t().tenant.quota_none.to_owned(),
    };
    let share = limit.map_or(0, |limit| share(used, limit));
    let tone = if share >= 100 {
        "bad"
    } else if share >= 80 {
        "busy"
    } else {
        "good"
    };
    let (style, has_limit) = (format!("--v:{share}%"), limit.is_some());
    view! {
        section(class="stat") {
            h2 { (title) }
            p(class="big") { (shown) }
            div(class="meter", data-tone=tone, style=style, hidden=!has_limit, aria-hidden="true") {}
            p(class="muted") { (text) }
        }
    }
}

/// Returns a share in percent, at most 100.
fn share(used: u64, limit: u64) -> u64 {
    used.saturating_mul(100).checked_div(limit).unwrap_or(100).min(100)
}

/// Returns an amount as people read it: large ones in larger units.
fn amount(unit: &str, amount: u64) -> String {
    let tenths = |amount: u64, per: u64, unit: &str| {
        let tenths = amount.saturating_mul(10) / per;
        match tenths % 10 {
            0 => format!("{} {unit}", tenths / 10),
            rest => format!("{}.{rest} {unit}", tenths / 10),
        }
    };
    match unit {
        "" => amount.to_string(),
        "MiB" if amount >= 1_024 => tenths(amount, 1_024, "GiB"),
        "MiB" => format!("{amount} MiB"),
        _ => tenths(amount, 1_000, t().tenant.cores),
    }
}

/// Returns a quota in one line; what is not limited is left out.
pub(super) fn line(quota: &Quota) -> String {
    let each = parts().into_iter().zip(limits(quota));
    let shown: Vec<String> = each
        .filter_map(|(part, limit)| Some(format!("{} {}", part.title, amount(part.unit, limit?))))
        .collect();
    if shown.is_empty() { t().tenant.quota_none.to_owned() } else { shown.join(" · ") }
}

/// What is typed.
#[derive(Clone, Copy)]
pub(super) struct Typed([Signal<String>; COUNT]);

impl Typed {
    /// Begins with these.
    pub(super) fn new(quota: &Quota) -> Self {
        let text = |limit: Option<u64>| limit.map(|it| it.to_string()).unwrap_or_default();
        Self(limits(quota).map(|limit| create_signal(text(limit))))
    }

    /// Returns the quota, when all that is typed are numbers.
    pub(super) fn read(self) -> Option<Quota> {
        let mut read = [None; COUNT];
        for (signal, place) in self.0.into_iter().zip(&mut read) {
            *place = signal.with(|it| number(it)).ok()?;
        }
        let [memory_mib, cpu_millicores, disk_mib, servers, backups, allocations] = read;
        Some(Quota { memory_mib, cpu_millicores, disk_mib, servers, backups, allocations })
    }

    /// Returns the fields.
    pub(super) fn fields(self, failure: Signal<Option<Failure>>) -> View {
        let fields: Vec<View> = parts()
            .into_iter()
            .zip(self.0)
            .map(|(part, value)| {
                let wrong = selector(move || {
                    let is_wrong = value.with(|it| number(it)).is_err();
                    is_wrong.then(|| t().tenant.quota_wrong.to_owned())
                });
                view! {
                    Field(label=part.title, name=part.field, value=value, unit=part.unit, optional=true,
                        inputmode="numeric", failure=failure, wrong=wrong)
                }
            })
            .collect();
        let fields = View::from(fields);
        view! { p(class="hint") { (t().tenant.quota_hint) } div(class="columns") { (fields) } }
    }
}

fn number(text: &str) -> Result<Option<u64>, std::num::ParseIntError> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_in_units_that_one_reads() {
        for (unit, value, expected) in [
            ("", 12, "12"),
            ("MiB", 512, "512 MiB"),
            ("MiB", 2_048, "2 GiB"),
            ("MiB", 1_536, "1.5 GiB"),
            ("1/1000 core", 2_500, "2.5 cores"),
            ("1/1000 core", 250, "0.2 cores"),
        ] {
            assert_eq!(amount(unit, value), expected);
        }
    }

    #[test]
    fn shares_are_bounded() {
        for (used, limit, expected) in [(0, 0, 100), (1, 2, 50), (3, 2, 100), (u64::MAX, 1, 100)] {
            assert_eq!(share(used, limit), expected);
        }
    }

    #[test]
    fn nothing_typed_is_no_limit() {
        for (text, expected) in
            [("", Some(None)), (" 7 ", Some(Some(7))), ("x", None), ("-1", None)]
        {
            assert_eq!(number(text).ok(), expected);
        }
        assert_eq!(line(&Quota { servers: Some(2), ..Quota::default() }), "Servers 2");
        assert_eq!(line(&Quota::default()), "not limited");
    }
}

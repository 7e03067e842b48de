//! What a tenant's servers used.

use super::page::Seen;
use crate::reactive::selector;
use crate::{
    i18n::t,
    parts::{Choice, Icon, Select, listed, listing},
    remote::Pages,
    time,
};
use mamba_core::{
    clock::{HOUR_MS, UnixMs},
    fact::Meter,
};
use mamba_wire::api::{
    table,
    usage::{Amount, ServerUsage, TenantUsageQuery},
};
use sycamore::prelude::*;

/// Hours of a day.
const DAY: u64 = 24;
/// What is shown, in this order.
const METERS: [Meter; 4] = [Meter::CpuUsed, Meter::MemoryUsed, Meter::DiskUsed, Meter::Egress];

/// The tab.
#[component(inline_props)]
pub(super) fn Used(seen: Seen) -> View {
    let hours = create_signal((7 * DAY).to_string());
    // The same for all pages of the list: a cursor belongs to its question.
    let to = time::now().hour().plus(HOUR_MS);
    let pages = Pages::<ServerUsage>::open::<table::ListUsage>(move |after| {
        let hours = hours.with(|it| it.parse::<u64>().unwrap_or(DAY));
        let from = UnixMs(to.0.saturating_sub(hours * HOUR_MS));
        (seen.path(), TenantUsageQuery { from: Some(from), to: Some(to), after, limit: None })
    });
    let choices = create_signal(vec![
        Choice::new("24", t().servers.span_day),
        Choice::new("168", t().servers.span_week),
        Choice::new("720", t().servers.span_month),
    ]);
    let none = (Icon::Gauge, t().tenant.usage_none, t().tenant.usage_none_text);
    view! {
        div(class="toolbar") {
            p(class="muted grow") { (t().tenant.usage_text) }
            div(class="narrow") { Select(label=t().servers.span, name="span", value=hours, choices=*choices) }
        }
        (listed(pages, none, move || list(pages)))
    }
}

fn list(pages: Pages<ServerUsage>) -> View {
    let sums =
        selector(move || pages.items.with(|items| METERS.map(|meter| shown(&sum(items, meter)))));
    let rows = view! {
        Keyed(list=pages.items, key=|it: &ServerUsage| it.server, view=line)
        tr(class="sum") {
            th(scope="row") { (t().tenant.usage_sum) }
            Indexed(list=selector(move || sums.with(|it| it.to_vec())), view=|it| view! { td(class="num") { (it) } })
        }
    };
    let texts = &t().tenant;
    listing(&[texts.servers, texts.cpu, texts.memory, texts.disk, texts.egress], rows)
}

fn line(usage: ServerUsage) -> View {
    let amounts = METERS.map(|meter| shown(&sum(std::slice::from_ref(&usage), meter)));
    let cells: Vec<View> =
        amounts.into_iter().map(|it| view! { td(class="num") { (it) } }).collect();
    let (to, cells) = (format!("/servers/{}/usage", usage.server), View::from(cells));
    let (name, is_gone) = (usage.name, usage.is_gone);
    view! {
        tr {
            td(class="cut") {
                a(href=to) { (name) } span(class="tag", hidden=!is_gone) { (t().tenant.gone) }
            }
            (cells)
        }
    }
}

/// Adds up one meter, exactly.
fn sum(items: &[ServerUsage], meter: Meter) -> Amount {
    let amounts = items.iter().flat_map(|it| &it.amounts).filter(|it| it.meter == meter);
    let amounts = amounts.map(|it| it.amount.parse::<u128>().unwrap_or_default());
    Amount::of(meter, amounts.fold(0, u128::saturating_add))
}

/// Returns an amount with as many decimals as one reads.
fn shown(amount: &Amount) -> String {
    let (whole, decimals) = amount.shown.split_once('.').unwrap_or((&amount.shown, ""));
    let kept = match whole.len() {
        1 if whole == "0" => 3,
        1 | 2 => 1,
        _ => 0,
    };
    let decimals = &decimals[..kept.min(decimals.len())];
    let dot = if decimals.is_empty() { "" } else { "." };
    format!("{whole}{dot}{decimals} {}", amount.shown_unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::ids::ServerId;

    fn used(bytes: u128) -> ServerUsage {
        ServerUsage {
            server: ServerId::from_bytes([1; 16]),
            name: String::new(),
            is_gone: false,
            amounts: vec![Amount::of(Meter::Egress, bytes), Amount::of(Meter::CpuUsed, 1)],
        }
    }

    #[test]
    fn sums_are_exact_and_shown_as_one_reads_them() {
        for (each, expected) in [
            (vec![], "0.000 GB"),
            (vec![500_000_000, 1_000_000], "0.501 GB"),
            (vec![1_500_000_001, 1_500_000_000], "3.0 GB"),
            (vec![123_900_000_000], "123 GB"),
        ] {
            let items: Vec<_> = each.into_iter().map(used).collect();
            assert_eq!(shown(&sum(&items, Meter::Egress)), expected);
        }
    }
}

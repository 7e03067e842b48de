//! One line of the list of servers. Each cell follows only what it shows.

use super::{
    condition::{self, address},
    fleet::Row,
};
use crate::{
    feed::{Latest, STALE_MS},
    i18n::{fill, t},
    parts::{Fresh, badge, bytes, nothing},
    reactive::selector,
    time::{self, Age, Ticking},
};
use mamba_core::{ids::ServerId, units::MIB};
use mamba_wire::api::LinkState;
use std::collections::BTreeSet;
use sycamore::prelude::*;

/// Returns the line of a server. `latest` is what is known of the use of those in sight.
pub(super) fn line(row: Row, chosen: Signal<BTreeSet<ServerId>>, latest: Latest) -> View {
    let (id, server) = (row.id, row.server);
    let link = format!("/servers/{id}");
    let name = selector(move || server.with(|it| it.name.clone()));
    let condition = selector(move || server.with(|it| condition::of(it)));
    let freshness = selector(move || server.with(|it| it.freshness));
    let since = selector(move || server.with(|it| it.observed.as_ref().map(|it| it.since)));
    let game = selector(move || server.with(|it| it.blueprint.clone()));
    let place = selector(move || server.with(|it| address(it)).unwrap_or_else(|| "–".to_owned()));
    let is_stale = selector(move || freshness.get().link == LinkState::Unreachable);
    let is_chosen = selector(move || chosen.with(|it| it.contains(&id)));
    let toggle = move |_| {
        chosen.update(|it| {
            if !it.remove(&id) {
                it.insert(id);
            }
        })
    };
    let select = selector(move || name.with(|it| fill(t().servers.select, &[("name", it)])));
    let memory = memory(row, latest);
    view! {
        tr(data-stale=is_stale.get().then_some("yes")) {
            td(class="tick") {
                input(r#type="checkbox", aria-label=select.get_clone(), prop:checked=is_chosen.get(),
                    on:change=toggle)
            }
            td(class="cut") {
                a(href=link, title=name.get_clone()) { (name.get_clone()) }
                code(class="under") { (place.get_clone()) }
            }
            td {
                (badge(condition.get().tone, condition.get().word))
                span(class="pending") { (condition.get().pending) }
                div(class="below") { Fresh(freshness=freshness) }
            }
            td { Fresh(freshness=freshness) }
            td(class="muted") { (game.get_clone()) }
            td { code { (place.get_clone()) } }
            (memory)
            td(class="muted num") {
                (since.get().map_or_else(nothing, |at| view! { Age(at=at) }))
            }
        }
    }
}

/// Returns the cell that says how much memory is used, as far as that is known, and how much may be.
fn memory(row: Row, latest: Latest) -> View {
    let ticking = use_context::<Ticking>().0;
    let limit = selector(move || row.server.with(|it| it.limits.memory_mib.bytes()));
    let used = selector(move || {
        let known = latest.with(|it| it.get(&row.id).map(|it| (it.memory_bytes, it.at)));
        let is_up = row.server.with(|it| condition::has_process(it));
        known.filter(|_| is_up).and_then(|(used, at)| Some((used?, at)))
    });
    let text = selector(move || {
        let limit = limit.get();
        let limit = if limit == 0 { t().servers.no_limit.to_owned() } else { amount(limit) };
        match used.get() {
            Some((used, _)) => {
                fill(t().servers.of_limit, &[("value", &amount(used)), ("limit", &limit)])
            }
            None => limit,
        }
    });
    // A number of each in turn: it may wait for the next one a while without being wrong.
    let is_old = selector(move || {
        let at = used.get().map(|it| it.1);
        at.is_some_and(|at| ticking.get().since(at) > TURNS_OLD * STALE_MS).then_some("yes")
    });
    let age = selector(move || {
        let at = used.get().map(|it| it.1);
        at.map(|at| time::ago(ticking.get(), at)).filter(|_| is_old.get().is_some())
    });
    view! { td(class="num", data-stale=is_old.get(), title=age.get_clone()) { (text.get_clone()) } }
}

/// A number is grey when it is older than so many times what would be old on a server's own page: those of a
/// long list are looked at in turn.
const TURNS_OLD: u64 = 4;

#[expect(clippy::cast_precision_loss, reason = "a byte more or less is not seen above 2^53")]
fn amount(value: u64) -> String {
    // Without decimals, for which there is no room, as long as they say little.
    match value / MIB {
        mib @ 10..1_024 => format!("{mib} MiB"),
        _ => bytes(value as f64),
    }
}

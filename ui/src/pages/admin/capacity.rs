//! Pure: what a node has and what was promised of it, in words and bars.

use crate::{
    i18n::{fill, t},
    parts::{Tone, gauge, size},
};
use mamba_core::{
    placement::{Capacity, Size},
    units::MIB,
};
use mamba_wire::api::node::{Node, Standing};
use sycamore::prelude::*;

/// Returns what can be promised on a node, `None` while its machine never reported.
fn of(node: &Node) -> Option<Capacity> {
    let machine = node.machine.as_ref()?;
    Some(node.settings.capacity(Size {
        memory_bytes: machine.memory_bytes,
        disk_bytes: machine.disk_bytes,
        cpu_millicores: u64::from(machine.cpus) * 1_000,
    }))
}

fn bytes(promised_mib: u64, all: u64) -> View {
    let used = promised_mib.saturating_mul(MIB);
    let text = fill(t().admin.of, &[("used", &size(used)), ("all", &size(all))]);
    gauge(used, all, text)
}

/// Returns memory promised, of how much.
pub(super) fn memory(node: &Node) -> View {
    let promised = node.promised.memory_mib;
    of(node).map_or_else(unknown, |it| bytes(promised, it.memory_bytes))
}

/// Returns disk promised, of how much.
pub(super) fn disk(node: &Node) -> View {
    let promised = node.promised.disk_mib;
    of(node).map_or_else(unknown, |it| bytes(promised, it.disk_bytes))
}

/// Returns CPU promised, of how much where it is counted.
pub(super) fn cpu(node: &Node) -> View {
    let used = node.promised.cpu_millicores;
    match of(node).map(|it| it.cpu_millicores) {
        Some(Some(all)) => {
            let text = fill(t().admin.of, &[("used", &cores(used)), ("all", &cores(all))]);
            gauge(used, all, text)
        }
        Some(None) => {
            let text = fill(t().admin.cpu_not_counted, &[("used", &cores(used))]);
            view! { span(class="muted") { (text) } }
        }
        None => unknown(),
    }
}

fn unknown() -> View {
    view! { span(class="muted") { (t().admin.not_reported) } }
}

/// Returns thousandths of a core as cores.
pub(super) fn cores(millicores: u64) -> String {
    if millicores == 1_000 {
        return t().admin.core.to_owned();
    }
    let (whole, rest) = (millicores / 1_000, millicores % 1_000);
    let rest = format!("{rest:03}");
    let rest = rest.trim_end_matches('0');
    let dot = if rest.is_empty() { "" } else { "." };
    fill(t().admin.cores, &[("n", &format!("{whole}{dot}{rest}"))])
}

/// Returns facts that wait on a node, and the age of the oldest in milliseconds.
pub(super) fn waiting(node: &Node) -> (u64, u64) {
    let streams = node.machine.iter().flat_map(|it| &it.outbox);
    streams.fold((0, 0), |(count, age), it| {
        (count + it.unacked, age.max(if it.unacked == 0 { 0 } else { it.oldest_age_ms }))
    })
}

/// Returns what should be said of a node beside its link: nothing of one that may connect and take servers.
pub(super) fn standing(node: &Node) -> Option<(Tone, &'static str)> {
    match node.standing {
        Standing::Active if node.settings.maintenance => Some((Tone::Busy, t().admin.maintenance)),
        Standing::Active => None,
        Standing::Quarantined => Some((Tone::Bad, t().admin.quarantined)),
        Standing::Revoked => Some((Tone::Calm, t().admin.revoked)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millicores_are_told_as_cores() {
        for (millicores, expected) in [
            (0, "0 cores"),
            (1_000, "1 core"),
            (500, "0.5 cores"),
            (2_000, "2 cores"),
            (1_250, "1.25 cores"),
        ] {
            assert_eq!(cores(millicores), expected);
        }
    }
}

//! Pure: what is left for a new server, of its owner's quota and on the nodes that come into question.

use crate::{
    i18n::{fill, t},
    parts::size,
};
use mamba_core::{
    placement::Size,
    units::{MIB, Mib},
};
use mamba_wire::api::{
    LinkState,
    node::{Node, Standing},
    tenant::QuotaUse,
};

/// Memory in MiB, disk in MiB, CPU in thousandths of a core. `None` where nothing is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) memory_mib: Option<u64>,
    pub(super) disk_mib: Option<u64>,
    pub(super) cpu_millicores: Option<u64>,
}

/// What is left, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Of the quota of its owner.
    pub(super) quota: Option<Room>,
    /// On the node, or on that with the most memory left among those that the hub may choose.
    pub(super) node: Option<Room>,
}

/// Returns what is left of a quota.
pub(super) fn of_quota(told: &QuotaUse) -> Room {
    let left = |limit: Option<u64>, used: u64| limit.map(|limit| limit.saturating_sub(used));
    Room {
        memory_mib: left(told.quota.memory_mib, told.used.memory_mib),
        disk_mib: left(told.quota.disk_mib, told.used.disk_mib),
        cpu_millicores: left(told.quota.cpu_millicores, told.used.cpu_millicores),
    }
}

/// Returns what can still be promised on a node; `None` of one that never reported.
pub(super) fn of_node(node: &Node) -> Option<Room> {
    let machine = node.machine.as_ref()?;
    let capacity = node.settings.capacity(Size {
        memory_bytes: machine.memory_bytes,
        disk_bytes: machine.disk_bytes,
        cpu_millicores: u64::from(machine.cpus) * 1_000,
    });
    let cpu = capacity.cpu_millicores;
    Some(Room {
        memory_mib: Some((capacity.memory_bytes / MIB).saturating_sub(node.promised.memory_mib)),
        disk_mib: Some((capacity.disk_bytes / MIB).saturating_sub(node.promised.disk_mib)),
        cpu_millicores: cpu.map(|all| all.saturating_sub(node.promised.cpu_millicores)),
    })
}

/// Whether the hub may choose a node for a new server in a region; any where it is empty.
pub(super) fn is_eligible(node: &Node, region: &str) -> bool {
    node.standing == Standing::Active
        && !node.settings.maintenance
        && node.freshness.link == LinkState::Live
        && (region.is_empty() || node.settings.region.as_deref() == Some(region))
}

/// Returns the room on the node with the most memory left.
pub(super) fn most<'a>(nodes: impl Iterator<Item = &'a Node>) -> Option<Room> {
    nodes.filter_map(of_node).max_by_key(|it| it.memory_mib)
}

/// One limit, and how it is read in [`Room`].
pub(super) type Part = fn(&Room) -> Option<u64>;

impl Left {
    /// Says what is left of one thing; empty where nothing is counted.
    pub(super) fn words(&self, part: Part, unit: &str) -> String {
        let texts = &t().servers;
        let told = |room: Option<Room>, text: &str| {
            let left = room.as_ref().and_then(part)?;
            Some(fill(text, &[("left", &amount(left, unit))]))
        };
        let all = [told(self.quota, texts.left_quota), told(self.node, texts.left_node)];
        all.into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }

    /// Whether more is wanted than is left.
    pub(super) fn is_short(&self, part: Part, wanted: u64) -> bool {
        [self.quota, self.node].iter().flatten().filter_map(part).any(|left| wanted > left)
    }
}

fn amount(left: u64, unit: &str) -> String {
    match unit {
        "MiB" => size(u32::try_from(left).map_or(left.saturating_mul(MIB), |it| Mib(it).bytes())),
        unit => format!("{left} {unit}"),
    }
}

/// Returns what a limit takes of a room.
pub(super) fn parts() -> [(&'static str, Part); 3] {
    [
        ("limits.memory_mib", |it| it.memory_mib),
        ("limits.cpu_millicores", |it| it.cpu_millicores),
        ("limits.disk_mib", |it| it.disk_mib),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::quota::{Amounts, Quota};

    #[test]
    fn what_is_left_is_told_where_it_is_counted_and_too_much_is_seen() {
        let quota = Quota { memory_mib: Some(4_096), ..Quota::default() };
        let used = Amounts { memory_mib: 1_024, cpu_millicores: 500, ..Amounts::default() };
        let room = of_quota(&QuotaUse { quota, used });
        let memory: Part = |it| it.memory_mib;
        let cpu: Part = |it| it.cpu_millicores;
        let node = Room { memory_mib: Some(512), cpu_millicores: Some(2_000), ..Room::default() };
        let left = Left { quota: Some(room), node: None };
        assert!(left.words(memory, "MiB").contains("3 GiB"), "{}", left.words(memory, "MiB"));
        assert_eq!(left.words(cpu, "x"), "", "no limit");
        assert!(!left.is_short(memory, 3_072) && left.is_short(memory, 3_073));
        let left = Left { quota: Some(room), node: Some(node) };
        assert!(left.is_short(memory, 513) && !left.is_short(cpu, 2_000));
        let used = Amounts { memory_mib: 5_000, ..Amounts::default() };
        assert_eq!(of_quota(&QuotaUse { quota, used }).memory_mib, Some(0));
    }
}

//! Pure: which node takes a new server.

use crate::{
    allocation::PortRange,
    error::Invalid,
    ids::NodeId,
    server::{Limits, Threads, check_range},
    units::{MIB, Mib},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longest name of a region or tag in bytes.
pub const LABEL_BYTES_MAX: usize = 48;
/// Most tags of one node, and most that a server can ask for.
pub const TAGS_MAX: usize = 32;
/// Most that can be promised above what a machine has, in percent: eleven times its size.
pub const OVER_PERCENT_MAX: u32 = 1_000;

/// What an administrator says about a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSettings {
    /// Where it stands, for example `eu-west`; nowhere in particular without.
    pub region: Option<String>,
    /// What it is good for, for example `nvme`. At most 32.
    pub tags: BTreeSet<String>,
    /// Whether it takes no new servers. Those that it has go on.
    pub maintenance: bool,
    /// Memory for servers in MiB; all that the machine has without.
    pub memory_mib: Option<Mib>,
    /// Disk for servers in MiB; all that the machine has without.
    pub disk_mib: Option<Mib>,
    /// Memory promised above what there is, in percent, 0 to 1000.
    pub memory_over_percent: u32,
    /// Disk promised above what there is, in percent, 0 to 1000.
    pub disk_over_percent: u32,
    /// CPU promised above what there is, in percent, 0 to 1000; without, CPU is not counted.
    pub cpu_over_percent: Option<u32>,
    /// Ports that owners of servers may take by themselves; none without.
    pub self_service_ports: Option<PortRange>,
}

impl NodeSettings {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first field that breaks one.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Some(region) = &self.region {
            check_label("region", region)?;
        }
        check_tags("tags", &self.tags)?;
        for (field, size) in [("memory_mib", self.memory_mib), ("disk_mib", self.disk_mib)] {
            if size == Some(Mib(0)) {
                return Err(Invalid::new(field, "must be at least 1"));
            }
        }
        let cpu = self.cpu_over_percent.unwrap_or_default();
        check_range("memory_over_percent", self.memory_over_percent, 0, OVER_PERCENT_MAX)?;
        check_range("disk_over_percent", self.disk_over_percent, 0, OVER_PERCENT_MAX)?;
        check_range("cpu_over_percent", cpu, 0, OVER_PERCENT_MAX)?;
        self.self_service_ports
            .map_or(Ok(()), |range| range.check().map_err(|err| err.under("self_service_ports")))
    }

    /// Returns what can be promised on a machine of this size.
    #[must_use]
    pub fn capacity(&self, machine: Size) -> Capacity {
        let over = |size: u64, percent: u32| {
            let wide = u128::from(size) * u128::from(100 + percent) / 100;
            u64::try_from(wide).unwrap_or(u64::MAX)
        };
        let memory = self.memory_mib.map_or(machine.memory_bytes, Mib::bytes);
        let disk = self.disk_mib.map_or(machine.disk_bytes, Mib::bytes);
        Capacity {
            memory_bytes: over(memory, self.memory_over_percent),
            disk_bytes: over(disk, self.disk_over_percent),
            cpu_millicores: self.cpu_over_percent.map(|it| over(machine.cpu_millicores, it)),
        }
    }
}

/// Checks a set of tags.
///
/// # Errors
/// When there are too many, or one is not a label.
pub fn check_tags(field: &str, tags: &BTreeSet<String>) -> Result<(), Invalid> {
    if tags.len() > TAGS_MAX {
        return Err(Invalid::new(field, format!("must be at most {TAGS_MAX}")));
    }
    tags.iter().try_for_each(|tag| check_label(field, tag))
}

/// Checks the name of a region or tag.
///
/// # Errors
/// Names the field.
pub fn check_label(field: &str, text: &str) -> Result<(), Invalid> {
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(&c);
    if (1..=LABEL_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(());
    }
    let rule = format!("must be 1 to {LABEL_BYTES_MAX} of a-z, 0-9, `-`, `_` and `.`");
    Err(Invalid::new(field, rule))
}

/// What is known of one node when a server is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// Whether it may take servers: neither revoked nor in quarantine.
    pub is_active: bool,
    /// Whether its link is up.
    pub is_connected: bool,
    /// What an administrator says about it.
    pub settings: NodeSettings,
    /// Size of the machine, `None` while it never reported.
    pub size: Option<Size>,
    /// Processors of the machine, 0 while it never reported.
    pub cpus: u32,
    /// What its servers may use together already.
    pub promised: Size,
    /// Why it has no ports for the server, `None` when it has.
    pub ports_missing: Option<String>,
}

/// What a machine has, or what servers may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Memory without swap, in bytes.
    pub memory_bytes: u64,
    /// Room for data, in bytes.
    pub disk_bytes: u64,
    /// CPU in thousandths of a core.
    pub cpu_millicores: u64,
}

/// What can be promised on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Memory without swap, in bytes.
    pub memory_bytes: u64,
    /// Room for data, in bytes.
    pub disk_bytes: u64,
    /// CPU in thousandths of a core, `None` when it is not counted.
    pub cpu_millicores: Option<u64>,
}

impl Size {
    /// Returns what a server with these limits is promised.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        Self {
            memory_bytes: limits.memory_mib.bytes(),
            disk_bytes: limits.disk_mib.bytes(),
            cpu_millicores: u64::from(limits.cpu_millicores.0),
        }
    }

    /// Adds another.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
            cpu_millicores: self.cpu_millicores.saturating_add(other.cpu_millicores),
        }
    }

    /// Returns how much this is more than another, per part.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_sub(other.disk_bytes),
            cpu_millicores: self.cpu_millicores.saturating_sub(other.cpu_millicores),
        }
    }
}

/// What a server needs of its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// What it may use.
    pub size: Size,
    /// The region that it must be in; any without.
    pub region: Option<String>,
    /// Tags that the node must have, all of them.
    pub tags: BTreeSet<String>,
    /// Processors that the node must have; any without.
    pub threads: Option<Threads>,
}

/// A node that was not chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// Which.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Why not, in words.
    pub reason: String,
}

/// Which node was chosen, and why others could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The node.
    pub node: NodeId,
    /// Those that could not take it, in the order of the candidates.
    pub rejected: Vec<Rejected>,
}

/// Chooses the connected node with the most memory left that has room and ports; ties go to the
/// older node.
///
/// # Errors
/// Every candidate with its reason, in their order; empty when there are none.
pub fn place(candidates: &[Candidate], needs: &Needs) -> Result<Placed, Vec<Rejected>> {
    let mut best: Option<(u64, &Candidate)> = None;
    let mut rejected = Vec::new();
    for candidate in candidates {
        match refuse(candidate, needs) {
            None => {
                let free = free_memory(candidate);
                let is_better = |&(most, held): &(u64, &Candidate)| {
                    free > most || (free == most && candidate.node < held.node)
                };
                if best.as_ref().is_none_or(is_better) {
                    best = Some((free, candidate));
                }
            }
            Some(reason) => {
                let Candidate { node, name, .. } = candidate;
                rejected.push(Rejected { node: *node, name: name.clone(), reason });
            }
        }
    }
    match best {
        Some((_, candidate)) => Ok(Placed { node: candidate.node, rejected }),
        None => Err(rejected),
    }
}

fn free_memory(candidate: &Candidate) -> u64 {
    let capacity = candidate.settings.capacity(candidate.size.unwrap_or_default());
    capacity.memory_bytes.saturating_sub(candidate.promised.memory_bytes)
}

/// Returns why a node does not fit, `None` when it does.
#[must_use]
pub fn refuse(candidate: &Candidate, needs: &Needs) -> Option<String> {
    closed(candidate)
        .or_else(|| (!candidate.is_connected).then(|| "is not connected".to_owned()))
        .or_else(|| misfit(candidate, needs))
        .or_else(|| candidate.size.is_none().then(|| "has not reported its size yet".to_owned()))
        .or_else(|| no_place(candidate, needs))
        .or_else(|| candidate.ports_missing.clone())
}

/// Returns why a node takes no new server at all, also when it is asked for by name.
#[must_use]
pub fn closed(candidate: &Candidate) -> Option<String> {
    if !candidate.is_active {
        return Some("is revoked or in quarantine".to_owned());
    }
    candidate.settings.maintenance.then(|| "is in maintenance".to_owned())
}

fn misfit(candidate: &Candidate, needs: &Needs) -> Option<String> {
    let settings = &candidate.settings;
    if let Some(region) = &needs.region
        && settings.region.as_ref() != Some(region)
    {
        let its = settings.region.as_ref().map_or("no region".to_owned(), |it| format!("`{it}`"));
        return Some(format!("is in {its}, not in `{region}`"));
    }
    let missing = needs.tags.difference(&settings.tags).next()?;
    Some(format!("has no tag `{missing}`"))
}

/// Returns why a node cannot run the server as far as it is known, also when it is asked for by name.
#[must_use]
pub fn no_place(candidate: &Candidate, needs: &Needs) -> Option<String> {
    let threads = needs.threads.and_then(|it| it.missing_on(candidate.cpus));
    threads.or_else(|| no_room(candidate, needs.size))
}

/// Returns why a node of known size has no room for so much more.
#[must_use]
pub fn no_room(candidate: &Candidate, need: Size) -> Option<String> {
    let capacity = candidate.settings.capacity(candidate.size?);
    let promised = candidate.promised;
    let short = |what: &str, unit: &str, each: u64, (size, promised, need): (u64, u64, u64)| {
        let free = size.saturating_sub(promised);
        (need > free).then(|| {
            let (free, need) = (free / each, need / each);
            format!("has {free} {unit} of {what} left, {need} {unit} are needed")
        })
    };
    let memory = (capacity.memory_bytes, promised.memory_bytes, need.memory_bytes);
    let disk = (capacity.disk_bytes, promised.disk_bytes, need.disk_bytes);
    short("memory", "MiB", MIB, memory).or_else(|| short("disk", "MiB", MIB, disk)).or_else(|| {
        let cpu = (capacity.cpu_millicores?, promised.cpu_millicores, need.cpu_millicores);
        short("CPU", "millicores", 1, cpu)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: Size =
        Size { memory_bytes: 512 * MIB, disk_bytes: 1_024 * MIB, cpu_millicores: 500 };

    fn node(id: u8, memory_mib: u64) -> Candidate {
        let (disk_bytes, cpu_millicores) = (4_096 * MIB, 2_000);
        Candidate {
            node: NodeId::from_bytes([id; 16]),
            name: format!("n{id}"),
            is_active: true,
            is_connected: true,
            settings: NodeSettings::default(),
            size: Some(Size { memory_bytes: memory_mib * MIB, disk_bytes, cpu_millicores }),
            cpus: 2,
            promised: Size::default(),
            ports_missing: None,
        }
    }

    fn set(candidate: Candidate, change: impl FnOnce(&mut NodeSettings)) -> Candidate {
        let mut candidate = candidate;
        change(&mut candidate.settings);
        candidate.settings.check().unwrap();
        candidate
    }

    fn tags(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|it| (*it).to_owned()).collect()
    }

    #[track_caller]
    fn check(candidates: &[Candidate], needs: &Needs, expected: Result<u8, &[&str]>) {
        let found = place(candidates, needs).map(|it| it.node).map_err(|rejected| {
            rejected.into_iter().map(|it| format!("{} {}", it.name, it.reason)).collect::<Vec<_>>()
        });
        match expected {
            Ok(id) => assert_eq!(found, Ok(NodeId::from_bytes([id; 16]))),
            Err(reasons) => assert_eq!(found.unwrap_err(), reasons),
        }
    }

    fn needs() -> Needs {
        Needs { size: NEED, ..Needs::default() }
    }

    #[test]
    fn the_node_with_most_memory_left_is_chosen() {
        check(&[node(1, 1_024), node(2, 2_048)], &needs(), Ok(2));
        check(&[node(2, 1_024), node(1, 1_024)], &needs(), Ok(1));
        let mut busy = node(2, 4_096);
        busy.promised.memory_bytes = 3_500 * MIB;
        check(&[node(1, 1_024), busy], &needs(), Ok(1));
        let held = set(node(2, 4_096), |it| it.memory_mib = Some(Mib(600)));
        check(&[node(1, 1_024), held], &needs(), Ok(1));
    }

    #[test]
    fn each_refusal_has_its_reason() {
        check(&[], &needs(), Err(&[]));
        let mut full = node(2, 1_024);
        full.promised.disk_bytes = 4_000 * MIB;
        let mut busy = set(node(7, 1_024), |it| it.cpu_over_percent = Some(0));
        busy.promised.cpu_millicores = 1_501;
        check(
            &[
                Candidate { is_active: false, ..node(1, 1) },
                full,
                Candidate { is_connected: false, ..node(3, 9_999) },
                Candidate { size: None, ..node(4, 1) },
                node(5, 511),
                Candidate { ports_missing: Some("no UDP port is free".into()), ..node(6, 512) },
                busy,
                set(node(8, 9_999), |it| it.maintenance = true),
            ],
            &needs(),
            Err(&[
                "n1 is revoked or in quarantine",
                "n2 has 96 MiB of disk left, 1024 MiB are needed",
                "n3 is not connected",
                "n4 has not reported its size yet",
                "n5 has 511 MiB of memory left, 512 MiB are needed",
                "n6 no UDP port is free",
                "n7 has 499 millicores of CPU left, 500 millicores are needed",
                "n8 is in maintenance",
            ]),
        );
    }

    #[test]
    fn regions_and_tags_must_fit() {
        let in_eu = |id| {
            set(node(id, 1_024), |it| {
                it.region = Some("eu".into());
                it.tags = tags(&["nvme", "ddos"]);
            })
        };
        let all = [node(1, 9_999), in_eu(2)];
        let region = |name: &str| Needs { region: Some(name.into()), ..needs() };
        check(&all, &region("eu"), Ok(2));
        let refused = ["n1 is in no region, not in `us`", "n2 is in `eu`, not in `us`"];
        check(&all, &region("us"), Err(&refused));
        let tagged = |names: &[&str]| Needs { tags: tags(names), ..needs() };
        check(&all, &tagged(&["nvme"]), Ok(2));
        let refused = ["n1 has no tag `gpu`", "n2 has no tag `gpu`"];
        check(&all, &tagged(&["gpu", "nvme"]), Err(&refused));
    }

    #[test]
    fn a_node_must_have_the_processors() {
        let wide = |id, cpus| Candidate { cpus, ..node(id, 1_024) };
        let bound = |to: &str| Needs { threads: Some(to.parse().unwrap()), ..needs() };
        // The one with more memory lacks a processor.
        let all = [node(1, 9_999), wide(2, 4)];
        check(&all, &needs(), Ok(1));
        check(&all, &bound("0-1"), Ok(1));
        check(&all, &bound("0,3"), Ok(2));
        let refused =
            ["n1 has 2 processors, of which none is 4", "n2 has 4 processors, of which none is 4"];
        check(&all, &bound("4"), Err(&refused));
        let unknown = Candidate { size: None, ..wide(3, 0) };
        assert_eq!(no_place(&unknown, &bound("4")), None, "asked for by name it may be tried");
        check(&[unknown], &bound("4"), Err(&["n3 has not reported its size yet"]));
        let elsewhere = Needs { region: Some("eu".into()), ..bound("4") };
        check(&all[..1], &elsewhere, Err(&["n1 is in no region, not in `eu`"]));
    }

    #[test]
    fn more_can_be_promised_than_there_is() {
        let half = node(1, 256);
        let mut over = set(half.clone(), |it| it.memory_over_percent = 100);
        check(std::slice::from_ref(&over), &needs(), Ok(1));
        over.promised.memory_bytes = 1;
        let refused = ["n1 has 511 MiB of memory left, 512 MiB are needed"];
        check(&[over], &needs(), Err(&refused));
        let mut cpu = set(node(1, 1_024), |it| it.cpu_over_percent = Some(50));
        cpu.promised.cpu_millicores = 2_500;
        check(&[cpu], &needs(), Ok(1));
    }

    #[test]
    fn settings_name_the_field_that_breaks_a_rule() {
        let field = |change: fn(&mut NodeSettings)| {
            let mut settings = NodeSettings::default();
            change(&mut settings);
            settings.check().unwrap_err().field
        };
        assert_eq!(field(|it| it.region = Some("EU".into())), "region");
        assert_eq!(field(|it| it.tags = tags(&["a b"])), "tags");
        assert_eq!(field(|it| it.memory_over_percent = 1_001), "memory_over_percent");
        assert_eq!(field(|it| it.cpu_over_percent = Some(1_001)), "cpu_over_percent");
        assert_eq!(field(|it| it.disk_mib = Some(Mib(0))), "disk_mib");
        let range = |it: &mut NodeSettings| {
            it.self_service_ports = Some(PortRange { first: 2, last: 1 });
        };
        assert_eq!(field(range), "self_service_ports.last");
    }
}

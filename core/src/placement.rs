//! Pure: which node takes a new server.

use crate::{ids::NodeId, server::Limits, units::MIB};

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
    /// Size of the machine, `None` while it never reported.
    pub size: Option<Size>,
    /// What its servers may use together already.
    pub promised: Size,
    /// Why it has no ports for the server, `None` when it has.
    pub ports_missing: Option<String>,
}

/// Memory and disk in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Memory without swap.
    pub memory_bytes: u64,
    /// Room for data.
    pub disk_bytes: u64,
}

impl Size {
    /// Returns what a server with these limits is promised.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        Self { memory_bytes: limits.memory_mib.bytes(), disk_bytes: limits.disk_mib.bytes() }
    }

    /// Adds another.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
        }
    }
}

/// A node that was not chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Why not, in words.
    pub reason: String,
}

/// Chooses the connected node with the most memory left that has room and ports; ties go to the
/// older node.
///
/// # Errors
/// Every candidate with its reason, in their order; empty when there are none.
pub fn place(candidates: &[Candidate], limits: &Limits) -> Result<NodeId, Vec<Rejected>> {
    let mut best: Option<(u64, &Candidate)> = None;
    let mut rejected = Vec::new();
    for candidate in candidates {
        match refuse(candidate, limits) {
            None => {
                let free = candidate
                    .size
                    .unwrap_or_default()
                    .memory_bytes
                    .saturating_sub(candidate.promised.memory_bytes);
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
    best.map(|(_, candidate)| candidate.node).ok_or(rejected)
}

fn refuse(candidate: &Candidate, limits: &Limits) -> Option<String> {
    if !candidate.is_active {
        return Some("is revoked or in quarantine".to_owned());
    }
    if !candidate.is_connected {
        return Some("is not connected".to_owned());
    }
    if candidate.size.is_none() {
        return Some("has not reported its size yet".to_owned());
    }
    no_room(candidate, limits).or_else(|| candidate.ports_missing.clone())
}

/// Returns why a node of known size has no room for these limits.
#[must_use]
pub fn no_room(candidate: &Candidate, limits: &Limits) -> Option<String> {
    let size = candidate.size?;
    let need = Size::of(limits);
    let short = |what: &str, size: u64, promised: u64, need: u64| {
        let free = size.saturating_sub(promised);
        (need > free).then(|| {
            let (free, need) = (free / MIB, need / MIB);
            format!("has {free} MiB of {what} left, {need} MiB are needed")
        })
    };
    let promised = candidate.promised;
    short("memory", size.memory_bytes, promised.memory_bytes, need.memory_bytes)
        .or_else(|| short("disk", size.disk_bytes, promised.disk_bytes, need.disk_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Mib, Millicores};

    fn limits() -> Limits {
        Limits {
            memory_mib: Mib(512),
            swap_mib: Mib(0),
            cpu_millicores: Millicores(500),
            disk_mib: Mib(1_024),
            pids: 64,
        }
    }

    fn node(id: u8, memory_mib: u64) -> Candidate {
        Candidate {
            node: NodeId::from_bytes([id; 16]),
            name: format!("n{id}"),
            is_active: true,
            is_connected: true,
            size: Some(Size { memory_bytes: memory_mib * MIB, disk_bytes: 4_096 * MIB }),
            promised: Size::default(),
            ports_missing: None,
        }
    }

    #[track_caller]
    fn check(candidates: &[Candidate], expected: Result<u8, &[&str]>) {
        let found = place(candidates, &limits()).map_err(|rejected| {
            rejected.into_iter().map(|it| format!("{} {}", it.name, it.reason)).collect::<Vec<_>>()
        });
        match expected {
            Ok(id) => assert_eq!(found, Ok(NodeId::from_bytes([id; 16]))),
            Err(reasons) => assert_eq!(found.unwrap_err(), reasons),
        }
    }

    #[test]
    fn the_node_with_most_memory_left_is_chosen() {
        check(&[node(1, 1_024), node(2, 2_048)], Ok(2));
        check(&[node(2, 1_024), node(1, 1_024)], Ok(1));
        let mut busy = node(2, 4_096);
        busy.promised.memory_bytes = 3_500 * MIB;
        check(&[node(1, 1_024), busy], Ok(1));
    }

    #[test]
    fn each_refusal_has_its_reason() {
        check(&[], Err(&[]));
        let mut full = node(2, 1_024);
        full.promised.disk_bytes = 4_000 * MIB;
        check(
            &[
                Candidate { is_active: false, ..node(1, 1) },
                full,
                Candidate { is_connected: false, ..node(3, 9_999) },
                Candidate { size: None, ..node(4, 1) },
                node(5, 511),
                Candidate { ports_missing: Some("no UDP port is free".into()), ..node(6, 512) },
            ],
            Err(&[
                "n1 is revoked or in quarantine",
                "n2 has 96 MiB of disk left, 1024 MiB are needed",
                "n3 is not connected",
                "n4 has not reported its size yet",
                "n5 has 511 MiB of memory left, 512 MiB are needed",
                "n6 no UDP port is free",
            ]),
        );
    }
}

//! Pure: what has to be reported of what is seen, so that the hub knows the newest of everything.

use crate::link::v1::{EdgeFrame, NodeState, StateReport};
use crate::{frame::Frame, link::v1::SERVERS_MAX};
use mamba_core::{
    clock::BootMs,
    ids::ServerId,
    lifecycle::{NotRunning, Observed},
};
use std::collections::BTreeMap;

/// Pace at which changes of servers are reported when they do not end.
const REPORT_MS_MIN: u64 = 200;
/// Reports that may go out at once before that: a start is several states within milliseconds of each other,
/// and somebody waits for the last of them.
const REPORTS_AT_ONCE: u64 = 3;
/// A change of the machine alone, such as free disk space, waits this long.
const NODE_MS_MIN: u64 = 10_000;
/// A little more or less free disk space waits this long: on a node with games it never stands still.
const MINOR_MS_MIN: u64 = 300_000;
/// Part of a disk that is little, as a divisor.
const MINOR_DISK: u64 = 128;
/// Longest text in a report, in bytes. Whole texts are on the node.
const TEXT_BYTES: usize = 256;
/// Longest text when a report with longer ones does not fit into a frame.
const TEXT_BYTES_SHORT: usize = 32;

/// Remembers what was reported and finds what changed since. States between two reports are never
/// reported: only the newest matters.
#[derive(Debug, Default)]
pub struct StateDelta {
    servers: BTreeMap<ServerId, Observed>,
    node: Option<NodeState>,
    reported_at: BootMs,
    /// When all reports so far would have gone out at the pace.
    paced_to: BootMs,
}

impl StateDelta {
    /// Returns when the next report is due, `None` when nothing changed since the last.
    #[must_use]
    pub fn due(&self, servers: &BTreeMap<ServerId, Observed>, node: &NodeState) -> Option<BootMs> {
        match &self.node {
            None => Some(BootMs(0)),
            Some(_) if self.servers != *servers => {
                let ahead = (REPORTS_AT_ONCE - 1) * REPORT_MS_MIN;
                Some(BootMs(self.paced_to.0.saturating_sub(ahead)))
            }
            Some(last) if is_minor(last, node) => Some(self.reported_at.plus(MINOR_MS_MIN)),
            Some(last) if last != node => Some(self.reported_at.plus(NODE_MS_MIN)),
            Some(_) => None,
        }
    }

    /// Returns the next report as a frame and remembers it as sent. `None` when none is due. The
    /// first one, and each after a server went away, is complete.
    pub fn next(
        &mut self,
        now: BootMs,
        servers: &BTreeMap<ServerId, Observed>,
        node: &NodeState,
    ) -> Option<Frame> {
        if self.due(servers, node).is_none_or(|due| now < due) {
            return None;
        }
        let is_first = self.node.is_none();
        let complete = is_first || self.servers.keys().any(|server| !servers.contains_key(server));
        let changed = servers
            .iter()
            .filter(|(server, seen)| complete || self.servers.get(server) != Some(seen))
            .map(|(_, seen)| seen.clone())
            .take(SERVERS_MAX)
            .collect::<Vec<_>>();
        self.servers.clone_from(servers);
        self.node = Some(node.clone());
        self.reported_at = now;
        self.paced_to = self.paced_to.max(now).plus(REPORT_MS_MIN);
        let report = StateReport { complete, servers: changed, node: node.clone() };
        let frame = |bytes| EdgeFrame::State(cut(report.clone(), bytes)).to_frame().ok();
        frame(TEXT_BYTES).or_else(|| frame(TEXT_BYTES_SHORT))
    }
}

/// Whether nothing is different but a little free disk space.
fn is_minor(last: &NodeState, node: &NodeState) -> bool {
    let moved = last.disk_free_bytes.abs_diff(node.disk_free_bytes);
    let alike = || NodeState { disk_free_bytes: last.disk_free_bytes, ..node.clone() };
    moved > 0 && moved < node.disk_bytes / MINOR_DISK && alike() == *last
}

/// Shortens every text in a report.
fn cut(mut report: StateReport, bytes: usize) -> StateReport {
    for seen in &mut report.servers {
        if let Some(refused) = &mut seen.refused {
            shorten(&mut refused.error.field, bytes);
            shorten(&mut refused.error.rule, bytes);
        }
        match &mut seen.not_running {
            Some(NotRunning::StepFailed { step, error, .. }) => {
                shorten(step, bytes);
                shorten(error, bytes);
            }
            Some(NotRunning::EngineUnreachable { error }) => shorten(error, bytes),
            _ => {}
        }
    }
    report.node.troubles.truncate(16);
    report.node.troubles.iter_mut().for_each(|text| shorten(text, bytes));
    report
}

fn shorten(text: &mut String, bytes: usize) {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::v1::EdgeFrame;
    use mamba_core::{
        clock::UnixMs,
        lifecycle::{Actor, PowerWish, ServerState},
    };

    fn seen(server: u16, state: ServerState) -> (ServerId, Observed) {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&server.to_be_bytes());
        let server = ServerId::from_bytes(id);
        let observed = Observed {
            server,
            applied: None,
            refused: None,
            state,
            since: UnixMs(1),
            not_running: None,
            wish: PowerWish { running: true, by: Actor::Edge, at: UnixMs(1) },
            started_at: None,
            last_exit: None,
            crashes: 0,
            restart_pending: false,
            install: None,
        };
        (server, observed)
    }

    fn node(free: u64) -> NodeState {
        NodeState {
            cpus: 1,
            memory_bytes: 1,
            disk_bytes: 1,
            disk_free_bytes: free,
            engine: None,
            troubles: vec![],
            outbox: vec![],
        }
    }

    fn report(frame: Option<Frame>) -> Option<(bool, usize)> {
        match EdgeFrame::from_frame(&frame?) {
            Ok(Some(EdgeFrame::State(report))) => Some((report.complete, report.servers.len())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_newest_change_is_reported() {
        use ServerState::{Offline, Running, Starting};
        let mut delta = StateDelta::default();
        let two = BTreeMap::from([seen(1, Offline), seen(2, Offline)]);
        assert_eq!(report(delta.next(BootMs(5), &two, &node(1))), Some((true, 2)));
        let running = BTreeMap::from([seen(1, Running), seen(2, Offline)]);
        assert_eq!(report(delta.next(BootMs(5), &running, &node(1))), Some((false, 1)));
        assert_eq!(report(delta.next(BootMs(5), &two, &node(1))), Some((false, 1)));
        let starting = BTreeMap::from([seen(1, Starting), seen(2, Offline)]);
        assert_eq!(delta.next(BootMs(4 + REPORT_MS_MIN), &starting, &node(1)), None, "too early");
        let now = BootMs(5 + REPORT_MS_MIN);
        assert_eq!(report(delta.next(now, &running, &node(1))), Some((false, 1)));
        assert_eq!(delta.next(now, &two, &node(1)), None, "one at a time now");
        let later = now.plus(REPORT_MS_MIN);
        assert_eq!(delta.next(later, &running, &node(2)), None, "the machine alone waits");
        let one = BTreeMap::from([seen(1, Running)]);
        assert_eq!(report(delta.next(later, &one, &node(2))), Some((true, 1)));
        let much_later = later.plus(NODE_MS_MIN);
        assert_eq!(report(delta.next(much_later, &one, &node(3))), Some((false, 0)));
    }

    #[test]
    fn a_little_disk_space_waits_longer_than_anything_else() {
        let (mut delta, none) = (StateDelta::default(), BTreeMap::new());
        let node = |free| NodeState { disk_bytes: 10 * MINOR_DISK, ..node(free) };
        assert!(delta.next(BootMs(5), &none, &node(1_000)).is_some());
        let (soon, late) = (Some(BootMs(5 + NODE_MS_MIN)), Some(BootMs(5 + MINOR_MS_MIN)));
        for (free, due) in [(1_000, None), (991, late), (990, soon), (1_009, late)] {
            assert_eq!(delta.due(&none, &node(free)), due, "{free}");
        }
        let troubled = NodeState { troubles: vec!["engine".to_owned()], ..node(991) };
        assert_eq!(delta.due(&none, &troubled), soon);
    }

    #[test]
    fn a_node_full_of_long_errors_fits_into_a_frame() {
        let mut servers = BTreeMap::new();
        for server in 0..2_000 {
            let (id, mut observed) = seen(server, ServerState::Offline);
            observed.not_running = Some(NotRunning::StepFailed {
                step: "ü".repeat(300),
                error: "x".repeat(10_000),
                retry_at: UnixMs(1),
            });
            servers.insert(id, observed);
        }
        let frame = StateDelta::default().next(BootMs(5), &servers, &node(1));
        assert_eq!(report(frame), Some((true, 2_000)));
    }
}

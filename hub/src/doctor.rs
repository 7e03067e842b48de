//! What a running hub can say about its own health: store, backups, nodes, calendars, streams.
//!
//! The decisions are pure functions of what was read; the first word of each text is a subject, and
//! whatever is not good says what to do about it.

use crate::{
    Hub, HubError,
    backup::BackupStatus,
    store::{
        ALARMS, NODE_STATES, NODES, NODES_SEEN, OPEN_EPOCHS, QUARANTINE, STREAMS, StreamRecord,
    },
};
use mamba_core::{
    clock::{UnixMs, span},
    db::{Snapshot, Span, StoreHealth},
    fact::Stream,
    ids::NodeId,
    seq::Epoch,
};
use mamba_wire::{
    api::node::Standing,
    link::v1::OutboxState,
    node::{Check, CheckLevel},
};

/// Nodes that are looked at.
const NODES_MAX: usize = 10_000;
/// Alarms and quarantined facts are counted up to this.
const COUNT_MAX: usize = 1_000;
/// Difference of calendars that is worth a word: certificates and hours of usage bear far more.
const CALENDAR_MS_MAX: u64 = 60_000;
/// Age of the oldest fact without an ack, on a connected node, that is worth a word: facts are sent
/// within seconds.
const LAG_MS_MAX: u64 = 15 * 60_000;
/// Names listed in one text.
const NAMES_MAX: usize = 5;

/// What is known of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NodeFacts {
    name: String,
    is_connected: bool,
    calendar_ahead_ms: Option<i64>,
    outbox: Vec<OutboxState>,
    /// Facts in custody that are in no backup yet.
    not_backed_up: u64,
}

impl Hub {
    /// Returns findings about the running hub.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read; what can be said without it is in the findings
    /// of the caller.
    pub fn check(&self) -> Result<Vec<Check>, HubError> {
        let now = self.now();
        let connected = self.live().connected();
        let mut checks = vec![store_check(&self.store().health().borrow())];
        checks.push(backup_check(&self.backup_status(), now));
        self.read(|txn| {
            let mut nodes = Vec::new();
            for (node, record) in txn.range(NODES, Span::all(), NODES_MAX)? {
                if record.standing == Standing::Active {
                    nodes.push(facts(txn, node, record.name, connected.contains(&node))?);
                }
            }
            let quarantined = txn.range(QUARANTINE, Span::all(), COUNT_MAX)?.len();
            let alarms = txn.range(ALARMS, Span::all(), COUNT_MAX)?.len();
            checks.push(links_check(&nodes));
            checks.push(calendar_check(&nodes));
            checks.push(streams_check(&nodes));
            checks.push(count_check("quarantine", quarantined, "facts are not booked"));
            checks.push(count_check("alarms", alarms, "alarms wait for somebody"));
            Ok(())
        })?;
        Ok(checks)
    }
}

fn facts(
    txn: &impl Snapshot,
    node: NodeId,
    name: String,
    is_connected: bool,
) -> Result<NodeFacts, HubError> {
    let mut not_backed_up = 0;
    for stream in Stream::ALL {
        let number = crate::store::stream_number(stream);
        let epoch = txn.get(OPEN_EPOCHS, &(node, number))?.map(Epoch);
        if let Some(epoch) = epoch
            && let Some(StreamRecord { watermark, backup_watermark, .. }) =
                txn.get(STREAMS, &(node, number, epoch))?
        {
            not_backed_up += watermark.0.saturating_sub(backup_watermark.0);
        }
    }
    Ok(NodeFacts {
        name,
        is_connected,
        calendar_ahead_ms: txn.get(NODES_SEEN, &node)?.map(|it| it.calendar_ahead_ms),
        outbox: txn.get(NODE_STATES, &node)?.map(|it| it.state.outbox).unwrap_or_default(),
        not_backed_up,
    })
}

fn check(name: &str, level: CheckLevel, text: impl Into<String>) -> Check {
    Check { name: name.to_owned(), level, text: text.into() }
}

fn store_check(health: &StoreHealth) -> Check {
    let (level, text) = match health {
        StoreHealth::Ok => (CheckLevel::Ok, "reads and writes".to_owned()),
        StoreHealth::NoBallast { .. } => {
            (CheckLevel::Warn, "has no room in reserve: free some disk".to_owned())
        }
        StoreHealth::Full { can_write: true } => {
            (CheckLevel::Fail, "disk is full, the reserve is in use: free some disk".to_owned())
        }
        StoreHealth::Full { can_write: false } => {
            (CheckLevel::Fail, "disk is full, nothing can be stored: free some disk".to_owned())
        }
        StoreHealth::ReadOnly => {
            (CheckLevel::Fail, "disk is read-only: remount it for writing".to_owned())
        }
        StoreHealth::Corrupt { what } => {
            (CheckLevel::Fail, format!("is damaged: {what}; stop the hub and restore a backup"))
        }
        StoreHealth::Failing { error, .. } => (CheckLevel::Fail, error.clone()),
        StoreHealth::Closed => (CheckLevel::Fail, "is closed".to_owned()),
    };
    check("store", level, text)
}

fn backup_check(status: &BackupStatus, now: UnixMs) -> Check {
    let name = "backups";
    if let Some(error) = &status.error {
        return check(name, CheckLevel::Fail, format!("{error}; nodes keep facts until one works"));
    }
    match status.last {
        _ if status.every_ms == 0 => {
            check(name, CheckLevel::Warn, "are not made automatically in this process")
        }
        None => check(name, CheckLevel::Warn, "none was made yet"),
        Some(at) if now.since(at) > status.every_ms.saturating_mul(2) => {
            let age = span(now.since(at));
            check(name, CheckLevel::Warn, format!("newest is {age} old, which is overdue"))
        }
        Some(at) => check(name, CheckLevel::Ok, format!("newest is {} old", span(now.since(at)))),
    }
}

fn links_check(nodes: &[NodeFacts]) -> Check {
    let away: Vec<&NodeFacts> = nodes.iter().filter(|it| !it.is_connected).collect();
    let count = nodes.len() - away.len();
    let text = format!("{count} of {} connected", nodes.len());
    if away.is_empty() {
        return check("nodes", CheckLevel::Ok, text);
    }
    check("nodes", CheckLevel::Warn, format!("{text}, not {}", names(&away)))
}

/// When most nodes differ from the hub, the hub is more likely wrong than they are.
fn calendar_check(nodes: &[NodeFacts]) -> Check {
    let name = "calendar";
    let told = |it: &&NodeFacts| it.is_connected && it.calendar_ahead_ms.is_some();
    let is_off = |it: &&NodeFacts| {
        it.calendar_ahead_ms.is_some_and(|ahead| ahead.unsigned_abs() > CALENDAR_MS_MAX)
    };
    let told: Vec<&NodeFacts> = nodes.iter().filter(told).collect();
    let off: Vec<&NodeFacts> = told.iter().copied().filter(is_off).collect();
    if off.is_empty() {
        return check(name, CheckLevel::Ok, "nodes agree with the hub's");
    }
    if told.len() >= 3 && off.len() * 2 > told.len() {
        let text = "most nodes differ from the hub's: the hub's clock is wrong, set it";
        return check(name, CheckLevel::Fail, text);
    }
    check(name, CheckLevel::Warn, format!("differs from the hub's on {}", names(&off)))
}

fn streams_check(nodes: &[NodeFacts]) -> Check {
    let is_behind = |it: &&NodeFacts| {
        it.is_connected && it.outbox.iter().any(|stream| stream.oldest_age_ms > LAG_MS_MAX)
    };
    let behind: Vec<&NodeFacts> = nodes.iter().filter(is_behind).collect();
    let waiting: u64 = nodes.iter().map(|it| it.not_backed_up).sum();
    if behind.is_empty() {
        let text = format!("are in step; {waiting} facts wait for the next backup");
        return check("streams", CheckLevel::Ok, text);
    }
    let text = format!("are behind though connected on {}", names(&behind));
    check("streams", CheckLevel::Warn, text)
}

fn count_check(name: &str, count: usize, text: &str) -> Check {
    match count {
        0 => check(name, CheckLevel::Ok, "none"),
        COUNT_MAX.. => check(name, CheckLevel::Warn, format!("{COUNT_MAX} or more {text}")),
        _ => check(name, CheckLevel::Warn, format!("{count} {text}")),
    }
}

fn names(nodes: &[&NodeFacts]) -> String {
    let shown: Vec<&str> = nodes.iter().take(NAMES_MAX).map(|it| it.name.as_str()).collect();
    match nodes.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, ahead_ms: i64) -> NodeFacts {
        NodeFacts {
            name: name.to_owned(),
            is_connected: true,
            calendar_ahead_ms: Some(ahead_ms),
            outbox: vec![],
            not_backed_up: 2,
        }
    }

    fn said(found: Check, level: CheckLevel, text: &str) {
        assert_eq!((found.level, found.text.as_str()), (level, text));
    }

    #[test]
    fn one_wrong_calendar_is_the_nodes_and_most_are_the_hubs() {
        let agree = "nodes agree with the hub's";
        said(calendar_check(&[]), CheckLevel::Ok, agree);
        said(calendar_check(&[node("a", 59_000), node("b", -60_000)]), CheckLevel::Ok, agree);
        let one = [node("a", 0), node("b", -600_000), node("c", 0)];
        said(calendar_check(&one), CheckLevel::Warn, "differs from the hub's on b");
        let most = [node("a", 600_000), node("b", 600_000), node("c", 0)];
        let text = "most nodes differ from the hub's: the hub's clock is wrong, set it";
        said(calendar_check(&most), CheckLevel::Fail, text);
    }

    #[test]
    fn nodes_that_are_away_and_streams_that_lag_are_named() {
        let away = NodeFacts { is_connected: false, ..node("b", 0) };
        let nodes = [node("a", 0), away.clone()];
        said(links_check(&nodes), CheckLevel::Warn, "1 of 2 connected, not b");
        let late = OutboxState { stream: Stream::Usage, unacked: 1, oldest_age_ms: LAG_MS_MAX + 1 };
        let lagging = NodeFacts { outbox: vec![late], ..node("c", 0) };
        let excused = NodeFacts { outbox: vec![late], ..away };
        let text = "are in step; 4 facts wait for the next backup";
        said(streams_check(&[node("a", 0), excused]), CheckLevel::Ok, text);
        let text = "are behind though connected on c";
        said(streams_check(&[lagging]), CheckLevel::Warn, text);
        let many: Vec<NodeFacts> =
            "abcdefg".chars().map(|it| node(&it.to_string(), 99_999)).collect();
        let many: Vec<&NodeFacts> = many.iter().collect();
        assert_eq!(names(&many), "a, b, c, d, e and 2 more");
    }

    #[test]
    fn a_backup_that_is_overdue_or_failing_is_told() {
        let status = |last, error: Option<&str>| BackupStatus {
            every_ms: 100,
            last,
            error: error.map(str::to_owned),
        };
        let level = |status: &BackupStatus| backup_check(status, UnixMs(1_000)).level;
        assert_eq!(level(&status(Some(UnixMs(900)), None)), CheckLevel::Ok);
        assert_eq!(level(&status(Some(UnixMs(799)), None)), CheckLevel::Warn);
        assert_eq!(level(&status(None, None)), CheckLevel::Warn);
        assert_eq!(level(&status(Some(UnixMs(900)), Some("disk full"))), CheckLevel::Fail);
        assert_eq!(level(&BackupStatus::default()), CheckLevel::Warn);
    }

    #[tokio::test]
    async fn a_hub_without_nodes_has_a_good_store() {
        let world = crate::testing::World::new().await;
        let checks = world.hub.check().unwrap();
        let level = |name: &str| checks.iter().find(|it| it.name == name).unwrap().level;
        assert!(checks.iter().all(|it| it.level != CheckLevel::Fail), "{checks:?}");
        assert_eq!((level("nodes"), level("alarms")), (CheckLevel::Ok, CheckLevel::Ok));
    }
}

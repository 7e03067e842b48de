//! Pure: what a seed makes happen, as a list that can be shortened.

use super::{chance::Rng, net::Line, planted::Bug};
use mamba_core::lifecycle::PowerAction;
use mamba_edge::runtime::fake::{Call, When};

/// A run: its shape and its events, by time.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// A bug that is planted into the product.
    pub(super) bug: Option<Bug>,
    /// Servers of each edge.
    pub(super) servers: Vec<usize>,
    pub(super) lasts_ms: u64,
    /// Sorted by time in milliseconds.
    pub(super) events: Vec<(u64, Event)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Act(Act),
    Fault(Fault),
}

/// What people do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Power(usize, PowerAction),
    Memory(usize, u64),
    Suspend(usize, bool),
    Delete(usize),
    Backup,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Line {
        edge: usize,
        line: Line,
        ms: u64,
    },
    Rebind {
        edge: usize,
    },
    /// At the `change`-th write to the disk, or at once.
    EdgeCrash {
        edge: usize,
        change: Option<u64>,
        down_ms: u64,
        machine: bool,
    },
    HubCrash {
        change: Option<u64>,
        down_ms: u64,
    },
    HubRestore {
        down_ms: u64,
    },
    DiskFull {
        edge: usize,
        ms: u64,
    },
    DiskLoss {
        edge: usize,
        down_ms: u64,
    },
    Revert {
        edge: usize,
        after_ms: u64,
    },
    Clock {
        edge: usize,
        wrong_by_ms: i64,
    },
    EngineFails {
        edge: usize,
        call: Call,
        when: When,
    },
    EngineDown {
        edge: usize,
        ms: u64,
    },
    ProcessEnds {
        server: usize,
    },
}

/// Names of the classes of faults, for `--faults`.
pub(super) const CLASSES: [&str; 13] = [
    "loss",
    "partition",
    "rebind",
    "edge-crash",
    "power",
    "hub-crash",
    "restore",
    "disk-full",
    "disk-loss",
    "revert",
    "clock",
    "engine",
    "process",
];

impl Fault {
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Line { line, .. } if line.up_cut || line.down_cut => "partition",
            Self::Line { .. } => "loss",
            Self::Rebind { .. } => "rebind",
            Self::EdgeCrash { machine: false, .. } => "edge-crash",
            Self::EdgeCrash { machine: true, .. } => "power",
            Self::HubCrash { .. } => "hub-crash",
            Self::HubRestore { .. } => "restore",
            Self::DiskFull { .. } => "disk-full",
            Self::DiskLoss { .. } => "disk-loss",
            Self::Revert { .. } => "revert",
            Self::Clock { .. } => "clock",
            Self::EngineFails { .. } | Self::EngineDown { .. } => "engine",
            Self::ProcessEnds { .. } => "process",
        }
    }
}

impl Plan {
    /// Draws a run. Only faults of the classes in `allowed` stay in it.
    pub(super) fn draw(seed: u64, allowed: &[String]) -> Self {
        let mut rng = Rng::new(seed, 1);
        let edges = [1, 1, 2, 2, 3, 4, 6, 8][rng.index(8)];
        // Many servers on few edges, few on many: a run stays cheap.
        let most = (24 / edges).clamp(1, 20);
        let servers: Vec<usize> = (0..edges).map(|_| 1 + rng.index(most)).collect();
        let all: usize = servers.iter().sum();
        let lasts_ms = rng.within(15..=45) * 60_000;
        let mut events = Vec::new();
        for _ in 0..rng.within(5..=25) {
            let server = rng.index(all);
            let act = match rng.within(0..=11) {
                0..=1 => Act::Power(server, PowerAction::Stop),
                2..=4 => Act::Power(server, PowerAction::Start),
                5 => Act::Power(server, PowerAction::Restart),
                6 => Act::Power(server, PowerAction::Kill),
                7..=8 => Act::Memory(server, rng.within(1..=8) * 128),
                9 => Act::Suspend(server, true),
                10 => Act::Suspend(server, false),
                _ => Act::Delete(server),
            };
            events.push((rng.within(30_000..=lasts_ms), Event::Act(act)));
        }
        for number in 1..=lasts_ms / 400_000 {
            events.push((number * 400_000 + rng.within(0..=60_000), Event::Act(Act::Backup)));
        }
        let mut disaster = rng.happens(500);
        for _ in 0..rng.within(0..=14) {
            let at = rng.within(20_000..=lasts_ms);
            let fault = draw_fault(&mut rng, edges, all, &mut disaster);
            if allowed.is_empty() || allowed.iter().any(|class| class == fault.class()) {
                events.push((at, Event::Fault(fault)));
            }
        }
        events.sort_by_key(|(at, _)| *at);
        Self { seed, bug: None, servers, lasts_ms, events }
    }

    pub(super) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.events.iter().filter_map(|(_, event)| match event {
            Event::Fault(fault) => Some(fault),
            Event::Act(_) => None,
        })
    }
}

/// Draws one fault. `disaster` is spent by the first one that loses something for good: two of them
/// may truly lose what no protocol can save.
fn draw_fault(rng: &mut Rng, edges: usize, servers: usize, disaster: &mut bool) -> Fault {
    let edge = rng.index(edges);
    let change = rng.happens(700).then(|| rng.within(1..=120));
    let down_ms = rng.within(1..=120) * 1_000;
    let ms = rng.within(5..=400) * 1_000;
    let kind = rng.within(0..=13);
    let is_disaster = matches!(kind, 9..=11) && std::mem::take(disaster);
    match kind {
        0..=1 => {
            let (loss_permille, double_permille) = (rng.within(0..=300), rng.within(0..=100));
            let (delay_ms, jitter_ms) = (rng.within(1..=400), rng.within(0..=300));
            let line = Line { loss_permille, double_permille, delay_ms, jitter_ms, ..Line::GOOD };
            Fault::Line { edge, line, ms }
        }
        2 => {
            let side = rng.within(0..=2);
            let line = Line { up_cut: side != 1, down_cut: side != 0, ..Line::GOOD };
            Fault::Line { edge, line, ms }
        }
        3 => Fault::Rebind { edge },
        4..=5 => Fault::EdgeCrash { edge, change, down_ms, machine: false },
        6 => Fault::EdgeCrash { edge, change, down_ms, machine: true },
        7..=8 => Fault::HubCrash { change, down_ms },
        9 if is_disaster => Fault::HubRestore { down_ms },
        10 if is_disaster => Fault::DiskLoss { edge, down_ms },
        11 if is_disaster => Fault::Revert { edge, after_ms: ms },
        9..=10 => {
            let calls = [Call::Create, Call::Start, Call::Inspect, Call::List, Call::StopSignal];
            let when = if rng.happens(700) { When::After } else { When::Before };
            Fault::EngineFails { edge, call: calls[rng.index(calls.len())], when }
        }
        11 => Fault::EngineDown { edge, ms: ms / 4 },
        12 => Fault::ProcessEnds { server: rng.index(servers) },
        _ if rng.happens(500) => {
            let range = [2_000, 60_000, 3_600_000, 86_400_000][rng.index(4)];
            let by = i64::try_from(rng.within(0..=2 * range)).unwrap() - range.cast_signed();
            Fault::Clock { edge, wrong_by_ms: by }
        }
        _ => Fault::DiskFull { edge, ms },
    }
}

//! Pure: what a seed makes happen, as a list that can be shortened.

use super::{chance::Rng, net::Line, planted::Bug, world::TENANTS};
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
    /// A server to an edge.
    Move(usize, usize),
    CancelMove(usize),
    /// A server to a tenant, by its number.
    Give(usize, u8),
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
    /// The line is cut and mended again and again.
    Flap {
        edge: usize,
        cut: Line,
        each_ms: u64,
        ms: u64,
    },
    DiskFull {
        edge: usize,
        ms: u64,
    },
    /// Of an edge, or of the hub.
    DiskSlow {
        edge: Option<usize>,
        delay_ms: u64,
        ms: u64,
    },
    /// One change fails, of an edge or of the hub.
    DiskError {
        edge: Option<usize>,
        change: u64,
    },
    DiskLoss {
        edge: usize,
        down_ms: u64,
    },
    Revert {
        edge: usize,
        after_ms: u64,
    },
    /// A second machine with the same identity and disk.
    Clone {
        edge: usize,
        ms: u64,
    },
    Clock {
        edge: usize,
        wrong_by_ms: i64,
    },
    /// The clocks go too fast or too slow, in millionths.
    Drift {
        edge: usize,
        wall_ppm: i64,
        boot_ppm: i64,
    },
    EngineFails {
        edge: usize,
        call: Call,
        when: When,
    },
    EngineSlow {
        edge: usize,
        call: Call,
        by_ms: u64,
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
pub(super) const CLASSES: [&str; 18] = [
    "loss",
    "partition",
    "flap",
    "rebind",
    "edge-crash",
    "power",
    "hub-crash",
    "restore",
    "disk-full",
    "disk-slow",
    "disk-error",
    "disk-loss",
    "revert",
    "clone",
    "clock",
    "drift",
    "engine",
    "process",
];

/// Most by which a wall clock goes wrong, in millionths.
pub(super) const WALL_PPM_MAX: u64 = 20_000;

impl Fault {
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Line { line, .. } if line.up_cut || line.down_cut => "partition",
            Self::Line { .. } => "loss",
            Self::Flap { .. } => "flap",
            Self::Rebind { .. } => "rebind",
            Self::EdgeCrash { machine: false, .. } => "edge-crash",
            Self::EdgeCrash { machine: true, .. } => "power",
            Self::HubCrash { .. } => "hub-crash",
            Self::HubRestore { .. } => "restore",
            Self::DiskFull { .. } => "disk-full",
            Self::DiskSlow { .. } => "disk-slow",
            Self::DiskError { .. } => "disk-error",
            Self::DiskLoss { .. } => "disk-loss",
            Self::Revert { .. } => "revert",
            Self::Clone { .. } => "clone",
            Self::Clock { .. } => "clock",
            Self::Drift { .. } => "drift",
            Self::EngineFails { .. } | Self::EngineSlow { .. } | Self::EngineDown { .. } => {
                "engine"
            }
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
        draw_moves(seed, (edges, all), lasts_ms, &mut events);
        draw_gifts(seed, all, lasts_ms, &mut events);
        for number in 1..=lasts_ms / 400_000 {
            events.push((number * 400_000 + rng.within(0..=60_000), Event::Act(Act::Backup)));
        }
        let mut faults = Vec::new();
        for _ in 0..rng.within(0..=16) {
            faults.push((rng.within(20_000..=lasts_ms), draw_fault(&mut rng, edges, all)));
        }
        // At most one: two of them may truly lose what no protocol can save.
        if rng.happens(700) {
            faults.push((rng.within(120_000..=lasts_ms), draw_disaster(&mut rng, edges)));
        }
        for (at, fault) in faults {
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

/// Draws moves of servers. By numbers of their own, so that everything else is as without them.
fn draw_moves(
    seed: u64,
    (edges, all): (usize, usize),
    lasts_ms: u64,
    events: &mut Vec<(u64, Event)>,
) {
    let mut rng = Rng::new(seed, 9);
    let count = if edges > 1 { rng.within(0..=4) } else { 0 };
    for _ in 0..count {
        let (server, at) = (rng.index(all), rng.within(40_000..=lasts_ms));
        events.push((at, Event::Act(Act::Move(server, rng.index(edges)))));
        if rng.happens(250) {
            let after = at + rng.within(500..=60_000);
            events.push((after, Event::Act(Act::CancelMove(server))));
        }
    }
}

/// Draws changes of owners, by numbers of their own.
fn draw_gifts(seed: u64, all: usize, lasts_ms: u64, events: &mut Vec<(u64, Event)>) {
    let mut rng = Rng::new(seed, 8);
    for _ in 0..rng.within(0..=3) {
        let (server, at) = (rng.index(all), rng.within(40_000..=lasts_ms));
        let tenant = u8::try_from(rng.index(usize::from(TENANTS))).unwrap() + 1;
        events.push((at, Event::Act(Act::Give(server, tenant))));
    }
}

/// Draws what takes something back, or doubles it.
fn draw_disaster(rng: &mut Rng, edges: usize) -> Fault {
    let edge = rng.index(edges);
    let (down_ms, ms) = (rng.within(1..=120) * 1_000, rng.within(5..=400) * 1_000);
    match rng.within(0..=4) {
        0 => Fault::HubRestore { down_ms },
        1 => Fault::DiskLoss { edge, down_ms },
        2..=3 => Fault::Revert { edge, after_ms: ms },
        _ => Fault::Clone { edge, ms },
    }
}

/// Draws anything else, at which nothing may be lost that was on a disk.
fn draw_fault(rng: &mut Rng, edges: usize, servers: usize) -> Fault {
    let edge = rng.index(edges);
    let change = rng.happens(700).then(|| rng.within(1..=120));
    let down_ms = rng.within(1..=120) * 1_000;
    let ms = rng.within(5..=400) * 1_000;
    // Which disk: mostly that of an edge.
    let disk = rng.happens(700).then_some(edge);
    match rng.within(0..=19) {
        0..=1 => {
            let (loss_permille, double_permille) = (rng.within(0..=300), rng.within(0..=100));
            let (delay_ms, jitter_ms) = (rng.within(1..=400), rng.within(0..=300));
            let line = Line { loss_permille, double_permille, delay_ms, jitter_ms, ..Line::GOOD };
            Fault::Line { edge, line, ms }
        }
        2..=3 => Fault::Line { edge, line: draw_cut(rng), ms },
        4 => Fault::Flap { edge, cut: draw_cut(rng), each_ms: rng.within(1..=40) * 500, ms },
        5 => Fault::Rebind { edge },
        6..=7 => Fault::EdgeCrash { edge, change, down_ms, machine: false },
        8 => Fault::EdgeCrash { edge, change, down_ms, machine: true },
        9..=10 => Fault::HubCrash { change, down_ms },
        11..=13 => draw_engine(rng, edge, ms),
        14 => Fault::ProcessEnds { server: rng.index(servers) },
        15 => Fault::DiskFull { edge, ms },
        16 => Fault::DiskSlow { edge: disk, delay_ms: rng.within(10..=1_500), ms },
        17 => Fault::DiskError { edge: disk, change: rng.within(1..=60) },
        18 => {
            let range = [2_000, 60_000, 3_600_000, 86_400_000][rng.index(4)];
            Fault::Clock { edge, wrong_by_ms: around_zero(rng, range) }
        }
        _ => {
            let (wall_ppm, boot_ppm) = (around_zero(rng, WALL_PPM_MAX), around_zero(rng, 200));
            Fault::Drift { edge, wall_ppm, boot_ppm }
        }
    }
}

/// A line that is cut in one direction or in both.
fn draw_cut(rng: &mut Rng) -> Line {
    let side = rng.within(0..=2);
    Line { up_cut: side != 1, down_cut: side != 0, ..Line::GOOD }
}

fn draw_engine(rng: &mut Rng, edge: usize, ms: u64) -> Fault {
    let calls = [
        Call::Create,
        Call::Start,
        Call::Inspect,
        Call::List,
        Call::StopSignal,
        Call::Attach,
        Call::Update,
        Call::Remove,
        Call::EnsureNetwork,
    ];
    let call = calls[rng.index(calls.len())];
    match rng.within(0..=9) {
        0..=5 => Fault::EngineFails { edge, call, when: When::After },
        6..=7 => Fault::EngineFails { edge, call, when: When::Before },
        8 => Fault::EngineSlow { edge, call, by_ms: rng.within(1..=30) * 1_000 },
        _ => Fault::EngineDown { edge, ms: ms / 4 },
    }
}

fn around_zero(rng: &mut Rng, range: u64) -> i64 {
    i64::try_from(rng.within(0..=2 * range)).unwrap() - range.cast_signed()
}

//! Moves the meter of one server on, by what the supervisor and the machine say. No IO.

use super::{
    LiveSample, Seen, probe,
    recent::{Recent, speeds},
    roll::{Metered, Process},
};
use mamba_core::{
    clock::{BootMs, UnixMs},
    usage::{
        integrate::{BRIDGE_MS_MAX, Rates, Reading},
        window::{RunKey, ServerMeter, Since, Stamp},
    },
};
use probe::Seen::{Gone, Here};

/// How long a count of the data directory is taken for its size: a disk that is slow to count, or
/// 500 servers that wait for their turn.
const DISK_AGE_MS_MAX: u64 = 3_600_000;
/// How long a process that the supervisor lists may be gone for the machine. Its end is about to be
/// seen, and with it the time of the end; after that the container has no group that we can read.
const GONE_MS_MAX: u64 = 60_000;
/// How long a meter that was read from the disk waits for the supervisor's first look: which process
/// there is, since when, and what is set on it. Short enough for gauges to be bridged; an engine that
/// answers later is not waited for.
const FIRST_LOOK_MS_MAX: u64 = 60_000;
/// How much earlier than the last reading of a process its end may be told: clocks are rounded.
pub(super) const EXIT_SLACK_MS: u64 = 1_000;

const _: () = assert!(FIRST_LOOK_MS_MAX < BRIDGE_MS_MAX);

/// One server in memory.
pub(super) struct Entry {
    pub(super) meter: ServerMeter,
    /// Since when it meters without a break, when that is less than this daemon's life.
    pub(super) fresh: Option<Fresh>,
    /// When the meter was read from the disk, as long as it is as it was read.
    pub(super) loaded_at: Option<BootMs>,
    /// Commits of the row on disk.
    pub(super) commit: u64,
    /// Whether the row on disk is older than the meter.
    pub(super) is_dirty: bool,
    /// Since when it is not on the roll.
    pub(super) absent_since: Option<BootMs>,
    /// Whether another node may meter it since.
    pub(super) has_left: bool,
    /// Size of the data directory, and when it was counted.
    pub(super) disk: Option<(u64, Stamp)>,
    /// When counting was tried last.
    pub(super) disk_tried: Option<BootMs>,
    pub(super) live: LiveSample,
    pub(super) recent: Recent,
    /// Counters at the last look, for rates.
    before: Option<(BootMs, Reading)>,
    gone_since: Option<BootMs>,
}

/// A meter that does not know what was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fresh {
    /// It was made at this time: there was none, or it was lost with the store.
    Made(BootMs),
    /// It went on at this time after another boot, which it told as a gap.
    Resumed(BootMs),
}

/// What is known at one look.
pub(super) struct Look<'a> {
    /// Now.
    pub(super) now: Stamp,
    /// Now by the engine's clock.
    pub(super) wall: UnixMs,
    /// What the supervisor says.
    pub(super) metered: &'a Metered,
    /// The metered process on the machine. `Gone` without one.
    pub(super) run: Seen,
    /// The supervisor's process on the machine. `Gone` without one.
    pub(super) process: Seen,
}

impl Entry {
    pub(super) fn new(meter: ServerMeter, commit: u64) -> Self {
        Self {
            meter,
            fresh: None,
            loaded_at: None,
            commit,
            is_dirty: commit == 0,
            absent_since: None,
            has_left: false,
            disk: None,
            disk_tried: None,
            live: LiveSample::default(),
            recent: Recent::default(),
            before: None,
            gone_since: None,
        }
    }

    /// Moves the meter on to `look.now`.
    pub(super) fn look(&mut self, look: &Look<'_>) {
        if let Some(loaded_at) = self.loaded_at {
            if !look.metered.is_looked_at {
                if look.now.boot.since(loaded_at) <= FIRST_LOOK_MS_MAX {
                    return;
                }
                // A process that is found now ran in time that is accounted for.
                self.fresh.get_or_insert(Fresh::Resumed(look.now.boot));
            }
            self.loaded_at = None;
            // What was allocated since the row was written is not known when the disk was taken back
            // to an older state: the lower of both ends counts, as for gauges.
            let lower = self.meter.rates().lower(rates(look.metered));
            self.meter.allocate(look.metered.tenant, lower);
        }
        let listed = look.metered.process.as_ref();
        let run = self.meter.run().cloned();
        let is_other = |run: &RunKey| listed.is_some_and(|process| process.key != *run);
        match (run, look.run) {
            (Some(run), Gone) if is_other(&run) || listed.is_none() => self.end(look),
            // Two processes of one server: the listed one is newer, the other is about to go.
            (Some(run), Here(_)) if is_other(&run) => self.end(look),
            (Some(_), Here(reading)) => {
                self.gone_since = None;
                self.advance(look.now, reading);
            }
            (Some(_), Gone) => {
                let since = *self.gone_since.get_or_insert(look.now.boot);
                if look.now.boot.since(since) > GONE_MS_MAX {
                    self.advance(look.now, Reading::default());
                }
            }
            (None, _) => {}
        }
        if self.meter.run().is_none() {
            self.gone_since = None;
            match listed {
                Some(process) => self.begin(look, process),
                None => self.advance(look.now, Reading::default()),
            }
        }
        self.meter.allocate(look.metered.tenant, rates(look.metered));
        let here = match look.process {
            Here(reading) if listed.is_some() => Some(reading),
            Here(_) | Gone => None,
        };
        self.show(look.now, here);
    }

    /// The daemon came back, or the machine.
    ///
    /// A process that is older than a fresh meter may have been metered by a store that is lost, or
    /// was taken back: it is counted from now on. So is one that was started in the future: the
    /// clock was set back, and its age is unknown.
    fn begin(&mut self, look: &Look<'_>, process: &Process) {
        let start = look.now.ago(look.wall.since(process.key.started_at));
        let is_ahead = process.key.started_at > look.wall.plus(EXIT_SLACK_MS);
        let since = match self.fresh {
            Some(Fresh::Made(from)) if is_ahead || start.boot < from => {
                self.meter.lost_before(start.unix);
                Since::Unknown
            }
            Some(Fresh::Resumed(from)) if is_ahead || start.boot < from => Since::Unknown,
            Some(_) | None => Since::Start,
        };
        self.advance(start, Reading::default());
        self.meter.allocate(look.metered.tenant, rates(look.metered));
        self.meter.start(process.key.clone(), since);
        if let Here(reading) = look.process {
            self.advance(look.now, reading);
        }
    }

    /// Ends the metered process at the time that the supervisor says. Without one that can be right,
    /// nothing after its last reading is counted.
    fn end(&mut self, look: &Look<'_>) {
        let last = self.meter.at();
        let exit = look.metered.last_exit_at.filter(|&exit| {
            exit.plus(EXIT_SLACK_MS) >= last.unix && exit <= look.now.unix.plus(EXIT_SLACK_MS)
        });
        if let Some(exit) = exit {
            let nothing = Reading { memory_bytes: Some(0), ..Reading::default() };
            self.advance(look.now.ago(look.now.unix.since(exit)), nothing);
        }
        self.meter.stop();
    }

    /// Stops counting what is not on the roll, without guessing why.
    pub(super) fn absent(&mut self, now: Stamp) {
        if self.absent_since.is_none() {
            self.absent_since = Some(now.boot);
            self.meter.cut();
            self.is_dirty = true;
        }
    }

    fn advance(&mut self, to: Stamp, reading: Reading) {
        let disk = self.disk.filter(|(_, at)| to.boot.since(at.boot) <= DISK_AGE_MS_MAX);
        // Until the first count of this run of the daemon the last known size stands.
        let disk_bytes = match self.disk {
            Some(_) => disk.map(|(bytes, _)| bytes),
            None => self.meter.disk_bytes(),
        };
        self.meter.advance(to, Reading { disk_bytes, ..reading });
    }

    fn show(&mut self, now: Stamp, reading: Option<Reading>) {
        let after = reading.map(|reading| (now.boot, reading));
        let speeds = speeds(self.before, after);
        self.live = LiveSample {
            at: now.unix,
            memory_bytes: reading.and_then(|it| it.memory_bytes),
            cpu_millicores: speeds.cpu_millicores,
            sent_bytes: reading.and_then(|it| it.sent_bytes),
            sent_bytes_per_s: speeds.sent_bytes_per_s,
            disk: self.disk.map(|(bytes, at)| (bytes, at.unix)),
        };
        self.recent.note(now.boot, reading, self.disk.map(|(bytes, _)| bytes));
        self.before = after;
    }
}

/// Memory and CPU as set on the process, disk as wanted.
pub(super) fn rates(metered: &Metered) -> Rates {
    let wanted = Rates::from(metered.limits);
    let set = metered.process.as_ref().map_or(wanted, |process| Rates::from(process.limits));
    Rates { disk_bytes: wanted.disk_bytes, ..set }
}

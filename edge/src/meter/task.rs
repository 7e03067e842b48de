//! The task that owns all meters.

use super::{
    COMMANDS_MAX, Command, Kept, METERS, MeterHandle, MeterParts, Metered, Probe, Roll, Seen,
    Shown,
    commit::Batch,
    server::{EXIT_SLACK_MS, Entry, Fresh, Look, rates},
};
use crate::{
    calendar::Calendar,
    outbox::{self, OutboxError},
};
use mamba_core::{
    clock::BootMs,
    db::{Snapshot, Span, TxnError, WriteError},
    error::chain,
    fact::Stream,
    ids::ServerId,
    usage::window::{RunKey, ServerMeter, Since, Stamp, window_ms},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// How long a server may be missing on the roll before its meter is removed. Its facts are appended
/// at once. Absence may be the supervisor's first seconds; a server that comes back after its meter
/// was removed is metered from then on.
const ABSENT_MS_MAX: u64 = 600_000;
/// Rows read at once.
const PAGE_ROWS: usize = 256;

/// The meter, not yet running.
pub struct Meter<P, R> {
    pub(super) parts: MeterParts<P, R>,
    pub(super) entries: BTreeMap<ServerId, Entry>,
    /// When the meters were read. Processes that were started after this are known from their start.
    began: Stamp,
    /// A commit that may have happened or not.
    pub(super) in_doubt: Option<Batch>,
    checkpoint_at: BootMs,
    /// The data directory that is being counted.
    counting: JoinSet<(ServerId, Option<u64>)>,
    commands: mpsc::Receiver<Command>,
    shown: watch::Sender<Arc<Shown>>,
    trouble: Option<String>,
}

impl<P: Probe, R: Roll> Meter<P, R> {
    /// Reads the meters on disk. What happened since they were written is measured at the first
    /// look.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn load(parts: MeterParts<P, R>) -> Result<(Self, MeterHandle), TxnError> {
        let mut entries = BTreeMap::new();
        let now = stamp(&parts);
        let mut span = Span::all();
        loop {
            let page: Vec<(ServerId, Kept)> =
                parts.store.read(|txn| txn.range(METERS, span.clone(), PAGE_ROWS))?;
            let Some((last, _)) = page.last() else { break };
            span = span.after(last);
            for (server, kept) in page {
                let mut entry = Entry::new(kept.meter, kept.commit);
                entry.is_dirty = !entry.meter.pending().is_empty();
                entry.loaded_at = Some(now.boot);
                entries.insert(server, entry);
            }
        }
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (shown, watcher) = watch::channel(Arc::default());
        let meter = Self {
            entries,
            began: now,
            in_doubt: None,
            checkpoint_at: now.boot,
            counting: JoinSet::new(),
            commands,
            shown,
            trouble: None,
            parts,
        };
        Ok((meter, MeterHandle { commands: sender, shown: watcher }))
    }

    /// Meters until all handles are gone. Cancelled, it leaves what the last commit left.
    pub async fn run(mut self) {
        let mut ticks = interval(self.parts.config.sample);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_followed = true;
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Look) => { self.round().await; }
                    Some(Command::Flush(reply)) => {
                        let is_stored = self.flush().await;
                        // Whoever asked may have left.
                        reply.send(is_stored).ok();
                    }
                    Some(Command::Recent(server, reply)) => {
                        let recent = self.entries.get(&server).map(|it| &it.recent);
                        let told = recent.map(|it| it.told(stamp(&self.parts)));
                        reply.send(told.unwrap_or_default()).ok();
                    }
                    None => return,
                },
                Some(counted) = self.counting.join_next() => self.counted(counted.ok()),
                is_more = self.parts.roll.changed(), if is_followed => {
                    is_followed = is_more;
                    self.round().await;
                }
                _ = ticks.tick() => { self.round().await; }
            }
        }
    }

    /// Looks at everything once, and commits what is due. Returns whether all of that is on disk.
    pub(super) async fn round(&mut self) -> bool {
        self.look().await;
        let window = self.window_ms();
        let now = self.parts.clock.boot();
        let is_checkpoint = now.since(self.checkpoint_at) >= self.parts.config.checkpoint_ms;
        for entry in self.entries.values_mut() {
            entry.meter.cut_if_due(window);
            entry.is_dirty |= is_checkpoint || !entry.meter.pending().is_empty();
        }
        let is_stored = self.commit(is_checkpoint).await;
        if is_stored && is_checkpoint {
            self.checkpoint_at = now;
        }
        self.show();
        is_stored
    }

    pub(super) async fn flush(&mut self) -> bool {
        self.look().await;
        for entry in self.entries.values_mut() {
            entry.meter.cut();
            entry.is_dirty = true;
        }
        let is_stored = self.commit(true).await;
        self.show();
        is_stored
    }

    async fn look(&mut self) {
        // Says through the calendar itself what it changed; the meters see it as a step.
        self.parts.calendar.look();
        let roll = self.parts.roll.servers();
        let mut runs: Vec<RunKey> = Vec::new();
        for (server, metered) in &roll {
            let known = self.entries.get(server).and_then(|entry| entry.meter.run());
            let listed = metered.process.as_ref().map(|process| &process.key);
            runs.extend(known.cloned());
            runs.extend(listed.filter(|listed| Some(*listed) != known).cloned());
        }
        let seen = self.parts.probe.look(runs.clone()).await;
        let seen = |key: Option<&RunKey>| {
            let place = key.and_then(|key| runs.iter().position(|it| it == key));
            place.and_then(|place| seen.get(place).copied()).unwrap_or(Seen::Gone)
        };
        let now = stamp(&self.parts);
        let (wall, boot) = (self.parts.clock.wall(), self.parts.clock.boot_id());
        for (&server, metered) in &roll {
            if !self.entries.contains_key(&server) {
                let entry = self.enter(server, metered, now);
                self.entries.insert(server, entry);
            }
            let Some(entry) = self.entries.get_mut(&server) else { continue };
            entry.absent_since = None;
            if std::mem::take(&mut entry.has_left) {
                entry.meter.away_until(boot, now);
                entry.fresh = Some(Fresh::Resumed(now.boot));
            }
            // Only now: one that is deleted is not on the roll, and no time after its end is ours.
            let before = entry.meter.at();
            entry.meter.resume(boot, self.began);
            if entry.meter.at() != before {
                entry.fresh = Some(Fresh::Resumed(self.began.boot));
            }
            let run = seen(entry.meter.run());
            let process = seen(metered.process.as_ref().map(|process| &process.key));
            entry.look(&Look { now, wall, metered, run, process });
        }
        let left = self.parts.roll.left();
        let absent = self.entries.iter_mut().filter(|(server, _)| !roll.contains_key(server));
        for (server, entry) in absent {
            entry.absent(now);
            let gone_ms = entry.absent_since.map_or(0, |since| now.boot.since(since));
            // An empty roll is a supervisor that has not looked yet.
            entry.has_left |= left.contains(server);
            entry.is_dirty |= entry.has_left || (gone_ms > ABSENT_MS_MAX && !roll.is_empty());
        }
        self.count_one(&roll, now.boot);
    }

    /// Begins to meter a server that has no row. A process older than this daemon was metered by a
    /// store that is lost.
    fn enter(&self, server: ServerId, metered: &Metered, now: Stamp) -> Entry {
        let age_ms = |key: &RunKey| self.parts.clock.wall().since(key.started_at);
        let old = metered.process.as_ref().filter(|process| {
            // One that was started in the future has an unknown age: the clock was set back.
            process.key.started_at > self.parts.clock.wall().plus(EXIT_SLACK_MS)
                || age_ms(&process.key) > now.boot.since(self.began.boot)
        });
        let young = metered.process.as_ref().filter(|_| old.is_none());
        let at = young.map_or(now, |process| now.ago(age_ms(&process.key)));
        let boot = self.parts.clock.boot_id();
        let mut meter = ServerMeter::new(metered.tenant, server, boot, at, rates(metered));
        if let Some(process) = old {
            meter.lost_before(now.ago(age_ms(&process.key)).unix);
            meter.start(process.key.clone(), Since::Unknown);
        }
        let mut entry = Entry::new(meter, 0);
        entry.fresh = Some(Fresh::Made(at.boot));
        entry
    }

    /// Counts the data directory that was not counted for longest, one at a time.
    fn count_one(&mut self, roll: &BTreeMap<ServerId, Metered>, now: BootMs) {
        if !self.counting.is_empty() {
            return;
        }
        let due = |entry: &Entry| {
            entry.disk_tried.is_none_or(|at| now.since(at) >= self.parts.config.disk_ms)
        };
        let next = self
            .entries
            .iter_mut()
            .filter(|(server, entry)| roll.contains_key(server) && due(entry))
            .min_by_key(|(_, entry)| entry.disk_tried);
        let Some((&server, entry)) = next else { return };
        let Some(dir) = roll.get(&server).map(|metered| metered.data_dir.clone()) else { return };
        entry.disk_tried = Some(now);
        let counted = self.parts.probe.disk(dir);
        self.counting.spawn(async move { (server, counted.await) });
    }

    fn counted(&mut self, counted: Option<(ServerId, Option<u64>)>) {
        let now = stamp(&self.parts);
        if let Some((server, Some(bytes))) = counted
            && let Some(entry) = self.entries.get_mut(&server)
        {
            entry.disk = Some((bytes, now));
        }
    }

    /// Writes what is due. Returns whether everything is on disk.
    async fn commit(&mut self, with_calendar: bool) -> bool {
        let now = self.parts.clock.boot();
        let removed = |entry: &Entry| {
            entry.has_left
                || entry.absent_since.is_some_and(|since| now.since(since) > ABSENT_MS_MAX)
        };
        let at = self.parts.calendar.now();
        let mut is_calendar_due = with_calendar;
        loop {
            let calendar = self.parts.calendar.remembered();
            let batch = self.in_doubt.take().or_else(|| {
                let batch = Batch::next(&self.entries, removed, calendar, at);
                batch.or_else(|| is_calendar_due.then(|| Batch::calendar(calendar, at)))
            });
            let Some(batch) = batch else { break };
            is_calendar_due = false;
            let writing = batch.clone();
            match self.parts.store.write(move |txn| writing.write(txn)).await {
                Ok(()) => batch.settle(&mut self.entries),
                Err(err) => {
                    self.failed(batch, &err);
                    return false;
                }
            }
        }
        self.trouble = None;
        true
    }

    fn failed(&mut self, batch: Batch, err: &WriteError<OutboxError>) {
        if let WriteError::Unknown(_) = err {
            self.in_doubt = Some(batch);
        }
        let text = format!("usage could not be stored: {}", chain(err));
        if self.trouble.is_none() {
            tracing::warn!("{text}");
        }
        self.trouble = Some(text);
    }

    fn window_ms(&self) -> u64 {
        let can_write = self.parts.store.health().borrow().can_write();
        let line = self.parts.store.read(|txn| outbox::line(txn, Stream::Usage));
        // An outbox that cannot be read is one that cannot be written.
        let Ok(line) = line else { return window_ms(0, false) };
        let now = self.parts.calendar.now();
        window_ms(line.oldest_unacked_at.map_or(0, |at| now.since(at)), can_write)
    }

    fn show(&self) {
        let live = self.entries.iter().map(|(&server, entry)| (server, entry.live)).collect();
        self.shown.send_replace(Arc::new(Shown { live, trouble: self.trouble.clone() }));
    }
}

fn stamp<P, R>(parts: &MeterParts<P, R>) -> Stamp {
    Stamp { boot: parts.clock.boot(), unix: parts.calendar.now() }
}

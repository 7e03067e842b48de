//! The node's calendar: the hub's time as well as it is known here.
//!
//! Everything that is agreed with the hub (facts, expiry of intents, entitlements) is placed by
//! this calendar. Durations never are: they come from the boot clock.
//!
//! The calendar is the boot clock plus a constant. Where the constant comes from, best first:
//!
//! 1. [`Source::Hub`]: the hub told the time in this boot. Kept on disk, so that it survives the
//!    daemon; the system's wall clock plays no part then.
//! 2. [`Source::Wall`]: the wall clock, when it is believable: not before the *floor*, and at most
//!    [`WALL_AHEAD_MS_MAX`] after it.
//! 3. [`Source::Floor`]: else the latest time that was known before this boot, plus the time since the
//!    daemon came up in it.
//!
//! The floor is the last hub time plus all boot-clock time that a daemon measured since, a lower bound
//! of the true time whatever the wall clock says, also when the data is put into a machine that has
//! been up for long. Without one (a node that never met its hub) it is
//! [`RELEASED`], and every later wall clock is believed: there is nothing to hold it against.
//!
//! Corrections. A hub's time is believed to half its round trip. A small correction forward, up to
//! [`HOLD_MS_MAX`], is taken at once; for one backward the calendar stands still until the true time
//! has caught up, so that it never goes back. A larger one in either direction is a *step*: intents
//! must not be judged by a calendar that is known to be wrong. A hub's time that was held up on its
//! way looks like a step back, so one is believed when two in a row say the same. Whoever measures time sees a step as
//! a difference between boot clock and calendar; the meter writes it down as a fact, and the hub's
//! coverage keeps a span that comes twice from being billed twice.

use mamba_core::{
    clock::{BootId, Clock, UnixMs},
    db::{Snapshot, Table, TableDef, Txn, TxnError},
    record,
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// No true time is before this: 2026-11-01, raised with releases.
pub const RELEASED: UnixMs = UnixMs(1_793_491_200_000);
/// Longest time that a node may have been away from its hub for its wall clock to be believed: a
/// year and a month. Longer ones are more often wrong clocks.
pub const WALL_AHEAD_MS_MAX: u64 = 400 * 86_400_000;
/// Largest correction that is no step. Above it an intent of 60 s would be judged noticeably wrong.
pub const HOLD_MS_MAX: u64 = 2_000;
/// Difference between wall clock and calendar that people are told of.
const TROUBLE_MS_MIN: u64 = 60_000;

const CALENDAR: Table<u8, Remembered> = Table::new(39, "calendar");

/// Tables of this module, for the list of all tables of the store.
pub const TABLES: [TableDef; 1] = [CALENDAR.def()];

/// What the calendar says, and what of it is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The hub's time as well as it is known.
    pub now: UnixMs,
    /// A lower bound of it, whatever the wall clock says.
    pub certain: UnixMs,
}

/// Tells the time that is agreed with the hub.
pub trait Calendar: Send + Sync + 'static {
    /// Returns the hub's time as well as it is known.
    fn now(&self) -> UnixMs;

    /// Returns a lower bound of the hub's time that no wrong wall clock can raise. What cannot be
    /// undone, such as the deletion of a world, goes by it.
    fn certain(&self) -> UnixMs;

    /// Returns both.
    fn moment(&self) -> Moment {
        Moment { now: self.now(), certain: self.certain() }
    }
}

/// Where the calendar comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The hub, in this boot.
    Hub,
    /// The system's wall clock.
    Wall,
    /// What was known before this boot.
    Floor,
}

/// What is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    boot: BootId,
    source: Source,
    /// The calendar at the boot clock's zero.
    zero: UnixMs,
    /// The calendar when it was kept.
    last: UnixMs,
    /// Lower bound of the time when it was kept; `None` before the hub was ever met.
    floor: Option<UnixMs>,
}
record!(Remembered, 1);

/// The calendar of a node. Clones of its `Arc` are the same calendar.
pub struct HubCalendar {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    source: Source,
    zero: UnixMs,
    /// Latest time that was told.
    told: UnixMs,
    /// Lower bound of the time at the boot clock's zero.
    floor_zero: Option<UnixMs>,
    /// What the newest time from the hub would make `zero`, when that is a step back.
    doubted_zero: Option<UnixMs>,
}

/// Reads what [`Remembered::save`] kept.
///
/// # Errors
/// When the store fails.
pub fn load(read: &impl Snapshot) -> Result<Option<Remembered>, TxnError> {
    read.get(CALENDAR, &0)
}

impl HubCalendar {
    /// Begins with what is on disk.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, remembered: Option<Remembered>) -> Self {
        let state = State::begin(&*clock, remembered);
        Self { clock, state: Mutex::new(state) }
    }

    /// Takes over the hub's time. `rtt_ms` is the time that asking for it took: the hub read its
    /// clock somewhere within. Returns new minus old time when that is a step.
    pub fn learn(&self, hub: UnixMs, rtt_ms: u64) -> Option<i64> {
        let mut state = self.lock();
        let (now, target) = (state.now(&*self.clock), hub.plus(rtt_ms / 2));
        if state.source == Source::Hub && now.0.abs_diff(target.0) <= rtt_ms.div_ceil(2) {
            state.doubted_zero = None;
            return None;
        }
        if state.is_doubtful(now, target, &*self.clock) {
            return None;
        }
        let by_ms = state.correct(&*self.clock, target, Source::Hub);
        state.floor_zero = Some(state.zero);
        by_ms
    }

    /// Looks at the wall clock again as long as the hub has not told the time: it may have been set
    /// meanwhile. Returns new minus old time when that is a step.
    pub fn look(&self) -> Option<i64> {
        let mut state = self.lock();
        let wall = self.clock.wall();
        if state.source == Source::Hub || !state.believes(wall, &*self.clock) {
            return None;
        }
        state.correct(&*self.clock, wall, Source::Wall)
    }

    /// What has to be kept on disk now.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        let mut state = self.lock();
        Remembered {
            boot: self.clock.boot_id(),
            source: state.source,
            zero: state.zero,
            last: state.now(&*self.clock),
            floor: state.floor(&*self.clock),
        }
    }

    /// Returns the time to check certificates at: a wrong wall clock must not keep a node out.
    #[must_use]
    pub fn verification_time(&self) -> UnixMs {
        let mut state = self.lock();
        let floor = state.floor(&*self.clock).unwrap_or(RELEASED);
        state.now(&*self.clock).max(floor).max(RELEASED)
    }

    /// Returns the other time to check certificates at when the first one fails: a wall clock that is
    /// not believed, because it is right when a node was away for longer than is believed.
    #[must_use]
    pub fn doubted_time(&self) -> Option<UnixMs> {
        let wall = self.clock.wall();
        (wall > self.verification_time().plus(TROUBLE_MS_MIN)).then_some(wall)
    }

    /// Where the calendar comes from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.lock().source
    }

    /// Returns what is wrong with the machine's clock, in one line for people.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let (now, wall) = (self.now(), self.clock.wall());
        let source = self.source();
        let off_ms = wall.0.abs_diff(now.0);
        match source {
            Source::Floor => Some(format!(
                "system clock says {wall}, which cannot be right: going by the last known time, {now}"
            )),
            Source::Hub if off_ms > TROUBLE_MS_MIN => Some(format!(
                "system clock says {wall}, the hub {now}: it is {} s off",
                off_ms / 1_000
            )),
            Source::Hub | Source::Wall => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    /// What the calendar said when this was kept.
    #[must_use]
    pub fn kept_at(&self) -> UnixMs {
        self.last
    }

    /// Keeps it, in the caller's transaction.
    ///
    /// # Errors
    /// When the store fails.
    pub fn save(&self, txn: &mut Txn<'_>) -> Result<(), TxnError> {
        txn.put(CALENDAR, &0, self)
    }
}

impl Calendar for HubCalendar {
    fn now(&self) -> UnixMs {
        self.lock().now(&*self.clock)
    }

    fn certain(&self) -> UnixMs {
        let floor = self.lock().floor(&*self.clock);
        floor.unwrap_or_else(|| RELEASED.plus(self.clock.boot().0))
    }
}

impl State {
    fn begin(clock: &dyn Clock, remembered: Option<Remembered>) -> Self {
        let boot = clock.boot();
        let zero = UnixMs(clock.wall().0.saturating_sub(boot.0));
        let Some(kept) = remembered else {
            let fresh = Self {
                source: Source::Wall,
                zero,
                told: UnixMs(0),
                floor_zero: None,
                doubted_zero: None,
            };
            let is_believed = fresh.believes(clock.wall(), clock);
            return if is_believed { fresh } else { fresh.at_floor(RELEASED) };
        };
        if kept.boot == clock.boot_id() {
            let floor_zero = kept.floor.map(|floor| back(floor, kept.last.since(kept.zero)));
            return Self {
                source: kept.source,
                zero: kept.zero,
                told: kept.last,
                floor_zero,
                doubted_zero: None,
            };
        }
        // An unknown time has passed since. Not even the time since this boot is part of it for
        // certain: the disk may come from another machine, and this one was up before.
        let state = Self {
            source: Source::Wall,
            zero,
            told: UnixMs(0),
            floor_zero: kept.floor.map(|floor| back(floor, boot.0)),
            doubted_zero: None,
        };
        if state.believes(clock.wall(), clock) {
            state
        } else {
            state.at_floor(back(kept.last.max(kept.floor.unwrap_or(RELEASED)), boot.0))
        }
    }

    fn at_floor(self, zero: UnixMs) -> Self {
        Self { source: Source::Floor, zero, ..self }
    }

    fn now(&mut self, clock: &dyn Clock) -> UnixMs {
        let time = self.zero.plus(clock.boot().0);
        // A step back has lowered `told` itself; what is left is at most the largest hold.
        self.told = self.told.max(time);
        self.told
    }

    fn floor(&self, clock: &dyn Clock) -> Option<UnixMs> {
        self.floor_zero.map(|zero| zero.plus(clock.boot().0))
    }

    fn believes(&self, wall: UnixMs, clock: &dyn Clock) -> bool {
        match self.floor(clock) {
            None => wall >= RELEASED,
            // The floor follows a clock that drifts a little, too.
            Some(floor) => wall.plus(HOLD_MS_MAX) >= floor && wall <= floor.plus(WALL_AHEAD_MS_MAX),
        }
    }

    /// Whether a hub's time may only have been held up: it is a step back from what the hub said
    /// before, and the one before it did not say the same.
    fn is_doubtful(&mut self, now: UnixMs, target: UnixMs, clock: &dyn Clock) -> bool {
        let zero = back(target, clock.boot().0);
        let before = self.doubted_zero.take();
        let is_step_back = self.source == Source::Hub && now.since(target) > HOLD_MS_MAX;
        let is_confirmed = before.is_some_and(|it| it.0.abs_diff(zero.0) <= HOLD_MS_MAX);
        let is_doubtful = is_step_back && !is_confirmed;
        if is_doubtful {
            self.doubted_zero = Some(zero);
        }
        is_doubtful
    }

    fn correct(&mut self, clock: &dyn Clock, target: UnixMs, source: Source) -> Option<i64> {
        let now = self.now(clock);
        self.zero = back(target, clock.boot().0);
        self.source = source;
        let by_ms = target.0.cast_signed().saturating_sub(now.0.cast_signed());
        if by_ms.unsigned_abs() <= HOLD_MS_MAX {
            return None;
        }
        self.told = target;
        Some(by_ms)
    }
}

fn back(time: UnixMs, ms: u64) -> UnixMs {
    UnixMs(time.0.saturating_sub(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::clock::BootMs;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    const YEAR_MS: u64 = 365 * 86_400_000;
    const TRUE: UnixMs = UnixMs(RELEASED.0 + 100 * 86_400_000);

    struct Hand {
        wall: AtomicU64,
        boot: AtomicU64,
        id: u8,
    }

    impl Hand {
        fn new(id: u8, wall: UnixMs, boot: u64) -> Arc<Self> {
            Arc::new(Self { wall: wall.0.into(), boot: boot.into(), id })
        }
        fn pass(&self, ms: u64) {
            self.wall.fetch_add(ms, Relaxed);
            self.boot.fetch_add(ms, Relaxed);
        }
    }

    impl Clock for Hand {
        fn wall(&self) -> UnixMs {
            UnixMs(self.wall.load(Relaxed))
        }
        fn boot(&self) -> BootMs {
            BootMs(self.boot.load(Relaxed))
        }
        fn boot_id(&self) -> BootId {
            BootId([self.id; 16])
        }
    }

    /// What is kept after the hub told `TRUE` and `ms` have passed.
    fn kept_after(ms: u64) -> Remembered {
        let clock = Hand::new(1, UnixMs(5), 1_000);
        let calendar = HubCalendar::new(clock.clone(), None);
        calendar.learn(TRUE, 0);
        clock.pass(ms);
        calendar.remembered()
    }

    #[track_caller]
    fn check_boot(wall: UnixMs, kept: Option<Remembered>, source: Source, now: UnixMs) {
        let calendar = HubCalendar::new(Hand::new(2, wall, 10_000), kept);
        assert_eq!((calendar.source(), calendar.now()), (source, now));
        assert_eq!(calendar.trouble().is_some(), source == Source::Floor);
    }

    #[test]
    fn a_boot_without_hub_takes_the_wall_clock_when_it_can_be_right() {
        let kept = Some(kept_after(60_000));
        let floor = TRUE.plus(60_000);
        check_boot(TRUE.plus(YEAR_MS), kept, Source::Wall, TRUE.plus(YEAR_MS));
        check_boot(floor, kept, Source::Wall, floor);
        check_boot(UnixMs(10_000), kept, Source::Floor, floor);
        check_boot(TRUE.plus(10 * YEAR_MS), kept, Source::Floor, floor);
        check_boot(TRUE, None, Source::Wall, TRUE);
        check_boot(UnixMs(0), None, Source::Floor, RELEASED.plus(10_000));
    }

    #[test]
    fn only_the_hub_and_the_boot_clock_make_a_time_certain() {
        let check = |wall: UnixMs, kept, expected| {
            let clock = Hand::new(2, wall, 10_000);
            let calendar = HubCalendar::new(clock.clone(), kept);
            assert_eq!(calendar.certain(), expected);
            clock.pass(500);
            calendar.look();
            assert_eq!(calendar.certain(), expected.plus(500));
            let told = expected.plus(YEAR_MS);
            calendar.learn(told, 0);
            assert_eq!(calendar.moment(), Moment { now: told, certain: told });
        };
        let (kept, floor) = (Some(kept_after(60_000)), TRUE.plus(60_000));
        for wall in [UnixMs(0), TRUE, TRUE.plus(YEAR_MS), TRUE.plus(10 * YEAR_MS)] {
            check(wall, kept, floor);
            check(wall, None, RELEASED.plus(10_000));
        }
    }

    #[test]
    fn the_age_of_a_machine_is_not_the_age_of_a_disk_put_into_it() {
        let kept = kept_after(60_000);
        for (wall, now) in [(UnixMs(0), 60_000), (TRUE.plus(70_000), 70_000)] {
            let calendar = HubCalendar::new(Hand::new(2, wall, YEAR_MS), Some(kept));
            let expected = Moment { now: TRUE.plus(now), certain: TRUE.plus(60_000) };
            assert_eq!(calendar.moment(), expected);
        }
    }

    #[test]
    fn a_restarted_daemon_goes_on_with_the_hubs_time() {
        let kept = kept_after(60_000);
        let clock = Hand::new(1, UnixMs(0), 91_000);
        let calendar = HubCalendar::new(clock, Some(kept));
        assert_eq!((calendar.source(), calendar.now()), (Source::Hub, TRUE.plus(90_000)));
        assert!(calendar.trouble().unwrap().contains("off"), "the wall clock says 1970");
        assert_eq!(calendar.remembered().floor, Some(TRUE.plus(90_000)));
    }

    #[test]
    fn the_floor_grows_over_boots_without_a_hub() {
        let mut kept = kept_after(0);
        for boot in 2..5 {
            let clock = Hand::new(boot, UnixMs(0), 0);
            let calendar = HubCalendar::new(clock.clone(), Some(kept));
            clock.pass(1_000);
            kept = calendar.remembered();
            assert_eq!(kept.floor, Some(TRUE.plus(1_000 * u64::from(boot - 1))));
            assert_eq!(kept.last, TRUE.plus(1_000 * u64::from(boot - 1)));
        }
    }

    #[test]
    fn a_cured_wall_clock_is_taken_up_without_a_restart() {
        let clock = Hand::new(2, UnixMs(0), 0);
        let calendar = HubCalendar::new(clock.clone(), Some(kept_after(0)));
        assert_eq!(calendar.look(), None);
        clock.wall.store(TRUE.0 + 50_000, Relaxed);
        assert_eq!(calendar.look(), Some(50_000));
        assert_eq!((calendar.source(), calendar.now()), (Source::Wall, TRUE.plus(50_000)));
        assert_eq!(calendar.learn(TRUE.plus(20_000), 10), Some(-29_995));
        clock.wall.store(0, Relaxed);
        assert_eq!(calendar.look(), None);
        assert_eq!(calendar.now(), TRUE.plus(20_005));
    }

    #[test]
    fn small_corrections_never_turn_the_calendar_back() {
        let clock = Hand::new(1, TRUE, 0);
        let calendar = HubCalendar::new(clock.clone(), None);
        assert_eq!(calendar.learn(TRUE.plus(1_500), 0), None);
        assert_eq!(calendar.now(), TRUE.plus(1_500));
        assert_eq!(calendar.learn(TRUE, 0), None);
        for (ms, expected) in [(0, 1_500), (1_000, 1_500), (500, 1_500), (500, 2_000)] {
            clock.pass(ms);
            assert_eq!(calendar.now(), TRUE.plus(expected));
        }
    }

    #[test]
    fn a_step_back_is_believed_when_two_say_the_same() {
        let clock = Hand::new(1, TRUE, 0);
        let calendar = HubCalendar::new(clock.clone(), None);
        calendar.learn(TRUE, 0);
        clock.pass(30_000);
        // Two that were held up arrive at once, then one in time.
        assert_eq!(calendar.learn(TRUE.plus(1_000), 0), None);
        assert_eq!(calendar.learn(TRUE.plus(16_000), 0), None);
        assert_eq!(calendar.now(), TRUE.plus(30_000));
        assert_eq!(calendar.learn(TRUE.plus(30_000), 0), None);
        // The hub's own clock is set back.
        clock.pass(15_000);
        assert_eq!(calendar.learn(TRUE.plus(5_000), 0), None);
        clock.pass(15_000);
        assert_eq!(calendar.learn(TRUE.plus(20_000), 0), Some(-40_000));
        assert_eq!(calendar.now(), TRUE.plus(20_000));
    }

    #[test]
    fn a_time_within_the_round_trip_changes_nothing() {
        let clock = Hand::new(1, TRUE, 0);
        let calendar = HubCalendar::new(clock, None);
        calendar.learn(TRUE, 0);
        calendar.learn(UnixMs(TRUE.0 - 300), 800);
        assert_eq!(calendar.now(), TRUE);
        calendar.learn(TRUE.plus(301), 200);
        assert_eq!(calendar.now(), TRUE.plus(401));
    }

    #[test]
    fn certificates_are_checked_at_a_time_that_can_be_right() {
        let kept = kept_after(0);
        let at = |wall: UnixMs, kept| {
            let calendar = HubCalendar::new(Hand::new(2, wall, 0), kept);
            (calendar.verification_time(), calendar.doubted_time())
        };
        assert_eq!(at(UnixMs(0), None), (RELEASED, None));
        assert_eq!(at(UnixMs(0), Some(kept)), (TRUE, None));
        assert_eq!(at(TRUE.plus(9), Some(kept)), (TRUE.plus(9), None));
        let far = TRUE.plus(10 * YEAR_MS);
        assert_eq!(at(far, Some(kept)), (TRUE, Some(far)));
        assert_eq!(at(far, None), (far, None));
    }

    #[tokio::test]
    async fn what_is_kept_comes_back() {
        use mamba_core::db::{Store, StoreOptions, sim::SimDisk};
        let store = Store::inline(SimDisk::new(0), StoreOptions::EDGE).unwrap();
        assert_eq!(store.read(load).unwrap(), None);
        let kept = kept_after(5);
        store.write(move |txn| kept.save(txn)).await.unwrap();
        assert_eq!(store.read(load).unwrap(), Some(kept));
    }
}

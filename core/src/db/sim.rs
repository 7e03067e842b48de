//! A simulated disk for tests: loses unsynced writes, tears them, fills up, fails, turns read-only.
//!
//! Writes go to what a reader sees at once, and to a list of changes that a sync makes durable.
//! [`SimDisk::crash`] returns the disk after a power cut: of the changes since the last sync, each
//! 512-byte sector made it or not, by a seed. Nothing here is random without that seed.

use super::disk::Disk;
use super::overlay::{Base, Overlay};
use redb::{Builder, Database, DatabaseError, StorageBackend};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a disk writes as a whole, or not at all.
const SECTOR_BYTES: usize = 512;
/// What a file system allocates at once.
const BLOCK_BYTES: u64 = 4_096;

/// A disk with one store. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// What the disk does from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimMode {
    /// Everything works.
    #[default]
    Works,
    /// Every change fails with `EROFS`.
    ReadOnly,
    /// Everything fails with `EIO`.
    Dead,
}

/// What of the changes since the last sync is found after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// None of them.
    Synced,
    /// All of them, as when only the process was killed.
    Written,
    /// Of each 512-byte sector what this seed draws.
    Torn(u64),
}

/// Environment variable that asks for a crash at every operation: `all`.
pub const CRASH_POINTS_VARIABLE: &str = "MAMBA_CRASH_POINTS";

/// Returns at which of `changes_count` operations a test crashes a disk: about `some` of them, evenly
/// over the whole, or all when [`CRASH_POINTS_VARIABLE`] says so.
#[must_use]
pub fn crash_points(changes_count: u64, some: u64) -> Vec<u64> {
    let wants_all = std::env::var(CRASH_POINTS_VARIABLE).is_ok_and(|value| value == "all");
    let stride = if wants_all { 1 } else { (changes_count / some.max(1)).max(1) };
    (1..=changes_count).filter(|number| number.is_multiple_of(stride)).collect()
}

/// Returns the three images that are tried at a crash point.
#[must_use]
pub fn crash_images(point: u64) -> [Survives; 3] {
    [Survives::Synced, Survives::Written, Survives::Torn(point)]
}

#[derive(Debug, Default)]
struct State {
    /// What readers see.
    live: Vec<u8>,
    /// What survives a power cut for certain.
    durable: Vec<u8>,
    /// Changes between the two, oldest first.
    pending: Vec<Change>,
    /// Blocks of `live` that hold space.
    allocated: BTreeSet<u64>,
    capacity_bytes: Option<u64>,
    ballast_bytes: u64,
    has_ballast: bool,
    mode: SimMode,
    changes_count: u64,
    syncs_count: u64,
    fail_at_change: Option<u64>,
    cut_at_change: Option<u64>,
    delay: Duration,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    SetLen(usize),
}

impl SimDisk {
    /// An empty disk with a ballast of `ballast_bytes` and without limit.
    #[must_use]
    pub fn new(ballast_bytes: u64) -> Self {
        let state = State { ballast_bytes, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A disk that holds this file, without ballast and limit.
    #[must_use]
    pub fn holding(image: Vec<u8>) -> Self {
        let allocated = (0..(image.len() as u64).div_ceil(BLOCK_BYTES)).collect();
        let state = State { allocated, live: image.clone(), durable: image, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Whether the power was cut by [`SimDisk::cut_power`].
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state().mode == SimMode::Dead
    }

    /// Sets what the disk does from now on.
    pub fn set_mode(&self, mode: SimMode) {
        self.state().mode = mode;
    }

    /// Lets the disk hold `bytes` in all; `None` is without limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// Whether the disk holds only so much.
    #[must_use]
    pub fn has_limit(&self) -> bool {
        self.state().capacity_bytes.is_some()
    }

    /// Makes each change of a store without a thread take so much longer: half of it before the
    /// change is made, half before the caller learns of it.
    pub fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Makes the `number`-th change from now (1 is the next) fail once with `EIO`. When it is a
    /// sync, what it should have made durable is never written, as on Linux, though readers
    /// still see it.
    pub fn fail_change(&self, number: u64) {
        let mut state = self.state();
        state.fail_at_change = Some(state.changes_count + number);
    }

    /// Cuts the power at the `number`-th change from now: it and everything after it fails.
    pub fn cut_power(&self, number: u64) {
        let mut state = self.state();
        state.cut_at_change = Some(state.changes_count + number);
    }

    /// Returns the disk as it is found after a power cut at this moment, drawn by `seed`.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        self.crash_with(Survives::Torn(seed))
    }

    /// Returns the disk as it is found after a crash at this moment.
    #[must_use]
    pub fn crash_with(&self, survives: Survives) -> Self {
        let state = self.state();
        let mut image = state.durable.clone();
        match survives {
            Survives::Synced => {}
            Survives::Written => state.pending.iter().for_each(|it| it.apply(&mut image)),
            Survives::Torn(seed) => {
                let mut rng = SplitMix(seed);
                state.pending.iter().for_each(|it| it.survive(&mut rng, &mut image));
            }
        }
        let found = State {
            allocated: (0..(image.len() as u64).div_ceil(BLOCK_BYTES)).collect(),
            live: image.clone(),
            durable: image,
            capacity_bytes: state.capacity_bytes,
            ballast_bytes: state.ballast_bytes,
            has_ballast: state.has_ballast,
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(found)) }
    }

    /// Overwrites bytes behind the store's back, durably.
    pub fn damage(&self, offset: usize, bytes: &[u8]) {
        let mut state = self.state();
        state.live[offset..offset + bytes.len()].copy_from_slice(bytes);
        state.durable[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Whether a text stands anywhere on the disk.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        self.state().live.windows(text.len()).any(|bytes| bytes == text.as_bytes())
    }

    /// Bytes in use, with the ballast.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Whether the ballast is there.
    #[must_use]
    pub fn has_ballast(&self) -> bool {
        self.state().has_ballast
    }

    /// Number of writes, changes of length and syncs so far.
    #[must_use]
    pub fn changes_count(&self) -> u64 {
        self.state().changes_count
    }

    /// Number of successful syncs so far.
    #[must_use]
    pub fn syncs_count(&self) -> u64 {
        self.state().syncs_count
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimDisk {
    fn is_writable(&self) -> bool {
        true
    }

    fn open(&mut self, builder: &Builder) -> Result<Database, DatabaseError> {
        self.state().check(SimMode::ReadOnly)?;
        if self.state().live.is_empty() {
            // As on a real disk, a new store gets its name when it is complete.
            let draft = Self::default();
            builder.create_with_backend(draft.clone())?.close()?;
            let image = draft.state().live.clone();
            let mut state = self.state();
            state.allocate(0, image.len() as u64)?;
            state.live.clone_from(&image);
            state.durable = image;
        }
        builder.create_with_backend(self.clone())
    }

    fn open_unwritten(&mut self, builder: &Builder) -> Result<Database, DatabaseError> {
        let bytes = self.state().live.len() as u64;
        if bytes == 0 {
            return Err(io::Error::from(io::ErrorKind::NotFound).into());
        }
        builder.create_with_backend(Overlay::new(self.clone(), bytes))
    }

    fn make_ballast(&mut self) -> io::Result<()> {
        let mut state = self.state();
        if state.has_ballast || state.ballast_bytes == 0 {
            return Ok(());
        }
        state.check(SimMode::ReadOnly)?;
        let free = state.capacity_bytes.map(|capacity| capacity.saturating_sub(state.used_bytes()));
        if free.is_some_and(|free| free < state.ballast_bytes * 2) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.has_ballast = true;
        Ok(())
    }

    fn free_ballast(&mut self) -> io::Result<bool> {
        Ok(std::mem::take(&mut self.state().has_ballast))
    }

    fn delay(&self) -> Duration {
        self.state().delay
    }
}

impl Base for SimDisk {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        StorageBackend::read(self, offset, out)
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> io::Result<u64> {
        let state = self.state();
        state.check(SimMode::Dead)?;
        Ok(state.live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        state.check(SimMode::Dead)?;
        let offset = to_index(offset)?;
        let bytes = state.live.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.begin_change()?;
        state.allocated.retain(|block| block * BLOCK_BYTES < len);
        let change = Change::SetLen(to_index(len)?);
        change.apply(&mut state.live);
        state.pending.push(change);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        let result = state.begin_change();
        let pending = std::mem::take(&mut state.pending);
        match &result {
            Ok(()) => {
                state.syncs_count += 1;
                for change in pending {
                    change.apply(&mut state.durable);
                }
            }
            // The power is off: what was not synced stays open until the crash decides.
            Err(_) if state.mode == SimMode::Dead => state.pending = pending,
            Err(_) => {
                let lengths = pending.into_iter().filter(|it| matches!(it, Change::SetLen(_)));
                state.pending = lengths.collect();
            }
        }
        result
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.begin_change()?;
        state.allocate(offset, data.len() as u64)?;
        let change = Change::Write { offset: to_index(offset)?, data: data.to_vec() };
        change.apply(&mut state.live);
        state.pending.push(change);
        Ok(())
    }
}

impl State {
    fn used_bytes(&self) -> u64 {
        let ballast_bytes = if self.has_ballast { self.ballast_bytes } else { 0 };
        self.allocated.len() as u64 * BLOCK_BYTES + ballast_bytes
    }

    /// Fails in mode `Dead`, and in `ReadOnly` when that is the `worst` that the caller bears not.
    fn check(&self, worst: SimMode) -> io::Result<()> {
        match self.mode {
            SimMode::Dead => Err(io::Error::other("the simulated disk is dead")),
            SimMode::ReadOnly if worst == SimMode::ReadOnly => {
                Err(io::ErrorKind::ReadOnlyFilesystem.into())
            }
            SimMode::ReadOnly | SimMode::Works => Ok(()),
        }
    }

    fn begin_change(&mut self) -> io::Result<()> {
        self.check(SimMode::ReadOnly)?;
        self.changes_count += 1;
        if self.cut_at_change == Some(self.changes_count) {
            self.mode = SimMode::Dead;
            return self.check(SimMode::Dead);
        }
        if self.fail_at_change == Some(self.changes_count) {
            return Err(io::Error::other("the simulated disk failed once"));
        }
        Ok(())
    }

    fn allocate(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        let blocks = offset / BLOCK_BYTES..(offset + bytes).div_ceil(BLOCK_BYTES);
        let new: Vec<u64> = blocks.filter(|block| !self.allocated.contains(block)).collect();
        let used_bytes = self.used_bytes() + new.len() as u64 * BLOCK_BYTES;
        if self.capacity_bytes.is_some_and(|capacity| used_bytes > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.allocated.extend(new);
        Ok(())
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => write(image, *offset, data),
            Self::SetLen(len) => image.resize(*len, 0),
        }
    }

    /// Applies what a power cut left of the change.
    fn survive(&self, rng: &mut SplitMix, image: &mut Vec<u8>) {
        match (self, rng.next() % 4) {
            (_, 0) => {}
            (_, 1) | (Self::SetLen(_), _) => self.apply(image),
            (Self::Write { offset, data }, _) => {
                for (index, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                    if rng.next().is_multiple_of(2) {
                        write(image, offset + index * SECTOR_BYTES, sector);
                    }
                }
            }
        }
    }
}

/// A file grows when it is written behind its end.
fn write(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(data);
}

fn to_index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

/// SplitMix64: enough to draw which sectors survive.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

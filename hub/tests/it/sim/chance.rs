//! What a seed decides: random numbers, clocks, and the trace that shows that nothing else did.

use mamba_core::clock::{BootId, BootMs, Clock, Entropy, UnixMs};
use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex},
};
use tokio::time::Instant;

/// SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// A stream of its own for each `part` of one seed.
    pub(super) fn new(seed: u64, part: u64) -> Self {
        let mut rng = Self(seed ^ part.wrapping_mul(0x9e6c_63d0_876a_68de));
        rng.next();
        rng
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(super) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    /// Whether something of this probability, in thousandths, happens.
    pub(super) fn happens(&mut self, permille: u64) -> bool {
        self.next() % 1_000 < permille
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.next() % len as u64).unwrap()
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.fill_with(|| self.next().to_be_bytes()[0]);
        bytes
    }
}

/// Entropy from a seed. It is told in the trace how much of it was used.
pub(super) struct Drawn(Mutex<Rng>);

impl Drawn {
    pub(super) fn new(rng: Rng) -> Arc<Self> {
        Arc::new(Self(Mutex::new(rng)))
    }
}

impl Entropy for Drawn {
    fn fill(&self, bytes: &mut [u8]) {
        let mut rng = self.0.lock().unwrap();
        bytes.fill_with(|| rng.next().to_be_bytes()[0]);
    }
}

/// The clocks of one machine, over tokio's virtual time.
pub(super) struct SimClock {
    begin: Instant,
    /// True time at `begin`.
    zero: UnixMs,
    wall: Mutex<Error>,
    boot: Mutex<(Instant, BootId, Error)>,
}

/// What is wrong with a clock.
#[derive(Clone, Copy, Debug)]
struct Error {
    /// By how much it was wrong at this time.
    by_us: i64,
    at: Instant,
    /// By how much more each second since, in millionths.
    ppm: i64,
}

impl Error {
    fn now_us(&self) -> i64 {
        let since = i64::try_from(millis(self.at, Instant::now())).unwrap();
        self.by_us + since * self.ppm / 1_000
    }
}

impl SimClock {
    pub(super) fn new(begin: Instant, zero: UnixMs, machine: u8) -> Arc<Self> {
        let mut id = [0; 16];
        (id[0], id[15]) = (machine, 1);
        let right = Error { by_us: 0, at: begin, ppm: 0 };
        let boot = Mutex::new((begin, BootId(id), right));
        Arc::new(Self { begin, zero, wall: Mutex::new(right), boot })
    }

    pub(super) fn true_now(&self) -> UnixMs {
        self.zero.plus(millis(self.begin, Instant::now()))
    }

    pub(super) fn set_wrong(&self, by_ms: i64) {
        let mut wall = self.wall.lock().unwrap();
        *wall = Error { by_us: by_ms * 1_000, at: Instant::now(), ppm: wall.ppm };
    }

    /// Lets both clocks go wrong from now on, in millionths.
    pub(super) fn set_drift(&self, wall_ppm: i64, boot_ppm: i64) {
        let at = Instant::now();
        let mut wall = self.wall.lock().unwrap();
        *wall = Error { by_us: wall.now_us(), at, ppm: wall_ppm };
        let mut boot = self.boot.lock().unwrap();
        boot.2 = Error { by_us: boot.2.now_us(), at, ppm: boot_ppm };
    }

    /// Whether the machine was ever started anew.
    pub(super) fn has_restarted(&self) -> bool {
        self.boot.lock().unwrap().1.0[15] > 1
    }

    /// Starts the machine anew.
    pub(super) fn reboot(&self) {
        let mut boot = self.boot.lock().unwrap();
        boot.0 = Instant::now();
        boot.1.0[15] += 1;
        boot.2 = Error { by_us: 0, at: boot.0, ..boot.2 };
    }
}

impl Clock for SimClock {
    fn wall(&self) -> UnixMs {
        let wrong_ms = self.wall.lock().unwrap().now_us() / 1_000;
        UnixMs(self.true_now().0.saturating_add_signed(wrong_ms))
    }
    fn boot(&self) -> BootMs {
        // A boot takes a while before the daemon is up.
        let boot = self.boot.lock().unwrap();
        let up_ms = 20_000 + millis(boot.0, Instant::now());
        BootMs(up_ms.saturating_add_signed(boot.2.now_us() / 1_000))
    }
    fn boot_id(&self) -> BootId {
        self.boot.lock().unwrap().1
    }
}

pub(super) fn millis(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap()
}

/// Everything that happened, as lines and as a hash of them and of each packet.
pub(super) struct Trace {
    begin: Instant,
    state: Mutex<(blake3::Hasher, u64)>,
    is_shown: bool,
}

impl Trace {
    pub(super) fn new(begin: Instant, is_shown: bool) -> Arc<Self> {
        Arc::new(Self { begin, state: Mutex::new((blake3::Hasher::new(), 0)), is_shown })
    }

    /// Notes an event that people want to read.
    pub(super) fn say(&self, text: &str) {
        let at = millis(self.begin, Instant::now());
        let line = format!("{:>7}.{:03} {text}\n", at / 1_000, at % 1_000);
        if self.is_shown {
            print!("{line}");
        }
        self.add(line.as_bytes());
    }

    /// Notes a packet: who, how long and when, not what: its bytes are encrypted with keys that the
    /// cryptographic library draws by itself.
    pub(super) fn packet(&self, to: &str, bytes: usize) {
        let at = millis(self.begin, Instant::now());
        if self.is_shown && std::env::var_os("MAMBA_SIM_PACKETS").is_some() {
            println!("{at} packet to {to}: {bytes} bytes");
        }
        self.add(format!("{at} {to} {bytes}\n").as_bytes());
    }

    fn add(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap();
        state.0.update(bytes);
        state.1 += 1;
    }

    /// Returns the hash of everything and the number of entries.
    pub(super) fn digest(&self) -> (String, u64) {
        let state = self.state.lock().unwrap();
        (state.0.finalize().to_hex().to_string(), state.1)
    }
}

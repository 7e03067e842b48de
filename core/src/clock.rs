//! Pure: points in time and the sources of time and randomness as traits.
//!
//! With feature `db` this file also holds the only code that reads the operating system's clocks
//! and random numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Milliseconds since 1970-01-01 00:00 UTC, by whatever clock the holder says.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct UnixMs(pub u64);

/// Milliseconds since the machine was started, sleep included. Never steps, never goes back; only
/// comparable within one [`BootId`].
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct BootMs(pub u64);

/// One start of the machine: the kernel's random boot id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct BootId(pub [u8; 16]);

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BootId({:032x})", u128::from_be_bytes(self.0))
    }
}

/// Milliseconds in one hour.
pub const HOUR_MS: u64 = 3_600_000;

impl UnixMs {
    /// Returns the time `ms` later, or the latest time there is.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Returns the milliseconds since `earlier`, 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the start of the UTC hour that holds this time.
    #[must_use]
    pub fn hour(self) -> Self {
        Self(self.0 - self.0 % HOUR_MS)
    }
}

impl BootMs {
    /// Returns the time `ms` later, or the latest time there is.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Returns the milliseconds since `earlier`, 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixMs {
    /// RFC 3339 in UTC with milliseconds, for example `2026-11-22T17:00:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil(days);
        let (hour, minute) = (ms / HOUR_MS, ms / 60_000 % 60);
        let (second, milli) = (ms / 1_000 % 60, ms % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Returns year, month and day of the Gregorian calendar for a day counted from 1970-01-01.
/// Method: years that start in March, in eras of 400 years (Howard Hinnant, `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Returns a length of time in its two largest units: `3 d 4 h`, `5 min 6 s`, `250 ms`.
#[must_use]
pub fn span(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let Some(at) = UNITS.iter().position(|(unit, _)| ms >= *unit) else {
        return format!("{ms} ms");
    };
    let (unit, name) = UNITS[at];
    let first = format!("{} {name}", ms / unit);
    match UNITS.get(at + 1) {
        Some((next, name)) if ms % unit / next > 0 => {
            format!("{first} {} {name}", ms % unit / next)
        }
        Some(_) | None => first,
    }
}

/// Tells the time. The product reads clocks only through this.
pub trait Clock: Send + Sync + 'static {
    /// Returns the wall clock, which may step and be wrong by years.
    fn wall(&self) -> UnixMs;
    /// Returns the boot clock.
    fn boot(&self) -> BootMs;
    /// Returns which boot [`Clock::boot`] counts from.
    fn boot_id(&self) -> BootId;
}

/// Gives random bytes, good enough for keys.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// Draws `N` random bytes.
pub fn draw<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

#[cfg(feature = "db")]
mod system {
    use super::{BootId, BootMs, Clock, Entropy, UnixMs};

    /// Where the kernel tells the id that it gave this boot.
    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

    /// The operating system's clocks.
    #[derive(Clone, Copy, Debug)]
    pub struct SystemClock {
        boot_id: BootId,
        /// Added to the wall clock.
        wall_offset_ms: i64,
    }

    impl SystemClock {
        /// Reads the kernel's boot id once.
        ///
        /// # Errors
        /// When `/proc/sys/kernel/random/boot_id` cannot be read or holds no UUID.
        pub fn new() -> std::io::Result<Self> {
            let text = std::fs::read_to_string(BOOT_ID).map_err(|err| {
                std::io::Error::new(err.kind(), format!("`{BOOT_ID}` cannot be read: {err}"))
            })?;
            let id = uuid::Uuid::try_parse(text.trim())
                .map_err(|err| std::io::Error::new(std::io::ErrorKind::InvalidData, err))?;
            Ok(Self { boot_id: BootId(id.into_bytes()), wall_offset_ms: 0 })
        }

        /// Returns a clock whose wall clock is wrong by so much: to try what a dead battery does
        /// without setting the machine's clock. The boot clock stays right.
        #[must_use]
        pub fn with_wall_offset(self, wall_offset_ms: i64) -> Self {
            Self { wall_offset_ms, ..self }
        }
    }

    impl Clock for SystemClock {
        fn wall(&self) -> UnixMs {
            let ms = read(rustix::time::ClockId::Realtime).unwrap_or(0);
            UnixMs(ms.saturating_add_signed(self.wall_offset_ms))
        }

        fn boot(&self) -> BootMs {
            read(rustix::time::ClockId::Boottime).map_or(BootMs(0), BootMs)
        }

        fn boot_id(&self) -> BootId {
            self.boot_id
        }
    }

    /// Returns a clock in milliseconds, `None` for a time before its zero.
    fn read(id: rustix::time::ClockId) -> Option<u64> {
        let time = rustix::time::clock_gettime(id);
        let ms = u64::try_from(time.tv_nsec).ok()? / 1_000_000;
        u64::try_from(time.tv_sec).ok()?.checked_mul(1_000)?.checked_add(ms)
    }

    /// The kernel's random numbers.
    #[derive(Clone, Copy, Debug)]
    pub struct SystemEntropy;

    impl Entropy for SystemEntropy {
        fn fill(&self, bytes: &mut [u8]) {
            let mut filled = 0;
            while filled < bytes.len() {
                // Blocks only before the kernel has seeded itself once after boot; the loop goes on
                // after a signal.
                if let Ok(count) = rustix::rand::getrandom(
                    &mut bytes[filled..],
                    rustix::rand::GetRandomFlags::empty(),
                ) {
                    filled += count;
                }
            }
        }
    }
}

#[cfg(feature = "db")]
pub use system::{SystemClock, SystemEntropy};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_366_799_999, "2026-11-22T16:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(UnixMs(ms).to_string(), text);
        }
    }

    #[test]
    fn an_hour_starts_at_its_first_millisecond() {
        assert_eq!(UnixMs(HOUR_MS * 3 + 1).hour(), UnixMs(HOUR_MS * 3));
        assert_eq!(UnixMs(HOUR_MS * 3).hour(), UnixMs(HOUR_MS * 3));
    }

    #[test]
    fn spans_are_told_in_two_units() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (61_000, "1 min 1 s"),
            (7_200_000, "2 h"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }
}

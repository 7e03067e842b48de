//! Pure: how a server shares its node beyond plain amounts.

use super::{CPU_MILLICORES_MAX, check_range};
use crate::error::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Least and most weight at the disk that engines know.
const IO_WEIGHT_MIN: u16 = 10;
/// See [`IO_WEIGHT_MIN`].
const IO_WEIGHT_MAX: u16 = 1_000;
/// Processors that can be named: as many as a server may use at most.
pub const THREADS_MAX: u32 = CPU_MILLICORES_MAX / 1_000;
/// Words of a set of processors.
const WORDS: usize = 8;
const _: () = assert!(WORDS * 64 == THREADS_MAX as usize);
/// Longest text of a set: every second processor named, of up to three digits and a comma.
const TEXT_BYTES_MAX: usize = 1_024;

/// How a server shares its node beyond plain amounts. What the machine cannot do is left out there, and
/// its doctor says so. A change is in force from the next start on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sharing {
    /// Processors that it may run on, for example `0,2-3`; all without.
    #[schemars(with = "Option<String>")]
    pub threads: Option<Threads>,
    /// Weight at the disk beside other servers, 10 to 1000; as every other without.
    pub io_weight: Option<u16>,
    /// Whether it waits for memory instead of being killed when its own is full. It may wait for ever.
    pub oom_disabled: bool,
}

/// Some processors of a machine, at least one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Threads([u64; WORDS]);

impl Sharing {
    /// All processors, the usual weight, and killed when memory is full.
    pub const USUAL: Self = Self { threads: None, io_weight: None, oom_disabled: false };

    /// Checks every rule that does not depend on a node.
    ///
    /// # Errors
    /// The first field that breaks one.
    pub fn check(&self) -> Result<(), Invalid> {
        let (min, max) = (u32::from(IO_WEIGHT_MIN), u32::from(IO_WEIGHT_MAX));
        self.io_weight.map_or(Ok(()), |it| check_range("io_weight", u32::from(it), min, max))
    }
}

impl Threads {
    fn has(&self, thread: u32) -> bool {
        let word = usize::try_from(thread / 64).ok().and_then(|it| self.0.get(it));
        word.is_some_and(|word| word >> (thread % 64) & 1 == 1)
    }

    /// Returns why a machine with so many processors, 0 while that is not known, has not all of these.
    #[must_use]
    pub fn missing_on(&self, cpus: u32) -> Option<String> {
        let last = self.last();
        let is_missing = cpus > 0 && last >= cpus;
        is_missing.then(|| format!("has {cpus} processors, of which none is {last}"))
    }

    /// Returns the highest number in it.
    #[must_use]
    pub fn last(&self) -> u32 {
        (0..THREADS_MAX).rev().find(|it| self.has(*it)).unwrap_or(0)
    }
}

impl FromStr for Threads {
    type Err = Invalid;

    /// Reads numbers and ranges with commas between them, as Linux writes them.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = || {
            let last = THREADS_MAX - 1;
            Invalid::new("threads", format!("must be like `0,2-3`, each number at most {last}"))
        };
        if text.len() > TEXT_BYTES_MAX {
            return Err(rule());
        }
        let number = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
            text.parse::<u32>().ok().filter(|it| is_plain && *it < THREADS_MAX)
        };
        let mut words = [0; WORDS];
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first = number(first).ok_or_else(rule)?;
            let last = number(last).filter(|last| *last >= first).ok_or_else(rule)?;
            for thread in first..=last {
                let word = usize::try_from(thread / 64).unwrap_or(WORDS);
                *words.get_mut(word).ok_or_else(rule)? |= 1_u64 << (thread % 64);
            }
        }
        Ok(Self(words))
    }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        let mut next = 0;
        while let Some(first) = (next..THREADS_MAX).find(|it| self.has(*it)) {
            let end = (first..THREADS_MAX).find(|it| !self.has(*it)).unwrap_or(THREADS_MAX);
            match end - first {
                1 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{}", end - 1)?,
            }
            (comma, next) = (",", end);
        }
        Ok(())
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Threads {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Threads> for String {
    fn from(threads: Threads) -> Self {
        threads.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_read_as_linux_writes_them() {
        for (text, expected) in [
            ("0", Some("0")),
            ("0,2-3", Some("0,2-3")),
            ("3,1,2", Some("1-3")),
            ("63-64,511", Some("63-64,511")),
            ("0-511", Some("0-511")),
            ("", None),
            ("0,", None),
            ("512", None),
            ("3-1", None),
            ("-1", None),
            ("+1", None),
            ("1 ", None),
            ("a", None),
            ("0-4294967296", None),
        ] {
            let read = text.parse::<Threads>().ok().map(|it| it.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_machine_without_a_processor_says_so_and_weights_have_bounds() {
        let read = |text: &str| text.parse::<Threads>().unwrap();
        assert_eq!(read("0-1").missing_on(2), None);
        assert_eq!(read("0,7").missing_on(0), None, "nothing is known of it");
        let why = "has 2 processors, of which none is 7";
        assert_eq!(read("0,7").missing_on(2).as_deref(), Some(why));
        for (io_weight, is_good) in [
            (None, true),
            (Some(10), true),
            (Some(1_000), true),
            (Some(9), false),
            (Some(1_001), false),
        ] {
            let sharing = Sharing { io_weight, ..Sharing::USUAL };
            assert_eq!(sharing.check().is_ok(), is_good, "{io_weight:?}");
        }
    }

    #[test]
    fn it_travels_as_text_and_may_be_left_out() {
        let sharing = Sharing {
            threads: Some("1-2".parse().unwrap()),
            io_weight: Some(500),
            oom_disabled: true,
        };
        let json = serde_json::to_value(sharing).unwrap();
        assert_eq!(json["threads"], "1-2");
        assert_eq!(serde_json::from_value::<Sharing>(json).unwrap(), sharing);
        assert_eq!(serde_json::from_str::<Sharing>("{}").unwrap(), Sharing::USUAL);
        assert!(serde_json::from_str::<Sharing>(r#"{"threads":"9999"}"#).is_err());
        let bytes = postcard::to_allocvec(&sharing).unwrap();
        assert_eq!(postcard::from_bytes::<Sharing>(&bytes).unwrap(), sharing);
    }
}

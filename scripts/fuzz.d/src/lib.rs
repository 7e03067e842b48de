//! What each fuzz target checks, as plain functions of bytes: any bytes may come, none may make them
//! panic.
//!
//! `cargo test` replays the corpora, and some inputs that are drawn from them, on the stable toolchain;
//! `scripts/fuzz` searches for more.

pub mod blueprint;
pub mod cgroup;
pub mod config;
pub mod coverage;
pub mod desired;
pub mod frame;
pub mod hello;
pub mod identity;
#[cfg(any(test, feature = "fuzz"))]
pub mod ingest;
pub mod key;
pub mod record;

/// Takes numbers and texts from the front of the input; when it is used up, zeros and empty texts.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Takes a byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Takes two bytes as a number.
    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes what comes before the next zero byte, as text.
    pub fn text(&mut self) -> std::borrow::Cow<'a, str> {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        let (head, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        String::from_utf8_lossy(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Inputs that are drawn from each entry of a corpus.
    const CHANGED: usize = 300;
    /// The same where each input opens a store.
    const CHANGED_STORES: usize = 20;

    /// Name, check, and how many changed inputs each entry of the corpus gives.
    type Target = (&'static str, fn(&[u8]), usize);
    const TARGETS: [Target; 11] = [
        ("blueprint", blueprint::check, CHANGED),
        ("cgroup", cgroup::check, CHANGED),
        ("config", config::check, CHANGED),
        ("coverage", coverage::check, CHANGED),
        ("desired", desired::check, CHANGED),
        ("frame", frame::check, CHANGED),
        ("hello", hello::check, CHANGED),
        ("identity", identity::check, CHANGED),
        ("ingest", ingest::check, CHANGED_STORES),
        ("key", key::check, CHANGED),
        ("record", record::check, CHANGED),
    ];

    /// The entries of a corpus in the order of their names.
    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{name} has no corpus");
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    #[test]
    fn every_target_has_an_entry_point_and_is_replayed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, TARGETS.map(|(name, ..)| name));
    }

    #[test]
    fn corpora_are_there_and_pass() {
        for (name, check, _) in TARGETS {
            corpus(name).iter().for_each(|bytes| check(bytes));
        }
    }

    /// Corpus entries with some bytes changed, by a counter instead of chance.
    #[test]
    fn changed_corpora_pass() {
        let mut state = 1_u64;
        let mut draw = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below.max(1)
        };
        for (name, check, count) in TARGETS {
            for bytes in corpus(name) {
                for _ in 0..count {
                    let mut changed = bytes.clone();
                    for _ in 0..=draw(4) {
                        let at = draw(changed.len());
                        match draw(3) {
                            0 if !changed.is_empty() => changed[at] = draw(256).to_le_bytes()[0],
                            1 => changed.insert(at, draw(256).to_le_bytes()[0]),
                            _ => changed.truncate(at),
                        }
                    }
                    check(&changed);
                }
            }
        }
    }
}

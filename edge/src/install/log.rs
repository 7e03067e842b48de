//! The output of an install script in two files of bounded size: the newest is always there.
//!
//! Each line is `<milliseconds since 1970> <o or e> <text>`. The older file is replaced when the newer
//! one is full, so that between half and all of [`LOG_BYTES_MAX`] is kept.

use crate::console::LINE_BYTES_MAX;
use mamba_core::clock::UnixMs;
use mamba_wire::node::{ConsoleLine, LineSource};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

/// Most bytes kept of one run. They travel in one frame.
pub const LOG_BYTES_MAX: u64 = 512 * 1_024;
const _: () = assert!(LOG_BYTES_MAX < mamba_wire::frame::FRAME_BYTES_MAX as u64);

/// The log of one run.
#[derive(Clone, Debug)]
pub struct InstallLog {
    newer: PathBuf,
    older: PathBuf,
}

impl InstallLog {
    pub(super) fn new(newer: PathBuf, older: PathBuf) -> Self {
        Self { newer, older }
    }

    /// Adds lines, each cut at the length of a console line.
    ///
    /// # Errors
    /// When the file cannot be written; some of the lines may be there.
    pub fn append(&self, lines: &[ConsoleLine]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(&self.newer);
        let mut file = open()?;
        let mut bytes = file.metadata()?.len();
        for line in lines {
            let text = encode(line);
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            if bytes > 0 && bytes.saturating_add(length) > LOG_BYTES_MAX / 2 {
                std::fs::rename(&self.newer, &self.older)?;
                file = open()?;
                bytes = 0;
            }
            file.write_all(text.as_bytes())?;
            bytes += length;
        }
        Ok(())
    }

    /// Reads what is kept, oldest first. A line that was torn by a crash is left out.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn lines(&self) -> io::Result<Vec<ConsoleLine>> {
        let mut lines = Vec::new();
        for path in [&self.older, &self.newer] {
            let mut bytes = Vec::new();
            match File::open(path) {
                Ok(file) => file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?,
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                Err(err) => return Err(err),
            };
            let text = String::from_utf8_lossy(&bytes);
            lines.extend(text.split_inclusive('\n').filter_map(decode));
        }
        Ok(lines)
    }

    /// Whether the beginning is not kept any more.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.older.exists()
    }

    /// Removes it.
    pub(super) fn paths(&self) -> [&PathBuf; 2] {
        [&self.newer, &self.older]
    }
}

fn encode(line: &ConsoleLine) -> String {
    let source = match line.source {
        LineSource::Stderr => 'e',
        LineSource::Edge => 'm',
        LineSource::Stdout | LineSource::Input | LineSource::Install => 'o',
    };
    let end = line.text.floor_char_boundary(LINE_BYTES_MAX);
    let text = line.text[..end].replace(['\n', '\r'], " ");
    format!("{} {source} {text}\n", line.at.0)
}

fn decode(line: &str) -> Option<ConsoleLine> {
    let (at, rest) = line.strip_suffix('\n')?.split_once(' ')?;
    let (source, text) = rest.split_once(' ')?;
    let source = match source {
        "o" => LineSource::Stdout,
        "e" => LineSource::Stderr,
        "m" => LineSource::Edge,
        _ => return None,
    };
    Some(ConsoleLine { at: UnixMs(at.parse().ok()?), source, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u64, text: &str) -> ConsoleLine {
        ConsoleLine { at: UnixMs(at), source: LineSource::Stdout, text: text.to_owned() }
    }

    fn log(dir: &tempfile::TempDir) -> InstallLog {
        InstallLog::new(dir.path().join("log"), dir.path().join("log.1"))
    }

    #[test]
    fn lines_come_back_and_a_torn_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(&dir);
        assert_eq!(log.lines().unwrap(), []);
        let second = ConsoleLine { source: LineSource::Stderr, ..line(2, " two  blanks ") };
        log.append(&[line(1, "one\r\ntwo"), second.clone()]).unwrap();
        log.append(&[ConsoleLine { source: LineSource::Edge, ..line(3, "") }]).unwrap();
        OpenOptions::new()
            .append(true)
            .open(dir.path().join("log"))
            .and_then(|mut file| file.write_all(b"4 o torn"))
            .unwrap();
        let third = ConsoleLine { source: LineSource::Edge, ..line(3, "") };
        assert_eq!(log.lines().unwrap(), [line(1, "one  two"), second, third]);
        assert!(!log.is_cut());
    }

    #[test]
    fn a_script_that_floods_keeps_its_newest_lines_within_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(&dir);
        for part in 0..40 {
            let lines: Vec<_> =
                (0..1_000).map(|at| line(part * 1_000 + at, &"x".repeat(50))).collect();
            log.append(&lines).unwrap();
        }
        let kept = log.lines().unwrap();
        assert!(log.is_cut());
        assert_eq!(kept.last().unwrap().at, UnixMs(39_999));
        assert!(kept.windows(2).all(|pair| pair[1].at.0 == pair[0].at.0 + 1), "without gaps");
        let bytes: u64 = ["log", "log.1"]
            .map(|name| std::fs::metadata(dir.path().join(name)).unwrap().len())
            .iter()
            .sum();
        assert!(bytes <= LOG_BYTES_MAX && bytes > LOG_BYTES_MAX / 2, "{bytes}");
    }
}

//! Joins what a process printed while the daemon was away with what it prints from now on.
//!
//! Three pieces overlap: the lines stored here, the lines that the engine kept, and the live
//! output from the new attach on. They are aligned per stream, by equal texts and, where equal
//! lines repeat, by the nearest time; lines that the engine kept are then neither lost nor
//! doubled. What it did not keep cannot be counted, since it numbers nothing: a line of the edge
//! says so in its place. A line that was being printed at the moment of the attach loses its
//! beginning.

use super::{ConsoleSink, pump::line_source, split::Splitter};
use crate::runtime::{Attached, ContainerId, LogLine, OutputSource, Runtime, RuntimeError};
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use mamba_core::{clock::UnixMs, error::chain};
use mamba_wire::node::LineSource;
use std::time::Duration;

/// Stored lines looked at. The overlap is the last seconds before the daemon went away.
const STORED_LINES: usize = 2_000;
/// Most lines asked of the engine: its log of 10 MiB holds some 100,000; more than this would push
/// most of a server's history out.
const KEPT_LINES_MAX: u32 = 20_000;
/// Lines that must be equal, as far as there are so many, for two pieces to be aligned.
const EQUAL_LINES: usize = 200;
/// Largest difference between the engine's time of a line and ours: both read the same clock, ours
/// later by the way through the engine. Also how far before the last stored line is asked for.
const SKEW_MS: u64 = 5_000;
/// How long live output is collected after the engine's answer, so that what the answer holds has
/// arrived on the attach too.
const SETTLE: Duration = Duration::from_millis(200);
/// Most live output collected; then the game waits for the engine's answer, some seconds at most.
const LIVE_BYTES_MAX: usize = 8 << 20;

/// Attaches to a process that ran before this daemon did, and adds what it printed meanwhile.
///
/// Returns the attachment whose output goes on behind the lines that were added; hand it to
/// [`super::pump`] at once. For a container that has ended it gives its last lines and an output
/// that ends.
///
/// Dropping the future drops the attachment; lines may then be missing, and are found by the next
/// call.
///
/// # Errors
/// That of the attach. A log that cannot be read is said in the console and is no error.
pub async fn catch_up<R: Runtime>(
    runtime: &R,
    id: &ContainerId,
    sink: &ConsoleSink,
) -> Result<Attached, RuntimeError> {
    let console = &sink.console;
    let stored: Vec<Line> = console
        .last_lines(STORED_LINES)
        .into_iter()
        .filter(|line| matches!(line.source, LineSource::Stdout | LineSource::Stderr))
        .map(|line| Line { at: line.at, source: line.source, text: Bytes::from(line.text) })
        .collect();
    let since = stored.last().map_or(UnixMs(0), |last| UnixMs(last.at.0.saturating_sub(SKEW_MS)));
    let attach_at = console.now();
    let Attached { output, input } = runtime.attach(id).await?;
    let mut live = Live {
        output,
        lines: vec![],
        bytes: 0,
        has_ended: None,
        split: [(), ()].map(|()| Splitter::default()),
    };
    let kept = {
        let kept = runtime.logs_since(id, since, KEPT_LINES_MAX);
        tokio::pin!(kept);
        loop {
            tokio::select! {
                biased;
                kept = &mut kept => break kept,
                () = live.read(|| console.now()) => {}
            }
        }
    };
    let settled = tokio::time::sleep(SETTLE);
    tokio::pin!(settled);
    loop {
        tokio::select! {
            biased;
            () = &mut settled => break,
            () = live.read(|| console.now()) => {}
        }
    }
    let merged = match kept {
        Ok(kept) => merge(&stored, &whole_lines(&kept), &live.lines, attach_at),
        Err(err) => {
            console.say(LineSource::Edge, &format!("lines are missing here: {}", chain(&err)));
            Merged { lines: live.lines.clone(), is_gap: false }
        }
    };
    if merged.is_gap {
        let text = "lines may be missing here: not all that was printed while the daemon was away \
                    was kept";
        console.say(LineSource::Edge, text);
    }
    let lines: Vec<_> = merged.lines.into_iter().map(|it| (it.at, it.source, it.text)).collect();
    console.resume(&lines, live.split);
    let output = match live.has_ended {
        None => live.output,
        // A stream that has ended must not be asked again: some panic then.
        Some(end) => futures_util::stream::iter(end.map(Err)).boxed(),
    };
    Ok(Attached { output, input })
}

/// One line of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    at: UnixMs,
    source: LineSource,
    text: Bytes,
}

/// Live output while the engine's log is being read.
struct Live {
    output: BoxStream<'static, Result<(OutputSource, Bytes), RuntimeError>>,
    lines: Vec<Line>,
    bytes: usize,
    /// Set when the stream has ended, with the error that ended it.
    has_ended: Option<Option<RuntimeError>>,
    split: [Splitter; 2],
}

impl Live {
    /// Reads one chunk. Waits for ever when the stream has ended or enough is here.
    async fn read(&mut self, now: impl Fn() -> UnixMs) {
        if self.has_ended.is_some() || self.bytes > LIVE_BYTES_MAX {
            return std::future::pending().await;
        }
        match self.output.next().await {
            Some(Ok((source, bytes))) => {
                self.bytes += bytes.len();
                let (at, place) = (now(), usize::from(source == OutputSource::Stderr));
                let source = line_source(source);
                let lines = &mut self.lines;
                self.split[place].push(&bytes, &mut |line| lines.push(Line::new(at, source, line)));
            }
            Some(Err(err)) => self.has_ended = Some(Some(err)),
            None => self.has_ended = Some(None),
        }
    }
}

impl Line {
    /// Replaces invalid UTF-8, as in stored lines, so that texts can be compared.
    fn new(at: UnixMs, source: LineSource, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text).into_owned();
        Self { at, source, text: Bytes::from(text) }
    }
}

/// Cuts the engine's lines as ours are cut.
fn whole_lines(kept: &[LogLine]) -> Vec<Line> {
    let mut lines = vec![];
    for LogLine { at, source, text } in kept {
        let mut splitter = Splitter::default();
        let mut add = |line: &[u8]| lines.push(Line::new(*at, line_source(*source), line));
        splitter.push(text, &mut add);
        splitter.push(b"\n", &mut add);
    }
    lines
}

/// What is added to the stored lines.
#[derive(Debug, PartialEq, Eq)]
struct Merged {
    lines: Vec<Line>,
    /// Whether the engine did not keep what follows the stored lines.
    is_gap: bool,
}

/// Pure: joins the three pieces. Each is in order and a part of what was printed; nothing that was
/// printed before `attach_at` is in `live`.
fn merge(stored: &[Line], kept: &[Line], live: &[Line], attach_at: UnixMs) -> Merged {
    let mut lines = vec![];
    for source in [LineSource::Stdout, LineSource::Stderr] {
        let of = |lines: &[Line]| -> Vec<Line> {
            lines.iter().filter(|line| line.source == source).cloned().collect()
        };
        let (ours, theirs, new) = (of(stored), of(kept), of(live));
        // Without equal texts, for example where a prompt was shown before its line ended, the
        // time decides.
        let by_time = || {
            let last_at = ours.last().map(|last| last.at);
            theirs.iter().take_while(|line| last_at.is_some_and(|at| line.at <= at)).count()
        };
        let known = covered(&ours, &theirs, theirs.len()).unwrap_or_else(by_time);
        let both = theirs.iter().rev().take_while(|line| line.at >= attach_at).count();
        let skip = covered(&theirs, &new, both).unwrap_or(0);
        let places = kept.iter().enumerate().filter(|(_, line)| line.source == source);
        lines.extend(places.skip(known).map(|(place, line)| (place, line.clone())));
        let places = live.iter().enumerate().filter(|(_, line)| line.source == source);
        lines.extend(places.skip(skip).map(|(place, line)| (kept.len() + place, line.clone())));
    }
    // Back into the order in which the streams were interleaved.
    lines.sort_by_key(|(place, _)| *place);
    let is_gap = match (stored.last(), kept.first()) {
        (Some(last), Some(first)) => first.at > last.at.plus(SKEW_MS),
        _ => false,
    };
    Merged { lines: lines.into_iter().map(|(_, line)| line).collect(), is_gap }
}

/// Returns how many lines of `after`, at most `max`, are already in `before`. `None` when the two
/// do not overlap: the end of `before` equals lines of `after`, where the first line of `after` may
/// lack its beginning.
fn covered(before: &[Line], after: &[Line], max: usize) -> Option<usize> {
    let last = before.last()?;
    let distance = |count: usize| after[count - 1].at.0.abs_diff(last.at.0);
    let is_equal = |count: usize| {
        let len = count.min(before.len()).min(EQUAL_LINES);
        let pairs = before[before.len() - len..].iter().zip(&after[count - len..count]);
        pairs.enumerate().all(|(index, (known, line))| {
            let is_first = count - len + index == 0;
            known.text == line.text || (is_first && known.text.ends_with(&line.text))
        })
    };
    (1..=after.len().min(max))
        .filter(|&count| distance(count) <= SKEW_MS && is_equal(count))
        .min_by_key(|&count| (distance(count), std::cmp::Reverse(count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OUT: LineSource = LineSource::Stdout;
    const ERR: LineSource = LineSource::Stderr;

    fn line(at: u64, source: LineSource, text: &str) -> Line {
        Line::new(UnixMs(100_000 + at), source, text.as_bytes())
    }

    fn lines(spec: &[(u64, &str)]) -> Vec<Line> {
        spec.iter().map(|(at, text)| line(*at, OUT, text)).collect()
    }

    /// The attach is shortly before the first live line.
    fn attach_at(live: &[Line]) -> UnixMs {
        UnixMs(live.first().map_or(u64::MAX, |line| line.at.0 - 5))
    }

    fn check(stored: &[Line], kept: &[Line], live: &[Line], expected: &[&str], is_gap: bool) {
        let merged = merge(stored, kept, live, attach_at(live));
        let texts: Vec<_> =
            merged.lines.iter().map(|it| std::str::from_utf8(&it.text).unwrap()).collect();
        assert_eq!((texts.as_slice(), merged.is_gap), (expected, is_gap));
    }

    #[test]
    fn the_pieces_are_joined_where_they_overlap() {
        let stored = lines(&[(0, "a"), (10, "b"), (20, "c")]);
        check(&stored, &[], &[], &[], false);
        check(&[], &lines(&[(0, "a")]), &[], &["a"], false);
        check(&stored, &lines(&[(9, "b"), (19, "c"), (30, "d")]), &[], &["d"], false);
        let kept = lines(&[(19, "c"), (30, "d"), (40, "e")]);
        check(&stored, &kept, &lines(&[(41, "e"), (50, "f")]), &["d", "e", "f"], false);
        // The daemon was away for long and the engine has nothing of the stored lines left.
        let kept = lines(&[(90_000, "y"), (90_010, "z")]);
        check(&stored, &kept, &lines(&[(90_011, "z")]), &["y", "z"], true);
        // The attach came in the middle of a line.
        let kept = lines(&[(19, "c"), (30, "hello")]);
        check(&stored, &kept, &lines(&[(31, "llo"), (40, "f")]), &["hello", "f"], false);
        // A stored prompt that is no line of the engine's: the time decides.
        let stored = lines(&[(0, "a"), (10, "> ")]);
        let kept = lines(&[(0, "a"), (10, "> "), (30, "d")]);
        check(&stored, &kept, &[], &["d"], false);
        let kept = lines(&[(0, "a"), (9, "> x"), (30, "d")]);
        check(&stored, &kept, &[], &["d"], false);
    }

    #[test]
    fn repeated_lines_are_told_apart_by_their_time() {
        let stored = lines(&[(0, "tick"), (1_000, "tick"), (2_000, "tick")]);
        let kept: Vec<_> = (1..6).map(|at| line(at * 1_000 - 2, OUT, "tick")).collect();
        let live = lines(&[(5_001, "tick"), (6_000, "tick")]);
        check(&stored, &kept, &live, &["tick", "tick", "tick", "tick"], false);
    }

    #[test]
    fn streams_are_aligned_each_for_itself() {
        let stored = [line(1, ERR, "e1"), line(1, OUT, "o1")];
        let kept = [line(0, OUT, "o1"), line(0, ERR, "e1"), line(2, ERR, "e2"), line(3, OUT, "o2")];
        let live = [line(3, OUT, "o2"), line(3, ERR, "e2"), line(4, ERR, "e3")];
        check(&stored, &kept, &live, &["e2", "o2", "e3"], false);
    }

    proptest! {
        /// However the pieces are cut out of what was printed, the join is what was printed.
        #[test]
        fn nothing_is_lost_or_doubled(
            texts in proptest::collection::vec("[ab]", 1..60),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 4),
            late in 0_u64..400,
        ) {
            // Lines come half a second apart and reach us less than that later.
            let print = |at: usize| line(at as u64 * 500, OUT, &texts[at]);
            let seen = |at: usize| line(at as u64 * 500 + late.min(240), OUT, &texts[at]);
            let count = texts.len();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(count + 1)).collect();
            cuts.sort_unstable();
            // The engine kept from before the end of the stored lines; live overlaps its end.
            let (kept_from, stored_to, live_from, kept_to) = (cuts[0], cuts[1], cuts[2], cuts[3]);
            let stored: Vec<_> = (0..stored_to).map(seen).collect();
            let kept: Vec<_> = (kept_from..kept_to).map(print).collect();
            let live: Vec<_> = (live_from..count).map(seen).collect();
            let attach_at = UnixMs(100_000 + live_from as u64 * 500);
            let merged = merge(&stored, &kept, &live, attach_at);
            let got = stored.iter().chain(&merged.lines).map(|it| it.text.clone());
            let got: Vec<_> = got.collect();
            // Without overlap between live and what was kept, what lies between is not known.
            let whole: Vec<_> = (0..count).map(|at| print(at).text).collect();
            prop_assume!(kept_to >= live_from && stored_to > kept_from && stored_to <= live_from);
            prop_assert_eq!(got, whole);
        }
    }
}

//! Pure: cuts the bytes of one output stream into lines, the same lines for any chunking.
//!
//! A line ends at `\n`, `\r\n` or a lone `\r` (progress bars); an empty line before a lone `\r` is
//! dropped. A line longer than [`LINE_BYTES_MAX`] is cut into pieces at character boundaries.

/// Most bytes of one line before replacement of invalid UTF-8; the longest lines seen in games are
/// stack traces and JSON of about 4 KiB. Longer ones go on in the next line.
pub const LINE_BYTES_MAX: usize = 8 * 1024;

/// State of one stream between chunks.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    partial: Vec<u8>,
    last: Last,
}

/// What came just before the next byte, as far as it changes the meaning of a line end.
#[derive(Clone, Copy, Debug, Default)]
enum Last {
    /// Nothing that matters.
    #[default]
    Other,
    /// `\r` that ended a line: a `\n` belongs to it.
    Cr,
    /// `\r` after nothing: with a `\n` it is an empty line, else nothing.
    BlankCr,
    /// An unfinished line was emitted by [`Splitter::end`]: its end is not one more line.
    Ended,
}

impl Splitter {
    /// Takes a chunk and emits the lines that it completes, without their ends.
    pub(super) fn push(&mut self, bytes: &[u8], emit: &mut impl FnMut(&[u8])) {
        let mut rest = bytes;
        loop {
            let Some(&first) = rest.first() else { return };
            let last = std::mem::take(&mut self.last);
            match (last, first) {
                (Last::Cr | Last::Ended, b'\n') => {
                    rest = &rest[1..];
                    continue;
                }
                (Last::Ended, b'\r') => {
                    self.last = Last::Cr;
                    rest = &rest[1..];
                    continue;
                }
                _ => {}
            }
            let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.partial.extend_from_slice(rest);
                let cut = cut(&self.partial, emit);
                self.partial.drain(..cut);
                return;
            };
            let is_blank = at == 0 && self.partial.is_empty();
            self.last = match (rest[at], is_blank) {
                (b'\r', true) => Last::BlankCr,
                (b'\r', false) => Last::Cr,
                _ => Last::Other,
            };
            // A lone `\r` after nothing says nothing; `\r\n` is an empty line, told at its `\n`,
            // where nothing stands before it either.
            if !matches!(self.last, Last::BlankCr) {
                self.finish(&rest[..at], emit);
            }
            rest = &rest[at + 1..];
        }
    }

    /// Emits an unfinished line, if there is one.
    pub(super) fn end(&mut self, emit: &mut impl FnMut(&[u8])) {
        if self.has_partial() {
            self.finish(b"", emit);
            self.last = Last::Ended;
        }
    }

    /// Whether a line has begun and not ended.
    pub(super) fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    fn finish(&mut self, tail: &[u8], emit: &mut impl FnMut(&[u8])) {
        if self.partial.is_empty() {
            let at = cut(tail, emit);
            emit(&tail[at..]);
        } else {
            self.partial.extend_from_slice(tail);
            let at = cut(&self.partial, emit);
            emit(&self.partial[at..]);
            self.partial.clear();
        }
    }
}

/// Emits pieces while the line is too long; returns where the rest begins.
fn cut(line: &[u8], emit: &mut impl FnMut(&[u8])) -> usize {
    let mut from = 0;
    while line.len() - from > LINE_BYTES_MAX {
        let end = from + LINE_BYTES_MAX;
        // A character has at most three bytes after its first; more of them are no UTF-8.
        let start = (end - 3..=end).rev().find(|&at| line[at] & 0xC0 != 0x80).unwrap_or(end);
        emit(&line[from..start]);
        from = start;
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut out) = (Splitter::default(), vec![]);
        let mut emit = |line: &[u8]| out.push(String::from_utf8_lossy(line).into_owned());
        for chunk in chunks {
            splitter.push(chunk, &mut emit);
        }
        splitter.end(&mut emit);
        out
    }

    #[test]
    fn every_line_end_ends_one_line() {
        let check = |bytes: &str, expected: &[&str]| {
            assert_eq!(lines(&[bytes.as_bytes()]), expected, "{bytes:?}");
        };
        check("", &[]);
        check("a", &["a"]);
        check("a\nb\n", &["a", "b"]);
        check("a\r\nb\r\n", &["a", "b"]);
        check("\n\na", &["", "", "a"]);
        check("\r\n\r\na", &["", "", "a"]);
        check("10%\r20%\r\n", &["10%", "20%"]);
        check("\r\r\ra\r\r\n", &["a", ""]);
        check("a\r\r\nb", &["a", "", "b"]);
    }

    #[test]
    fn the_end_of_a_line_shown_early_is_not_another_line() {
        let (mut splitter, mut out) = (Splitter::default(), vec![]);
        let mut emit = |line: &[u8]| out.push(String::from_utf8_lossy(line).into_owned());
        for (chunk, end) in
            [("> ", true), ("\n", false), ("> ", true), ("\r", false), ("\nx\n", true)]
        {
            splitter.push(chunk.as_bytes(), &mut emit);
            if end {
                splitter.end(&mut emit);
            }
        }
        assert_eq!(out, ["> ", "> ", "x"]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let exact = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(lines(&[exact.as_bytes(), b"\n"]), [exact.as_str()]);
        let long = format!("{}\u{20ac}y\n", "x".repeat(LINE_BYTES_MAX - 1));
        let pieces = lines(&[long.as_bytes()]);
        assert_eq!(pieces, [&"x".repeat(LINE_BYTES_MAX - 1), "\u{20ac}y"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_chunking_gives_the_same_lines(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'x'), any::<u8>()], 0..200),
            repeat in prop_oneof![3 => Just(1_usize), 1 => 1_usize..200],
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
        ) {
            let bytes = bytes.repeat(repeat);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|at| &bytes[at[0]..at[1]]).collect();
            prop_assert_eq!(lines(&chunks), lines(&[&bytes]));
        }
    }
}

//! Pure: tables and short forms for people.

use mamba_core::clock::{UnixMs, span};

/// Returns rows under their headings, columns padded with two blanks between, without blanks at the
/// end of a line.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut headings.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// Returns lines `name: value` with aligned values.
pub(crate) fn facts(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    let line = |(name, value): &(&str, String)| format!("{:width$} {value}\n", format!("{name}:"));
    pairs.iter().map(line).collect()
}

/// Returns how long ago something was, `in` something when it is to come.
pub(crate) fn ago(now: UnixMs, at: UnixMs) -> String {
    if at > now {
        format!("in {}", span(at.since(now)))
    } else {
        format!("{} ago", span(now.since(at)))
    }
}

/// Returns a size with three digits: `1.50 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    // Hundredths, so that no float is needed.
    let (mut hundredths, mut unit) = (u128::from(bytes) * 100 / 1_024, 0);
    while hundredths >= 102_400 && unit + 1 < UNITS.len() {
        hundredths /= 1_024;
        unit += 1;
    }
    format!("{}.{:02} {}", hundredths / 100, hundredths % 100, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows =
            [vec!["a".to_owned(), "long cell".to_owned()], vec!["bbbb".to_owned(), String::new()]];
        assert_eq!(table(&["X", "Y"], &rows), "X     Y\na     long cell\nbbbb\n");
        let pairs = [("a", "1".to_owned()), ("long", "2".to_owned())];
        assert_eq!(facts(&pairs), "a:    1\nlong: 2\n");
    }

    #[test]
    fn sizes_and_ages_are_short() {
        for (size, text) in [(5, "5 B"), (1_536, "1.50 KiB"), (1 << 40, "1.00 TiB")] {
            assert_eq!(bytes(size), text);
        }
        assert_eq!(ago(UnixMs(5_000), UnixMs(2_000)), "3 s ago");
        assert_eq!(ago(UnixMs(2_000), UnixMs(5_000)), "in 3 s");
    }
}

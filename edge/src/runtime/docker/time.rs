//! Pure: the engine's timestamps.

use mamba_core::clock::UnixMs;

/// Reads RFC 3339 with any number of decimals and any offset, as the engine writes it. `None` for
/// anything else and for times before 1970, which the engine uses for "never".
pub(super) fn parse(text: &str) -> Option<UnixMs> {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = bytes.get(range)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| bytes.get(*at) != Some(mark)) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let decimals =
        rest.strip_prefix('.').map_or(0, |it| it.bytes().take_while(u8::is_ascii_digit).count());
    let (ms, zone) = match decimals {
        0 => (0, rest),
        _ => {
            let digits: String = rest[1..=decimals].chars().chain("000".chars()).take(3).collect();
            (digits.parse().ok()?, &rest[1 + decimals..])
        }
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    let unix_ms = (seconds - offset_seconds(zone)?) * 1_000 + ms;
    u64::try_from(unix_ms).ok().map(UnixMs)
}

/// Reads `Z` or `+01:00`.
fn offset_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    Some(sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Method: years that start in March, in
/// eras of 400 years (Howard Hinnant, `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_times_are_read() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(parse(text).map(|at| at.to_string()).as_deref(), expected, "{text}");
        };
        check("2026-11-22T17:19:21.972314275Z", Some("2026-11-22T17:19:21.972Z"));
        check("2000-02-29T23:59:59Z", Some("2000-02-29T23:59:59.000Z"));
        check("2026-11-22T17:19:21.9Z", Some("2026-11-22T17:19:21.900Z"));
        check("2026-11-22T01:19:21.04+02:30", Some("2026-11-21T22:49:21.040Z"));
        check("2026-11-22T01:19:21-01:00", Some("2026-11-22T02:19:21.000Z"));
        check("0001-01-01T00:00:00Z", None);
        check("2026-13-22T01:19:21Z", None);
        check("2026-11-22T01:19:21", None);
        check("2026-11-22 01:19:21Z", None);
        check("2026-11-22T01:19:21.Z", None);
        check("2026-11-22T0\u{e9}:19:21Z", None);
        check("", None);
    }
}

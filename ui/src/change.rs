//! Pure: what of a form is sent: only what somebody changed in it. What others changed meanwhile stays.

/// Returns what is typed when it is something else than what the form began with.
pub(crate) fn changed<T: PartialEq>(before: &T, typed: T) -> Option<T> {
    (typed != *before).then_some(typed)
}

/// Returns what is typed, or what is stored `now` when it is what the form began with: for what can only be
/// sent as a whole.
pub(crate) fn kept<T: PartialEq + Clone>(before: &T, typed: T, now: &T) -> T {
    changed(before, typed).unwrap_or_else(|| now.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_touched_is_not_sent_and_overwrites_nothing() {
        assert_eq!(changed(&"a", "a"), None);
        assert_eq!(changed(&"a", "b"), Some("b"));
        for (before, typed, now, expected) in [(1, 1, 1, 1), (1, 1, 2, 2), (1, 3, 2, 3)] {
            assert_eq!(kept(&before, typed, &now), expected, "{before} {typed} {now}");
        }
    }
}

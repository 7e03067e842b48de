//! Why targets were missed when somebody looked: profile, cause and next step, for the report.

use serde::{Deserialize, Serialize};

/// What was found out about one figure.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Miss {
    /// Part of the bench.
    pub(crate) part: String,
    /// How the figure's name begins.
    pub(crate) figure: String,
    /// How it was looked into, and what that showed.
    pub(crate) profile: String,
    /// Why it is missed.
    pub(crate) cause: String,
    /// What would change it.
    pub(crate) next: String,
}

/// Returns everything that was found out.
pub(crate) fn known() -> serde_json::Result<Vec<Miss>> {
    serde_json::from_str(include_str!("../misses.json"))
}

/// Pure: finds what is known of a figure.
pub(crate) fn of<'a>(known: &'a [Miss], part: &str, figure: &str) -> Option<&'a Miss> {
    known.iter().find(|miss| miss.part == part && figure.starts_with(&miss.figure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_can_be_read_and_says_something() {
        for miss in known().unwrap() {
            for text in [&miss.figure, &miss.profile, &miss.cause, &miss.next] {
                assert!(!text.trim().is_empty(), "{miss:?}");
            }
        }
    }

    #[test]
    fn a_figure_is_known_by_part_and_beginning() {
        let miss = |part: &str, figure: &str| {
            let text = String::new();
            let (profile, cause, next) = (text.clone(), text.clone(), text);
            Miss { part: part.to_owned(), figure: figure.to_owned(), profile, cause, next }
        };
        let known = [miss("api", "list"), miss("node", "list of")];
        assert_eq!(of(&known, "node", "list of 50"), Some(&known[1]));
        assert_eq!(of(&known, "node", "list"), None);
    }
}

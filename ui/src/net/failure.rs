//! Pure: why a request gave nothing, in words for people.

use crate::i18n::{fill, t};
use mamba_wire::api::{Code, Problem};
use std::rc::Rc;

/// Why a request gave nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// Nothing came back: no network, or no hub.
    Unreachable,
    /// The hub said no.
    Refused(Rc<Problem>),
    /// An answer that is none of the hub's: something stands between.
    Strange(u16),
    /// A device gave no passkey: somebody gave up, or took too long.
    NoPasskey,
}

impl Failure {
    /// Returns the hub's code, when it answered.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(problem) => Some(problem.code),
            Self::Unreachable | Self::Strange(_) | Self::NoPasskey => None,
        }
    }

    /// Returns what to show: one sentence or two.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Unreachable => t().general.hub_away.to_owned(),
            Self::Strange(status) => fill(t().general.strange_answer, &[("status", status)]),
            Self::Refused(problem) => sentence(problem),
            Self::NoPasskey => t().general.no_passkey.to_owned(),
        }
    }

    /// Returns what the hub says about one field: the rule it breaks.
    pub(crate) fn about(&self, field: &str) -> Option<String> {
        let Self::Refused(problem) = self else { return None };
        let found = problem.errors.iter().find(|it| it.field == field)?;
        Some(found.rule.clone())
    }

    /// Whether every complaint is about one of these fields, so that nothing needs to be said elsewhere.
    pub(crate) fn is_only_about(&self, fields: &[&str]) -> bool {
        let Self::Refused(problem) = self else { return false };
        let is_known = |field: &str| fields.contains(&field);
        !problem.errors.is_empty() && problem.errors.iter().all(|it| is_known(&it.field))
    }
}

fn sentence(problem: &Problem) -> String {
    if !problem.errors.is_empty() {
        let all: Vec<String> =
            problem.errors.iter().map(|it| format!("{}: {}", it.field, it.rule)).collect();
        return all.join("; ");
    }
    match problem.code {
        Code::Bug => fill(t().general.hub_mistake, &[("id", &problem.request_id)]),
        Code::WrongCredentials => t().general.wrong_credentials.to_owned(),
        _ if problem.detail.is_empty() => capital(&problem.title),
        _ => capital(&problem.detail),
    }
}

/// Returns the text with a large first letter: the hub writes its details small.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::error::Invalid;

    #[test]
    fn a_refusal_names_its_fields_or_its_detail() {
        let mut problem = Problem::new(Code::Conflict, "the node is not empty", "r1");
        let text = |problem: &Problem| Failure::Refused(Rc::new(problem.clone())).text();
        assert_eq!(text(&problem), "The node is not empty");
        problem.errors.push(Invalid::new("name", "must be 1 to 64 bytes"));
        assert_eq!(text(&problem), "name: must be 1 to 64 bytes");
        let failure = Failure::Refused(Rc::new(problem));
        assert_eq!(failure.about("name").as_deref(), Some("must be 1 to 64 bytes"));
        assert!(failure.is_only_about(&["name"]) && !failure.is_only_about(&["node"]));
        assert!(!Failure::Unreachable.is_only_about(&["name"]));
    }
}

//! Pure: what is said about bad input, and one line for a chain of causes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Input that breaks a rule. Names the field by its path and the rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("`{field}`: {rule}")]
pub struct Invalid {
    /// Path of the field as the sender wrote it, for example `limits.memory_mib`.
    pub field: String,
    /// The rule in words, with its bounds, for example `must be at least 64`.
    pub rule: String,
}

impl Invalid {
    /// Makes one from the field's path and the rule.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }

    /// Returns the same complaint with `prefix.` in front of the field's path.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        Self { field: format!("{prefix}.{}", self.field), rule: self.rule }
    }
}

/// Returns one line with every cause, outermost first.
pub fn chain(err: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(err), |err| err.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

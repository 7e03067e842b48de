//! Pure: rules for the value of a blueprint's variable.

use crate::error::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One rule. `Min` and `Max` bound the value when `Integer` stands beside them, the length in
/// characters otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Must not be empty. Without it an empty value passes all other rules.
    Required,
    /// A whole number.
    Integer,
    /// `0`, `1`, `true` or `false`.
    Boolean,
    /// Least value or length.
    Min(i64),
    /// Most value or length.
    Max(i64),
    /// One of these.
    In(Vec<String>),
    /// Matches this regular expression somewhere.
    Regex(String),
}

/// Checks a value against all rules.
///
/// # Errors
/// The rule that it breaks, in words.
pub(super) fn check(rules: &[Rule], value: &str) -> Result<(), String> {
    if value.is_empty() {
        let required = rules.contains(&Rule::Required);
        return if required { Err("is required".to_owned()) } else { Ok(()) };
    }
    let number = if rules.contains(&Rule::Integer) {
        Some(value.parse::<i64>().map_err(|_| "must be a whole number".to_owned())?)
    } else {
        None
    };
    let length = i64::try_from(value.chars().count()).unwrap_or(i64::MAX);
    let (measure, unit) = number.map_or((length, " characters long"), |number| (number, ""));
    for rule in rules {
        match rule {
            Rule::Required | Rule::Integer => {}
            Rule::Boolean if !["0", "1", "true", "false"].contains(&value) => {
                return Err("must be `true`, `false`, `1` or `0`".to_owned());
            }
            Rule::Min(min) if measure < *min => {
                return Err(format!("must be at least {min}{unit}"));
            }
            Rule::Max(max) if measure > *max => return Err(format!("must be at most {max}{unit}")),
            Rule::In(choices) if !choices.iter().any(|choice| choice == value) => {
                return Err(format!("must be one of {}", choices.join(", ")));
            }
            Rule::Regex(pattern) => {
                let regex = compile(pattern).map_err(|_| "has a broken rule".to_owned())?;
                if !regex.is_match(value) {
                    return Err(format!("must match `{pattern}`"));
                }
            }
            Rule::Boolean | Rule::Min(_) | Rule::Max(_) | Rule::In(_) => {}
        }
    }
    Ok(())
}

/// Checks the rules themselves.
///
/// # Errors
/// A regular expression that cannot be read.
pub(super) fn check_rules(rules: &[Rule]) -> Result<(), Invalid> {
    for (index, rule) in rules.iter().enumerate() {
        if let Rule::Regex(pattern) = rule {
            compile(pattern).map_err(|err| {
                Invalid::new(
                    format!("rules.{index}"),
                    format!("must be a regular expression: {err}"),
                )
            })?;
        }
    }
    Ok(())
}

/// Compiles with a bound on memory, since patterns come from outside.
fn compile(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).size_limit(1 << 20).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_value(rules: &[Rule], value: &str, expected: Result<(), &str>) {
        assert_eq!(check(rules, value), expected.map_err(str::to_owned), "{value}");
    }

    #[test]
    fn min_and_max_mean_length_for_text_and_value_for_numbers() {
        let text = [Rule::Min(2), Rule::Max(3)];
        check_value(&text, "äö", Ok(()));
        check_value(&text, "x", Err("must be at least 2 characters long"));
        check_value(&text, "1000", Err("must be at most 3 characters long"));
        let number = [Rule::Integer, Rule::Min(2), Rule::Max(3)];
        check_value(&number, "3", Ok(()));
        check_value(&number, "4", Err("must be at most 3"));
        check_value(&number, "x", Err("must be a whole number"));
    }

    #[test]
    fn only_required_values_must_be_there() {
        check_value(&[Rule::Required], "", Err("is required"));
        check_value(&[Rule::Integer, Rule::Min(5)], "", Ok(()));
    }

    #[test]
    fn choices_booleans_and_patterns_are_checked() {
        let choice = [Rule::In(vec!["dm".into(), "ctf".into()])];
        check_value(&choice, "ctf", Ok(()));
        check_value(&choice, "tdm", Err("must be one of dm, ctf"));
        check_value(&[Rule::Boolean], "yes", Err("must be `true`, `false`, `1` or `0`"));
        check_value(&[Rule::Regex("^a+$".into())], "aa", Ok(()));
        check_value(&[Rule::Regex("^a+$".into())], "ab", Err("must match `^a+$`"));
    }
}

//! Pure: rules for the value of a blueprint's variable, and how Laravel writes them.
//!
//! As in Laravel, `min`, `max`, `between`, `size` and the comparisons bound the value when `integer` or
//! `numeric` stands beside them, and the length in characters otherwise.

use crate::{error::Invalid, server::compile_regex};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// Most rules of one variable; the largest known egg has 7.
pub const RULES_MAX: usize = 32;
/// Most bytes of one rule.
const RULE_BYTES_MAX: usize = 4_096;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Must not be empty. Without it an empty value passes all other rules.
    Required,
    /// May be empty, which it may anyhow.
    Nullable,
    /// Must be given, if only as an empty text.
    Present,
    /// Any text.
    String,
    /// A whole number.
    Integer,
    /// A number, with or without a fraction.
    Numeric,
    /// `0`, `1`, `true` or `false`.
    Boolean,
    /// Least value or length.
    Min(Number),
    /// Most value or length.
    Max(Number),
    /// Least and most value or length.
    Between(Number, Number),
    /// Exact value or length.
    Size(Number),
    /// Above this value or length.
    Gt(Number),
    /// At or above this value or length.
    Gte(Number),
    /// Below this value or length.
    Lt(Number),
    /// At or below this value or length.
    Lte(Number),
    /// So many digits and nothing else.
    Digits(u32),
    /// Digits and nothing else, so many at least and at most.
    DigitsBetween(u32, u32),
    /// One of these.
    In(Vec<String>),
    /// None of these.
    NotIn(Vec<String>),
    /// Begins with one of these.
    StartsWith(Vec<String>),
    /// Ends with one of these.
    EndsWith(Vec<String>),
    /// Letters only.
    Alpha,
    /// Letters and digits only.
    AlphaNum,
    /// Letters, digits, `-` and `_` only.
    AlphaDash,
    /// An address with a scheme.
    Url,
    /// An e-mail address.
    Email,
    /// An IPv4 or IPv6 address.
    Ip,
    /// Matches this regular expression somewhere.
    Regex(String),
    /// Does not match this regular expression anywhere.
    NotRegex(String),
    /// A rule of an imported egg that is kept in Laravel's spelling and not enforced.
    Other(String),
}

/// Checks a value against all rules.
///
/// # Errors
/// The rule that it breaks, in words.
pub fn check(rules: &[Rule], value: &str) -> Result<(), String> {
    check_with(rules, value, &|pattern, value| Some(compile_regex(pattern).ok()?.is_match(value)))
}

/// Checks a value against all rules with somebody else's regular expressions: a browser brings its own
/// and need not load ours. `matches` says whether a pattern matches a value, `None` when it is broken.
///
/// # Errors
/// The rule that it breaks, in words.
pub fn check_with(rules: &[Rule], value: &str, matches: &Matches<'_>) -> Result<(), String> {
    if value.is_empty() {
        let required = rules.contains(&Rule::Required);
        return if required { Err("is required".to_owned()) } else { Ok(()) };
    }
    let measure = Measure::of(rules, value)?;
    rules.iter().try_for_each(|rule| check_one(rule, value, &measure, matches))
}

/// Whether a pattern matches a value; `None` when the pattern is broken.
pub type Matches<'a> = dyn Fn(&str, &str) -> Option<bool> + 'a;

/// What the bounds are compared with.
struct Measure {
    amount: f64,
    unit: &'static str,
}

impl Measure {
    fn of(rules: &[Rule], value: &str) -> Result<Self, String> {
        let number = |amount| Ok(Self { amount, unit: "" });
        if rules.contains(&Rule::Integer) {
            let whole = value.trim().parse::<i64>().map_err(|_| "must be a whole number")?;
            // Bounds are small; far above 2^53 a rounded comparison decides the same.
            #[expect(clippy::cast_precision_loss, reason = "only compared with a bound")]
            return number(whole as f64);
        }
        if rules.contains(&Rule::Numeric) {
            let parsed = value.trim().parse::<f64>().ok().filter(|it| it.is_finite());
            return number(parsed.ok_or("must be a number")?);
        }
        let length = u32::try_from(value.chars().count()).unwrap_or(u32::MAX);
        Ok(Self { amount: f64::from(length), unit: " characters long" })
    }

    fn cmp(&self, bound: &Number) -> std::cmp::Ordering {
        self.amount.total_cmp(&bound.as_f64().unwrap_or(f64::NAN))
    }

    fn must(&self, holds: bool, what: &str, bound: &Number) -> Result<(), String> {
        if holds { Ok(()) } else { Err(format!("must be {what} {bound}{}", self.unit)) }
    }
}

fn check_one(
    rule: &Rule,
    value: &str,
    measure: &Measure,
    matches: &Matches<'_>,
) -> Result<(), String> {
    let only = |holds: bool, what: &str| {
        if holds { Ok(()) } else { Err(format!("must be {what}")) }
    };
    let digits = |least: u32, most: u32| {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        value.bytes().all(|it| it.is_ascii_digit()) && (least..=most).contains(&length)
    };
    match rule {
        Rule::Required | Rule::Nullable | Rule::Present | Rule::String => Ok(()),
        Rule::Integer | Rule::Numeric | Rule::Other(_) => Ok(()),
        Rule::Boolean => {
            only(["0", "1", "true", "false"].contains(&value), "`true`, `false`, `1` or `0`")
        }
        Rule::Min(min) | Rule::Gte(min) => measure.must(measure.cmp(min).is_ge(), "at least", min),
        Rule::Max(max) | Rule::Lte(max) => measure.must(measure.cmp(max).is_le(), "at most", max),
        Rule::Between(min, max) => {
            measure.must(measure.cmp(min).is_ge(), "at least", min)?;
            measure.must(measure.cmp(max).is_le(), "at most", max)
        }
        Rule::Size(size) => measure.must(measure.cmp(size).is_eq(), "exactly", size),
        Rule::Gt(bound) => measure.must(measure.cmp(bound).is_gt(), "more than", bound),
        Rule::Lt(bound) => measure.must(measure.cmp(bound).is_lt(), "less than", bound),
        Rule::Digits(count) => only(digits(*count, *count), &format!("{count} digits")),
        Rule::DigitsBetween(least, most) => {
            only(digits(*least, *most), &format!("{least} to {most} digits"))
        }
        Rule::In(list) => {
            only(list.iter().any(|it| it == value), &format!("one of {}", list.join(", ")))
        }
        Rule::NotIn(list) => {
            only(!list.iter().any(|it| it == value), &format!("none of {}", list.join(", ")))
        }
        Rule::StartsWith(list) => only(
            list.iter().any(|it| value.starts_with(it.as_str())),
            &format!("begun with one of {}", list.join(", ")),
        ),
        Rule::EndsWith(list) => only(
            list.iter().any(|it| value.ends_with(it.as_str())),
            &format!("ended with one of {}", list.join(", ")),
        ),
        Rule::Alpha => only(value.chars().all(char::is_alphabetic), "letters only"),
        Rule::AlphaNum => only(value.chars().all(char::is_alphanumeric), "letters and digits only"),
        Rule::AlphaDash => only(
            value.chars().all(|it| it.is_alphanumeric() || it == '-' || it == '_'),
            "letters, digits, `-` and `_` only",
        ),
        Rule::Url => only(is_url(value), "an address such as `https://example.org/`"),
        Rule::Email => only(is_email(value), "an e-mail address"),
        Rule::Ip => only(value.parse::<std::net::IpAddr>().is_ok(), "an IP address"),
        Rule::Regex(pattern) => {
            let is_match = matches(pattern, value).ok_or("has a broken rule")?;
            only(is_match, &format!("such that it matches `{pattern}`"))
        }
        Rule::NotRegex(pattern) => {
            let is_match = matches(pattern, value).ok_or("has a broken rule")?;
            only(!is_match, &format!("such that it does not match `{pattern}`"))
        }
    }
}

fn is_url(value: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else { return false };
    let is_scheme_char = |it: char| it.is_ascii_alphanumeric() || "+.-".contains(it);
    scheme.starts_with(|it: char| it.is_ascii_alphabetic())
        && scheme.chars().all(is_scheme_char)
        && !rest.trim_start_matches('/').is_empty()
        && !value.contains(|it: char| it.is_whitespace() || it.is_control())
}

fn is_email(value: &str) -> bool {
    let Some((local, host)) = value.rsplit_once('@') else { return false };
    !local.is_empty()
        && !host.is_empty()
        && !value.contains(|it: char| it.is_whitespace() || it.is_control())
}

/// Checks the rules themselves.
///
/// # Errors
/// Too many, or a regular expression that cannot be read.
pub(super) fn check_rules(rules: &[Rule]) -> Result<(), Invalid> {
    if rules.len() > RULES_MAX {
        return Err(Invalid::new("rules", format!("must be at most {RULES_MAX}")));
    }
    for (index, rule) in rules.iter().enumerate() {
        let invalid = |text| Invalid::new(format!("rules.{index}"), text);
        if let Rule::Regex(pattern) | Rule::NotRegex(pattern) = rule {
            compile_regex(pattern).map_err(invalid)?;
        }
    }
    Ok(())
}

impl Rule {
    /// Reads one rule in Laravel's spelling. `None` for an empty one. One that is not known, or cannot
    /// be enforced, becomes [`Rule::Other`].
    ///
    /// # Errors
    /// It is too long, or an argument is missing or no number.
    pub fn from_laravel(text: &str) -> Result<Option<Self>, String> {
        if text.len() > RULE_BYTES_MAX {
            return Err(format!("must be at most {RULE_BYTES_MAX} bytes"));
        }
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let name = name.trim().to_ascii_lowercase();
        let args = Args { name: &name, rest };
        Ok(Some(match name.as_str() {
            "" => return Ok(None),
            "required" => Self::Required,
            "nullable" => Self::Nullable,
            "present" => Self::Present,
            "string" => Self::String,
            "integer" | "int" => Self::Integer,
            "numeric" => Self::Numeric,
            "boolean" | "bool" => Self::Boolean,
            "min" => Self::Min(args.number(0)?),
            "max" => Self::Max(args.number(0)?),
            "between" => Self::Between(args.number(0)?, args.number(1)?),
            "size" => Self::Size(args.number(0)?),
            "gt" => Self::Gt(args.number(0)?),
            "gte" => Self::Gte(args.number(0)?),
            "lt" => Self::Lt(args.number(0)?),
            "lte" => Self::Lte(args.number(0)?),
            "digits" => Self::Digits(args.count(0)?),
            "digits_between" => Self::DigitsBetween(args.count(0)?, args.count(1)?),
            "in" => Self::In(args.list()),
            "not_in" => Self::NotIn(args.list()),
            "starts_with" => Self::StartsWith(args.list()),
            "ends_with" => Self::EndsWith(args.list()),
            "alpha" => Self::Alpha,
            "alpha_num" => Self::AlphaNum,
            "alpha_dash" => Self::AlphaDash,
            "url" | "active_url" => Self::Url,
            "email" => Self::Email,
            "ip" => Self::Ip,
            "regex" => pcre(rest).map_or_else(|| Self::Other(text.to_owned()), Self::Regex),
            "not_regex" => pcre(rest).map_or_else(|| Self::Other(text.to_owned()), Self::NotRegex),
            _ => Self::Other(text.to_owned()),
        }))
    }

    /// Writes the rule in Laravel's spelling.
    #[must_use]
    pub fn to_laravel(&self) -> String {
        let list = |name: &str, items: &[String]| {
            let quoted: Vec<String> = items.iter().map(|it| quote(it)).collect();
            format!("{name}:{}", quoted.join(","))
        };
        match self {
            Self::Required => "required".to_owned(),
            Self::Nullable => "nullable".to_owned(),
            Self::Present => "present".to_owned(),
            Self::String => "string".to_owned(),
            Self::Integer => "integer".to_owned(),
            Self::Numeric => "numeric".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Min(min) => format!("min:{min}"),
            Self::Max(max) => format!("max:{max}"),
            Self::Between(min, max) => format!("between:{min},{max}"),
            Self::Size(size) => format!("size:{size}"),
            Self::Gt(bound) => format!("gt:{bound}"),
            Self::Gte(bound) => format!("gte:{bound}"),
            Self::Lt(bound) => format!("lt:{bound}"),
            Self::Lte(bound) => format!("lte:{bound}"),
            Self::Digits(count) => format!("digits:{count}"),
            Self::DigitsBetween(least, most) => format!("digits_between:{least},{most}"),
            Self::In(items) => list("in", items),
            Self::NotIn(items) => list("not_in", items),
            Self::StartsWith(items) => list("starts_with", items),
            Self::EndsWith(items) => list("ends_with", items),
            Self::Alpha => "alpha".to_owned(),
            Self::AlphaNum => "alpha_num".to_owned(),
            Self::AlphaDash => "alpha_dash".to_owned(),
            Self::Url => "url".to_owned(),
            Self::Email => "email".to_owned(),
            Self::Ip => "ip".to_owned(),
            Self::Regex(pattern) => format!("regex:{}", delimit(pattern)),
            Self::NotRegex(pattern) => format!("not_regex:{}", delimit(pattern)),
            Self::Other(text) => text.clone(),
        }
    }
}

/// Arguments of a rule.
struct Args<'a> {
    name: &'a str,
    rest: &'a str,
}

impl Args<'_> {
    fn nth(&self, index: usize) -> &str {
        self.rest.split(',').nth(index).unwrap_or_default().trim()
    }

    fn number(&self, index: usize) -> Result<Number, String> {
        let text = self.nth(index);
        let whole = text.parse::<i64>().ok().map(Number::from);
        let number = whole.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64));
        number.ok_or_else(|| format!("`{}` needs a number, not `{text}`", self.name))
    }

    fn count(&self, index: usize) -> Result<u32, String> {
        let text = self.nth(index);
        text.parse().map_err(|_| format!("`{}` needs a whole number, not `{text}`", self.name))
    }

    /// Reads a line of comma-separated values, some of them in double quotes.
    fn list(&self) -> Vec<String> {
        let (mut items, mut item, mut quoted) = (Vec::new(), String::new(), false);
        let mut chars = self.rest.chars().peekable();
        while let Some(it) = chars.next() {
            match it {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    item.push('"');
                }
                '"' if quoted || item.is_empty() => quoted = !quoted,
                ',' if !quoted => items.push(std::mem::take(&mut item)),
                other => item.push(other),
            }
        }
        items.push(item);
        items
    }
}

fn quote(item: &str) -> String {
    if item.contains([',', '"']) {
        format!("\"{}\"", item.replace('"', "\"\""))
    } else {
        item.to_owned()
    }
}

/// Takes a PCRE out of its delimiters, flags first. `None` when it is none that can be enforced here:
/// look-around, back references.
fn pcre(text: &str) -> Option<String> {
    let text = text.trim();
    let open = text.chars().next().filter(|it| it.is_ascii_punctuation() && *it != '\\')?;
    let close = match open {
        '(' => ')',
        '{' => '}',
        '[' => ']',
        '<' => '>',
        other => other,
    };
    let (pattern, flags) = text[open.len_utf8()..].rsplit_once(close)?;
    // `u` is always on here; `D` says what `$` means here anyhow.
    let flags: String = flags.chars().filter(|it| !"uD".contains(*it)).collect();
    if !flags.chars().all(|it| "imsx".contains(it)) {
        return None;
    }
    let pattern =
        if flags.is_empty() { pattern.to_owned() } else { format!("(?{flags}){pattern}") };
    compile_regex(&pattern).is_ok().then_some(pattern)
}

/// Puts a pattern between delimiters that do not occur in it.
fn delimit(pattern: &str) -> String {
    let occurs = |delimiter: char| {
        let mut is_escaped = false;
        pattern.chars().any(|it| {
            let found = it == delimiter && !is_escaped;
            is_escaped = it == '\\' && !is_escaped;
            found
        })
    };
    let delimiter = ['/', '#', '~', '@', '%', '!'].into_iter().find(|it| !occurs(*it));
    let delimiter = delimiter.unwrap_or('/');
    format!("{delimiter}{pattern}{delimiter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_value(rules: &str, value: &str, expected: Result<(), &str>) {
        let rules: Vec<Rule> =
            rules.split('|').filter_map(|it| Rule::from_laravel(it).unwrap()).collect();
        assert_eq!(check(&rules, value), expected.map_err(str::to_owned), "{value}");
    }

    #[test]
    fn bounds_mean_length_for_text_and_value_for_numbers() {
        for (rules, value, expected) in [
            ("min:2|max:3", "äö", Ok(())),
            ("string|min:2|max:3", "x", Err("must be at least 2 characters long")),
            ("min:2|max:3", "1000", Err("must be at most 3 characters long")),
            ("integer|min:2|max:3", "3", Ok(())),
            ("int|min:2|max:3", "4", Err("must be at most 3")),
            ("integer", "x", Err("must be a whole number")),
            ("integer", "1.5", Err("must be a whole number")),
            ("numeric|between:0.5,2", "0.4", Err("must be at least 0.5")),
            ("numeric|between:0.5,2", "1.5", Ok(())),
            ("numeric", "nan", Err("must be a number")),
            ("size:4", "abcd", Ok(())),
            ("size:4", "abc", Err("must be exactly 4 characters long")),
            ("numeric|gt:0", "0", Err("must be more than 0")),
            ("numeric|lt:5|gte:1|lte:4", "4", Ok(())),
        ] {
            check_value(rules, value, expected);
        }
    }

    #[test]
    fn only_required_values_must_be_there() {
        check_value("required|string", "", Err("is required"));
        check_value("integer|min:5", "", Ok(()));
        check_value("Nullable|present|digits:4", "", Ok(()));
    }

    #[test]
    fn choices_and_patterns_are_checked() {
        for (rules, value, expected) in [
            ("in:dm,\"a,\"\"b\"", "a,\"b", Ok(())),
            ("in:dm,ctf", "tdm", Err("must be one of dm, ctf")),
            ("not_in:a,b", "b", Err("must be none of a, b")),
            ("boolean", "yes", Err("must be `true`, `false`, `1` or `0`")),
            ("regex:/^a+$/", "aa", Ok(())),
            (
                "regex:/^([\\w\\d._-]+)(\\.jar)$/",
                "server.JAR",
                Err("must be such that it matches `^([\\w\\d._-]+)(\\.jar)$`"),
            ),
            ("regex:/^a\\/B$/i", "A/b", Ok(())),
            ("not_regex:#x#", "axb", Err("must be such that it does not match `x`")),
            ("digits_between:2,3", "12", Ok(())),
            ("digits_between:2,3", "1a", Err("must be 2 to 3 digits")),
            ("digits:2", "123", Err("must be 2 digits")),
            ("alpha_dash", "a-b_c1", Ok(())),
            ("alpha_num", "a-b", Err("must be letters and digits only")),
            ("alpha", "a1", Err("must be letters only")),
            ("ends_with:.jar,.zip", "x.zip", Ok(())),
            ("starts_with:a", "b", Err("must be begun with one of a")),
            ("url", "https://x", Ok(())),
            ("url", "x.org", Err("must be an address such as `https://example.org/`")),
            ("email", "a@b", Ok(())),
            ("ip", "::1", Ok(())),
            ("date_format:Y", "anything", Ok(())),
        ] {
            check_value(rules, value, expected);
        }
    }

    #[test]
    fn every_rule_is_written_as_it_is_read() {
        for text in [
            "required",
            "nullable",
            "present",
            "string",
            "integer",
            "numeric",
            "boolean",
            "min:1",
            "max:0.5",
            "between:1,-2",
            "size:3",
            "gt:1",
            "gte:1",
            "lt:1",
            "lte:1",
            "digits:4",
            "digits_between:1,5",
            "in:a,b",
            "in:\"a,b\",c",
            "not_in:",
            "starts_with:a",
            "ends_with:.x",
            "alpha",
            "alpha_num",
            "alpha_dash",
            "url",
            "email",
            "ip",
            "regex:/^a|b$/",
            "regex:#a/b#",
            "not_regex:/x/",
            "regex:/(?=a)/",
            "exists:users",
        ] {
            let rule = Rule::from_laravel(text).unwrap().unwrap();
            assert_eq!(rule.to_laravel(), text);
            let json = serde_json::to_string(&rule).unwrap();
            assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule);
        }
        assert_eq!(Rule::from_laravel(" "), Ok(None));
        assert!(Rule::from_laravel("max:x").unwrap_err().contains("needs a number"));
        assert!(matches!(Rule::from_laravel("regex:/(?=a)/"), Ok(Some(Rule::Other(_)))));
    }
}

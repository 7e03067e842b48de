//! Pure: `variables` of an egg.

use super::{Notes, fields};
use crate::{
    blueprint::{GIVEN, RULES_MAX, Rule, Variable, rules},
    error::Invalid,
    server::{VARIABLES_MAX, is_variable_name},
};
use serde_json::{Map, Value};

const KNOWN: [&str; 9] = [
    "name",
    "description",
    "env_variable",
    "default_value",
    "user_viewable",
    "user_editable",
    "rules",
    "field_type",
    "sort",
];

/// Returns the variables in the file's order. Of several with one name the last counts, as it does
/// where the file comes from.
pub(super) fn read(value: Option<&Value>, notes: &mut Notes) -> Result<Vec<Variable>, Invalid> {
    let items: Vec<&Value> = match value {
        None | Some(Value::Null) => vec![],
        Some(Value::Array(items)) => items.iter().collect(),
        Some(Value::Object(map)) => map.values().collect(),
        Some(_) => return Err(Invalid::new("variables", "must be a list")),
    };
    // Twice as many, because some may be doubled; the check of the blueprint has the real bound.
    if items.len() > 2 * VARIABLES_MAX {
        return Err(Invalid::new("variables", format!("must be at most {VARIABLES_MAX}")));
    }
    let mut variables: Vec<Variable> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("variables.{index}");
        let item = fields::map(Some(item), &path)?;
        let variable = variable(&item, &path, notes)?;
        if GIVEN.contains(&variable.env.as_str()) {
            notes.add(path, format!("`{}` is given by the panel; left out", variable.env));
            continue;
        }
        match variables.iter_mut().find(|it| it.env == variable.env) {
            Some(before) => {
                notes.add(path, format!("`{}` is given twice; the last counts", variable.env));
                *before = variable;
            }
            None => variables.push(variable),
        }
    }
    Ok(variables)
}

fn variable(item: &Map<String, Value>, path: &str, notes: &mut Notes) -> Result<Variable, Invalid> {
    let at = |name: &str| format!("{path}.{name}");
    for key in item.keys().filter(|key| !KNOWN.contains(&key.as_str())) {
        notes.add(at(key), "is not known and left out");
    }
    let env = env(item, &at("env_variable"), notes)?;
    let default = fields::text(item.get("default_value"), &at("default_value"))?;
    if matches!(item.get("default_value"), Some(Value::Number(_) | Value::Bool(_))) {
        notes.add(at("default_value"), format!("taken as the text `{default}`"));
    }
    let rules = rules(item.get("rules"), &at("rules"), notes)?;
    match rules::check(&rules, &default) {
        Err(_) if default.is_empty() => {
            notes
                .add(at("default_value"), "is empty and required: whoever makes a server fills it");
        }
        Err(rule) => notes.add(at("default_value"), format!("breaks its own rule: {rule}")),
        Ok(()) => {}
    }
    let sort = match item.get("sort") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let text = fields::text(Some(value), &at("sort"))?;
            let sort = text.parse().ok();
            if sort.is_none() {
                notes.add(at("sort"), "is no whole number and left out");
            }
            sort
        }
    };
    Ok(Variable {
        env,
        name: fields::text(item.get("name"), &at("name"))?,
        description: fields::text(item.get("description"), &at("description"))?,
        default,
        user_viewable: fields::truth(item.get("user_viewable"), &at("user_viewable"), false)?,
        user_editable: fields::truth(item.get("user_editable"), &at("user_editable"), false)?,
        rules,
        sort,
    })
}

fn env(item: &Map<String, Value>, path: &str, notes: &mut Notes) -> Result<String, Invalid> {
    let env = fields::trimmed(item.get("env_variable"), path, notes)?;
    if is_variable_name(&env) {
        if env.contains(|it: char| it.is_ascii_lowercase()) {
            notes.add(path, "has small letters: the game gets it in capitals too");
        }
        return Ok(env);
    }
    let clean = env.replace(|it: char| !it.is_ascii_alphanumeric() && it != '_', "_");
    if !is_variable_name(&clean) {
        let rule = "must be letters, digits and `_`, not beginning with a digit";
        return Err(Invalid::new(path, rule));
    }
    notes.add(path, format!("`{env}` cannot name a variable; `{clean}` is used"));
    Ok(clean)
}

/// Reads rules: a text with `|` between them, or a list.
fn rules(value: Option<&Value>, path: &str, notes: &mut Notes) -> Result<Vec<Rule>, Invalid> {
    let texts: Vec<String> = match value {
        Some(Value::String(text)) => split(text),
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(index, it)| fields::text(Some(it), &format!("{path}.{index}")))
            .collect::<Result<_, _>>()?,
        other => fields::map(other, path)?
            .values()
            .map(|it| fields::text(Some(it), path))
            .collect::<Result<_, _>>()?,
    };
    if texts.len() > 2 * RULES_MAX {
        return Err(Invalid::new(path, format!("must be at most {RULES_MAX} rules")));
    }
    let mut rules = Vec::new();
    for text in texts {
        let rule = Rule::from_laravel(&text).map_err(|rule| Invalid::new(path, rule))?;
        let Some(rule) = rule else { continue };
        if let Rule::Other(text) = &rule {
            notes.add(path, format!("rule `{text}` is kept and not enforced"));
        }
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    Ok(rules)
}

/// Splits a text at `|`, but not inside a regular expression.
fn split(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split('|') {
        match parts.last_mut().filter(|last| is_open(last)) {
            Some(last) => {
                last.push('|');
                last.push_str(part);
            }
            None => parts.push(part.to_owned()),
        }
    }
    parts
}

/// Whether a rule is a regular expression whose end is still to come.
fn is_open(rule: &str) -> bool {
    let pattern = rule.trim_start();
    let pattern = pattern.strip_prefix("not_").unwrap_or(pattern).strip_prefix("regex:");
    let Some(pattern) = pattern else { return false };
    let Some(delimiter) = pattern.chars().next() else { return false };
    let rest = pattern[delimiter.len_utf8()..].trim_end();
    let flags = rest.trim_end_matches(|it: char| it.is_ascii_lowercase() || it == 'D');
    !flags.ends_with(delimiter) && "/#~@%!".contains(delimiter)
}

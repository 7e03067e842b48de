//! Variables of a blueprint as fields, checked by their rules while they are typed.

use crate::reactive::selector;
use crate::{
    net::{Failure, matches_pattern},
    parts::{Choice, Field, Select},
};
use mamba_core::blueprint::{Rule, check_value_with};
use mamba_wire::api::blueprint::Variable;
use std::collections::BTreeMap;
use sycamore::prelude::*;

/// One variable and what is typed.
#[derive(Clone, PartialEq)]
struct Value {
    variable: Variable,
    typed: Signal<String>,
    /// What the hub has.
    stored: Signal<String>,
}

/// All of a blueprint's.
#[derive(Clone, Copy)]
pub(super) struct Values(Signal<Vec<Value>>);

impl Values {
    /// Begins with what is stored, and with defaults for the rest.
    pub(super) fn new(variables: &[Variable], stored: &BTreeMap<String, String>) -> Self {
        let value = |variable: &Variable| {
            let text = stored.get(&variable.name).unwrap_or(&variable.default).clone();
            Value {
                variable: variable.clone(),
                typed: create_signal(text.clone()),
                stored: create_signal(text),
            }
        };
        Self(create_signal(variables.iter().map(value).collect()))
    }

    /// Returns what differs from what is stored.
    pub(super) fn changed(self) -> BTreeMap<String, String> {
        self.0.with_untracked(|all| {
            all.iter()
                .map(|it| (&it.variable.name, it.typed.get_clone_untracked(), it.stored))
                .filter(|(_, typed, stored)| stored.with_untracked(|it| it != typed))
                .map(|(name, typed, _)| (name.clone(), typed))
                .collect()
        })
    }

    /// Returns all values.
    pub(super) fn all(self) -> BTreeMap<String, String> {
        self.0.with_untracked(|all| {
            all.iter()
                .map(|it| (it.variable.name.clone(), it.typed.get_clone_untracked()))
                .collect()
        })
    }

    /// Whether every value keeps its rules.
    pub(super) fn is_right(self) -> bool {
        self.0.with(|all| {
            all.iter().all(|it| it.typed.with(|typed| check(&it.variable.rules, typed).is_ok()))
        })
    }

    /// Takes what is typed as stored.
    pub(super) fn keep(self) {
        for it in self.0.get_clone_untracked() {
            it.stored.set(it.typed.get_clone_untracked());
        }
    }
}

/// The fields. `all` also lets change what only administrators may.
#[component(inline_props)]
pub(super) fn Variables(values: Values, all: bool, failure: Signal<Option<Failure>>) -> View {
    let fields = values.0.get_clone_untracked().into_iter();
    let fields: Vec<View> = fields.map(|value| field(value, all, failure)).collect();
    let fields = View::from(fields);
    view! { div(class="columns") { (fields) } }
}

fn field(value: Value, all: bool, failure: Signal<Option<Failure>>) -> View {
    let Value { variable, typed, .. } = value;
    let name = format!("variables.{}", variable.name);
    let label =
        if variable.title.is_empty() { variable.name.clone() } else { variable.title.clone() };
    let hint = variable.description.clone();
    let is_open = all || variable.editable;
    if let Some(choices) = choices(&variable.rules).filter(|_| is_open) {
        let choices = create_signal(choices);
        return view! {
            Select(label=label, name=name, value=typed, choices=*choices, hint=hint, failure=failure)
        };
    }
    let is_optional = !variable.rules.contains(&Rule::Required);
    let rules = variable.rules;
    let wrong = selector(move || typed.with(|it| check(&rules, it).err()));
    view! {
        Field(label=label, name=name, value=typed, hint=hint, optional=is_optional, disabled=!is_open,
            failure=failure, wrong=wrong)
    }
}

/// Returns what to choose from, when the rules leave a short list.
fn choices(rules: &[Rule]) -> Option<Vec<Choice>> {
    let own = rules.iter().find_map(|rule| match rule {
        Rule::In(list) => Some(list.iter().map(|it| Choice::new(it, it)).collect::<Vec<_>>()),
        _ => None,
    });
    own.map(|mut list| {
        if !rules.contains(&Rule::Required) {
            list.insert(0, Choice::new("", "–"));
        }
        list
    })
}

/// Checks a value by rules, with the browser's regular expressions. What the browser cannot read the hub
/// decides.
fn check(rules: &[Rule], value: &str) -> Result<(), String> {
    check_value_with(rules, value, &|pattern, value| {
        Some(!cfg!(target_arch = "wasm32") || matches_pattern(pattern, value).unwrap_or(true))
    })
}

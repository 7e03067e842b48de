//! Fields of forms: label, input, what it is for, and what is wrong with it.

use crate::net::Failure;
use crate::reactive::selector;
use sycamore::prelude::*;
use wasm_bindgen::JsCast as _;
use web_sys::HtmlSelectElement;

/// Returns what is wrong with a field: what was found here, or what the hub said.
fn complaint(
    name: &str,
    failure: Option<Signal<Option<Failure>>>,
    wrong: Option<ReadSignal<Option<String>>>,
) -> Option<String> {
    let here = wrong.and_then(|it| it.get_clone());
    here.or_else(|| failure.and_then(|it| it.with(|it| it.as_ref()?.about(name))))
}

/// What ties the label, the hint and the error of a field to its input.
struct Ties {
    id: String,
    hint_id: String,
    /// Ids of what describes the input.
    described: String,
    wrong: ReadSignal<Option<String>>,
    error: View,
}

impl Ties {
    fn new(
        name: &str,
        failure: Option<Signal<Option<Failure>>>,
        wrong: Option<ReadSignal<Option<String>>>,
    ) -> Self {
        let id = format!("field-{}", name.replace(['.', ' '], "-"));
        let (error_id, hint_id) = (format!("{id}-error"), format!("{id}-hint"));
        let described = format!("{hint_id} {error_id}");
        let name = name.to_owned();
        let wrong = selector(move || complaint(&name, failure, wrong));
        let error = view! {
            p(class="field-error", id=error_id, role="alert", hidden=wrong.with(Option::is_none)) {
                (wrong.get_clone().unwrap_or_default())
            }
        };
        Self { id, hint_id, described, wrong, error }
    }
}

/// Whether an input is wrong, in the words of ARIA.
fn invalid(wrong: ReadSignal<Option<String>>) -> &'static str {
    if wrong.with(Option::is_some) { "true" } else { "false" }
}

/// A line of text.
#[component(inline_props)]
pub(crate) fn Field(
    #[prop(setter(into))] label: String,
    /// Path of the field as the hub names it.
    #[prop(setter(into))]
    name: String,
    value: Signal<String>,
    #[prop(default = "text")] kind: &'static str,
    #[prop(default, setter(into))] hint: String,
    #[prop(default, setter(into))] placeholder: String,
    #[prop(default, setter(into))] unit: String,
    #[prop(default = "off")] autocomplete: &'static str,
    #[prop(default = "text")] inputmode: &'static str,
    #[prop(default)] autofocus: bool,
    #[prop(default)] optional: bool,
    #[prop(default)] disabled: bool,
    #[prop(default, setter(strip_option))] failure: Option<Signal<Option<Failure>>>,
    #[prop(default, setter(strip_option))] wrong: Option<ReadSignal<Option<String>>>,
) -> View {
    let Ties { id, hint_id, described, wrong, error } = Ties::new(&name, failure, wrong);
    let node = create_node_ref();
    if autofocus {
        on_mount(move || focus(node));
    }
    let for_id = id.clone();
    let has_unit = !unit.is_empty();
    let has_hint = !hint.is_empty();
    view! {
        div(class="field") {
            label(r#for=for_id) { (label) }
            span(class="input", data-unit=if has_unit { "yes" } else { "no" }) {
                input(id=id, name=name, r#type=kind, r#ref=node, bind:value=value, autocomplete=autocomplete,
                    inputmode=inputmode, placeholder=placeholder, required=!optional, disabled=disabled,
                    autocapitalize="none", "spellcheck"="false", aria-describedby=described,
                    aria-invalid=invalid(wrong))
                span(class="unit", hidden=!has_unit, aria-hidden="true") { (unit) }
            }
            p(class="hint", id=hint_id, hidden=!has_hint) { (hint) }
            (error)
        }
    }
}

fn focus(node: NodeRef) {
    if let Some(node) = node.try_get() {
        node.unchecked_into::<web_sys::HtmlElement>().focus().ok();
    }
}

/// Several lines of text.
#[component(inline_props)]
pub(crate) fn TextArea(
    #[prop(setter(into))] label: String,
    #[prop(setter(into))] name: String,
    value: Signal<String>,
    #[prop(default, setter(into))] hint: String,
    #[prop(default = "4")] rows: &'static str,
    #[prop(default, setter(strip_option))] failure: Option<Signal<Option<Failure>>>,
) -> View {
    let Ties { id, hint_id, described, wrong, error } = Ties::new(&name, failure, None);
    let for_id = id.clone();
    let has_hint = !hint.is_empty();
    view! {
        div(class="field") {
            label(r#for=for_id) { (label) }
            textarea(id=id, name=name, rows=rows, bind:value=value, "spellcheck"="false", aria-describedby=described,
                aria-invalid=invalid(wrong))
            p(class="hint", id=hint_id, hidden=!has_hint) { (hint) }
            (error)
        }
    }
}

/// One of the things to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// What the form holds.
    pub(crate) value: String,
    /// What people read.
    pub(crate) label: String,
}

impl Choice {
    /// Makes one.
    pub(crate) fn new(value: impl Into<String>, label: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.into() }
    }
}

/// A list to choose from.
#[component(inline_props)]
pub(crate) fn Select(
    #[prop(setter(into))] label: String,
    #[prop(setter(into))] name: String,
    value: Signal<String>,
    choices: ReadSignal<Vec<Choice>>,
    #[prop(default, setter(into))] hint: String,
    #[prop(default, setter(strip_option))] failure: Option<Signal<Option<Failure>>>,
) -> View {
    let Ties { id, hint_id, described, wrong, error } = Ties::new(&name, failure, None);
    let for_id = id.clone();
    let has_hint = !hint.is_empty();
    let chosen = move |event: web_sys::Event| {
        if let Some(select) = event.target().and_then(|it| it.dyn_into::<HtmlSelectElement>().ok())
        {
            value.set(select.value());
        }
    };
    view! {
        div(class="field") {
            label(r#for=for_id) { (label) }
            select(id=id, name=name, on:change=chosen, aria-describedby=described,
                aria-invalid=invalid(wrong)) {
                Indexed(list=choices, view=move |choice: Choice| {
                    let own = choice.value.clone();
                    view! {
                        option(value=choice.value, selected=value.with(|it| *it == own)) { (choice.label) }
                    }
                })
            }
            p(class="hint", id=hint_id, hidden=!has_hint) { (hint) }
            (error)
        }
    }
}

//! Theme and language, which this browser keeps.

use crate::{
    i18n::t,
    parts::{Choice, Select},
    theme::{Theme, Themes},
};
use sycamore::prelude::*;

/// The card.
#[component]
pub(super) fn Looks() -> View {
    let themes = use_context::<Themes>().0;
    let texts = &t().account;
    let named = |theme| match theme {
        Theme::System => texts.theme_system,
        Theme::Light => texts.theme_light,
        Theme::Dark => texts.theme_dark,
    };
    let picks: Vec<View> =
        Theme::ALL.into_iter().map(|theme| pick(themes, theme, named(theme))).collect();
    let picks = View::from(picks);
    let language = create_signal("en".to_owned());
    let languages = create_signal(vec![Choice::new("en", texts.english)]);
    view! {
        section(class="card") {
            header { h2 { (texts.looks) } p { (texts.looks_text) } }
            div(class="body") {
                fieldset { legend { (texts.theme) } div(class="choices") { (picks) } }
                div(class="form") {
                    Select(label=texts.language, name="language", value=language, choices=*languages,
                        hint=texts.language_hint)
                }
            }
        }
    }
}

fn pick(themes: Signal<Theme>, theme: Theme, name: &'static str) -> View {
    let is_on = move || themes.get() == theme;
    view! {
        label(class="pick", data-chosen=is_on().then_some("yes")) {
            input(r#type="radio", name="theme", prop:checked=is_on(), on:change=move |_| themes.set(theme))
            span { (name) }
        }
    }
}

//! Buttons.

use super::{Icon, icon};
use crate::task::Task;
use sycamore::prelude::*;

/// How much a button wants to be pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of several.
    #[default]
    Plain,
    /// What one came for; at most one in sight.
    Primary,
    /// Something that cannot be taken back.
    Danger,
    /// Without a border.
    Quiet,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Primary => "primary",
            Self::Danger => "danger",
            Self::Quiet => "quiet",
        }
    }
}

/// The button that sends a form; busy while its task runs.
#[component(inline_props)]
pub(crate) fn Submit(
    #[prop(setter(into))] label: String,
    task: Task,
    #[prop(default = Kind::Primary)] kind: Kind,
) -> View {
    let kind = kind.name();
    view! {
        button(r#type="submit", class="btn", data-kind=kind, disabled=task.busy.get(),
            aria-busy=if task.busy.get() { "true" } else { "false" }) { (label) }
    }
}

/// A button that does something.
#[component(inline_props)]
pub(crate) fn Action<F: FnMut() + 'static>(
    #[prop(setter(into))] label: String,
    mut run: F,
    #[prop(default)] kind: Kind,
    #[prop(default, setter(strip_option))] picture: Option<Icon>,
    #[prop(default, setter(strip_option))] disabled: Option<ReadSignal<bool>>,
    #[prop(default, setter(strip_option))] task: Option<Task>,
) -> View {
    let kind = kind.name();
    let picture = picture.map(icon);
    let is_busy = move || task.is_some_and(|it| it.busy.get());
    let is_off = move || is_busy() || disabled.is_some_and(|it| it.get());
    view! {
        button(r#type="button", class="btn", data-kind=kind, disabled=is_off(),
            aria-busy=if is_busy() { "true" } else { "false" }, on:click=move |_| run()) {
            (picture) (label)
        }
    }
}

/// A button that is only a picture.
#[component(inline_props)]
pub(crate) fn IconButton<F: FnMut() + 'static>(
    #[prop(setter(into))] label: String,
    picture: Icon,
    mut run: F,
) -> View {
    let title = label.clone();
    let picture = icon(picture);
    view! {
        button(r#type="button", class="btn icon-btn", data-kind="quiet", aria-label=label, title=title,
            on:click=move |_| run()) { (picture) }
    }
}

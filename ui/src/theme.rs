//! Light or dark: as the system says, until somebody chooses.

use crate::reactive::effect;
use crate::storage;
use sycamore::prelude::*;

const NAME: &str = "mamba.theme";

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    /// As the system says.
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// Its name, for storage and style sheets.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Returns the theme of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// The theme of this page.
#[derive(Clone, Copy)]
pub(crate) struct Themes(pub(crate) Signal<Theme>);

impl Themes {
    /// Goes on to the next theme.
    pub(crate) fn next(self) {
        self.0.set(match self.0.get_untracked() {
            Theme::System => Theme::Light,
            Theme::Light => Theme::Dark,
            Theme::Dark => Theme::System,
        });
    }
}

/// Reads and applies what was chosen, and follows changes. Call once, in the root.
pub(crate) fn start() {
    let stored = storage::get(NAME).and_then(|it| Theme::named(&it));
    let theme = create_signal(stored.unwrap_or(Theme::System));
    provide_context(Themes(theme));
    effect(move || {
        let name = theme.get().name();
        storage::set(NAME, name);
        if let Some(root) = document().document_element() {
            root.set_attribute("data-theme", name).ok();
        }
    });
}

//! States in a word and a colour, and how old what is shown is.

use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    time::{self, Ticking},
};
use mamba_core::clock::UnixMs;
use mamba_wire::api::{Freshness, LinkState};
use sycamore::prelude::*;

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Under way, or to be looked at.
    Busy,
    /// Wrong.
    Bad,
    /// Nothing to say.
    Calm,
}

impl Tone {
    /// Its name in style sheets.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Bad => "bad",
            Self::Calm => "calm",
        }
    }
}

/// A state in a word.
#[component(inline_props)]
pub(crate) fn Badge(tone: Tone, #[prop(setter(into))] label: String) -> View {
    let tone = tone.name();
    view! { span(class="badge", data-tone=tone) { (label) } }
}

/// Returns a state in a word. Where it changes, a view has to call this with what it reads: the properties of
/// a component are read once.
pub(crate) fn badge(tone: Tone, label: &'static str) -> View {
    view! { Badge(tone=tone, label=label) }
}

/// Says whether what is shown from a node is live, late or old, and how old. Looks at `freshness` each
/// second: a node that falls silent is seen to age.
#[component(inline_props)]
pub(crate) fn Fresh(freshness: ReadSignal<Freshness>) -> View {
    let ticking = use_context::<Ticking>().0;
    let shown = selector(move || {
        let freshness = freshness.get();
        (tone(freshness.link).name(), words(freshness, ticking.get()))
    });
    view! {
        span(class="fresh", data-tone=shown.with(|it| it.0)) { (shown.with(|it| it.1.clone())) }
    }
}

fn tone(link: LinkState) -> Tone {
    match link {
        LinkState::Live => Tone::Good,
        LinkState::Delayed => Tone::Busy,
        LinkState::Unreachable => Tone::Bad,
    }
}

fn words(freshness: Freshness, now: UnixMs) -> String {
    let texts = &t().general;
    let age = freshness.as_of.map(|at| time::ago(now, at));
    match (freshness.link, age) {
        (LinkState::Live, _) => texts.live.to_owned(),
        (LinkState::Delayed, Some(age)) => fill(texts.delayed, &[("age", &age)]),
        (LinkState::Delayed, None) => texts.delayed_never.to_owned(),
        (LinkState::Unreachable, Some(age)) => fill(texts.unreachable, &[("age", &age)]),
        (LinkState::Unreachable, None) => texts.unreachable_never.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_says_its_age() {
        let fresh = |link, as_of| words(Freshness { as_of, link }, UnixMs(100_000));
        let at = Some(UnixMs(40_000));
        assert_eq!(fresh(LinkState::Live, at), "Live");
        assert_eq!(fresh(LinkState::Delayed, at), "Delayed, 1 min ago");
        assert_eq!(fresh(LinkState::Unreachable, at), "Unreachable, seen 1 min ago");
        assert_eq!(fresh(LinkState::Unreachable, None), "Never seen");
    }
}

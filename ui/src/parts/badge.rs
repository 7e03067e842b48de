//! States in a word and a colour, and how old what is shown is.

use super::states::Unread;
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    session::Session,
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
/// second: a node that falls silent is seen to age. While the hub is away, or what is around could not be
/// read again, nothing is said to be live.
#[component(inline_props)]
pub(crate) fn Fresh(
    freshness: ReadSignal<Freshness>,
    /// Whether nobody expects to hear of it again: then silence is no fault.
    #[prop(default, setter(strip_option))]
    is_over: Option<ReadSignal<bool>>,
) -> View {
    let ticking = use_context::<Ticking>().0;
    let lost_since = use_context::<Session>().lost_since;
    let unread = try_use_context::<Unread>();
    let shown = selector(move || {
        let unread = unread.and_then(|it| it.0.get());
        let (freshness, lost_since) = (freshness.get(), lost_since.get().or(unread));
        let is_calm = lost_since.is_some() || is_over.is_some_and(|it| it.get());
        let tone = if is_calm { Tone::Calm } else { tone(freshness.link) };
        (tone.name(), words(freshness, lost_since, ticking.get()))
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

fn words(freshness: Freshness, lost_since: Option<UnixMs>, now: UnixMs) -> String {
    let texts = &t().general;
    let age = freshness.as_of.map(|at| time::ago(now, at));
    match (freshness.link, age) {
        (LinkState::Live, _) => lost_since.map_or_else(
            || texts.live.to_owned(),
            |since| fill(texts.was_live, &[("age", &time::ago(now, since))]),
        ),
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
        let fresh = |link, as_of| words(Freshness { as_of, link }, None, UnixMs(100_000));
        let at = Some(UnixMs(40_000));
        assert_eq!(fresh(LinkState::Live, at), "Live");
        assert_eq!(fresh(LinkState::Delayed, at), "Delayed, 1 min ago");
        assert_eq!(fresh(LinkState::Unreachable, at), "Unreachable, seen 1 min ago");
        assert_eq!(fresh(LinkState::Unreachable, None), "Never seen");
        let live = Freshness { as_of: at, link: LinkState::Live };
        assert_eq!(words(live, Some(UnixMs(90_000)), UnixMs(100_000)), "As of 10 s ago");
    }
}

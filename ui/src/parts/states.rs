//! What stands where nothing can be shown yet, or at all: with the next step.

use super::{Action, Icon, Tone, icon};
use crate::reactive::{effect, selector};
use crate::{i18n::t, net::Failure, remote::Remote, session::Session, time::Age};
use mamba_core::clock::UnixMs;
use std::rc::Rc;
use sycamore::prelude::*;

/// Returns grey lines in the place of what comes.
pub(crate) fn loading() -> View {
    view! {
        div(class="skeleton", role="status") {
            span(class="sr") { (t().general.loading) }
            span {} span {} span {}
        }
    }
}

/// Returns what to say where a list is empty.
pub(crate) fn empty(
    picture: Icon,
    title: impl Into<String>,
    text: impl Into<String>,
    next: View,
) -> View {
    let (title, text) = (title.into(), text.into());
    let picture = icon(picture);
    view! {
        div(class="empty") { (picture) h2 { (title) } p { (text) } div(class="actions") { (next) } }
    }
}

/// Returns what to say where the caller may see nothing.
pub(crate) fn refused() -> View {
    empty(Icon::Key, t().general.not_allowed, t().general.not_allowed_text, super::nothing())
}

/// Returns what to say on a page that has nothing else.
pub(crate) fn empty_page(
    picture: Icon,
    title: &'static str,
    text: &'static str,
    next: View,
) -> View {
    super::titled(title);
    let picture = icon(picture);
    view! {
        div(class="empty") { (picture) h1 { (title) } p { (text) } div(class="actions") { (next) } }
    }
}

/// Returns what to say where something could not be read.
fn failed(failure: &Failure, again: impl FnMut() + 'static) -> View {
    let text = failure.text();
    let picture = icon(Icon::Warn);
    view! {
        div(class="empty", role="alert") {
            (picture) h2 { (t().general.not_read) } p { (text) }
            div(class="actions") { Action(label=t().general.again, run=again) }
        }
    }
}

/// Returns a sentence in a box. What went wrong is read aloud at once, the rest when there is a pause.
pub(crate) fn notice(tone: Tone, text: impl Into<String>) -> View {
    let text = text.into();
    let picture = icon(if tone == Tone::Calm { Icon::Info } else { Icon::Warn });
    let role = if tone == Tone::Bad { "alert" } else { "status" };
    let tone = tone.name();
    view! { div(class="notice", data-tone=tone, role=role) { (picture) div { (text) } } }
}

/// Returns a sentence about something old, and how old. The age counts on beside what is read aloud.
pub(crate) fn aged(tone: Tone, text: impl Into<String>, at: UnixMs) -> View {
    let (tone, text) = (tone.name(), text.into());
    let picture = icon(Icon::Warn);
    view! {
        div(class="notice", data-tone=tone) {
            (picture) div { span(role="status") { (text) } " " Age(at=at) "." }
        }
    }
}

/// Says why what is shown could not be read again, and how old it is. That the hub is away is told once,
/// for the whole page.
pub(crate) fn behind(
    failure: ReadSignal<Option<Failure>>,
    read_at: ReadSignal<Option<UnixMs>>,
) -> View {
    let session = use_context::<Session>();
    let told = selector(move || {
        let is_lost = session.lost_since.get().is_some();
        let failure = failure.get_clone().filter(|it| !is_lost || *it != Failure::Unreachable)?;
        let text = failure.text();
        let text = format!("{}. {}", text.trim_end_matches('.'), t().general.as_known);
        Some((text, read_at.get()?))
    });
    view! {
        (match told.get_clone() {
            Some((text, at)) => aged(Tone::Busy, text, at),
            None => view! {},
        })
    }
}

/// Since when what is around a part of the page could not be read again: all of it is that old. `None` while
/// it can be read.
#[derive(Clone, Copy)]
pub(super) struct Unread(pub(super) ReadSignal<Option<UnixMs>>);

/// Returns content that is grey, and calls nothing live, while it could not be read again. It is boxed, so that
/// a browser loads this once and not for each kind of content.
pub(crate) fn known(
    failure: ReadSignal<Option<Failure>>,
    read_at: ReadSignal<Option<UnixMs>>,
    content: Box<dyn FnOnce() -> View + '_>,
) -> View {
    let is_old = selector(move || failure.with(Option::is_some).then_some(""));
    let content = provide_context_in_new_scope(unread(failure, read_at), content);
    view! { div(class="known", data-old=is_old.get()) { (content) } }
}

/// Follows since when something could not be read, or that in which it is.
fn unread(failure: ReadSignal<Option<Failure>>, read_at: ReadSignal<Option<UnixMs>>) -> Unread {
    let around = try_use_context::<Unread>();
    Unread(selector(move || {
        let around = around.and_then(|it| it.0.get());
        around.or_else(|| failure.with(Option::is_some).then(|| read_at.get()).flatten())
    }))
}

/// Returns a box with what went wrong, unless one of these fields says it.
pub(crate) fn complaint(failure: Signal<Option<Failure>>, fields: &'static [&'static str]) -> View {
    let text = selector(move || {
        failure.with(|it| it.as_ref().filter(|it| !it.is_only_about(fields)).map(Failure::text))
    });
    view! {
        (match text.get_clone() {
            Some(text) => notice(Tone::Bad, text),
            None => view! {},
        })
    }
}

/// Returns what is known of something remote: grey lines at first, what went wrong, or the thing itself.
/// `content` is called once: when the value changes, the signal that it gets does. What could not be read
/// again stays, says so, and is grey.
pub(crate) fn shown<T: 'static>(
    remote: Remote<T>,
    content: impl Fn(ReadSignal<Rc<T>>) -> View + 'static,
) -> View {
    #[derive(Clone, Copy, PartialEq)]
    enum Now {
        Loading,
        Failed,
        Here,
    }
    let now = selector(move || {
        if remote.value.with(Option::is_some) {
            Now::Here
        } else if remote.failure.with(Option::is_some) {
            Now::Failed
        } else {
            Now::Loading
        }
    });
    view! {
        (match now.get() {
            Now::Loading => loading(),
            Now::Failed => remote.failure.get_clone_untracked().map_or_else(loading, |it| {
                failed(&it, move || remote.reload())
            }),
            Now::Here => remote.value.with_untracked(Clone::clone).map_or_else(loading, |first| {
                let value = create_signal(first);
                effect(move || {
                    if let Some(next) = remote.value.get_clone()
                        && value.with_untracked(|old| !Rc::ptr_eq(old, &next))
                    {
                        value.set(next);
                    }
                });
                let (failure, read_at) = (*remote.failure, *remote.read_at);
                let known = known(failure, read_at, Box::new(|| content(*value)));
                let behind = behind(failure, read_at);
                view! { (behind) (known) }
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_of_something_unread_is_unread_too() {
        let _root = create_root(|| {
            let failure = || create_signal(None::<Failure>);
            let (outer, inner) = (failure(), failure());
            let read_at = |ms| *create_signal(Some(UnixMs(ms)));
            let around = unread(*outer, read_at(5));
            let within = provide_context_in_new_scope(around, || unread(*inner, read_at(9)));
            let since = || (around.0.get(), within.0.get());
            assert_eq!(since(), (None, None));
            inner.set(Some(Failure::Unreachable));
            assert_eq!(since(), (None, Some(UnixMs(9))), "only that could not be read");
            outer.set(Some(Failure::Unreachable));
            inner.set(None);
            assert_eq!(since(), (Some(UnixMs(5)), Some(UnixMs(5))));
            outer.set(None);
            assert_eq!(since(), (None, None));
        });
    }
}

//! Signing in elsewhere: the way there, and back.

use super::{frame, login, reached};
use crate::reactive::effect;
use crate::{
    i18n::{fill, t},
    nav::Place,
    net::Failure,
    parts::{self, Action, Toasts, complaint, nothing},
    remote::{self, watch},
    session::{Phase, Session},
    task::Task,
};
use mamba_wire::api::{
    auth::{BeginVisit, Begun, FinishVisit, Provider, SignIn},
    table,
};
use sycamore::{futures::spawn_local_scoped, prelude::*, web::window};

/// What this tab remembers while somebody is elsewhere.
const BINDING: &str = "mamba.visit";

/// What somebody went elsewhere for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To sign in.
    SignIn,
    /// To link the account there with the one here.
    Link,
}

impl Purpose {
    fn letter(self) -> char {
        match self {
            Self::SignIn => 's',
            Self::Link => 'l',
        }
    }

    /// Takes apart what [`leave`] kept.
    fn read(kept: &str) -> Option<(Self, String)> {
        let (letter, binding) = kept.split_once(' ')?;
        let found =
            [Self::SignIn, Self::Link].into_iter().find(|it| letter.chars().eq([it.letter()]));
        found.map(|it| (it, binding.to_owned()))
    }
}

/// Goes elsewhere.
pub(crate) fn leave(purpose: Purpose, begun: &Begun) {
    if let Some(storage) = window().session_storage().ok().flatten() {
        storage.set_item(BINDING, &format!("{} {}", purpose.letter(), begun.binding)).ok();
    }
    window().location().assign(&begun.url).ok();
}

/// Takes what this tab remembers, once.
fn come_back() -> Option<(Purpose, String)> {
    let storage = window().session_storage().ok().flatten()?;
    let kept = storage.get_item(BINDING).ok().flatten()?;
    storage.remove_item(BINDING).ok();
    Purpose::read(&kept)
}

/// Returns a button for each place; nothing where there is none.
pub(super) fn places() -> View {
    let remote = watch::<table::ListProviders>(remote::NEVER_MS, || Some(((), ())));
    view! {
        (match remote.value.get_clone() {
            Some(page) if !page.items.is_empty() => {
                let each: Vec<View> = page.items.iter().cloned().map(place).collect();
                let each = View::from(each);
                view! { p(class="gate-or") { (t().sign_in.or) } div(class="gate-places") { (each) } }
            }
            Some(_) | None => nothing(),
        })
    }
}

fn place(provider: Provider) -> View {
    let session = use_context::<Session>();
    let task = Task::new();
    let label = fill(t().sign_in.with, &[("name", &provider.name)]);
    let run = move || {
        let body = BeginVisit { provider: provider.provider.clone() };
        task.run(session.call::<table::BeginVisit>((), (), body), |begun| {
            leave(Purpose::SignIn, &begun);
        });
    };
    let wrong = complaint(task.failure, &[]);
    view! { (wrong) Action(label=label, task=task, run=run) }
}

/// What came of it.
#[derive(Clone)]
enum Outcome {
    Open,
    SecondFactor,
    Failed(String),
}

/// The page that the other place leads back to.
#[component]
pub(crate) fn Callback() -> View {
    let (session, place) = (use_context::<Session>(), use_context::<Place>());
    let toasts = use_context::<Toasts>();
    let (state, code) = (place.query_value("state"), place.query_value("code"));
    let (Some((purpose, binding)), Some(state), Some(code)) = (come_back(), state, code) else {
        return reached(t().sign_in.visit_failed_title, t().sign_in.visit_failed.to_owned());
    };
    let challenge = create_signal(None::<String>);
    let outcome = create_signal(Outcome::Open);
    let body = FinishVisit { state, code, binding };
    let failed = move |failure: Failure| outcome.set(Outcome::Failed(failure.text()));
    // Whoever is let in is led away: nothing of this page may be touched afterwards, for it is gone.
    spawn_local_scoped(async move {
        match purpose {
            Purpose::SignIn => match session.call::<table::FinishVisit>((), (), body).await {
                Ok(SignIn::SignedIn(tokens)) => session.enter(tokens),
                Ok(SignIn::SecondFactor(needed)) => {
                    challenge.set(Some(needed.challenge));
                    outcome.set(Outcome::SecondFactor);
                }
                Err(failure) => failed(failure),
            },
            Purpose::Link => match session.call::<table::FinishLink>((), (), body).await {
                Ok(_) => {
                    toasts.done(t().account.linked);
                    place.replace("/account/security");
                }
                Err(failure) => failed(failure),
            },
        }
    });
    if purpose == Purpose::SignIn {
        effect(move || {
            let is_in = session.phase.with(|it| matches!(it, Phase::In(_) | Phase::SettingUp(_)));
            if is_in {
                place.replace("/servers");
            }
        });
    }
    view! {
        (match outcome.get_clone() {
            Outcome::Open => frame(t().sign_in.visit_title, parts::loading()),
            Outcome::SecondFactor => login::second(challenge),
            Outcome::Failed(text) => reached(t().sign_in.visit_failed_title, text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tab_remembers_is_read_back() {
        for (kept, expected) in [
            ("s abc", Some((Purpose::SignIn, "abc".to_owned()))),
            ("l a b", Some((Purpose::Link, "a b".to_owned()))),
            ("x abc", None),
            ("ss abc", None),
            ("abc", None),
        ] {
            assert_eq!(Purpose::read(kept), expected, "{kept}");
        }
    }
}

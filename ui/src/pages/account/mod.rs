//! One's own account: address, letters and looks; how one signs in; keys.

mod address;
mod api_key_new;
mod api_keys;
mod confirm;
mod factor;
mod letters;
mod links;
mod looks;
mod passkeys;
mod password;
mod sessions;
mod ssh_keys;

pub(crate) use confirm::Confirm;

use crate::{
    i18n::t,
    parts::{self, Tone, head, nothing, notice},
    session::{Phase, Session},
};
use sycamore::prelude::*;

/// A tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    /// Address, letters, looks.
    Profile,
    /// Password, second factor, passkeys, accounts elsewhere, sessions.
    Security,
    /// SSH and API.
    Keys,
}

impl Tab {
    const ALL: [Self; 3] = [Self::Profile, Self::Security, Self::Keys];

    /// Reads the parts of a path behind `account`.
    pub(crate) fn of(parts: &[&str]) -> Option<Self> {
        match parts {
            [] => Some(Self::Profile),
            ["security"] => Some(Self::Security),
            ["keys"] => Some(Self::Keys),
            _ => None,
        }
    }

    fn link(self) -> (&'static str, &'static str) {
        let texts = &t().account;
        match self {
            Self::Profile => ("/account", texts.tab_profile),
            Self::Security => ("/account/security", texts.tab_security),
            Self::Keys => ("/account/keys", texts.tab_keys),
        }
    }
}

/// The page.
#[component(inline_props)]
pub(crate) fn Account(tab: ReadSignal<Tab>) -> View {
    let session = use_context::<Session>();
    let is_whole = session.phase.with_untracked(|it| matches!(it, Phase::In(_)));
    let email = session.me().map(|it| it.email.clone()).unwrap_or_default();
    let head = head(Vec::new(), t().account.title, nothing());
    let content = move || {
        if is_whole { whole(tab) } else { setting_up() }
    };
    view! {
        (head)
        p(class="muted") { (email) }
        (content())
    }
}

fn whole(tab: ReadSignal<Tab>) -> View {
    let links = move || {
        let here = tab.get();
        let links = Tab::ALL.map(|it| (it.link().0.to_owned(), it.link().1, it == here));
        parts::menu(t().account.parts, links.to_vec())
    };
    view! {
        (links())
        (match tab.get() {
            Tab::Profile => view! { address::Address() letters::Letters() looks::Looks() },
            Tab::Security => view! {
                factor::Factor() passkeys::Passkeys() password::Password() links::Links() sessions::Sessions() confirm::Close()
            },
            Tab::Keys => view! { api_keys::ApiKeys() ssh_keys::SshKeys() },
        })
    }
}

/// Returns what is shown to somebody who must have a second factor first.
fn setting_up() -> View {
    let say = notice(Tone::Busy, t().general.setting_up);
    view! { (say) factor::Factor() passkeys::Passkeys() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_mean_tabs() {
        for (path, expected) in [
            (&[][..], Some(Tab::Profile)),
            (&["security"], Some(Tab::Security)),
            (&["keys"], Some(Tab::Keys)),
            (&["x"], None),
        ] {
            assert_eq!(Tab::of(path), expected);
        }
    }
}

//! One's own account: password, second factor, sessions, SSH keys.

mod factor;
mod password;
mod sessions;
mod ssh_keys;

use crate::{
    i18n::t,
    parts::{Tone, head, nothing, notice},
    session::{Phase, Session},
};
use sycamore::prelude::*;

/// The page.
#[component]
pub(crate) fn Account() -> View {
    let session = use_context::<Session>();
    let head = head(Vec::new(), t().account.title, nothing());
    let is_whole = session.phase.with_untracked(|it| matches!(it, Phase::In(_)));
    let email = session.me().map(|it| it.email.clone()).unwrap_or_default();
    view! {
        (head)
        p(class="muted") { (email) }
        (if is_whole { nothing() } else { notice(Tone::Busy, t().general.setting_up) })
        factor::Factor()
        (if is_whole {
            view! { password::Password() sessions::Sessions() ssh_keys::SshKeys() }
        } else { nothing() })
    }
}

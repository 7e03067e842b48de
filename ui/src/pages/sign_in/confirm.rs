//! What links of mails open that only have to be followed.

use super::{frame, reached};
use crate::{i18n::t, nav, net::Failure, parts, session::Session};
use mamba_wire::api::{auth::MailToken, table};
use sycamore::{futures::spawn_local_scoped, prelude::*};

/// Completes a registration.
#[component]
pub(crate) fn ConfirmRegistration() -> View {
    let session = use_context::<Session>();
    follow(t().sign_in.confirm_register_done, t().sign_in.confirm_register_text, move |body| {
        session.call::<table::ConfirmRegistration>((), (), body)
    })
}

/// Confirms an address.
#[component]
pub(crate) fn ConfirmAddress() -> View {
    let session = use_context::<Session>();
    follow(t().sign_in.confirm_address_done, "", move |body| {
        session.call::<table::ConfirmAddress>((), (), body)
    })
}

fn follow<F>(
    title: &'static str,
    text: &'static str,
    send: impl FnOnce(MailToken) -> F + 'static,
) -> View
where
    F: Future<Output = Result<(), Failure>> + 'static,
{
    let token = nav::take_secret();
    if token.is_empty() {
        return reached(t().sign_in.confirm_failed, t().sign_in.no_token.to_owned());
    }
    let outcome = create_signal(None::<Result<(), Failure>>);
    spawn_local_scoped(async move { outcome.set(Some(send(MailToken { token }).await)) });
    view! {
        (match outcome.get_clone() {
            None => frame(t().sign_in.confirming, parts::loading()),
            Some(Ok(())) => reached(title, text.to_owned()),
            Some(Err(failure)) => reached(t().sign_in.confirm_failed, failure.text()),
        })
    }
}

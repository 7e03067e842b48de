//! What somebody sees who is not signed in.

mod confirm;
mod invited;
mod login;
mod password;
mod register;
pub(crate) mod visit;

pub(crate) use confirm::{ConfirmAddress, ConfirmRegistration};
pub(crate) use invited::Invited;
pub(crate) use login::Login;
pub(crate) use password::{Forgot, Reset};
pub(crate) use register::Register;
pub(crate) use visit::Callback;

use crate::{i18n::t, pages::public, parts};
use sycamore::prelude::*;

/// Shortest password that the hub takes.
const PASSWORD_BYTES_MIN: usize = 12;

/// Returns the frame around all of them.
fn frame(title: &str, content: View) -> View {
    parts::titled(title);
    let title = title.to_owned();
    view! {
        div(class="gate") {
            div(class="gate-box") {
                p(class="brand") { span(class="mark", aria-hidden="true") {} "Mamba" }
                h1 { (title) }
                (content)
            }
            div(class="gate-foot") { p { (t().sign_in.tagline) } (public::links(None)) }
        }
    }
}

/// Returns the end of a way: what was reached and the way back.
fn reached(title: &'static str, text: String) -> View {
    frame(title, view! { p { (text) } p { a(href="/sign-in") { (t().sign_in.back) } } })
}

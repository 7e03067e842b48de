//! What somebody sees who is not signed in.

mod confirm;
mod login;
mod password;
mod register;

pub(crate) use confirm::{ConfirmAddress, ConfirmRegistration};
pub(crate) use login::Login;
pub(crate) use password::{Forgot, Reset};
pub(crate) use register::Register;

use crate::{i18n::t, parts};
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
            p(class="gate-foot") { (t().sign_in.tagline) }
        }
    }
}

/// Returns the end of a way: what was reached and the way back.
fn reached(title: &'static str, text: String) -> View {
    frame(title, view! { p { (text) } p { a(href="/sign-in") { (t().sign_in.back) } } })
}

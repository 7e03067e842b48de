//! Pages that a browser loads when they are shown for the first time, and not before.
//!
//! A function under `#[wasm_split(name, fallible)]` and all that only it needs go into a file of their own;
//! what several files need goes into files beside them (`ui/bundle` does that). So a new page is lazy when
//! nothing but a function here calls it: write one below, under the name of its area, and have `app`
//! show its page with [`page`]. The first load, whose size is limited, holds the rest: sign-in, list, frame.

use crate::{
    i18n::t,
    pages::{
        account,
        admin::{self, AdminRoute},
        invitation, public, servers, sign_in, tenant,
    },
    palette, parts,
    route::Gate,
};
use mamba_core::ids::ServerId;
use std::{future::Future, pin::Pin};
use sycamore::{futures::spawn_local_scoped, prelude::*};
use wasm_split_helpers::{SplitLoaderError, wasm_split};

/// A page, or why its file could not be loaded.
pub(crate) type Loaded = Result<View, SplitLoaderError>;

/// One server.
#[wasm_split(server, fallible)]
pub(crate) fn server(id: ServerId, tab: ReadSignal<servers::Tab>) -> Loaded {
    Ok(view! { servers::Page(id=id, tab=tab) })
}

/// A new server.
#[wasm_split(create, fallible)]
pub(crate) fn create() -> Loaded {
    Ok(view! { servers::Create() })
}

/// Tenants.
#[wasm_split(tenant, fallible)]
pub(crate) fn tenant(route: ReadSignal<tenant::Route>) -> Loaded {
    Ok(view! { tenant::Tenant(route=route) })
}

/// The administration.
#[wasm_split(admin, fallible)]
pub(crate) fn admin(route: ReadSignal<AdminRoute>) -> Loaded {
    Ok(view! { admin::Admin(route=route) })
}

/// One's own account.
#[wasm_split(account, fallible)]
pub(crate) fn account(tab: ReadSignal<account::Tab>) -> Loaded {
    Ok(view! { account::Account(tab=tab) })
}

/// The question whether somebody is still there.
#[wasm_split(account, fallible)]
pub(crate) fn confirm() -> Loaded {
    Ok(view! { account::Confirm() })
}

/// What everybody may read.
#[wasm_split(public, fallible)]
pub(crate) fn public(route: ReadSignal<public::Route>) -> Loaded {
    Ok(view! { public::Public(route=route) })
}

/// What mails lead to.
#[wasm_split(gate, fallible)]
pub(crate) fn gate(gate: Gate) -> Loaded {
    Ok(match gate {
        Gate::Login => parts::nothing(),
        Gate::Register => view! { sign_in::Register() },
        Gate::ConfirmRegistration => view! { sign_in::ConfirmRegistration() },
        Gate::ConfirmAddress => view! { sign_in::ConfirmAddress() },
        Gate::Forgot => view! { sign_in::Forgot() },
        Gate::Reset => view! { sign_in::Reset() },
        Gate::Callback => view! { sign_in::Callback() },
        Gate::Invited => view! { sign_in::Invited() },
    })
}

/// The answer to an invitation.
#[wasm_split(gate, fallible)]
pub(crate) fn invitation() -> Loaded {
    Ok(view! { invitation::Invitation() })
}

/// What is in the command palette.
#[wasm_split(palette, fallible)]
pub(crate) fn palette(open: Signal<bool>, help: Signal<bool>) -> Loaded {
    Ok(view! { palette::Palette(open=open, help=help) })
}

/// Shows a page once it is there.
pub(crate) fn page(loading: impl Future<Output = Loaded> + 'static) -> View {
    wait_for(Box::pin(loading))
}

fn wait_for(loading: Pin<Box<dyn Future<Output = Loaded>>>) -> View {
    let loaded = create_signal(None::<Loaded>);
    let is_over = create_signal(false);
    spawn_local_scoped(async move {
        loaded.set_silent(Some(loading.await));
        is_over.set(true);
    });
    view! {
        (match is_over.get().then(|| loaded.take_silent()).flatten() {
            Some(Ok(page)) => page,
            Some(Err(_)) => absent(),
            None => parts::loading(),
        })
    }
}

/// Says that a page could not be loaded: no network, or a hub that has another panel since.
fn absent() -> View {
    let again = view! {
        button(r#type="button", class="btn", on:click=|_| drop(window().location().reload())) {
            (t().general.reload)
        }
    };
    parts::empty_page(parts::Icon::Warn, t().general.not_loaded, t().general.not_loaded_text, again)
}

//! The root: everything that lives as long as the page, and which page is shown.

use crate::reactive::{effect, selector};
use crate::{
    feed::Feed,
    i18n::t,
    lazy,
    nav::{self, Place},
    pages::{account, admin::AdminRoute, public, servers, sign_in, tenant},
    parts::{self, Corner, Icon, Toasts},
    route::{Gate, Route},
    session::{Phase, Session},
    shell::Shell,
    theme, time,
};
use sycamore::prelude::*;

/// What the page is at the moment.
#[derive(Clone, Copy, PartialEq)]
enum Door {
    /// Not known whether somebody is signed in.
    Waiting,
    /// Outside: one of the pages for that.
    Outside(Gate),
    /// What everybody may read, whoever they are.
    Public,
    /// Inside.
    Inside,
}

/// The application.
#[component]
pub(crate) fn App() -> View {
    theme::start();
    time::start();
    Toasts::start();
    let place = Place::start();
    let session = Session::start();
    Feed::start(session);
    let route = selector(move || {
        place.path.with(|path| Route::of(&path.iter().map(String::as_str).collect::<Vec<_>>()))
    });
    let door = selector(move || door(&session.phase.get_clone(), &route.get_clone()));
    effect(move || lead(place, &session.phase.get_clone(), &route.get_clone()));
    let asker = asker(session);
    let page = view! {
        (match door.get() {
            // What `index.html` holds for that long is on the screen.
            Door::Waiting => parts::nothing(),
            Door::Outside(gate) => outside(gate),
            Door::Public => everybody(route),
            Door::Inside => view! { Shell(route=route) { Inside(route=route) } },
        })
        Corner()
        (asker)
    };
    // After the page was made: the sign-in takes over what was typed there.
    effect(move || {
        if door.get() != Door::Waiting
            && let Some(waiting) = document().get_element_by_id("waiting")
        {
            waiting.remove();
        }
    });
    page
}

/// The dialog in which somebody proves to be there still, over whatever is shown. Closed without a proof
/// it is an answer too.
fn asker(session: Session) -> View {
    effect(move || {
        if !session.confirming.get() {
            session.answer(false);
        }
    });
    parts::dialog(session.confirming, t().general.confirm_title, || lazy::page(lazy::confirm()))
}

/// Decides what somebody may see. Links of mails work for everybody.
fn door(phase: &Phase, route: &Route) -> Door {
    match (phase, route) {
        (_, Route::Public(_)) => Door::Public,
        (_, Route::SignIn(gate)) if *gate != Gate::Login => Door::Outside(*gate),
        (Phase::Asking, _) => Door::Waiting,
        (Phase::Out, Route::Invitation) => Door::Outside(Gate::Invited),
        (Phase::Out, _) => Door::Outside(Gate::Login),
        (Phase::In(_) | Phase::SettingUp(_), _) => Door::Inside,
    }
}

/// Keeps the address in step: from the sign-in to what was wanted, and from the beginning to the servers.
fn lead(place: Place, phase: &Phase, route: &Route) {
    let here = || {
        let location = window().location();
        format!(
            "{}{}",
            location.pathname().unwrap_or_default(),
            location.search().unwrap_or_default()
        )
    };
    match (phase, route) {
        (Phase::Out, Route::SignIn(_) | Route::Public(_) | Route::Invitation)
        | (Phase::Asking, _) => {}
        (Phase::Out, Route::Home) => place.replace("/sign-in"),
        (Phase::Out, _) => {
            nav::keep_secret();
            let to = js_sys::encode_uri_component(&here());
            place.replace(&format!("/sign-in?to={to}"));
        }
        (Phase::In(_) | Phase::SettingUp(_), Route::SignIn(Gate::Login)) => {
            let wanted = place.query_value("to").filter(|it| is_own(it));
            place.replace(wanted.as_deref().unwrap_or("/servers"));
        }
        (Phase::In(_) | Phase::SettingUp(_), Route::Home) => place.replace("/servers"),
        (Phase::In(_) | Phase::SettingUp(_), _) => {}
    }
}

/// Whether an address is a page of this panel: nobody is to be led elsewhere by a link.
fn is_own(address: &str) -> bool {
    address.starts_with('/') && !address.starts_with("//") && !address.contains('\\')
}

/// Returns what everybody may read.
fn everybody(route: ReadSignal<Route>) -> View {
    let route = selector(move || match route.get_clone() {
        Route::Public(route) => route,
        _ => public::Route::Status,
    });
    lazy::page(lazy::public(route))
}

fn outside(gate: Gate) -> View {
    let page = match gate {
        Gate::Login => view! { sign_in::Login() },
        other => lazy::page(lazy::gate(other)),
    };
    view! { main(id="main", tabindex="-1") { (page) } }
}

/// The page. One server, and the administration, stay on the screen while their parts change. What is not
/// needed at first is `lazy`.
#[component(inline_props)]
fn Inside(route: ReadSignal<Route>) -> View {
    let tab = selector(move || match route.get_clone() {
        Route::Server(_, tab) => tab,
        _ => servers::Tab::Console,
    });
    let section = selector(move || match route.get_clone() {
        Route::Admin(section) => section,
        _ => AdminRoute::BEGIN,
    });
    let tenants = selector(move || match route.get_clone() {
        Route::Tenant(route) => route,
        _ => tenant::Route::List,
    });
    let account_tab = selector(move || match route.get_clone() {
        Route::Account(tab) => tab,
        _ => account::Tab::Profile,
    });
    let page = selector(move || match route.get_clone() {
        Route::Server(id, _) => Route::Server(id, servers::Tab::Console),
        Route::Admin(_) => Route::Admin(AdminRoute::BEGIN),
        Route::Tenant(_) => Route::Tenant(tenant::Route::List),
        Route::Account(_) => Route::Account(account::Tab::Profile),
        other => other,
    });
    view! {
        (match page.get_clone() {
            Route::Home | Route::SignIn(_) | Route::Public(_) => parts::loading(),
            Route::Servers => view! { servers::List() },
            Route::NewServer => lazy::page(lazy::create()),
            Route::Server(id, _) => lazy::page(lazy::server(id, tab)),
            Route::Tenant(_) => lazy::page(lazy::tenant(tenants)),
            Route::Admin(_) => lazy::page(lazy::admin(section)),
            Route::Account(_) => lazy::page(lazy::account(account_tab)),
            Route::Invitation => lazy::page(lazy::invitation()),
            Route::NotFound => view! { NotFound() },
        })
    }
}

#[component]
fn NotFound() -> View {
    let next = view! { a(class="btn", href="/servers") { (t().general.home) } };
    parts::empty_page(Icon::Search, t().general.not_found, t().general.not_found_text, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_pages_follow_a_sign_in() {
        for (address, expected) in [
            ("/servers?x=1", true),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("https://evil.example", false),
        ] {
            assert_eq!(is_own(address), expected, "{address}");
        }
    }

    #[test]
    fn who_is_out_sees_the_sign_in_and_links_of_mails_always_work() {
        assert!(door(&Phase::Out, &Route::Servers) == Door::Outside(Gate::Login));
        assert!(door(&Phase::Asking, &Route::Servers) == Door::Waiting);
        let status = Route::Public(public::Route::Status);
        assert!(door(&Phase::Asking, &status) == Door::Public);
        let reset = Route::SignIn(Gate::Reset);
        assert!(door(&Phase::Asking, &reset) == Door::Outside(Gate::Reset));
    }
}

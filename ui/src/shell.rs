//! What stands around every page of somebody who is signed in: menu, state of the link, account.

use crate::reactive::{effect, selector};
use crate::{
    i18n::t,
    nav::Place,
    pages::admin::Section,
    parts::{Icon, IconButton, Tone, aged, icon, nothing},
    route::Route,
    session::Session,
    shortcuts::Shortcuts,
    theme::{Theme, Themes},
};
use sycamore::{futures::spawn_local, prelude::*};

/// The frame. `content` is made anew when the page changes.
#[component(inline_props)]
pub(crate) fn Shell(route: ReadSignal<Route>, children: Children) -> View {
    let place = use_context::<Place>();
    let session = use_context::<Session>();
    let is_open = create_signal(false);
    let shortcuts = Shortcuts::start();
    // On a small screen the menu covers the page: it closes when one was chosen.
    effect(move || {
        place.path.track();
        is_open.set(false);
    });
    view! {
        a(class="skip", href="#main") { (t().general.skip) }
        div(class="shell", data-menu=if is_open.get() { "open" } else { "closed" }) {
            aside(class="side") {
                div(class="side-head") {
                    a(class="brand", href="/servers") { span(class="mark", aria-hidden="true") {} "Mamba" }
                    button(r#type="button", class="btn icon-btn menu-btn", data-kind="quiet",
                        aria-label=t().general.menu, aria-expanded=if is_open.get() { "true" } else { "false" },
                        on:click=move |_| is_open.set(!is_open.get())) { (icon(Icon::Menu)) }
                }
                div(class="side-body") {
                    div { (shortcuts.button()) Links(route=route) }
                    Foot()
                }
            }
            main(id="main", tabindex="-1", data-old=session.lost_since.get().map(|_| "")) {
                Lost()
                (children)
            }
        }
        (shortcuts.dialogs())
    }
}

#[component(inline_props)]
fn Links(route: ReadSignal<Route>) -> View {
    let link = move |to: &'static str,
                     picture: Icon,
                     text: &'static str,
                     is_own: fn(&Route) -> bool| {
        let picture = icon(picture);
        let here = selector(move || route.with(is_own).then_some("page"));
        view! { li { a(class="nav-link", href=to, aria-current=here.get()) { (picture) (text) } } }
    };
    let servers = link("/servers", Icon::Servers, t().general.servers, Route::is_about_servers);
    let tenants = link("/tenants", Icon::People, t().general.tenants, Route::is_about_tenants);
    let account =
        link("/account", Icon::Account, t().general.account, |it| matches!(it, Route::Account(_)));
    let admin = administration(route);
    view! { nav(aria-label=t().general.main_menu) { ul { (servers) (tenants) (admin) (account) } } }
}

/// Returns the way to the administration for those who have a part in it, and its sections while one is there.
fn administration(route: ReadSignal<Route>) -> View {
    let session = use_context::<Session>();
    if !session.me().is_some_and(|it| it.admin.is_admin()) {
        return nothing();
    }
    let here = selector(move || {
        route.with(|route| match route {
            Route::Admin(it) => Some(it.section()),
            _ => None,
        })
    });
    let is_open = selector(move || here.get().is_some());
    let picture = icon(Icon::Gauge);
    let sections = move || -> View {
        let seen = Section::ALL
            .into_iter()
            .filter(|it| it.right().is_none_or(|right| session.may_admin(right)))
            .map(|section| {
                let (to, title, picture) = (section.path(), section.title(), icon(section.icon()));
                let is_it = selector(move || (here.get() == Some(section)).then_some("page"));
                view! { li { a(class="nav-link", href=to, aria-current=is_it.get()) { (picture) (title) } } }
            });
        seen.collect::<Vec<_>>().into()
    };
    view! {
        li {
            a(class="nav-link", href="/admin", hidden=is_open.get()) { (picture) (t().general.admin) }
            (if is_open.get() {
                view! {
                    p(class="side-title") { (t().general.admin) }
                    ul(class="nav-sub") { (sections()) }
                }
            } else { nothing() })
        }
    }
}

#[component]
fn Foot() -> View {
    let session = use_context::<Session>();
    let themes = use_context::<Themes>();
    let email = selector(move || session.me().map(|it| it.email.clone()).unwrap_or_default());
    let theme_name = selector(move || match themes.0.get() {
        Theme::System => t().general.theme_system,
        Theme::Light => t().general.theme_light,
        Theme::Dark => t().general.theme_dark,
    });
    let sun = icon(Icon::Sun);
    view! {
        div(class="side-foot") {
            span(class="who cut", title=email.get_clone()) { (email.get_clone()) }
            div(class="side-tools") {
                button(r#type="button", class="btn icon-btn", data-kind="quiet",
                    aria-label=theme_name.get(), title=theme_name.get(), on:click=move |_| themes.next()) { (sun) }
                IconButton(label=t().general.sign_out, picture=Icon::Out, run=move || {
                    spawn_local(async move { session.sign_out().await });
                })
            }
        }
    }
}

/// Says that the hub does not answer, and how old all is that is shown.
#[component]
pub(crate) fn Lost() -> View {
    let session = use_context::<Session>();
    view! {
        (match session.lost_since.get() {
            Some(since) => aged(Tone::Bad, t().general.lost, since),
            None => nothing(),
        })
    }
}

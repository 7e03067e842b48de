//! What everybody may read: the status of the installation, and legal pages.

mod legal;
mod status;

use crate::{
    i18n::t,
    parts::{self, nothing},
    session::Session,
    shell::Lost,
};
use sycamore::prelude::*;

/// A page of this area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// How the installation is.
    Status,
    /// A legal page, by its number in [`mamba_wire::api::legal::LEGAL_PAGES`].
    Legal(usize),
}

impl Route {
    /// Reads the parts of a path.
    pub(crate) fn of(parts: &[&str]) -> Option<Self> {
        match parts {
            ["status"] => Some(Self::Status),
            ["legal", page] => legal::number(page).map(Self::Legal),
            _ => None,
        }
    }
}

/// The page, with its own frame: nobody has to be signed in.
#[component(inline_props)]
pub(crate) fn Public(route: ReadSignal<Route>) -> View {
    let session = use_context::<Session>();
    view! {
        div(class="public") {
            header(class="public-head") {
                a(class="brand", href="/") { span(class="mark", aria-hidden="true") {} "Mamba" }
                a(class="btn", href="/servers") { (t().public.to_panel) }
            }
            main(id="main", tabindex="-1", data-old=session.lost_since.get().map(|_| "")) {
                Lost()
                (match route.get() {
                    Route::Status => view! { status::Status() },
                    Route::Legal(page) => view! { legal::Legal(page=page) },
                })
            }
            footer { (links(Some(route))) }
        }
    }
}

/// Returns links to all of these pages; that of the page that is shown is marked.
pub(crate) fn links(here: Option<ReadSignal<Route>>) -> View {
    let status = ("/status".to_owned(), t().public.status, Route::Status);
    let legal = legal::links().into_iter().map(|(to, text, page)| (to, text, Route::Legal(page)));
    let links: Vec<View> = std::iter::once(status)
        .chain(legal)
        .map(|(to, text, route)| {
            let is_here = move || here.is_some_and(|it| it.get() == route).then_some("page");
            view! { li { a(href=to, aria-current=is_here()) { (text) } } }
        })
        .collect();
    let links = if links.is_empty() { nothing() } else { View::from(links) };
    view! { nav(class="public-links", aria-label=t().public.pages) { ul { (links) } } }
}

/// Names the page and returns its title.
fn titled(title: &str) -> View {
    parts::titled(title);
    let title = title.to_owned();
    view! { h1 { (title) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_mean_public_pages() {
        for (path, expected) in [
            (&["status"][..], Some(Route::Status)),
            (&["legal", "terms"], Some(Route::Legal(0))),
            (&["legal", "dmca"], Some(Route::Legal(4))),
            (&["legal", "x"], None),
            (&["legal"], None),
        ] {
            assert_eq!(Route::of(path), expected);
        }
    }
}

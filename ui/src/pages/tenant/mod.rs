//! Tenants: the list, and each of them with its people, roles, quota, usage, trail and tenants below.

mod api_keys;
mod audit;
mod children;
mod invitations;
mod list;
mod members;
mod overview;
mod page;
mod quota;
mod roles;
mod settings;
mod tab;
mod usage;

pub(crate) use tab::Tab;

use mamba_core::ids::TenantId;
use sycamore::prelude::*;

/// A page of this area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// All tenants that somebody sees.
    List,
    /// One of them.
    One(TenantId, Tab),
}

impl Route {
    /// Reads the parts of a path behind `tenants`.
    pub(crate) fn of(parts: &[&str]) -> Option<Self> {
        match parts {
            [] => Some(Self::List),
            [id] => Some(Self::One(id.parse().ok()?, Tab::Overview)),
            [id, tab] => Some(Self::One(id.parse().ok()?, Tab::named(tab)?)),
            _ => None,
        }
    }
}

/// The page. One tenant stays on the screen while its tabs change.
#[component(inline_props)]
pub(crate) fn Tenant(route: ReadSignal<Route>) -> View {
    let tab = crate::reactive::selector(move || match route.get() {
        Route::One(_, tab) => tab,
        Route::List => Tab::Overview,
    });
    let id = crate::reactive::selector(move || match route.get() {
        Route::One(id, _) => Some(id),
        Route::List => None,
    });
    view! {
        (match id.get() {
            Some(id) => view! { page::Page(id=id, tab=tab) },
            None => view! { list::List() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_mean_tabs() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let one = |tab| Some(Route::One(id.parse().unwrap(), tab));
        for (path, expected) in [
            (&[][..], Some(Route::List)),
            (&[id], one(Tab::Overview)),
            (&[id, "members"], one(Tab::Members)),
            (&[id, "api-keys"], one(Tab::ApiKeys)),
            (&[id, "x"], None),
            (&["x"], None),
            (&[id, "members", "x"], None),
        ] {
            assert_eq!(Route::of(path), expected, "{path:?}");
        }
    }
}

//! Pure: which page an address means.

use crate::pages::{account, admin::AdminRoute, public, servers::Tab, tenant};
use mamba_core::ids::ServerId;

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The beginning.
    Home,
    /// A page for those who are not signed in.
    SignIn(Gate),
    /// All servers.
    Servers,
    /// A new server.
    NewServer,
    /// One server.
    Server(ServerId, Tab),
    /// Tenants.
    Tenant(tenant::Route),
    /// One's own account.
    Account(account::Tab),
    /// What everybody may read.
    Public(public::Route),
    /// A page of the administration.
    Admin(AdminRoute),
    /// The answer to an invitation.
    Invitation,
    /// Nothing.
    NotFound,
}

/// Pages before the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Sign in.
    Login,
    /// Ask for an account.
    Register,
    /// Complete a registration.
    ConfirmRegistration,
    /// Confirm an address.
    ConfirmAddress,
    /// Ask for a new password.
    Forgot,
    /// Set a new password.
    Reset,
    /// Come back from another place that says who somebody is.
    Callback,
    /// Answer an invitation, with an account or without.
    Invited,
}

impl Route {
    /// Reads the parts of a path.
    pub(crate) fn of(parts: &[&str]) -> Self {
        match parts {
            [] => Self::Home,
            ["sign-in"] => Self::SignIn(Gate::Login),
            ["register"] => Self::SignIn(Gate::Register),
            ["register", "confirm"] => Self::SignIn(Gate::ConfirmRegistration),
            ["confirm-address"] => Self::SignIn(Gate::ConfirmAddress),
            ["forgot-password"] => Self::SignIn(Gate::Forgot),
            ["reset-password"] => Self::SignIn(Gate::Reset),
            ["servers"] => Self::Servers,
            ["servers", "new"] => Self::NewServer,
            ["servers", id] => server(id, "console"),
            ["servers", id, tab] => server(id, tab),
            ["tenants", rest @ ..] => tenant::Route::of(rest).map_or(Self::NotFound, Self::Tenant),
            ["account", rest @ ..] => account::Tab::of(rest).map_or(Self::NotFound, Self::Account),
            ["status" | "legal", ..] => {
                public::Route::of(parts).map_or(Self::NotFound, Self::Public)
            }
            ["auth", "callback"] => Self::SignIn(Gate::Callback),
            ["invitation"] => Self::Invitation,
            ["admin", rest @ ..] => AdminRoute::of(rest).map_or(Self::NotFound, Self::Admin),
            _ => Self::NotFound,
        }
    }

    /// Whether it is about servers.
    pub(crate) fn is_about_servers(&self) -> bool {
        match self {
            Self::Home | Self::Servers | Self::NewServer | Self::Server(..) => true,
            Self::SignIn(_)
            | Self::Tenant(_)
            | Self::Account(_)
            | Self::Public(_)
            | Self::Admin(_)
            | Self::Invitation
            | Self::NotFound => false,
        }
    }

    /// Whether it is about tenants.
    pub(crate) fn is_about_tenants(&self) -> bool {
        matches!(self, Self::Tenant(_))
    }
}

fn server(id: &str, tab: &str) -> Route {
    match (id.parse(), Tab::named(tab)) {
        (Ok(id), Some(tab)) => Route::Server(id, tab),
        _ => Route::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_mean_pages() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let server = |tab| Route::Server(id.parse().unwrap(), tab);
        for (path, expected) in [
            (&[][..], Route::Home),
            (&["servers"], Route::Servers),
            (&["servers", "new"], Route::NewServer),
            (&["servers", id], server(Tab::Console)),
            (&["servers", id, "network"], server(Tab::Network)),
            (&["servers", id, "x"], Route::NotFound),
            (&["servers", "x"], Route::NotFound),
            (&["account", "keys"], Route::Account(account::Tab::Keys)),
            (&["account", "x"], Route::NotFound),
            (&["status"], Route::Public(public::Route::Status)),
            (&["legal", "x"], Route::NotFound),
            (&["tenants"], Route::Tenant(tenant::Route::List)),
            (&["auth", "callback"], Route::SignIn(Gate::Callback)),
            (&["reset-password"], Route::SignIn(Gate::Reset)),
            (&["admin", "x"], Route::NotFound),
        ] {
            assert_eq!(Route::of(path), expected);
        }
    }
}

//! Pure: signing in, and the account that is signed in.

use super::prelude::*;
use crate::api::auth;

endpoints! {
    /// Signing in, and the account that is signed in.
    ACCOUNT "account" for_each_account_endpoint;

    /// Signs in with address and password.
    Login: Post "/api/v1/auth/login", Permission::Public, 200,
        ((), (), auth::Login) -> auth::Tokens, [WrongCredentials];
    /// Gives new tokens for the newest refresh token of a session.
    Refresh: Post "/api/v1/auth/refresh", Permission::Public, 200,
        ((), (), auth::Refresh) -> auth::Tokens, [NotSignedIn];
    /// Ends the session.
    Logout: Post "/api/v1/auth/logout", Permission::SignedIn, 204,
        ((), (), ()) -> ();
    /// Says who is signed in.
    WhoAmI: Get "/api/v1/me", Permission::SignedIn, 200,
        ((), (), ()) -> auth::Me;
}

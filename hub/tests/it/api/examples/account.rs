//! Examples: the account that is signed in.

use super::{super::world::PASSWORD, Example, examples};
use mamba_wire::api::auth;

examples! {
    Login, seed => {
        let body = auth::Login { email: seed.email(), password: PASSWORD.to_owned() };
        Example::new((), (), body)
    };
    Refresh, seed => {
        let refresh_token = seed.world.login(&seed.email()).await.refresh_token;
        Example::new((), (), auth::Refresh { refresh_token })
    };
    Logout, _seed => Example::new((), (), ());
    WhoAmI, _seed => Example::new((), (), ());
}

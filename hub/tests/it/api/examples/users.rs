//! Examples: every account, for administrators.

use super::{super::world::NO_PAGE, Example, Seed, examples};
use mamba_core::access::{AdminRight, Administration};
use mamba_wire::api::{
    table,
    user::{CreateUser, SetAdministration, UpdateUser, UserPath},
};

/// An account that is in no tenant.
async fn loose(seed: &Seed<'_>) -> UserPath {
    let made = seed.world.admin::<table::CreateUser>(&(), &(), &new(seed)).await;
    UserPath { user: made.user }
}

fn new(seed: &Seed<'_>) -> CreateUser {
    let number = seed.number();
    let (email, external_id) = (format!("loose-{number}@example.org"), format!("client-{number}"));
    CreateUser { email, password: None, is_verified: false, external_id: Some(external_id) }
}

/// An account that may be spoilt.
async fn spare(seed: &Seed<'_>) -> UserPath {
    let (_, token) = seed.world.tenant(&format!("spare-{}", seed.number())).await;
    let me = seed.world.call::<table::WhoAmI>(Some(&token), &(), &(), &()).await.unwrap();
    UserPath { user: me.user }
}

examples! {
    ListUsers, _seed => Example::new((), NO_PAGE.into(), ());
    ShowUser, seed => Example::new(spare(seed).await, (), ());
    CreateUser, seed => Example::new((), (), new(seed));
    UpdateUser, seed => {
        let number = seed.number();
        let (email, name) = (format!("moved-{number}@example.org"), format!("moved-{number}"));
        let body =
            UpdateUser { email: Some(email), is_verified: Some(true), external_id: Some(name) };
        Example::new(loose(seed).await, (), body)
    };
    DeleteUser, seed => Example::new(loose(seed).await, (), ());
    RequireReset, seed => Example::new(loose(seed).await, (), ());
    LockUser, seed => Example::new(spare(seed).await, (), ());
    UnlockUser, seed => Example::new(spare(seed).await, (), ());
    SetAdministration, seed => {
        let admin = Administration::Some([AdminRight::NodesRead].into());
        Example::new(spare(seed).await, (), SetAdministration { admin })
    };
}

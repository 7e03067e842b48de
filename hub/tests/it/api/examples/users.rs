//! Examples: every account, for administrators.

use super::{Example, Seed, examples};
use mamba_core::access::{AdminRight, Administration};
use mamba_wire::api::{
    table,
    user::{SetAdministration, UserPath, UserQuery},
};

/// An account that may be spoilt.
async fn spare(seed: &Seed<'_>) -> UserPath {
    let (_, token) = seed.world.tenant(&format!("spare-{}", seed.number())).await;
    let me = seed.world.call::<table::WhoAmI>(Some(&token), &(), &(), &()).await.unwrap();
    UserPath { user: me.user }
}

examples! {
    ListUsers, _seed => Example::new((), UserQuery { email: None, after: None, limit: None }, ());
    ShowUser, seed => Example::new(spare(seed).await, (), ());
    LockUser, seed => Example::new(spare(seed).await, (), ());
    UnlockUser, seed => Example::new(spare(seed).await, (), ());
    SetAdministration, seed => {
        let admin = Administration::Some([AdminRight::NodesRead].into());
        Example::new(spare(seed).await, (), SetAdministration { admin })
    };
}

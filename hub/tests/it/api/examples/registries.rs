//! Examples: logins of image registries.

use super::{CANARY, Example, Seed, examples};
use mamba_wire::api::{
    registry::{RegistryPath, SetRegistry},
    table,
};

fn path(seed: &Seed<'_>) -> RegistryPath {
    RegistryPath { registry: format!("r{}.example.org", seed.number()) }
}

fn login() -> SetRegistry {
    SetRegistry { user: CANARY.to_owned(), password: Some(CANARY.to_owned()) }
}

examples! {
    ListRegistries, _seed => Example::new((), (), ());
    SetRegistry, seed => Example::new(path(seed), (), login());
    DeleteRegistry, seed => {
        let path = path(seed);
        seed.world.admin::<table::SetRegistry>(&path, &(), &login()).await;
        Example::new(path, (), ())
    };
}

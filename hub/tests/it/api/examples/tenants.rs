//! Examples: tenants.

use super::{
    super::world::{NO_PAGE, PASSWORD},
    Example, examples,
};
use mamba_core::quota::Quota;
use mamba_wire::api::{
    params::TenantPath,
    tenant::{CreateTenant, NewOwner},
};

examples! {
    CreateTenant, seed => {
        let email = format!("made-{}@example.org", seed.number());
        let owner = NewOwner { email, password: PASSWORD.to_owned() };
        Example::new((), (), CreateTenant { name: "made".to_owned(), quota: Quota::default(), owner })
    };
    ListTenants, _seed => Example::new((), NO_PAGE, ());
    ShowTenant, seed => Example::new(TenantPath { tenant: seed.tenant }, (), ());
}

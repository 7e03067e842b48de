//! Examples: tenants.

use super::{
    super::world::{NO_PAGE, PASSWORD},
    Example, examples,
};
use mamba_core::quota::Quota;
use mamba_wire::api::{
    Code,
    params::TenantPath,
    tenant::{
        CreateChild, CreateTenant, DeleteTenantQuery, LimitTenant, NewOwner, TenantQuery,
        UpdateTenant,
    },
    usage::TenantUsageQuery,
};

examples! {
    CreateTenant, seed => {
        let number = seed.number();
        let (email, password) = (format!("made-{number}@example.org"), PASSWORD.to_owned());
        let (name, quota) = ("made".to_owned(), Quota::default());
        let owner = NewOwner { email, password };
        let external_id = Some(format!("order-{number}"));
        Example::new((), (), CreateTenant { name, quota, owner, external_id })
    };
    ListTenants, seed => {
        let query = TenantQuery { parent: Some(seed.tenant), ..NO_PAGE.into() };
        Example::new((), query, ())
    };
    ShowTenant, seed => Example::new(TenantPath { tenant: seed.tenant }, (), ());
    UpdateTenant, seed => Example::new(
        TenantPath { tenant: seed.tenant },
        (),
        UpdateTenant { name: Some(super::CANARY.to_owned()), ..UpdateTenant::default() },
    );
    DeleteTenant, seed => Example::new(
        TenantPath { tenant: seed.tenant },
        DeleteTenantQuery { name: Some("mistyped".to_owned()) },
        (),
    )
    .refused(Code::Invalid);
    LimitTenant, seed => Example::new(
        TenantPath { tenant: seed.tenant },
        (),
        LimitTenant { quota: Quota::default() },
    )
    .refused(Code::Forbidden);
    ShowQuota, seed => Example::new(TenantPath { tenant: seed.tenant }, (), ());
    ShowRights, seed => Example::new(TenantPath { tenant: seed.tenant }, (), ());
    ListUsage, seed => {
        let query = TenantUsageQuery { from: None, to: None, after: None, limit: None };
        Example::new(TenantPath { tenant: seed.tenant }, query, ())
    };
    ListChildren, seed => Example::new(TenantPath { tenant: seed.tenant }, NO_PAGE, ());
    CreateChild, seed => {
        let owner = format!("child-{}@example.org", seed.number());
        let body = CreateChild { name: "child".to_owned(), quota: Quota::default(), owner };
        Example::new(TenantPath { tenant: seed.tenant }, (), body)
    };
}

//! Pure: customers.

use super::prelude::*;
use crate::api::tenant;

endpoints! {
    /// Customers.
    TENANTS "tenants" for_each_tenant_endpoint;

    /// Makes a tenant and its owner's account.
    CreateTenant: Post "/api/v1/tenants", Permission::Admin(AdminRight::TenantsWrite), 201 keyed,
        ((), (), tenant::CreateTenant) -> tenant::Tenant;
    /// Lists tenants: those of the caller, or all for administrators.
    ListTenants: Get "/api/v1/tenants", Permission::SignedIn, 200,
        ((), PageQuery, ()) -> Page<tenant::Tenant>;
    /// Shows a tenant.
    ShowTenant: Get "/api/v1/tenants/{tenant}", Permission::Tenant(TenantRight::TenantRead), 200,
        (TenantPath, (), ()) -> tenant::Tenant;
}

//! Pure: customers.

use super::prelude::*;
use crate::api::tenant;

endpoints! {
    /// Customers.
    TENANTS "tenants" for_each_tenant_endpoint;

    /// Makes a tenant and its owner's account.
    CreateTenant: Post "/api/v1/tenants", Permission::Admin, 201 keyed,
        ((), (), tenant::CreateTenant) -> tenant::Tenant;
    /// Lists tenants.
    ListTenants: Get "/api/v1/tenants", Permission::Admin, 200,
        ((), PageQuery, ()) -> Page<tenant::Tenant>;
    /// Shows a tenant.
    ShowTenant: Get "/api/v1/tenants/{tenant}", Permission::Admin, 200,
        (TenantPath, (), ()) -> tenant::Tenant;
}

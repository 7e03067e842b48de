//! Pure: customers.

use super::prelude::*;
use crate::api::{tenant, usage};
use mamba_core::access::Rights;

endpoints! {
    /// Customers.
    TENANTS "tenants" for_each_tenant_endpoint;

    /// Makes a tenant and its owner's account.
    CreateTenant: Post "/api/v1/tenants", Permission::Admin(AdminRight::TenantsWrite), 201 keyed,
        ((), (), tenant::CreateTenant) -> tenant::Tenant;
    /// Lists tenants: those of the caller, or all for administrators; with a filter a page may be short.
    ListTenants: Get "/api/v1/tenants", Permission::SignedIn, 200,
        ((), tenant::TenantQuery, ()) -> Page<tenant::Tenant>;
    /// Shows a tenant.
    ShowTenant: Get "/api/v1/tenants/{tenant}", Permission::Tenant(TenantRight::TenantRead), 200,
        (TenantPath, (), ()) -> tenant::Tenant;
    /// Renames a tenant; its name in another system is for administrators.
    UpdateTenant: Patch "/api/v1/tenants/{tenant}", Permission::Tenant(TenantRight::TenantUpdate), 200,
        (TenantPath, (), tenant::UpdateTenant) -> tenant::Tenant;
    /// Deletes a tenant without servers and tenants, when its name is typed.
    DeleteTenant: Delete "/api/v1/tenants/{tenant}", Permission::Tenant(TenantRight::TenantDelete), 204,
        (TenantPath, tenant::DeleteTenantQuery, ()) -> (), [Conflict];
    /// Limits a tenant; for administrators, and for who administers the tenant above.
    LimitTenant: Post "/api/v1/tenants/{tenant}/quota", Permission::Tenant(TenantRight::TenantRead), 200,
        (TenantPath, (), tenant::LimitTenant) -> tenant::Tenant, [Conflict];
    /// Shows what a tenant may use, and what of it is taken.
    ShowQuota: Get "/api/v1/tenants/{tenant}/quota", Permission::Tenant(TenantRight::TenantRead), 200,
        (TenantPath, (), ()) -> tenant::QuotaUse;
    /// Says what the caller may do with a tenant and its servers.
    ShowRights: Get "/api/v1/tenants/{tenant}/rights", Permission::Tenant(TenantRight::TenantRead), 200,
        (TenantPath, (), ()) -> Rights;
    /// Lists servers of a tenant with what they used, also those that are gone.
    ListUsage: Get "/api/v1/tenants/{tenant}/usage", Permission::Tenant(TenantRight::BillingRead), 200,
        (TenantPath, usage::TenantUsageQuery, ()) -> Page<usage::ServerUsage>;
    /// Lists tenants that this one owns.
    ListChildren: Get "/api/v1/tenants/{tenant}/children", Permission::Tenant(TenantRight::ChildRead), 200,
        (TenantPath, PageQuery, ()) -> Page<tenant::Tenant>;
    /// Makes a tenant that this one owns, and invites its owner.
    CreateChild: Post "/api/v1/tenants/{tenant}/children", Permission::Tenant(TenantRight::ChildWrite), 201 keyed,
        (TenantPath, (), tenant::CreateChild) -> tenant::Tenant, [Conflict];
}

//! Pure: the audit trail.

use super::prelude::*;
use crate::api::audit::{AuditItem, AuditQuery};

endpoints! {
    /// Who did what.
    AUDIT "audit" for_each_audit_endpoint;

    /// Lists what was done in a tenant, newest first.
    ListAudit: Get "/api/v1/tenants/{tenant}/audit", Permission::Tenant(TenantRight::AuditRead), 200,
        (TenantPath, AuditQuery, ()) -> Page<AuditItem>;
    /// Lists what was done with the installation, newest first.
    ListHubAudit: Get "/api/v1/audit", Permission::Admin(AdminRight::AuditRead), 200,
        ((), AuditQuery, ()) -> Page<AuditItem>;
}

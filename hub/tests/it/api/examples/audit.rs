//! Examples: the audit trail.

use super::{Example, examples};
use mamba_wire::api::{audit::AuditQuery, params::TenantPath};

examples! {
    ListAudit, seed => Example::new(TenantPath { tenant: seed.tenant }, AuditQuery::ALL, ());
    ListHubAudit, _seed => Example::new((), AuditQuery::ALL, ());
}

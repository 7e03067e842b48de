//! Examples: the audit trail.

use super::{Example, examples};
use mamba_wire::api::{audit::AuditQuery, params::TenantPath};

examples! {
    ListAudit, seed => {
        let query = AuditQuery { server: Some(seed.server().await), ..AuditQuery::ALL };
        Example::new(TenantPath { tenant: seed.tenant }, query, ())
    };
    ListHubAudit, _seed => Example::new((), AuditQuery::ALL, ());
}

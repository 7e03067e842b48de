//! Examples: the audit trail.

use super::{Example, examples};
use mamba_wire::api::{audit::AuditQuery, params::TenantPath};

const ALL: AuditQuery = AuditQuery {
    actor: None,
    event: None,
    server: None,
    from: None,
    until: None,
    after: None,
    limit: None,
};

examples! {
    ListAudit, seed => Example::new(TenantPath { tenant: seed.tenant }, ALL, ());
    ListHubAudit, _seed => Example::new((), ALL, ());
}

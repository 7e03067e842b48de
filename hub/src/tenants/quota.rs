//! What a tenant uses, counted from its records inside the transaction that adds to it.

use super::{CHILDREN, CHILDREN_MAX, Present, TENANTS};
use crate::{
    HubError,
    store::{SERVERS, ServerRecord},
};
use mamba_core::{
    db::{Snapshot, Span},
    ids::TenantId,
    quota::{Amounts, Exceeded},
};

/// Servers read at once.
const BATCH: usize = 500;

impl From<Exceeded> for HubError {
    fn from(err: Exceeded) -> Self {
        Self::Refused(err.to_string())
    }
}

/// Returns what the servers of a tenant take, and what it gave to tenants below.
pub(crate) fn used(view: &impl Snapshot, tenant: TenantId) -> Result<Amounts, HubError> {
    let (mut sum, mut span) = (Amounts::default(), Span::prefix(&(tenant,)));
    loop {
        let some = view.range(SERVERS, span.clone(), BATCH)?;
        let Some((last, _)) = some.last() else { break };
        span = span.after(last);
        for (_, record) in some.iter().filter(|(_, it)| it.is_present()) {
            sum = sum.plus(of_record(record));
        }
    }
    for ((_, child), Present) in view.prefix(CHILDREN, &(tenant,), CHILDREN_MAX)? {
        if let Some(child) = view.get(TENANTS, &child)? {
            sum = sum.plus(child.quota.amounts());
        }
    }
    Ok(sum)
}

/// Refuses what is in the transaction already, if with it the tenant has more than its quota. To be
/// called after the change, before the commit.
///
/// # Errors
/// `Refused` with the limit.
pub(crate) fn check_quota(view: &impl Snapshot, tenant: TenantId) -> Result<(), HubError> {
    // A tenant without a record has no quota: the hub's own tests make servers for such.
    let Some(record) = view.get(TENANTS, &tenant)? else { return Ok(()) };
    if record.quota == mamba_core::quota::Quota::default() {
        return Ok(());
    }
    let exceeded = record.quota.exceeded(&used(view, tenant)?);
    exceeded.map_or(Ok(()), |exceeded| Err(exceeded.into()))
}

/// Refuses a tenant whose quota leaves something unlimited: what its members make by themselves must
/// have an end.
///
/// # Errors
/// `Refused` with what is not limited.
pub(crate) fn check_quota_limits_all(
    view: &impl Snapshot,
    tenant: TenantId,
) -> Result<(), HubError> {
    let quota = view.get(TENANTS, &tenant)?.map(|it| it.quota).unwrap_or_default();
    quota.unlimited().map_or(Ok(()), |what| {
        let rule = format!("the tenant's quota must limit `{what}` before members make servers");
        Err(HubError::Refused(rule))
    })
}

fn of_record(record: &ServerRecord) -> Amounts {
    Amounts::of_server(&record.choices.limits, record.allocations.len(), record.backup_limit)
}

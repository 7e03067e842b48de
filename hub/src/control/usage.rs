//! What a tenant used, server by server.

use super::{
    Cut,
    read::{hours_max, usage_span},
};
use crate::{
    Hub, HubError,
    store::{HOURS, SERVERS},
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot, Span},
    fact::Meter,
    ids::{ServerId, TenantId},
    scope::TenantScope,
};
use mamba_wire::api::{
    Page, PageQuery,
    usage::{Amount, ServerUsage, TenantUsageQuery, USAGE_SERVERS_MAX},
};

impl Hub {
    /// Lists servers of a tenant, oldest first, with what each used in the hours that begin in the asked
    /// span. Those that are deleted and gone are among them: what they used stays used.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn tenant_usage(
        &self,
        scope: &TenantScope,
        query: &TenantUsageQuery,
    ) -> Result<Page<ServerUsage>, HubError> {
        let limit = Some(query.limit.unwrap_or(USAGE_SERVERS_MAX));
        let cut = Cut::<ServerId>::new(&PageQuery { after: query.after.clone(), limit })?;
        let (from, to) = usage_span(self.now(), query.from, query.to)?;
        let tenant = scope.tenant();
        self.read(|view| {
            let mut span = Span::prefix(&(tenant,));
            if let Some(after) = cut.after {
                span = span.after(&(tenant, after));
            }
            let rows = view.range(SERVERS, span, cut.fetch())?;
            let shown = rows.into_iter().map(|((_, server), record)| {
                let amounts = sums(view, tenant, server, from, to)?;
                let (name, is_gone) = (record.choices.name.clone(), !record.is_present());
                Ok((server, ServerUsage { server, name, is_gone, amounts }))
            });
            Ok(cut.page(shown.collect::<Result<_, HubError>>()?))
        })
    }
}

fn sums(
    view: &impl Snapshot,
    tenant: TenantId,
    server: ServerId,
    from: UnixMs,
    to: UnixMs,
) -> Result<Vec<Amount>, HubError> {
    let span = Span::keys((tenant, server, from)..(tenant, server, to));
    let hours = view.range(HOURS, span, hours_max())?;
    let sum = |meter| {
        let each = hours.iter().map(|(_, hour)| hour.billed.of(meter));
        Amount::of(meter, each.fold(0, u128::saturating_add))
    };
    Ok(Meter::ALL.into_iter().map(sum).collect())
}

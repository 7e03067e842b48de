//! Shows servers with what their node said last, what happened to them and what they used.

use super::{Cut, hidden::Whole, wish::ServerKey};
use crate::{
    Hub, HubError,
    blueprints::Shelf,
    store::{
        ACTIVITY, ALLOCATIONS, GAPS, HOURS, NODES_SEEN, OBSERVED, SERVER_TENANTS, SERVERS,
        ServerRecord, TenantRef,
    },
};
use mamba_core::{
    blueprint::Blueprint,
    clock::{HOUR_MS, UnixMs},
    db::{Order, Snapshot, Span},
    fact::Meter,
    ids::{EventId, NodeId, ServerId, TenantId},
    scope::{AdminScope, TenantScope},
    server::{Mount, PortBinding},
};
use mamba_wire::api::{
    Freshness, Page, PageQuery,
    activity::ActivityItem,
    server::{Pending, Port, Server},
    usage::{Amount, SPAN_MS_DEFAULT, SPAN_MS_MAX, Usage, UsageGap, UsageHour, UsageQuery},
};
use std::collections::BTreeMap;

/// Most gap rows shown of one span; an hour has a handful.
const GAPS_MAX: usize = 10_000;

impl Hub {
    /// Returns the scope of the tenant that owns a server, for an admin who only has its id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn scope_of_server(
        &self,
        admin: &AdminScope,
        server: ServerId,
    ) -> Result<TenantScope, HubError> {
        let tenant = self.read(|txn| Ok(txn.get(SERVER_TENANTS, &server)?))?;
        let TenantRef(tenant) = tenant.ok_or(HubError::NotFound { what: "server" })?;
        Ok(admin.tenant(tenant))
    }

    /// Shows a server.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn server(&self, scope: &TenantScope, server: ServerId) -> Result<Server, HubError> {
        let key = (scope.tenant(), server);
        self.read(|txn| {
            let record = txn.get(SERVERS, &key)?.filter(|it| it.passed_on.is_none());
            let record = record.ok_or(HubError::NotFound { what: "server" })?;
            self.show(txn, &mut Shelf::default(), key, record)
        })
    }

    /// Returns the folders of its node that a server sees besides its own data.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn mounts(&self, scope: &TenantScope, server: ServerId) -> Result<Vec<Mount>, HubError> {
        let record = self.read(|txn| super::wish::find(txn, &(scope.tenant(), server)))?;
        Ok(record.choices.mounts)
    }

    /// Returns the node of a server, to ask it something.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn node_of(&self, scope: &TenantScope, server: ServerId) -> Result<NodeId, HubError> {
        let record = self.read(|txn| super::wish::find(txn, &(scope.tenant(), server)))?;
        Ok(record.node)
    }

    /// Lists what happened to a server, newest first.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` for the query.
    pub fn activity(
        &self,
        scope: &TenantScope,
        server: ServerId,
        query: &PageQuery,
    ) -> Result<Page<ActivityItem>, HubError> {
        let cut = Cut::<(UnixMs, EventId)>::new(query)?;
        let tenant = scope.tenant();
        self.read(|txn| {
            check_known(txn, (tenant, server))?;
            let mut span = Span::prefix(&(tenant, server));
            if let Some((at, event)) = cut.after {
                span = span.before(&(tenant, server, at, event));
            }
            let found = txn.scan(ACTIVITY, span, Order::Descending, cut.fetch())?;
            let item = |((_, server, place, event), it): (
                (TenantId, ServerId, UnixMs, EventId),
                crate::store::ActivityRecord,
            )| {
                let (at, received_at, actor) = (it.at, it.received_at, it.actor);
                let activity = it.activity;
                ((place, event), ActivityItem { event, at, received_at, server, actor, activity })
            };
            Ok(cut.page(found.into_iter().map(item).collect()))
        })
    }

    /// Shows what a server used in the hours that begin in the asked span.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` for the span.
    pub fn usage(
        &self,
        scope: &TenantScope,
        server: ServerId,
        query: &UsageQuery,
    ) -> Result<Usage, HubError> {
        let (from, to) = usage_span(self.now(), query.from, query.to)?;
        let key = (scope.tenant(), server);
        self.read(|txn| {
            let record = txn.get(SERVERS, &key)?.ok_or(HubError::NotFound { what: "server" })?;
            let hours = hours(txn, key, from, to)?;
            let freshness = self.freshness(txn, record.node, None)?;
            Ok(Usage { server, from, to, hours, freshness })
        })
    }

    pub(super) fn show(
        &self,
        txn: &impl Snapshot,
        shelf: &mut Shelf,
        (tenant, server): ServerKey,
        record: ServerRecord,
    ) -> Result<Server, HubError> {
        let observed = txn.get(OBSERVED, &(tenant, server))?;
        let seen_at = observed.as_ref().map(|it| it.received_at);
        let freshness = self.freshness(txn, record.node, Some(seen_at))?;
        let mut ports = Vec::new();
        for crate::store::ServerPort { allocation, binding } in record.ports() {
            let words = txn.get(ALLOCATIONS, &(record.node, allocation))?;
            let words = words.filter(|it| it.server == Some((tenant, server)));
            let (alias, note) = words.map(|it| (it.alias, it.note)).unwrap_or_default();
            let PortBinding { ip, port, protocol } = binding;
            ports.push(Port { allocation, ip, port, protocol, alias, note });
        }
        let seen = observed.as_ref().map(|it| &it.observed);
        let pending = Pending::of(record.order, seen);
        let record = Whole::of(self, txn, &(tenant, server), record)?.into_record();
        // Adopted from a node by a hub that does not know it: what was set is known all the same.
        let blueprint = shelf.of_server(txn, &record)?;
        let variables = with_defaults(blueprint, &record);
        let image = image(blueprint, &record);
        let run = observed.as_ref().and_then(|it| it.observed.install.as_ref());
        let install = super::install::shown(&record, run);
        Ok(Server {
            server,
            tenant,
            node: record.node,
            moving_to: record.moving.map(|it| it.to),
            name: record.choices.name,
            description: record.description,
            external_id: record.external_id.map(String::from),
            limits: record.choices.limits,
            allocation_limit: record.allocation_limit,
            backup_limit: record.backup_limit,
            variables,
            blueprint: record.blueprint,
            image,
            install,
            skip_scripts: record.skip_scripts,
            eula_accepted: record.choices.eula_accepted,
            ports,
            suspended: record.choices.suspended,
            deleted_at: record.deletion.map(|it| it.asked_at),
            made_at: record.made_at,
            desired: record.order,
            observed: observed.map(|it| it.observed),
            pending,
            freshness,
        })
    }

    /// Says how old what is known of a node is. `seen_at` is when it spoke of the thing that is
    /// shown, `Some(None)` if never; states are sent when they change, so what it said holds until
    /// it was heard last.
    pub(crate) fn freshness(
        &self,
        txn: &impl Snapshot,
        node: NodeId,
        seen_at: Option<Option<UnixMs>>,
    ) -> Result<Freshness, HubError> {
        let link = self.live().link_state(node, self.now());
        let heard = match self.live().last_heard(node) {
            Some(heard) => Some(heard),
            None => txn.get(NODES_SEEN, &node)?.map(|it| it.last_heard),
        };
        let as_of = match seen_at {
            None => heard,
            Some(seen_at) => seen_at.map(|at| heard.map_or(at, |heard| heard.max(at))),
        };
        Ok(Freshness { as_of, link })
    }
}

/// Returns start and end of the hours that are asked for.
pub(super) fn usage_span(
    now: UnixMs,
    from: Option<UnixMs>,
    to: Option<UnixMs>,
) -> Result<(UnixMs, UnixMs), HubError> {
    let to = to.unwrap_or(now);
    let from = from.unwrap_or(UnixMs(to.0.saturating_sub(SPAN_MS_DEFAULT))).hour();
    if to <= from {
        return Err(HubError::invalid("to", "must be after `from`"));
    }
    if to.since(from) > SPAN_MS_MAX + HOUR_MS {
        let rule = format!("must be at most {SPAN_MS_MAX} ms before `to`");
        return Err(HubError::invalid("from", rule));
    }
    Ok((from, to))
}

/// Most hours of a span that [`usage_span`] lets through.
pub(super) fn hours_max() -> usize {
    usize::try_from(SPAN_MS_MAX / HOUR_MS + 2).unwrap_or(usize::MAX)
}

/// Adds the defaults of variables that nobody set.
fn with_defaults(blueprint: Option<&Blueprint>, record: &ServerRecord) -> BTreeMap<String, String> {
    let mut variables = record.choices.variables.clone();
    for variable in blueprint.iter().flat_map(|it| &it.variables) {
        if !variables.contains_key(&variable.env) {
            variables.insert(variable.env.clone(), variable.default.clone());
        }
    }
    variables
}

/// Returns the image that a server runs. `None` when neither hub nor people named one.
fn image(blueprint: Option<&Blueprint>, record: &ServerRecord) -> Option<String> {
    let first = || Some(blueprint?.images.first()?.image.clone());
    record.choices.image.as_ref().map(|pick| pick.text().to_owned()).or_else(first)
}

fn check_known(txn: &impl Snapshot, key: ServerKey) -> Result<(), HubError> {
    if txn.contains(SERVERS, &key)? { Ok(()) } else { Err(HubError::NotFound { what: "server" }) }
}

fn hours(
    txn: &impl Snapshot,
    (tenant, server): ServerKey,
    from: UnixMs,
    to: UnixMs,
) -> Result<Vec<UsageHour>, HubError> {
    let span = Span::keys((tenant, server, from)..(tenant, server, to));
    let sums = txn.range(HOURS, span, hours_max())?;
    let first = (tenant, server, from, mamba_core::seq::Epoch(0), mamba_core::seq::Seq(0));
    let last = (tenant, server, to, mamba_core::seq::Epoch(0), mamba_core::seq::Seq(0));
    let gaps = txn.range(GAPS, Span::keys(first..last), GAPS_MAX)?;
    let mut hours: BTreeMap<UnixMs, UsageHour> = Default::default();
    let amounts = |quantities: &mamba_core::fact::Quantities| {
        Meter::ALL.into_iter().map(|meter| Amount::of(meter, quantities.of(meter))).collect()
    };
    for ((_, _, hour), sum) in sums {
        hours.insert(hour, UsageHour { hour, amounts: amounts(&sum.billed), gaps: Vec::new() });
    }
    for ((_, _, start, _, _), gap) in gaps {
        let hour = start.hour();
        let empty = || UsageHour { hour, amounts: amounts(&Default::default()), gaps: Vec::new() };
        let entry = hours.entry(hour).or_insert_with(empty);
        entry.gaps.push(UsageGap { from: start, to: gap.to, reason: gap.reason });
    }
    Ok(hours.into_values().collect())
}

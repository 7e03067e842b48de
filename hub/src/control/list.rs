//! Lists servers by filter and order, from the store alone: no node is asked, and each item says how
//! old what is known of it is.

use super::{
    Cut,
    names::NAMES,
    sort::{PlaceOf, Sort, Sorted},
    wish::ServerKey,
};
use crate::{
    Hub, HubError,
    blueprints::Shelf,
    external::ExternalId,
    store::{OBSERVED, PLACED, SERVER_TENANTS, SERVERS, ServerRecord, ServerRef, TenantRef},
    tenants::{lineage, reach},
};
use mamba_core::{
    access::{self, Access},
    db::{Snapshot, Span},
    ids::{NodeId, ServerId, TenantId},
    lifecycle::ServerState,
};
use mamba_wire::api::{
    Page, PageQuery,
    server::{Server, ServerQuery},
};

/// Who has it for a server sees that server.
const SEES: access::ServerKey = access::ServerKey::WebsocketConnect;
/// Servers read in one step of a walk.
const STEP: usize = 256;

/// Whose servers may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Of every tenant.
    All,
    /// Some.
    These {
        /// All of these tenants.
        tenants: Vec<TenantId>,
        /// Those that were shared one by one.
        shared: Vec<(TenantId, ServerId)>,
    },
}

/// A server that is listed, by its id, and its owner.
type Listed = (TenantId, ServerRecord);

/// A query, checked.
struct Filter {
    source: Source,
    node: Option<NodeId>,
    name: Option<String>,
    external_id: Option<String>,
    suspended: Option<bool>,
    state: Option<ServerState>,
}

/// Where servers are looked for. Each walks in the order of ids.
#[derive(Clone, Debug)]
enum Source {
    All,
    These { tenants: Vec<TenantId>, shared: Vec<ServerKey> },
    Node(NodeId),
    External(String),
}

impl Hub {
    /// Returns whose servers a caller may see who does not see all.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn seen_by(&self, access: &Access) -> Result<Seen, HubError> {
        self.read(|view| {
            let mut tenants = Vec::new();
            for tenant in reach(view, access)? {
                let above = lineage(view, tenant)?;
                if access.in_tenant(&above).is_some_and(|it| it.server.contains(&SEES)) {
                    tenants.push(tenant);
                }
            }
            let mut shared = Vec::new();
            for (server, grant) in access.servers.iter().filter(|(_, it)| it.keys.contains(&SEES)) {
                let owner = view.get(SERVER_TENANTS, server)?;
                if owner == Some(TenantRef(grant.tenant)) {
                    shared.push((grant.tenant, *server));
                }
            }
            Ok(Seen::These { tenants, shared })
        })
    }

    /// Lists the servers that may be seen, without those deleted and gone.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn list_servers(&self, seen: &Seen, query: &ServerQuery) -> Result<Page<Server>, HubError> {
        let filter = Filter::new(seen, query)?;
        let others: [(_, PlaceOf<Listed>); 2] = [
            ("name", |(_, it)| it.choices.name.to_lowercase().into_bytes()),
            ("changed", |(_, it)| it.changed_at.0.to_be_bytes().to_vec()),
        ];
        let sort = Sort::read(query.sort.as_deref(), "made", &others)?;
        let page = PageQuery { after: query.after.clone(), limit: query.limit };
        if sort.is_own() {
            let cut = Cut::<ServerId>::new(&page)?;
            return self.read(|txn| {
                let (mut found, mut shelf) = (Vec::new(), Shelf::default());
                filter.walk(txn, cut.after, cut.fetch(), |key, record| {
                    found.push((key.1, self.show(txn, &mut shelf, key, record)?));
                    Ok(found.len() < cut.fetch())
                })?;
                Ok(cut.page(found))
            });
        }
        let mut sorted = Sorted::new(sort, &page)?;
        self.read(|txn| {
            filter.walk(txn, None, STEP, |(tenant, server), record| {
                sorted.look_at(1)?;
                sorted.offer(server, (tenant, record));
                Ok(true)
            })?;
            let mut shelf = Shelf::default();
            sorted.page(|server, (tenant, record)| {
                self.show(txn, &mut shelf, (tenant, *server), record)
            })
        })
    }
}

impl Filter {
    fn new(seen: &Seen, query: &ServerQuery) -> Result<Self, HubError> {
        let state = query.state.as_ref().map(|text| {
            let value = serde_json::Value::String(text.clone());
            let rule = "must be `offline`, `preparing`, `starting`, `running` or `stopping`";
            serde_json::from_value(value).map_err(|_| HubError::invalid("state", rule))
        });
        let is_asked = |it: TenantId| query.tenant.is_none_or(|asked| asked == it);
        let source = match (seen, query.tenant) {
            // A tenant of somebody else is like one without servers.
            (Seen::These { tenants, shared }, _) => Source::These {
                tenants: tenants.iter().copied().filter(|it| is_asked(*it)).collect(),
                shared: shared.iter().copied().filter(|it| is_asked(it.0)).collect(),
            },
            (Seen::All, Some(tenant)) => {
                Source::These { tenants: vec![tenant], shared: Vec::new() }
            }
            (Seen::All, None) => match (&query.external_id, query.node) {
                (Some(name), _) => Source::External(name.clone()),
                (None, Some(node)) => Source::Node(node),
                (None, None) => Source::All,
            },
        };
        Ok(Self {
            source,
            node: query.node,
            name: query.name.as_ref().map(|it| it.to_lowercase()),
            external_id: query.external_id.clone(),
            suspended: query.suspended,
            state: state.transpose()?,
        })
    }

    /// Calls `visit` with each server that passes, in the order of ids, until it returns `false`. Of
    /// the first keys only `first` are read, since all of them may pass.
    fn walk(
        &self,
        txn: &impl Snapshot,
        mut after: Option<ServerId>,
        first: usize,
        mut visit: impl FnMut(ServerKey, ServerRecord) -> Result<bool, HubError>,
    ) -> Result<(), HubError> {
        let mut step = first.min(STEP);
        loop {
            let keys = self.source.step(txn, after, step)?;
            for key in &keys {
                let record = txn.get(SERVERS, key)?.filter(ServerRecord::is_present);
                let Some(record) = record else { continue };
                if self.passes(txn, *key, &record)? && !visit(*key, record)? {
                    return Ok(());
                }
            }
            match keys.last() {
                Some((_, last)) if keys.len() == step => after = Some(*last),
                _ => return Ok(()),
            }
            step = STEP;
        }
    }

    fn passes(
        &self,
        txn: &impl Snapshot,
        key: ServerKey,
        record: &ServerRecord,
    ) -> Result<bool, HubError> {
        let name = &record.choices.name;
        let external_id = record.external_id.as_ref().map(ExternalId::as_str);
        let passes = self.node.is_none_or(|node| record.node == node)
            && self.suspended.is_none_or(|it| record.choices.suspended == it)
            && self.external_id.as_deref().is_none_or(|it| external_id == Some(it))
            && self.name.as_ref().is_none_or(|it| name.to_lowercase().contains(it));
        let Some(state) = self.state.filter(|_| passes) else { return Ok(passes) };
        Ok(txn.get(OBSERVED, &key)?.is_some_and(|it| it.observed.state == state))
    }
}

impl Source {
    /// Returns the next keys above an id: fewer than `step` at the end.
    fn step(
        &self,
        txn: &impl Snapshot,
        after: Option<ServerId>,
        step: usize,
    ) -> Result<Vec<ServerKey>, HubError> {
        Ok(match self {
            Self::All => {
                let mut span = Span::all();
                if let Some(after) = after {
                    span = span.after(&after);
                }
                let found = txn.range(SERVER_TENANTS, span, step)?;
                found.into_iter().map(|(server, TenantRef(tenant))| (tenant, server)).collect()
            }
            Self::These { tenants, shared } => {
                let is_after = |it: &&ServerKey| after.is_none_or(|after| it.1 > after);
                let mut keys: Vec<ServerKey> = shared.iter().filter(is_after).copied().collect();
                for tenant in tenants {
                    let mut span = Span::prefix(&(*tenant,));
                    if let Some(after) = after {
                        span = span.after(&(*tenant, after));
                    }
                    keys.extend(txn.range(SERVERS, span, step)?.into_iter().map(|(key, _)| key));
                }
                keys.sort_unstable_by_key(|(_, server)| *server);
                keys.dedup();
                keys.truncate(step);
                keys
            }
            Self::Node(node) => {
                let mut span = Span::prefix(&(*node,));
                if let Some(after) = after {
                    span = span.after(&(*node, after));
                }
                let found = txn.range(PLACED, span, step)?;
                found.into_iter().map(|((_, server), it)| (it.tenant, server)).collect()
            }
            Self::External(name) => {
                let found = NAMES.find(txn, name)?;
                let found = found.map(|ServerRef(tenant, server)| (tenant, server));
                found.into_iter().filter(|key| after.is_none_or(|after| key.1 > after)).collect()
            }
        })
    }
}

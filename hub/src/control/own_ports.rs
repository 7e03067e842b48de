//! Ports of a server, changed by who owns it or by an administrator.

use super::{
    hidden::Whole,
    ports,
    wish::{Happened, ServerKey, blueprint_of, commit, find},
};
use crate::{
    Hub, HubError,
    store::{ALLOCATIONS, AllocationRecord, ServerRecord},
    tenants::check_quota,
};
use mamba_core::{
    allocation::check_words,
    audit::Change,
    db::{Snapshot as _, Txn},
    fact::Activity,
    ids::{AllocationId, NodeId, ServerId},
    scope::TenantScope,
    server::PORTS_MAX,
};
use mamba_wire::api::server::Server;

/// Who asks for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortAsker {
    /// Who owns the server: gets a port of the node's range for that, up to the server's limit.
    Owner,
    /// An administrator: gets the port that he names, or any of the range, without a limit.
    Admin(Option<AllocationId>),
}

/// What is changed of a server's ports.
#[derive(Clone, Debug)]
enum PortChange {
    Add(PortAsker, AllocationId),
    Remove(AllocationId),
    Primary(AllocationId),
}

impl Hub {
    /// Gives a server one more port, as the last one.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` when the named port is taken or not the node's, `Refused` at the limit,
    /// or when no port is left.
    pub async fn add_port(
        &self,
        scope: &TenantScope,
        server: ServerId,
        asker: PortAsker,
    ) -> Result<Server, HubError> {
        let fresh = self.new_id(AllocationId::new);
        self.change_ports(scope, server, PortChange::Add(asker, fresh)).await
    }

    /// Takes a port from a server. Those that its blueprint needs stay as many.
    ///
    /// # Errors
    /// `NotFound`, `Refused` for a port that the blueprint needs.
    pub async fn remove_port(
        &self,
        scope: &TenantScope,
        server: ServerId,
        allocation: AllocationId,
    ) -> Result<Server, HubError> {
        self.change_ports(scope, server, PortChange::Remove(allocation)).await
    }

    /// Makes a port of a server its first one, which it tells its players.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` when it does not carry what the blueprint needs.
    pub async fn set_primary_port(
        &self,
        scope: &TenantScope,
        server: ServerId,
        allocation: AllocationId,
    ) -> Result<Server, HubError> {
        self.change_ports(scope, server, PortChange::Primary(allocation)).await
    }

    /// Writes or removes the note on a port of a server. The node need not know of it.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` for the note.
    pub async fn note_port(
        &self,
        scope: &TenantScope,
        server: ServerId,
        allocation: AllocationId,
        note: Option<String>,
    ) -> Result<Server, HubError> {
        check_words(None, note.as_deref())?;
        let (key, happened) = ((scope.tenant(), server), Happened::of(self, scope));
        self.write(move |txn| {
            let record = find(txn, &key)?;
            check_own(&record, allocation)?;
            let place = (record.node, allocation);
            let found = txn.get(ALLOCATIONS, &place)?.filter(|it| it.server == Some(key));
            let found = found.ok_or(HubError::NotFound { what: "allocation" })?;
            let change = Change::new("note", found.note.clone(), note.clone());
            happened.tell(txn, &key, "server:allocation.notes", vec![change])?;
            Ok(txn.put(ALLOCATIONS, &place, &AllocationRecord { note: note.clone(), ..found })?)
        })
        .await?;
        self.server(scope, server)
    }

    async fn change_ports(
        &self,
        scope: &TenantScope,
        server: ServerId,
        change: PortChange,
    ) -> Result<Server, HubError> {
        self.make_wish(scope, server, move |hub, txn, key, happened| {
            apply(hub, txn, key, &change, happened)
        })
        .await
    }
}

fn check_own(record: &ServerRecord, allocation: AllocationId) -> Result<(), HubError> {
    let is_own = record.allocations.contains(&allocation);
    if is_own { Ok(()) } else { Err(HubError::NotFound { what: "allocation" }) }
}

fn apply(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    change: &PortChange,
    happened: &Happened,
) -> Result<NodeId, HubError> {
    let mut record = Whole::find_kept(hub, txn, &key)?;
    let needs = blueprint_of(txn, &record)?.ports;
    let before = record.allocations.clone();
    let mut order = before.clone();
    match *change {
        PortChange::Add(asker, fresh) => order.push(add(txn, key, &record, asker, fresh)?),
        PortChange::Remove(allocation) => {
            check_own(&record, allocation)?;
            if order.len() <= needs.len().max(1) {
                let why = "the server needs this port: give it another one first";
                return Err(HubError::Refused(why.to_owned()));
            }
            order.retain(|it| *it != allocation);
            ports::give_back(txn, record.node, key, allocation)?;
        }
        PortChange::Primary(allocation) => {
            check_own(&record, allocation)?;
            order.retain(|it| *it != allocation);
            order.insert(0, allocation);
        }
    }
    if order == before {
        return Ok(record.node);
    }
    ports::arrange(txn, &mut record, &needs, &order)?;
    record.changed_at = happened.now;
    commit(hub, txn, key, &mut record, false)?;
    let generation = record.order.generation.0;
    let fields = vec!["allocations".to_owned()];
    if order.len() > before.len() {
        check_quota(txn, key.0)?;
    }
    let (event, told) = described(change, &before, &order);
    happened.tell(txn, &key, event, told)?;
    happened.list(txn, &key, Activity::Changed { generation, fields })?;
    Ok(record.node)
}

/// Returns what happened to the ports, by Pterodactyl's name.
fn described(
    change: &PortChange,
    before: &[AllocationId],
    after: &[AllocationId],
) -> (&'static str, Vec<Change>) {
    let event = match change {
        PortChange::Add(..) => "server:allocation.create",
        PortChange::Remove(_) => "server:allocation.delete",
        PortChange::Primary(_) => "server:allocation.primary",
    };
    let text = |order: &[AllocationId]| {
        order.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    (event, vec![Change::new("allocations", Some(text(before)), Some(text(after)))])
}

/// Takes one more port.
fn add(
    txn: &mut Txn<'_>,
    key: ServerKey,
    record: &ServerRecord,
    asker: PortAsker,
    fresh: AllocationId,
) -> Result<AllocationId, HubError> {
    let held = record.allocations.len();
    let most = match asker {
        PortAsker::Owner => usize::try_from(record.allocation_limit).unwrap_or(PORTS_MAX),
        PortAsker::Admin(_) => PORTS_MAX,
    };
    if held >= most.min(PORTS_MAX) {
        return Err(HubError::Refused(format!("server has {held} ports, it may have {most}")));
    }
    ports::settle_gone(txn, record.node)?;
    let chosen = match (asker, record.choices.ports.first()) {
        (PortAsker::Admin(Some(named)), _) => named,
        (PortAsker::Owner | PortAsker::Admin(None), Some(primary)) => {
            ports::self_serve(txn, record.node, primary, fresh)?
        }
        (PortAsker::Owner | PortAsker::Admin(None), None) => {
            return Err(HubError::Refused("server has no first port yet".to_owned()));
        }
    };
    let granted = ports::grant(txn, record.node, &[], &[chosen])?;
    ports::take(txn, record.node, key, &granted)?;
    Ok(chosen)
}

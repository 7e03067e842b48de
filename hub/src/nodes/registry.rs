//! The list of machines: names, standing, what they said last, alarms.

use crate::{
    Hub, HubError, audit,
    control::{Cut, PlaceOf, Sort, behind},
    link::backend::Standing as LinkStanding,
    store::{
        ALARMS, ALARMS_OF, Alarm, AlarmKind, COUNTERS, Counters, EventRef, JOIN_TOKENS,
        NODE_STATES, NODES, NODES_SEEN, NodeRecord, NodeSeen, PLACED,
    },
};
use mamba_core::{
    audit::Change,
    clock::UnixMs,
    db::{Order, Snapshot, Span, Txn},
    ids::{EventId, NodeId, ServerId, TenantId},
    placement::NodeSettings,
    scope::AdminScope,
    server::{NAME_BYTES_MAX, check_text},
    units::MIB,
};
use mamba_wire::{
    api::{
        LinkState, Page, PageQuery, hub,
        node::{Node, NodeQuery, Promised, Standing},
    },
    link::v1::SERVERS_MAX,
};
use serde::{Deserialize, Serialize};

/// Most nodes of one hub, and most names that are compared.
const NODES_MAX: usize = 10_000;

/// A node with what only operators ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDetail {
    /// As in lists.
    pub node: Node,
    /// Its Ed25519 key.
    pub key: [u8; 32],
    /// When its key was replaced last.
    pub replaced_at: Option<UnixMs>,
    /// End of the newest certificate that it was given.
    pub certificate_until: Option<UnixMs>,
    /// Why its standing is not active.
    pub why: Option<String>,
    /// Its last connection.
    pub seen: Option<NodeSeen>,
    /// What came from it.
    pub counters: Counters,
}

impl Hub {
    /// Lists nodes, in the order of their making unless another is asked for.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn nodes(&self, _admin: &AdminScope, query: &NodeQuery) -> Result<Page<Node>, HubError> {
        let NodeQuery { name, region, tag, link, sort, after, limit } = query.clone();
        let by_name: PlaceOf<NodeRecord> = |it| it.name.to_lowercase().into_bytes();
        let sort = Sort::read(sort.as_deref(), "made", &[("name", by_name)])?;
        let link = link.as_deref().map(read_link).transpose()?;
        let name = name.map(|it| it.to_lowercase());
        let is_filtered = name.is_some() || region.is_some() || tag.is_some() || link.is_some();
        let now = self.now();
        let fits = |node: &NodeId, it: &NodeRecord| {
            let settings = &it.settings;
            name.as_ref().is_none_or(|name| it.name.to_lowercase().contains(name))
                && (region.is_none() || settings.region == region)
                && tag.as_ref().is_none_or(|tag| settings.tags.contains(tag))
                && link.is_none_or(|link| self.live().link_state(*node, now) == link)
        };
        self.read(|txn| {
            sort.page(
                &PageQuery { after, limit },
                is_filtered,
                |after, most| Ok(txn.range(NODES, behind(after), most)?),
                |node, record| Ok(fits(node, record)),
                |node, record| self.show_node(txn, *node, record),
            )
        })
    }

    /// Shows a node.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn node_detail(&self, _admin: &AdminScope, node: NodeId) -> Result<NodeDetail, HubError> {
        let heard = self.live().last_heard(node);
        self.read(|txn| {
            let record = find(txn, node)?;
            let mut seen = txn.get(NODES_SEEN, &node)?;
            // While it is connected, the store knows less than the session.
            if let (Some(seen), Some(heard)) = (&mut seen, heard) {
                seen.last_heard = seen.last_heard.max(heard);
            }
            Ok(NodeDetail {
                key: record.key,
                replaced_at: record.replaced_at,
                certificate_until: record.certificate_until,
                why: record.why.clone(),
                seen,
                counters: txn.get(COUNTERS, &node)?.unwrap_or_default(),
                node: self.show_node(txn, node, record)?,
            })
        })
    }

    /// Ends a node's right to connect, for ever; its session ends within seconds. Its servers stay
    /// recorded, and the machine keeps what it has.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_node(
        &self,
        admin: &AdminScope,
        node: NodeId,
    ) -> Result<NodeDetail, HubError> {
        let by = Some((admin, "node:revoke"));
        self.set_standing(by, node, Standing::Revoked, Some("revoked by an admin"), None).await?;
        self.node_detail(admin, node)
    }

    /// Changes what an administrator says about a node.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` with the field. Nothing was changed.
    pub async fn change_node(
        &self,
        admin: &AdminScope,
        node: NodeId,
        name: Option<String>,
        settings: Option<NodeSettings>,
    ) -> Result<NodeDetail, HubError> {
        if let Some(settings) = &settings {
            settings.check().map_err(|err| err.under("settings"))?;
        }
        let (by, now) = (admin.clone(), self.now());
        self.write(move |txn| {
            let mut record = find(txn, node)?;
            let mut changes = vec![Change::set("node", record.name.clone())];
            if let Some(name) = &name {
                check_name(txn, name, Some(node))?;
                changes.push(Change::new("name", Some(&*record.name), Some(&**name)));
                record.name.clone_from(name);
            }
            if let Some(settings) = &settings {
                let (before, after) = (written(&record.settings)?, written(settings)?);
                changes.push(Change::new("settings", Some(before), Some(after)));
                record.settings = settings.clone();
            }
            txn.put(NODES, &node, &record)?;
            audit::append_admin(txn, &by, now, "node:update", changes)
        })
        .await?;
        self.node_detail(admin, node)
    }

    /// Bars a node whose identity two daemons fight over, and raises an alarm.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn quarantine_node(&self, node: NodeId) -> Result<(), HubError> {
        let why = "two daemons fight over this node's identity";
        self.set_standing(None, node, Standing::Quarantined, Some(why), Some(why)).await
    }

    /// Lets a node out of quarantine: the daemon that connects next is the node.
    ///
    /// # Errors
    /// `NotFound`, or `Refused` when it is revoked.
    pub async fn approve_replacement(
        &self,
        admin: &AdminScope,
        node: NodeId,
    ) -> Result<NodeDetail, HubError> {
        let by = Some((admin, "node:approve-replacement"));
        self.set_standing(by, node, Standing::Active, None, None).await?;
        self.node_detail(admin, node)
    }

    /// Lists alarms, newest first.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn alarms(
        &self,
        _admin: &AdminScope,
        query: &PageQuery,
    ) -> Result<Page<hub::Alarm>, HubError> {
        let cut = Cut::<EventId>::new(query)?;
        self.read(|txn| {
            let mut span = Span::all();
            if let Some(after) = &cut.after {
                span = span.before(after);
            }
            let found = txn.scan(ALARMS, span, Order::Descending, cut.fetch())?;
            let view = |(alarm, it): (EventId, Alarm)| {
                let Alarm { at, node, server, text, count, last_at } = it;
                let server = server.map(|(_, server)| server);
                (alarm, hub::Alarm { alarm, at, last_at, count, node, server, text })
            };
            Ok(cut.page(found.into_iter().map(view).collect()))
        })
    }

    /// Removes an alarm that was dealt with.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn clear_alarm(&self, admin: &AdminScope, alarm: EventId) -> Result<(), HubError> {
        let (admin, now) = (admin.clone(), self.now());
        self.write(move |txn| {
            let found = txn.get(ALARMS, &alarm)?.ok_or(HubError::NotFound { what: "alarm" })?;
            txn.delete(ALARMS, &alarm)?;
            audit::append_admin(txn, &admin, now, "alarm:clear", [Change::set("text", found.text)])
        })
        .await
    }

    async fn set_standing(
        &self,
        by: Option<(&AdminScope, &'static str)>,
        node: NodeId,
        standing: Standing,
        why: Option<&'static str>,
        alarm: Option<&'static str>,
    ) -> Result<(), HubError> {
        let event = self.new_id(EventId::new);
        let now = self.now();
        let by = by.map(|(admin, event)| (admin.clone(), event));
        let stands = self
            .write(move |txn| {
                let mut record = find(txn, node)?;
                match (record.standing, standing) {
                    (Standing::Revoked, Standing::Active) => {
                        let why = "node is revoked for ever: join anew with a token for it";
                        return Err(HubError::Refused(why.to_owned()));
                    }
                    // Never again means never again, also for a fight that is noticed later.
                    (Standing::Revoked, _) => return Ok(Standing::Revoked),
                    (from, to) if from == to => return Ok(to),
                    _ => {}
                }
                record.standing = standing;
                record.why = why.map(str::to_owned);
                txn.put(NODES, &node, &record)?;
                if let Some((admin, event)) = &by {
                    let change = Change::set("node", record.name.clone());
                    audit::append_admin(txn, admin, now, event, [change])?;
                }
                if let Some(text) = alarm {
                    raise(txn, event, now, (Some(node), None), AlarmKind::Identity, text)?;
                }
                Ok(standing)
            })
            .await?;
        self.live().set_standing(node, for_link(stands));
        Ok(())
    }

    fn show_node(
        &self,
        txn: &impl Snapshot,
        node: NodeId,
        record: NodeRecord,
    ) -> Result<Node, HubError> {
        let placed = txn.prefix(PLACED, &(node,), SERVERS_MAX)?;
        let servers = placed.iter().filter(|(_, it)| !it.gone).count();
        let promised = crate::control::promised(txn, node)?;
        Ok(Node {
            node,
            name: record.name,
            standing: record.standing,
            enrolled_at: record.enrolled_at,
            software: txn.get(NODES_SEEN, &node)?.map(|it| it.software),
            machine: txn.get(NODE_STATES, &node)?.map(|it| it.state),
            servers: u32::try_from(servers).unwrap_or(u32::MAX),
            settings: record.settings,
            promised: Promised {
                memory_mib: promised.memory_bytes / MIB,
                disk_mib: promised.disk_bytes / MIB,
                cpu_millicores: promised.cpu_millicores,
            },
            freshness: self.freshness(txn, node, None)?,
        })
    }
}

fn read_link(text: &str) -> Result<LinkState, HubError> {
    match text {
        "live" => Ok(LinkState::Live),
        "delayed" => Ok(LinkState::Delayed),
        "unreachable" => Ok(LinkState::Unreachable),
        _ => Err(HubError::invalid("link", "must be `live`, `delayed` or `unreachable`")),
    }
}

fn written(settings: &NodeSettings) -> Result<String, HubError> {
    serde_json::to_string(settings).map_err(|err| HubError::Bug(err.to_string()))
}

/// The same standing in the words of the link.
pub(crate) fn for_link(standing: Standing) -> LinkStanding {
    match standing {
        Standing::Active => LinkStanding::Active,
        Standing::Quarantined => LinkStanding::Quarantined,
        Standing::Revoked => LinkStanding::Revoked,
    }
}

/// Returns the record of a node.
pub(crate) fn find(txn: &impl Snapshot, node: NodeId) -> Result<NodeRecord, HubError> {
    txn.get(NODES, &node)?.ok_or(HubError::NotFound { what: "node" })
}

/// Checks the name of a node to be: one line, and no other node or open token has it.
pub(super) fn check_name(
    txn: &impl Snapshot,
    name: &str,
    replaces: Option<NodeId>,
) -> Result<(), HubError> {
    check_text("name", name, 1, NAME_BYTES_MAX)?;
    let nodes = txn.range(NODES, Span::all(), NODES_MAX)?;
    if nodes.len() >= NODES_MAX {
        return Err(HubError::Refused(format!("a hub has at most {NODES_MAX} nodes")));
    }
    let is_other = |(node, it): &(NodeId, NodeRecord)| {
        it.name == name && Some(*node) != replaces && it.standing != Standing::Revoked
    };
    if nodes.iter().any(is_other) {
        return Err(HubError::invalid("name", format!("`{name}` is the name of another node")));
    }
    let tokens = txn.range(JOIN_TOKENS, Span::all(), 2 * super::TOKENS_MAX)?;
    let is_promised = |it: &crate::store::JoinTokenRecord| {
        it.name == name && it.used.is_none() && it.replaces.is_none() && replaces.is_none()
    };
    if tokens.iter().any(|(_, it)| is_promised(it)) {
        return Err(HubError::invalid("name", format!("`{name}` is in an open join token")));
    }
    Ok(())
}

/// Records that a person should look at something. `alarm` is the id that it gets unless an alarm
/// of this kind about the same thing is open: then that one counts it, so that what goes on for days
/// does not fill the store.
pub(crate) fn raise(
    txn: &mut Txn<'_>,
    alarm: EventId,
    at: UnixMs,
    (node, server): (Option<NodeId>, Option<(TenantId, ServerId)>),
    kind: AlarmKind,
    text: &str,
) -> Result<(), HubError> {
    let text = text.to_owned();
    let about = (
        node.unwrap_or(NodeId::from_bytes([0; 16])),
        server.map_or(ServerId::from_bytes([0; 16]), |(_, server)| server),
        kind.number(),
    );
    if let Some(EventRef(open)) = txn.get(ALARMS_OF, &about)?
        && let Some(found) = txn.get(ALARMS, &open)?
    {
        let again = Alarm { text, count: found.count + 1, last_at: at, ..found };
        return Ok(txn.put(ALARMS, &open, &again)?);
    }
    txn.put(ALARMS_OF, &about, &EventRef(alarm))?;
    Ok(txn.put(ALARMS, &alarm, &Alarm { at, node, server, text, count: 1, last_at: at })?)
}

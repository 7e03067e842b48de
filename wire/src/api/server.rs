//! Pure: servers and what is asked of them.

use super::{Freshness, RequestBody, params::params};
use crate::node::ConsoleLine;
use mamba_core::{
    clock::UnixMs,
    desired::Order,
    ids::{AllocationId, IntentId, NodeId, ServerId, TenantId, UserId},
    lifecycle::{
        Observed, PowerAction,
        install::{InstallOutcome, InstallRecord},
    },
    placement::Rejected,
    server::{AutoStart, InstallAsk, InstallFiles, Limits, Mount, PortProtocol, RestartPolicy},
    units::{Mib, Millicores},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Life of a power intent when the request does not say: a stale start must never fire next day.
pub const INTENT_TTL_MS_DEFAULT: u64 = 60_000;
/// Longest life of a power intent.
pub const INTENT_TTL_MS_MAX: u64 = 3_600_000;

params! {
    /// Which servers, in which order. Filters that are missing let everything through.
    ServerQuery {
        /// Of this tenant.
        tenant: Option<TenantId>,
        /// On this node.
        node: Option<NodeId>,
        /// With this text in the name, in any case.
        name: Option<String>,
        /// With this name in another system.
        external_id: Option<String>,
        /// Suspended, or not.
        suspended: Option<bool>,
        /// In this state by the node's last word, for example `running`.
        state: Option<String>,
        /// `made` (default), `name` or `changed`; with `-` in front from the end.
        sort: Option<String>,
        /// Like [`super::PageQuery::after`].
        after: Option<String>,
        /// Like [`super::PageQuery::limit`].
        limit: Option<u32> where 1..=super::page::PAGE_ITEMS_MAX,
    }

    /// How a server is suspended.
    SuspendQuery {
        /// Set by an administrator who knows that this stops many servers of a node at once.
        force: Option<bool>,
    }

    /// How a server is deleted.
    DeleteQuery {
        /// How long the node waits before it stops the server; a day without.
        after_ms: Option<u64>,
        /// How long the node keeps the data in the trash; a week without.
        retain_ms: Option<u64>,
        /// Set by an administrator who knows that this deletes many servers of a node at once.
        force: Option<bool>,
    }
}

impl ServerQuery {
    /// All servers in the order of their making.
    pub const ALL: Self = Self {
        tenant: None,
        node: None,
        name: None,
        external_id: None,
        suspended: None,
        state: None,
        sort: None,
        after: None,
        limit: None,
    };
}

/// Body of [`super::table::CreateServer`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateServer {
    /// Name for people, 1 to 64 bytes.
    pub name: String,
    /// Who will own it.
    pub tenant: TenantId,
    /// Where it will run; without, the hub chooses a connected node with room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Short name of its blueprint.
    pub blueprint: String,
    /// What it may use.
    pub limits: Limits,
    /// One of the blueprint's images; its first one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Values of the blueprint's variables.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Its ports: free allocations of the node, in the order of the blueprint's ports; missing ones
    /// are chosen.
    #[serde(default)]
    pub allocations: Vec<AllocationId>,
    /// Whether it starts with the node; `last_state` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_start: Option<AutoStart>,
    /// What happens when it ends by itself; the default policy without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartPolicy>,
    /// Region of the node that the hub chooses; any without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Tags that the node that the hub chooses must have, all of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// What it is for, at most 1024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its name in another system, 1 to 128 bytes, which no other server of the hub has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Most ports that its owner may bring it to, 0 to 64; none beyond those given without.
    #[serde(default)]
    pub allocation_limit: u32,
    /// Most backups that it may have, 0 to 1000.
    #[serde(default)]
    pub backup_limit: u32,
    /// Whether the blueprint's install script is never run.
    #[serde(default)]
    pub skip_scripts: bool,
}

/// Body of [`super::table::CreateOwnServer`]. The hub chooses node and ports; there is no swap, and
/// the usual number of processes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOwnServer {
    /// Name for people, 1 to 64 bytes.
    pub name: String,
    /// Short name of its blueprint.
    pub blueprint: String,
    /// Memory.
    pub memory_mib: Mib,
    /// CPU time.
    pub cpu_millicores: Millicores,
    /// Room for the data directory.
    pub disk_mib: Mib,
    /// One of the blueprint's images; its first one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Values of the variables that users may edit.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Region of its node; any without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What it is for, at most 1024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Most backups that it may have, of those in the tenant's quota.
    #[serde(default)]
    pub backup_limit: u32,
}

/// A server that was made, and what was thought of the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedServer {
    /// The server.
    #[serde(flatten)]
    pub server: Server,
    /// Nodes that could not take it, each with its reason; empty when the node was named.
    pub rejected: Vec<Rejected>,
}

/// Body of [`super::table::UpdateServer`]: what is missing stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateServer {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for, at most 1024 bytes; an empty text removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its name in another system; an empty text removes it. Only for administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// New values of these variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<BTreeMap<String, String>>,
    /// Whether it starts with the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_start: Option<AutoStart>,
    /// What happens when it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartPolicy>,
    /// One of the blueprint's images; needs `startup.docker-image`. Administrators may name any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// One of the blueprint's start lines; needs `startup.update`. Administrators may write any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<String>,
    /// Whether its install script is never run. Only for administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_scripts: Option<bool>,
}

/// Body of [`super::table::ReinstallServer`].
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reinstall {
    /// What becomes of the files that are there; they are kept without.
    #[serde(default)]
    pub files: InstallFiles,
}

/// Body of [`super::table::UpdateLimits`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateLimits {
    /// New limits, all of them.
    pub limits: Limits,
    /// Most ports that its owner may bring it to, 0 to 64; stays without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_limit: Option<u32>,
    /// Most backups that it may have, 0 to 1000; stays without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_limit: Option<u32>,
}

/// Folders of the node that a server sees besides its own data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mounts {
    /// All of them, at most 16.
    pub mounts: Vec<Mount>,
}

/// Body of [`super::table::Power`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// What is wanted.
    pub action: PowerAction,
    /// How long it may wait for the node, 1 to [`INTENT_TTL_MS_MAX`]; [`INTENT_TTL_MS_DEFAULT`]
    /// without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
}

/// Body of [`super::table::ChangeBlueprint`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBlueprint {
    /// Short name of the blueprint, of which the newest version is taken.
    pub blueprint: String,
    /// One of its images; without, that of the server stays where it is listed, or else the first is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Values of its variables; others keep the value that was set where they are known there, or get their
    /// default.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Has its install script run, and says what becomes of the files that are there; not run without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<InstallFiles>,
}

/// Body of [`super::table::GiveServer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveServer {
    /// Whose it is from now on: a tenant in which the caller may make servers. Files, variables and
    /// address go along, sub-users do not; a suspended server stays suspended. What was used until
    /// now is billed to the former owner.
    pub tenant: TenantId,
}

impl RequestBody for CreateServer {}
impl RequestBody for CreateOwnServer {}
impl RequestBody for UpdateServer {}
impl RequestBody for ChangeBlueprint {}
impl RequestBody for GiveServer {}
impl RequestBody for Reinstall {}
impl RequestBody for UpdateLimits {}
impl RequestBody for Mounts {}
impl RequestBody for Power {}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Its id.
    pub server: ServerId,
    /// Who owns it.
    pub tenant: TenantId,
    /// Where it runs.
    pub node: NodeId,
    /// Node that it is on its way to; `null` while it stays.
    pub moving_to: Option<NodeId>,
    /// Short name of its blueprint.
    pub blueprint: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its name in another system.
    pub external_id: Option<String>,
    /// What it may use.
    pub limits: Limits,
    /// Most ports that its owner may bring it to.
    pub allocation_limit: u32,
    /// Most backups that it may have.
    pub backup_limit: u32,
    /// Values of the blueprint's variables.
    pub variables: BTreeMap<String, String>,
    /// Image that it runs; `null` when it is not known.
    pub image: Option<String>,
    /// How far its install script is.
    pub install: Install,
    /// Whether its install script is never run.
    pub skip_scripts: bool,
    /// Whether somebody agreed to the game's licence.
    pub eula_accepted: bool,
    /// Its ports, the primary first.
    pub ports: Vec<Port>,
    /// Whether the hub does not allow it to run.
    pub suspended: bool,
    /// When its deletion was asked for; `null` while it is to exist.
    pub deleted_at: Option<UnixMs>,
    /// When it was made.
    pub made_at: UnixMs,
    /// Rank of the newest wish of the hub.
    pub desired: Order,
    /// What the node said last; `null` before its first word. Its `applied` tells whether the newest
    /// wish has arrived.
    pub observed: Option<Observed>,
    /// Whether the node and the game have what is wanted.
    pub pending: Pending,
    /// How old `observed` is.
    pub freshness: Freshness,
}

/// How far the newest wish for a server got.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Pending {
    /// All the way.
    None,
    /// Its node has it; the process that runs was started from an older one.
    Restart,
    /// Its node has not taken it over yet.
    Node,
}

impl Pending {
    /// Returns how far a wish got, by what the node said last.
    #[must_use]
    pub fn of(desired: Order, observed: Option<&Observed>) -> Self {
        match observed {
            Some(it) if it.applied >= Some(desired) && it.restart_pending => Self::Restart,
            Some(it) if it.applied >= Some(desired) => Self::None,
            Some(_) | None => Self::Node,
        }
    }
}

/// How far the install script of a server is, by what its node said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Install {
    /// In one word.
    pub state: InstallState,
    /// When the node began with it.
    pub begun_at: Option<UnixMs>,
    /// When it ended.
    pub ended_at: Option<UnixMs>,
    /// Exit code, when it failed by itself.
    pub code: Option<i64>,
    /// What went wrong, when it failed.
    pub error: Option<String>,
}

/// How far an install script is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum InstallState {
    /// There is none to run.
    None,
    /// Its node has not begun with it.
    Waiting,
    /// Its node is at it.
    #[serde(rename = "installing")]
    Running,
    /// It ended well.
    #[serde(rename = "installed")]
    Done,
    /// It did not; somebody has to have the server installed again.
    #[serde(rename = "install_failed")]
    Failed,
    /// Somebody ended it; somebody has to have the server installed again.
    #[serde(rename = "install_cancelled")]
    Cancelled,
}

impl Install {
    /// Compares what was asked for with what the node said of its newest run.
    #[must_use]
    pub fn of(ask: Option<&InstallAsk>, run: Option<&InstallRecord>) -> Self {
        let idle = |state| Self { state, begun_at: None, ended_at: None, code: None, error: None };
        let Some(ask) = ask else { return idle(InstallState::None) };
        let Some(run) = run.filter(|run| run.asked >= ask.asked) else {
            return idle(InstallState::Waiting);
        };
        let begun = Self { begun_at: Some(run.begun_at), ..idle(InstallState::Running) };
        let Some(end) = &run.end else { return begun };
        let ended = Self { ended_at: Some(end.at), ..begun };
        match &end.outcome {
            InstallOutcome::Installed => Self { state: InstallState::Done, ..ended },
            InstallOutcome::Cancelled => Self { state: InstallState::Cancelled, ..ended },
            InstallOutcome::Failed { code, error } => {
                let error = Some(error.clone());
                Self { state: InstallState::Failed, code: *code, error, ..ended }
            }
        }
    }
}

/// The output of the newest run of an install script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallLog {
    /// Whether the beginning is not kept any more.
    pub is_cut: bool,
    /// Lines, oldest first, secrets masked; source `edge` is the node itself.
    pub lines: Vec<ConsoleLine>,
}

/// One port of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Port {
    /// Allocation that it comes from.
    pub allocation: AllocationId,
    /// Address on the node.
    pub ip: IpAddr,
    /// Port on the node.
    pub port: u16,
    /// What is published.
    pub protocol: PortProtocol,
    /// What players are told instead of `ip`.
    pub alias: Option<String>,
    /// What its people wrote about it.
    pub note: Option<String>,
}

/// A recorded power action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Intent {
    /// Its id.
    pub intent: IntentId,
    /// About which server.
    pub server: ServerId,
    /// What is wanted.
    pub action: PowerAction,
    /// Who wants it.
    pub by: UserId,
    /// When it was given.
    pub given_at: UnixMs,
    /// Not carried out at or after this.
    pub expires_at: UnixMs,
    /// What became of it.
    pub state: IntentState,
    /// When that was known.
    pub state_at: UnixMs,
}

/// What became of an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// It waits at the hub for the node; it can be cancelled.
    Pending,
    /// It was handed to the node, which has not answered yet.
    Sent,
    /// The node took it over in time.
    Applied,
    /// It came too late and did nothing.
    Expired,
    /// The node may not or cannot, and why.
    Refused(String),
    /// It was taken back before the node had it.
    Cancelled,
}

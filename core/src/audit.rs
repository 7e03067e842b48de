//! Pure: the audit trail: what was done, by whom, from where, with what before and after.
//!
//! Each tenant has a chain of entries, and the installation one of its own: `hash_n =
//! blake3(hash_{n-1} | tenant | n | body)` with `n` as 8 bytes big endian and `hash_0` 32 zero bytes.
//! Whoever changes, moves or takes away an entry has to change every hash behind it, which the signed
//! anchors of the hub then contradict.

use crate::{
    clock::UnixMs,
    fact::{Activity, ActivityFact},
    ids::{NodeId, ServerId, SessionId, TenantId, UserId},
    lifecycle::{Actor, PowerAction},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Most fields with before and after of one entry.
pub const CHANGES_MAX: usize = 64;
/// Most bytes kept of a value before or after.
pub const VALUE_BYTES_MAX: usize = 256;
/// What stands for a secret.
pub const MASK: &str = "***";
/// The chain of the installation: of what belongs to no tenant.
pub const HUB_CHAIN: TenantId = TenantId::from_bytes([0; 16]);

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditActor {
    /// An account, signed in.
    Account(UserId),
    /// An account, through one of its API keys.
    ApiKey {
        /// The account.
        user: UserId,
        /// The key.
        key: SessionId,
    },
    /// A node by itself.
    Node(NodeId),
    /// Somebody at a local socket, by the name of the operating system's user.
    Operator(String),
    /// The hub by itself.
    System,
}

/// The way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// The HTTP API.
    Api,
    /// The hub's local socket.
    Local,
    /// A node's report.
    Node,
    /// None: the hub itself.
    #[default]
    Inside,
}

/// From where it was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The way in.
    pub door: Door,
    /// Address of the peer.
    pub address: Option<IpAddr>,
    /// API key that was used.
    pub key: Option<SessionId>,
}

/// One value that became another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// What of it.
    pub field: String,
    /// What it was; `null` when it was not there.
    pub before: Option<String>,
    /// What it is; `null` when it is gone.
    pub after: Option<String>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// When, by hub time.
    pub at: UnixMs,
    /// Who.
    pub actor: AuditActor,
    /// By which way in.
    pub door: Door,
    /// From which address.
    pub address: Option<IpAddr>,
    /// What, for example `server:power.start`.
    pub event: String,
    /// The server it is about.
    pub server: Option<ServerId>,
    /// What became of what; secrets are `***`.
    pub changes: Vec<Change>,
}

impl Change {
    /// Says that a field became another, each cut at [`VALUE_BYTES_MAX`].
    #[must_use]
    pub fn new(
        field: impl Into<String>,
        before: Option<impl Into<String>>,
        after: Option<impl Into<String>>,
    ) -> Self {
        let cut = |text: String| {
            let end = text.floor_char_boundary(VALUE_BYTES_MAX);
            text[..end].to_owned()
        };
        let (before, after) = (before.map(|it| cut(it.into())), after.map(|it| cut(it.into())));
        Self { field: cut(field.into()), before, after }
    }

    /// Says that something was made or given.
    #[must_use]
    pub fn set(field: impl Into<String>, after: impl Into<String>) -> Self {
        Self::new(field, None::<String>, Some(after))
    }

    /// Puts [`MASK`] in place of both values.
    #[must_use]
    pub fn masked(self) -> Self {
        let mask = |value: Option<String>| value.map(|_| MASK.to_owned());
        Self { before: mask(self.before), after: mask(self.after), ..self }
    }
}

impl AuditEntry {
    /// Makes an entry without changes.
    #[must_use]
    pub fn new(at: UnixMs, actor: &Actor, origin: Origin, event: impl Into<String>) -> Self {
        let actor = match (actor, origin.key) {
            (Actor::User(user), Some(key)) => AuditActor::ApiKey { user: *user, key },
            (Actor::User(user), None) => AuditActor::Account(*user),
            (Actor::Operator(name), _) => AuditActor::Operator(name.clone()),
            (Actor::Edge | Actor::Hub, _) => AuditActor::System,
        };
        let Origin { door, address, .. } = origin;
        let (event, server, changes) = (event.into(), None, Vec::new());
        Self { at, actor, door, address, event, server, changes }
    }

    /// Makes the entry of what a node reports.
    #[must_use]
    pub fn of_fact(now: UnixMs, node: NodeId, fact: &ActivityFact) -> Self {
        let origin = Origin { door: Door::Node, ..Origin::default() };
        let mut entry = Self::new(now, &fact.actor, origin, event_of(&fact.body));
        if fact.actor == Actor::Edge {
            entry.actor = AuditActor::Node(node);
        }
        entry.server = fact.about.map(|(_, server)| server);
        entry.changes = vec![Change::set("at", fact.at.to_string())];
        entry.changes.extend(details(&fact.body));
        entry
    }

    /// About a server.
    #[must_use]
    pub fn about(self, server: ServerId) -> Self {
        Self { server: Some(server), ..self }
    }

    /// With these changes; those above [`CHANGES_MAX`] are counted in the last one.
    #[must_use]
    pub fn with(mut self, changes: impl IntoIterator<Item = Change>) -> Self {
        self.changes.extend(changes);
        if self.changes.len() > CHANGES_MAX {
            let rest = self.changes.split_off(CHANGES_MAX - 1).len();
            self.changes.push(Change::set("more", rest.to_string()));
        }
        self
    }

    /// Whether an actor did it, with or without an API key.
    #[must_use]
    pub fn is_by(&self, user: UserId) -> bool {
        match &self.actor {
            AuditActor::Account(it) | AuditActor::ApiKey { user: it, .. } => *it == user,
            AuditActor::Node(_) | AuditActor::Operator(_) | AuditActor::System => false,
        }
    }
}

/// Returns the hash of one more entry.
#[must_use]
pub fn chain(before: &[u8; 32], tenant: TenantId, number: u64, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    hasher.update(&tenant.to_bytes());
    hasher.update(&number.to_be_bytes());
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

/// Returns the name of an activity: Pterodactyl's where it has one, else its own.
#[must_use]
pub fn event_of(activity: &Activity) -> String {
    let power = |action: PowerAction| match action {
        PowerAction::Start => "server:power.start",
        PowerAction::Stop => "server:power.stop",
        PowerAction::Restart => "server:power.restart",
        PowerAction::Kill => "server:power.kill",
    };
    let named = match activity {
        Activity::Power { action } | Activity::PowerAsked { action } => power(*action),
        Activity::ConsoleCommand { .. } => "server:console.command",
        Activity::Created => "server:create",
        Activity::DeletionAsked { .. } => "server:delete",
        Activity::Crashed { .. } => "server:crash",
        Activity::ReinstallAsked { .. } => "server:reinstall",
        Activity::Changed { fields, .. } => match fields.as_slice() {
            [field] if field == "name" => "server:settings.rename",
            [field] if field == "variables" => "server:startup.edit",
            [field] if field == "image" => "server:startup.image",
            [field] if field == "blueprint" => "server:blueprint.change",
            [field] if field == "eula" => "server:eula.accept",
            _ => "server:update",
        },
        // Kinds that no other panel has are called by the name that they are stored under.
        other => return format!("server:{}", kind(other).replace('_', "-")),
    };
    named.to_owned()
}

/// Name of a kind of activity, as in its JSON.
fn kind(activity: &Activity) -> String {
    match serde_json::to_value(activity) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        Ok(_) | Err(_) => String::new(),
    }
}

/// What there is to say of an activity beside its name.
fn details(activity: &Activity) -> Vec<Change> {
    let Ok(serde_json::Value::Object(map)) = serde_json::to_value(activity) else { return vec![] };
    let Some(serde_json::Value::Object(fields)) = map.into_values().next() else { return vec![] };
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    fields.into_iter().map(|(field, value)| Change::set(field, text(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::InstallFiles;

    #[test]
    fn activities_have_the_names_that_pterodactyl_gives_them() {
        for (activity, expected) in [
            (Activity::PowerAsked { action: PowerAction::Kill }, "server:power.kill"),
            (Activity::ConsoleCommand { line: String::new() }, "server:console.command"),
            (
                Activity::Changed { generation: 1, fields: vec!["name".into()] },
                "server:settings.rename",
            ),
            (
                Activity::Changed { generation: 1, fields: vec!["eula".into()] },
                "server:eula.accept",
            ),
            (Activity::Changed { generation: 1, fields: vec!["limits".into()] }, "server:update"),
            (Activity::GaveUp { crashes: 3 }, "server:gave-up"),
            (Activity::Started, "server:started"),
            (Activity::ReinstallAsked { files: InstallFiles::Keep }, "server:reinstall"),
        ] {
            assert_eq!(event_of(&activity), expected);
        }
    }

    #[test]
    fn each_part_of_an_entry_changes_the_chain() {
        let (zero, tenant) = ([0; 32], TenantId::from_bytes([1; 16]));
        let base = chain(&zero, tenant, 1, b"a");
        assert_ne!(base, chain(&zero, TenantId::from_bytes([2; 16]), 1, b"a"));
        assert_ne!(base, chain(&zero, tenant, 2, b"a"));
        assert_ne!(base, chain(&zero, tenant, 1, b"b"));
        assert_ne!(base, chain(&base, tenant, 1, b"a"));
    }

    #[test]
    fn values_are_cut_masked_and_bounded() {
        let long = "ü".repeat(VALUE_BYTES_MAX);
        let change = Change::new("name", Some(long), Some("b"));
        assert_eq!(change.before.as_ref().unwrap().len(), VALUE_BYTES_MAX);
        let masked = change.masked();
        assert_eq!((masked.before.as_deref(), masked.after.as_deref()), (Some(MASK), Some(MASK)));
        let many = (0..100).map(|index| Change::set(index.to_string(), "x"));
        let entry = AuditEntry::new(UnixMs(1), &Actor::Hub, Origin::default(), "e").with(many);
        assert_eq!(entry.changes.len(), CHANGES_MAX);
        assert_eq!(entry.changes.last(), Some(&Change::set("more", "37")));
    }
}

//! Logins of image registries that every node pulls with, each for one exact host.
//!
//! Passwords are sealed, told to connected nodes and to nobody else: no answer, log or entry of the audit
//! trail has one. What a node's own settings say about a host comes before what is told here.

use crate::{
    Hub, HubError, audit,
    secrets::{self, Place},
};
use mamba_core::{
    audit::{Change, MASK},
    clock::UnixMs,
    db::{Snapshot, Span, Table, TableDef, Txn},
    lifecycle::Actor,
    record,
    registry::{LOGINS_MAX, Login, check_host},
    scope::AdminScope,
};
use mamba_wire::api::registry::Registry;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Logins by host; their passwords are sealed at the same key.
const REGISTRIES: Table<String, RegistryRecord> = Table::new(310, "registries");

/// All tables of this module.
pub const TABLES: &[TableDef] = &[REGISTRIES.def()];

/// One login, without its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RegistryRecord {
    user: String,
    by: Actor,
    changed_at: UnixMs,
}
record!(RegistryRecord, 1);

impl RegistryRecord {
    fn shown(self, host: String) -> Registry {
        Registry { registry: host, user: self.user, changed_at: self.changed_at }
    }
}

impl Hub {
    /// Lists all logins by host, without passwords.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn registries(&self) -> Result<Vec<Registry>, HubError> {
        self.read(|txn| {
            let found = txn.range(REGISTRIES, Span::all(), LOGINS_MAX)?;
            Ok(found.into_iter().map(|(host, record)| record.shown(host)).collect())
        })
    }

    /// Sets the login for a host and tells every connected node. Without a password that of before stays.
    ///
    /// # Errors
    /// `Invalid` with the field, `Refused` when there are as many as can be. Nothing was changed.
    pub async fn set_registry(
        &self,
        scope: &AdminScope,
        host: String,
        user: String,
        password: Option<String>,
    ) -> Result<Registry, HubError> {
        let (hub, scope) = (self.clone(), scope.clone());
        let asked = Asked { host, user, password: password.map(Zeroizing::new) };
        let registry = self.write(move |txn| set(&hub, txn, &scope, &asked)).await?;
        self.tell_nodes();
        Ok(registry)
    }

    /// Forgets the login for a host, here and on every node when it is connected next.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_registry(&self, scope: &AdminScope, host: String) -> Result<(), HubError> {
        let (scope, now) = (scope.clone(), self.now());
        self.write(move |txn| {
            if !txn.contains(REGISTRIES, &host)? {
                return Err(HubError::NotFound { what: "registry" });
            }
            txn.delete(REGISTRIES, &host)?;
            secrets::forget(txn, &place(&host))?;
            let told = [Change::set("registry", host.clone())];
            audit::append_admin(txn, &scope, now, "registry:delete", told)
        })
        .await?;
        self.tell_nodes();
        Ok(())
    }

    fn tell_nodes(&self) {
        for node in self.live().connected() {
            self.live().changed(node);
        }
    }
}

/// A login as it is to be.
struct Asked {
    host: String,
    user: String,
    /// That of before without.
    password: Option<Zeroizing<String>>,
}

fn set(
    hub: &Hub,
    txn: &mut Txn<'_>,
    scope: &AdminScope,
    asked: &Asked,
) -> Result<Registry, HubError> {
    let Asked { host, user, password } = asked;
    check_host("host", host)?;
    let before = txn.get(REGISTRIES, host)?;
    let known = match &before {
        Some(_) => Some(Zeroizing::new(password_of(hub, txn, host)?)),
        None => None,
    };
    let required = || HubError::invalid("password", "must be given for a new registry");
    let password = password.as_ref().or(known.as_ref()).ok_or_else(required)?;
    let login =
        Login { host: host.clone(), user: user.clone(), password: password.as_str().to_owned() };
    login.check()?;
    let is_new_password = known.as_ref() != Some(password);
    let old_user = match before {
        Some(record) if record.user == *user && !is_new_password => {
            return Ok(record.shown(host.clone()));
        }
        Some(record) => Some(record.user),
        None if txn.range(REGISTRIES, Span::all(), LOGINS_MAX)?.len() >= LOGINS_MAX => {
            return Err(HubError::Refused(format!("there are {LOGINS_MAX} logins already")));
        }
        None => None,
    };
    hub.vault().put(txn, hub.entropy(), &place(host), password.as_bytes())?;
    let (by, changed_at) = (scope.actor().clone(), hub.now());
    let record = RegistryRecord { user: user.clone(), by, changed_at };
    txn.put(REGISTRIES, host, &record)?;
    let mut told = vec![Change::set("registry", host.clone())];
    if old_user.as_ref() != Some(user) {
        told.push(Change::new("user", old_user, Some(user.clone())));
    }
    if is_new_password {
        told.push(Change::set("password", MASK));
    }
    audit::append_admin(txn, scope, changed_at, "registry:update", told)?;
    Ok(record.shown(host.clone()))
}

/// Returns all logins with their passwords, for a node.
pub(crate) fn logins(hub: &Hub, view: &impl Snapshot) -> Result<Vec<Login>, HubError> {
    let found = view.range(REGISTRIES, Span::all(), LOGINS_MAX)?;
    let login = |(host, record): (String, RegistryRecord)| {
        let password = password_of(hub, view, &host)?;
        Ok(Login { host, user: record.user, password })
    };
    found.into_iter().map(login).collect()
}

fn password_of(hub: &Hub, view: &impl Snapshot, host: &str) -> Result<String, HubError> {
    let missing = || HubError::Bug("the sealed password of a registry cannot be read".to_owned());
    let bytes = hub.vault().get(view, &place(host))?.ok_or_else(missing)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| missing())
}

fn place(host: &str) -> Place {
    Place::new(REGISTRIES.def().id, &host.to_owned())
}

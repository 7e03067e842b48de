//! Game definitions: those that come with the product, and those that administrators imported.
//!
//! An imported one is stored as text of its own format, one row for each version; importing it again
//! with other content makes the next version. A server keeps the version that it was made with. What a
//! server uses cannot be deleted. The keys of the built-in ones are taken; their version is 0.

#[cfg(test)]
mod tests;

use crate::{
    Hub, HubError, audit,
    control::{PlaceOf, Sort, behind},
    store::{SERVER_TENANTS, SERVERS, ServerRecord, TenantRef},
};
use mamba_core::{
    audit::Change,
    blueprint::{
        Blueprint,
        egg::{self, Note},
    },
    clock::UnixMs,
    db::{Snapshot, Span, Table, TableDef, Txn},
    ids::{ServerId, TenantId},
    lifecycle::Actor,
    players::Query,
    record,
    scope::{AdminScope, TenantScope},
};
use mamba_wire::api::{Page, PageQuery, blueprint::BlueprintQuery};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, btree_map::Entry};

/// Most imported blueprints: four times the eggs that are known to exist.
pub const BLUEPRINTS_MAX: usize = 5_000;
/// Most versions that are kept of one. The oldest that no server uses goes when another comes.
const VERSIONS_MAX: usize = 64;
/// Most servers that are looked at to see whether they use a blueprint.
const USERS_MAX: usize = 100_000;
/// Version of what comes with the product.
const BUILT_IN: u32 = 0;

/// Imported blueprints by key.
pub(crate) const BLUEPRINTS: Table<String, BlueprintRecord> = Table::new(230, "blueprints");
/// What each version says.
const VERSIONS: Table<(String, u32), VersionRecord> = Table::new(231, "blueprint_versions");
/// Servers that use or used one: those that are gone stay listed.
const USERS: Table<(String, ServerId), TenantRef> = Table::new(232, "blueprint_users");

/// All tables of this module.
pub const TABLES: &[TableDef] = &[BLUEPRINTS.def(), VERSIONS.def(), USERS.def()];

/// An imported blueprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlueprintRecord {
    /// Its newest version.
    version: u32,
}
record!(BlueprintRecord, 1);

/// One version of an imported blueprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct VersionRecord {
    /// In our own format.
    text: String,
    /// Who imported it.
    by: Actor,
    /// When.
    at: UnixMs,
}
record!(VersionRecord, 1);

/// A definition with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// 0 when it comes with the product.
    pub version: u32,
    /// The definition.
    pub blueprint: Blueprint,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// What the hub has now.
    pub known: Known,
    /// Format of the file.
    pub format: String,
    /// Whether this made a new version.
    pub is_new: bool,
    /// What was changed on the way or is unusual.
    pub notes: Vec<Note>,
}

impl Hub {
    /// Reads a file and stores what it defines, as a new version when there was one. The same content
    /// again makes none.
    ///
    /// # Errors
    /// `Invalid` names the field of the file, `Refused` when its key belongs to a built-in one. Nothing
    /// was changed.
    pub async fn import_blueprint(
        &self,
        scope: &AdminScope,
        file: &[u8],
    ) -> Result<Imported, HubError> {
        let egg::Imported { format, blueprint, notes } = egg::import(file)?;
        egg::verify(&blueprint)?;
        if built_in(&blueprint.key).is_some() {
            let text = format!("blueprint `{}` comes with the product", blueprint.key);
            return Err(HubError::Refused(text));
        }
        let text = serde_json::to_string(&blueprint)
            .map_err(|err| HubError::Bug(format!("a blueprint has no JSON: {err}")))?;
        let record = VersionRecord { text, by: scope.actor().clone(), at: self.now() };
        let (key, scope, now) = (blueprint.key.clone(), scope.clone(), self.now());
        let put_told = move |txn: &mut Txn<'_>| {
            let (version, is_new) = put(txn, &key, &record)?;
            if is_new {
                let told = [
                    Change::set("blueprint", key.clone()),
                    Change::set("version", version.to_string()),
                ];
                audit::append_admin(txn, &scope, now, "blueprint:import", told)?;
            }
            Ok((version, is_new))
        };
        let (version, is_new) = self.write(put_told).await?;
        Ok(Imported { known: Known { version, blueprint }, format, is_new, notes })
    }

    /// Returns one by its key, its newest version.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn blueprint(&self, key: &str) -> Result<Known, HubError> {
        let found = self.read(|txn| newest(txn, key))?;
        found.ok_or(HubError::NotFound { what: "blueprint" })
    }

    /// Returns that of a server, in the version that the server is made from.
    ///
    /// # Errors
    /// `NotFound`: the server is not there, or is from a hub that knew other blueprints.
    pub fn blueprint_of_server(
        &self,
        scope: &TenantScope,
        server: ServerId,
    ) -> Result<Blueprint, HubError> {
        self.read(|txn| {
            let record = txn.get(SERVERS, &(scope.tenant(), server))?;
            let record = record.ok_or(HubError::NotFound { what: "server" })?;
            version(txn, &record.blueprint, record.blueprint_version)
        })
    }

    /// Returns how the game of a server is asked for its players, `None` when that is not known, or the
    /// store cannot be read.
    pub(crate) fn query_of(&self, server: ServerId) -> Option<Query> {
        let features = self.read(|txn| {
            let Some(TenantRef(tenant)) = txn.get(SERVER_TENANTS, &server)? else {
                return Ok(Vec::new());
            };
            let Some(record) = txn.get(SERVERS, &(tenant, server))? else { return Ok(Vec::new()) };
            Ok(version(txn, &record.blueprint, record.blueprint_version)?.features)
        });
        features.ok().and_then(|it| Query::of(&it))
    }

    /// Lists all, by key unless another order is asked for. With a filter a page may be short, or empty,
    /// and have a next one all the same.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn blueprints(&self, query: &BlueprintQuery) -> Result<Page<Known>, HubError> {
        let BlueprintQuery { name, tag, feature, sort, after, limit } = query.clone();
        let by_title: PlaceOf<Known> = |it| it.blueprint.name.to_lowercase().into_bytes();
        let sort = Sort::read(sort.as_deref(), "blueprint", &[("title", by_title)])?;
        let is_filtered = name.is_some() || tag.is_some() || feature.is_some();
        let name = name.map(|it| it.to_lowercase());
        let fits = |it: &Blueprint| {
            let is_named = |name: &String| {
                it.key.to_lowercase().contains(name) || it.name.to_lowercase().contains(name)
            };
            name.as_ref().is_none_or(is_named)
                && tag.as_ref().is_none_or(|tag| it.tags.contains(tag))
                && feature.as_ref().is_none_or(|feature| it.features.contains(feature))
        };
        self.read(|txn| {
            sort.page(
                &PageQuery { after, limit },
                is_filtered,
                |after, most| some(txn, after, most),
                |_, it| Ok(fits(&it.blueprint)),
                |_, it| Ok(it),
            )
        })
    }

    /// Deletes an imported one with all its versions.
    ///
    /// # Errors
    /// `NotFound`, `Refused` for a built-in one and for one that a server uses.
    pub async fn delete_blueprint(&self, scope: &AdminScope, key: String) -> Result<(), HubError> {
        if built_in(&key).is_some() {
            return Err(HubError::Refused(format!("blueprint `{key}` comes with the product")));
        }
        let (scope, now) = (scope.clone(), self.now());
        self.write(move |txn| {
            delete(txn, &key)?;
            let told = [Change::set("blueprint", key.clone())];
            audit::append_admin(txn, &scope, now, "blueprint:delete", told)
        })
        .await
    }
}

/// Returns up to `most` behind a key, by key, those that come with the product among the others.
fn some(
    txn: &impl Snapshot,
    after: Option<&String>,
    most: usize,
) -> Result<Vec<(String, Known)>, HubError> {
    let built_in =
        Blueprint::built_in().iter().filter(|it| after.is_none_or(|after| it.key > *after));
    let mut known: Vec<(String, Known)> = built_in
        .map(|it| (it.key.clone(), Known { version: BUILT_IN, blueprint: it.clone() }))
        .collect();
    for (key, record) in txn.range(BLUEPRINTS, behind(after), most)? {
        let blueprint = version(txn, &key, record.version)?;
        known.push((key, Known { version: record.version, blueprint }));
    }
    known.sort_by(|(one, _), (other, _)| one.cmp(other));
    known.truncate(most);
    Ok(known)
}

fn put(txn: &mut Txn<'_>, key: &String, record: &VersionRecord) -> Result<(u32, bool), HubError> {
    let before = txn.get(BLUEPRINTS, key)?;
    if let Some(before) = &before {
        let newest = txn.get(VERSIONS, &(key.clone(), before.version))?;
        if newest.is_some_and(|newest| newest.text == record.text) {
            return Ok((before.version, false));
        }
    } else if txn.range(BLUEPRINTS, Span::all(), BLUEPRINTS_MAX)?.len() >= BLUEPRINTS_MAX {
        return Err(HubError::Refused(format!("there are {BLUEPRINTS_MAX} blueprints already")));
    }
    make_room(txn, key)?;
    let version = before.map_or(1, |before| before.version.saturating_add(1));
    txn.put(BLUEPRINTS, key, &BlueprintRecord { version })?;
    txn.put(VERSIONS, &(key.clone(), version), record)?;
    Ok((version, true))
}

/// Deletes the oldest version that no server uses, when there are as many as are kept.
fn make_room(txn: &mut Txn<'_>, key: &str) -> Result<(), HubError> {
    let versions = txn.prefix(VERSIONS, &(key.to_owned(),), VERSIONS_MAX)?;
    if versions.len() < VERSIONS_MAX {
        return Ok(());
    }
    let used: Vec<u32> = users(txn, key)?.iter().map(|it| it.blueprint_version).collect();
    let free = versions.into_iter().map(|(key, _)| key).find(|(_, it)| !used.contains(it));
    let Some(free) = free else {
        let text = format!("servers use all {VERSIONS_MAX} versions of blueprint `{key}`");
        return Err(HubError::Refused(text));
    };
    Ok(txn.delete(VERSIONS, &free)?)
}

fn delete(txn: &mut Txn<'_>, key: &String) -> Result<(), HubError> {
    if !txn.contains(BLUEPRINTS, key)? {
        return Err(HubError::NotFound { what: "blueprint" });
    }
    let used = users(txn, key)?.len();
    if used > 0 {
        let text = format!("blueprint `{key}` is used by {used} servers");
        return Err(HubError::Refused(text));
    }
    for (version, _) in txn.prefix(VERSIONS, &(key.clone(),), VERSIONS_MAX)? {
        txn.delete(VERSIONS, &version)?;
    }
    Ok(txn.delete(BLUEPRINTS, key)?)
}

/// Returns the servers that use a blueprint, one that is being deleted included.
fn users(txn: &impl Snapshot, key: &str) -> Result<Vec<ServerRecord>, HubError> {
    let mut found = Vec::new();
    for ((_, server), tenant) in txn.prefix(USERS, &(key.to_owned(),), USERS_MAX)? {
        let record = txn.get(SERVERS, &(tenant.0, server))?;
        found.extend(record.filter(|it| it.is_present() && it.blueprint == key));
    }
    Ok(found)
}

/// Notes that a server uses its blueprint, in the transaction that stores the server.
pub(crate) fn note_use(
    txn: &mut Txn<'_>,
    (tenant, server): (TenantId, ServerId),
    record: &ServerRecord,
) -> Result<(), HubError> {
    if record.blueprint_version == BUILT_IN {
        return Ok(());
    }
    let key = (record.blueprint.clone(), server);
    if txn.contains(USERS, &key)? {
        Ok(())
    } else {
        Ok(txn.put(USERS, &key, &TenantRef(tenant))?)
    }
}

/// Notes that a server made with a blueprint belongs to somebody else by now.
pub(crate) fn pass_use(
    txn: &mut Txn<'_>,
    (tenant, server): (TenantId, ServerId),
    record: &ServerRecord,
) -> Result<(), HubError> {
    let key = (record.blueprint.clone(), server);
    if txn.contains(USERS, &key)? {
        txn.put(USERS, &key, &TenantRef(tenant))?;
    }
    Ok(())
}

fn built_in(key: &str) -> Option<&'static Blueprint> {
    Blueprint::built_in().iter().find(|it| it.key == key)
}

/// Returns the newest version of a blueprint.
pub(crate) fn newest(txn: &impl Snapshot, key: &str) -> Result<Option<Known>, HubError> {
    if let Some(blueprint) = built_in(key) {
        return Ok(Some(Known { version: BUILT_IN, blueprint: blueprint.clone() }));
    }
    let Some(record) = txn.get(BLUEPRINTS, &key.to_owned())? else { return Ok(None) };
    let blueprint = version(txn, key, record.version)?;
    Ok(Some(Known { version: record.version, blueprint }))
}

/// Returns the version of a blueprint that a server was made with.
///
/// # Errors
/// `NotFound`: it is from a hub that knew others.
pub(crate) fn version(txn: &impl Snapshot, key: &str, version: u32) -> Result<Blueprint, HubError> {
    let missing = || HubError::NotFound { what: "blueprint" };
    if version == BUILT_IN {
        return built_in(key).cloned().ok_or_else(missing);
    }
    let record = txn.get(VERSIONS, &(key.to_owned(), version))?.ok_or_else(missing)?;
    // It was written by this code, or by an older one whose checks were others.
    serde_json::from_str(&record.text)
        .map_err(|err| HubError::Bug(format!("blueprint `{key}` cannot be read: {err}")))
}

/// Finds one that fits, with its key and version: among the versions of `key`, newest first, then among
/// those that come with the product, then among the newest versions of all others.
pub(crate) fn find(
    txn: &impl Snapshot,
    key: &str,
    fits: impl Fn(&Blueprint) -> bool,
) -> Result<Option<(String, u32, Blueprint)>, HubError> {
    let own = txn.prefix(VERSIONS, &(key.to_owned(),), VERSIONS_MAX)?;
    for ((_, number), _) in own.into_iter().rev() {
        let blueprint = version(txn, key, number)?;
        if fits(&blueprint) {
            return Ok(Some((key.to_owned(), number, blueprint)));
        }
    }
    if let Some(found) = Blueprint::built_in().iter().find(|it| fits(it)) {
        return Ok(Some((found.key.clone(), BUILT_IN, found.clone())));
    }
    for (other, record) in txn.range(BLUEPRINTS, Span::all(), BLUEPRINTS_MAX)? {
        let blueprint = version(txn, &other, record.version)?;
        if other != key && fits(&blueprint) {
            return Ok(Some((other, record.version, blueprint)));
        }
    }
    Ok(None)
}

/// What is read in one look at many servers: each definition once.
#[derive(Default)]
pub(crate) struct Shelf(BTreeMap<(String, u32), Option<Blueprint>>);

impl Shelf {
    /// Returns what a server is made from; `None` when it is from a hub that knew others.
    pub(crate) fn of_server(
        &mut self,
        txn: &impl Snapshot,
        record: &ServerRecord,
    ) -> Result<Option<&Blueprint>, HubError> {
        let place = match self.0.entry((record.blueprint.clone(), record.blueprint_version)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let (key, number) = place.key();
                let found = match version(txn, key, *number) {
                    Ok(blueprint) => Some(blueprint),
                    Err(HubError::NotFound { .. }) => None,
                    Err(err) => return Err(err),
                };
                place.insert(found)
            }
        };
        Ok(place.as_ref())
    }
}

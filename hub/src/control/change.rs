//! Changes and deletes servers.

use super::{
    Deleting, ServerChange,
    create::{ALLOCATION_LIMIT_MAX, BACKUP_LIMIT_MAX, check_growth},
    hidden::Whole,
    names::{check_description, name_outside},
    wish::{Happened, ServerKey, blueprint_of, check_mass_limit, check_stays, commit, find_alive},
};
use crate::{
    Hub, HubError,
    store::{Deletion, ServerRecord},
    tenants::{self, check_quota},
};
use mamba_core::{
    audit::Change,
    blueprint::{Choices, Feature, Pick, Variable},
    db::Txn,
    fact::Activity,
    ids::{NodeId, ServerId},
    scope::TenantScope,
    server::check_range,
};
use mamba_wire::api::server::Server;
use std::collections::BTreeSet;

impl Hub {
    /// Changes what is wanted of a server: its next generation. A change that changes nothing makes
    /// none.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` with the field, `Refused` while it is being deleted, `NeedsForce` when
    /// suspending ends too large a share of the node. Nothing was changed.
    pub async fn change_server(
        &self,
        scope: &TenantScope,
        server: ServerId,
        change: ServerChange,
    ) -> Result<Server, HubError> {
        check_description(change.description.as_deref())?;
        check_range(
            "allocation_limit",
            change.allocation_limit.unwrap_or_default(),
            0,
            ALLOCATION_LIMIT_MAX,
        )?;
        check_range("backup_limit", change.backup_limit.unwrap_or_default(), 0, BACKUP_LIMIT_MAX)?;
        self.make_wish(scope, server, move |hub, txn, key, happened| {
            apply(hub, txn, key, &change, happened)
        })
        .await
    }

    /// Records that a server shall be deleted. Asking again may bring it forward, never put it off.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`, `NeedsForce`. Nothing was changed.
    pub async fn delete_server(
        &self,
        scope: &TenantScope,
        server: ServerId,
        deleting: Deleting,
    ) -> Result<Server, HubError> {
        deleting.check()?;
        self.make_wish(scope, server, move |hub, txn, key, happened| {
            entomb(hub, txn, key, deleting, happened)
        })
        .await
    }
}

fn apply(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    change: &ServerChange,
    happened: &Happened,
) -> Result<NodeId, HubError> {
    let mut record = Whole::of(hub, txn, &key, find_alive(txn, &key)?)?;
    if change.accept_eula && !blueprint_of(txn, &record)?.has(Feature::Eula) {
        let why = "the server's blueprint names no licence to agree to";
        return Err(HubError::Refused(why.to_owned()));
    }
    let before = ServerRecord::clone(&record);
    let mut fields = merge(&mut record, change);
    // Only who does not pay is stopped at any time.
    if fields.iter().any(|it| *it != "suspended") {
        check_stays(&record)?;
    }
    let is_new_wish = !fields.is_empty();
    fields.extend(merge_names(&mut record, change));
    if fields.is_empty() {
        return Ok(record.node);
    }
    name_outside(txn, key, before.external_id.as_ref(), record.external_id.as_ref())?;
    if change.suspended == Some(true) && fields.contains(&"suspended") && !change.force {
        check_mass_limit(txn, record.node, key.1)?;
    }
    record.changed_at = happened.now;
    check_growth(txn, &record, &before.choices.limits)?;
    if is_new_wish {
        commit(hub, txn, key, &mut record, change.force)?;
    } else {
        record.put(hub, txn, &key)?;
    }
    // What shrinks is always allowed, also to a tenant whose quota was lowered.
    let (now, then) = (record.choices.limits, before.choices.limits);
    let grows = now.memory_mib > then.memory_mib
        || now.disk_mib > then.disk_mib
        || now.cpu_millicores > then.cpu_millicores
        || record.backup_limit > before.backup_limit;
    if grows {
        check_quota(txn, key.0)?;
    }
    let generation = record.order.generation.0;
    let fields = fields.into_iter().map(str::to_owned).collect();
    let known = blueprint_of(txn, &record)?.variables;
    let changes = differences(&known, &before.choices, &record.choices);
    happened.record_change(txn, &key, Activity::Changed { generation, fields }, changes)?;
    Ok(record.node)
}

/// Takes the change over and returns the names of what became different.
fn merge(record: &mut ServerRecord, change: &ServerChange) -> Vec<&'static str> {
    let mut fields = Vec::new();
    let choices = &mut record.choices;
    let mut set = |field: &'static str, differs: bool| {
        if differs {
            fields.push(field);
        }
    };
    set("name", change.name.as_ref().is_some_and(|name| replace(&mut choices.name, name.clone())));
    let given = change.variables.iter().flatten();
    let mut variables = choices.variables.clone();
    variables.extend(given.map(|(name, value)| (name.clone(), value.clone())));
    set("variables", replace(&mut choices.variables, variables));
    set("limits", change.limits.is_some_and(|limits| replace(&mut choices.limits, limits)));
    set("suspended", change.suspended.is_some_and(|it| replace(&mut choices.suspended, it)));
    set("auto_start", change.auto_start.is_some_and(|it| replace(&mut choices.auto_start, it)));
    set("restart", change.restart.is_some_and(|it| replace(&mut choices.restart, it)));
    let mounts = change.mounts.clone();
    set("mounts", mounts.is_some_and(|it| replace(&mut choices.mounts, it)));
    let image = change.image.clone();
    set("image", image.is_some_and(|it| replace(&mut choices.image, Some(it))));
    let startup = change.startup.clone();
    set("startup", startup.is_some_and(|it| replace(&mut choices.startup, Some(it))));
    set("eula", change.accept_eula && replace(&mut choices.eula_accepted, true));
    fields
}

/// Takes over what the node need not know of, and returns the names of what became different.
fn merge_names(record: &mut ServerRecord, change: &ServerChange) -> Vec<&'static str> {
    let mut fields = Vec::new();
    let word = |text: &String| (!text.is_empty()).then(|| text.clone());
    let description = change.description.as_ref();
    if description.is_some_and(|it| replace(&mut record.description, word(it))) {
        fields.push("description");
    }
    let external_id = change.external_id.clone();
    if external_id.is_some_and(|it| replace(&mut record.external_id, it)) {
        fields.push("external_id");
    }
    if change.allocation_limit.is_some_and(|it| replace(&mut record.allocation_limit, it)) {
        fields.push("allocation_limit");
    }
    if change.backup_limit.is_some_and(|it| replace(&mut record.backup_limit, it)) {
        fields.push("backup_limit");
    }
    if change.skip_scripts.is_some_and(|it| replace(&mut record.skip_scripts, it)) {
        fields.push("skip_scripts");
    }
    fields
}

/// Says what differs, for the audit trail. Values of variables that users may not see, or whose name
/// says that they are secret, are masked.
pub(super) fn differences(known: &[Variable], before: &Choices, after: &Choices) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut add = |field: &str, before: String, after: String| {
        if before != after {
            changes.push(Change::new(field, Some(before), Some(after)));
        }
    };
    add("name", before.name.clone(), after.name.clone());
    add("limits", json(&before.limits), json(&after.limits));
    add("suspended", before.suspended.to_string(), after.suspended.to_string());
    add("auto_start", json(&before.auto_start), json(&after.auto_start));
    add("mounts", json(&before.mounts), json(&after.mounts));
    add("restart", json(&before.restart), json(&after.restart));
    let text = |pick: &Option<Pick>| pick.as_ref().map_or(String::new(), |it| it.text().to_owned());
    add("image", text(&before.image), text(&after.image));
    add("startup", text(&before.startup), text(&after.startup));
    add("eula", before.eula_accepted.to_string(), after.eula_accepted.to_string());
    let names: BTreeSet<&String> = before.variables.keys().chain(after.variables.keys()).collect();
    for name in names {
        let (old, new) = (before.variables.get(name), after.variables.get(name));
        if old != new {
            let change = Change::new(format!("variables.{name}"), old.cloned(), new.cloned());
            let is_open = known.iter().any(|it| it.env == *name && !it.is_secret());
            changes.push(if is_open { change } else { change.masked() });
        }
    }
    changes
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Sets `place` and returns whether that changed it.
fn replace<T: PartialEq>(place: &mut T, value: T) -> bool {
    let differs = *place != value;
    *place = value;
    differs
}

fn entomb(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    deleting: Deleting,
    happened: &Happened,
) -> Result<NodeId, HubError> {
    let mut record = Whole::find(hub, txn, &key)?;
    check_stays(&record)?;
    let not_before = happened.now.plus(deleting.after_ms);
    let known = record.deletion.as_ref();
    if known.is_some_and(|known| known.not_before <= not_before) {
        return Ok(record.node);
    }
    if !deleting.force {
        check_mass_limit(txn, record.node, key.1)?;
    }
    if known.is_none() {
        let Happened { event, now, actor, .. } = happened;
        tenants::server_deleted(txn, *now, *event, key, actor)?;
    }
    record.deletion = Some(Deletion {
        asked_at: known.map_or(happened.now, |known| known.asked_at),
        by: happened.actor.clone(),
        not_before,
        retain_ms: deleting.retain_ms,
        done_at: None,
    });
    record.changed_at = happened.now;
    commit(hub, txn, key, &mut record, deleting.force)?;
    happened.record(txn, &key, Activity::DeletionAsked { not_before })?;
    Ok(record.node)
}

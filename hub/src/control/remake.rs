//! Makes a server from another blueprint, or from a newer version of its own.
//!
//! Its files, its ports and its limits stay. What it had chosen of the old blueprint is checked against the
//! new one: a variable that is not known there goes, one that is new has its default.

use super::{
    change::differences,
    hidden::Whole,
    install, ports,
    wish::{Happened, ServerKey, commit, next_order},
};
use crate::{
    Hub, HubError,
    blueprints::{self, Known, Shelf},
    store::ServerRecord,
};
use mamba_core::{
    audit::Change,
    blueprint::{Blueprint, Choices, Pick, Variable},
    db::Txn,
    error::Invalid,
    fact::Activity,
    ids::{NodeId, ServerId},
    scope::TenantScope,
    server::{InstallAsk, InstallFiles},
};
use mamba_wire::api::server::Server;
use std::collections::{BTreeMap, BTreeSet};

/// What a server shall be made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remake {
    /// Key of the blueprint; its newest version is taken.
    pub blueprint: String,
    /// One of its images; that of the server stays where it is listed, or else the first is taken.
    pub image: Option<String>,
    /// Values of its variables, before those that the server has.
    pub variables: BTreeMap<String, String>,
    /// Whether its install script is run, and what becomes of the files that are there.
    pub install: Option<InstallFiles>,
}

impl Hub {
    /// Has a server made from another blueprint: its next generation. The process that runs goes on
    /// until its restart, unless the install script is run.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` with the field, `Refused` while it is being deleted, moved or installed,
    /// and for an install that is not possible. Nothing was changed.
    pub async fn remake_server(
        &self,
        scope: &TenantScope,
        server: ServerId,
        remake: Remake,
    ) -> Result<Server, HubError> {
        self.make_wish(scope, server, move |hub, txn, key, happened| {
            apply(hub, txn, key, &remake, happened)
        })
        .await
    }
}

fn apply(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    remake: &Remake,
    happened: &Happened,
) -> Result<NodeId, HubError> {
    let mut record = Whole::find_kept(hub, txn, &key)?;
    install::check_closed(txn, &key, &record)?;
    let unknown = || HubError::invalid("blueprint", "is not a blueprint of this hub");
    let Known { version, blueprint } =
        blueprints::newest(txn, &remake.blueprint)?.ok_or_else(unknown)?;
    let before = (record.blueprint.clone(), record.blueprint_version, record.choices.clone());
    let is_other = before.0 != remake.blueprint;
    let hidden = hidden(txn, &record)?;
    record.choices = choices(&blueprint, (&before.2, &hidden), remake, is_other)?;
    let allocations = record.allocations.clone();
    if allocations.len() < blueprint.ports.len() {
        let rule = format!("must be at least {} for this blueprint", blueprint.ports.len());
        return Err(HubError::invalid("ports", rule));
    }
    ports::arrange(txn, &mut record, &blueprint.ports, &allocations).map_err(at_ports)?;
    if let Some(files) = remake.install {
        install::check_script(&blueprint, &record)?;
        record.choices.install = Some(InstallAsk::new(next_order(hub, &record), files));
    } else if blueprint.install.is_none() {
        record.choices.install = None;
    }
    if (&before.0, before.1, &before.2) == (&remake.blueprint, version, &record.choices) {
        return Ok(record.node);
    }
    record.blueprint.clone_from(&remake.blueprint);
    record.blueprint_version = version;
    record.changed_at = happened.now;
    commit(hub, txn, key, &mut record, false)?;
    let mut changes = vec![
        Change::new("blueprint", Some(before.0), Some(remake.blueprint.clone())),
        Change::new("version", Some(before.1.to_string()), Some(version.to_string())),
    ];
    let open = blueprint.variables.into_iter().filter(|it| !hidden.contains(&it.env));
    let open: Vec<Variable> = open.collect();
    changes.extend(differences(&open, &before.2, &record.choices));
    let (generation, fields) = (record.order.generation.0, vec!["blueprint".to_owned()]);
    happened.record_change(txn, &key, Activity::Changed { generation, fields }, changes)?;
    Ok(record.node)
}

/// Returns the variables that a server has and whose values its users may not see: all of them when its
/// blueprint is not known any more.
fn hidden(txn: &Txn<'_>, record: &ServerRecord) -> Result<BTreeSet<String>, HubError> {
    let mut shelf = Shelf::default();
    let known = shelf.of_server(txn, record)?.map_or(&[][..], |it| &it.variables);
    let is_open = |name: &String| known.iter().any(|it| it.env == *name && !it.is_secret());
    Ok(record.choices.variables.keys().filter(|name| !is_open(name)).cloned().collect())
}

/// Returns what is chosen of the new blueprint. A value that users could not see goes along only where they
/// still cannot. What breaks its rules is told when it is rendered.
fn choices(
    blueprint: &Blueprint,
    (before, hidden): (&Choices, &BTreeSet<String>),
    remake: &Remake,
    is_other: bool,
) -> Result<Choices, Invalid> {
    let known = |name: &str| blueprint.variables.iter().any(|it| it.env == name);
    if let Some(name) = remake.variables.keys().find(|name| !known(name)) {
        let rule = "is not a variable of this blueprint";
        return Err(Invalid::new(format!("variables.{name}"), rule));
    }
    let mut variables = before.variables.clone();
    let is_hidden =
        |name: &str| blueprint.variables.iter().any(|it| it.env == name && it.is_secret());
    variables.retain(|name, _| known(name) && (!hidden.contains(name) || is_hidden(name)));
    variables.extend(remake.variables.clone());
    let is_image = |text: &str| blueprint.images.iter().any(|it| it.image == text);
    let is_line = |text: &str| {
        blueprint.startup == text || blueprint.startups.iter().any(|it| it.line == text)
    };
    // What an administrator wrote for another game fits no more.
    let keep = |pick: &Option<Pick>, is_listed: &dyn Fn(&str) -> bool| match pick {
        Some(Pick::Own(_)) if is_other => None,
        Some(Pick::Listed(text)) if !is_listed(text) => None,
        pick => pick.clone(),
    };
    let image = match &remake.image {
        Some(image) => Some(Pick::Listed(image.clone())),
        None => keep(&before.image, &is_image),
    };
    let startup = keep(&before.startup, &is_line);
    Ok(Choices { image, startup, variables, ..before.clone() })
}

/// The server's own ports are at fault, not a list that somebody gave.
fn at_ports(err: HubError) -> HubError {
    match err {
        HubError::Invalid(err) => HubError::Invalid(Invalid { field: "ports".to_owned(), ..err }),
        err => err,
    }
}

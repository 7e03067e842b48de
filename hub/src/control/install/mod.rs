//! Has servers installed again, and ends install scripts, on nodes that need not be connected.
//!
//! Both are part of what is wanted of the server, so that they wait for the node as long as it takes
//! and are done once. What a node says of its newest run tells how far that is.

use super::{
    hidden::Whole,
    wish::{Happened, ServerKey, blueprint_of, commit, next_order},
};
use crate::{
    Hub, HubError,
    store::{OBSERVED, SERVERS, ServerRecord},
};
use mamba_core::{
    blueprint::Blueprint,
    db::{Snapshot, Txn},
    fact::Activity,
    ids::{NodeId, ServerId},
    lifecycle::install::InstallRecord,
    scope::TenantScope,
    server::{InstallAsk, InstallFiles},
};
use mamba_wire::api::server::{Install, InstallState, Server};

impl Hub {
    /// Asks for a run of the server's install script. A server that runs is stopped for it.
    ///
    /// # Errors
    /// `NotFound`, `Refused` while it is being deleted, installed or suspended, and when there is no
    /// script to run. Nothing was changed.
    pub async fn reinstall_server(
        &self,
        scope: &TenantScope,
        server: ServerId,
        files: InstallFiles,
    ) -> Result<Server, HubError> {
        self.make_wish(scope, server, move |hub, txn, key, happened| {
            reinstall(hub, txn, key, files, happened)
        })
        .await
    }

    /// Asks for the end of the server's install script. It is not installed then.
    ///
    /// # Errors
    /// `NotFound`, `Refused` when none runs or is to be run. Nothing was changed.
    pub async fn cancel_install(
        &self,
        scope: &TenantScope,
        server: ServerId,
    ) -> Result<Server, HubError> {
        self.make_wish(scope, server, cancel).await
    }
}

fn reinstall(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    files: InstallFiles,
    happened: &Happened,
) -> Result<NodeId, HubError> {
    let mut record = Whole::find_kept(hub, txn, &key)?;
    check_script(&blueprint_of(txn, &record)?, &record)?;
    check_closed(txn, &key, &record)?;
    record.choices.install = Some(InstallAsk::new(next_order(hub, &record), files));
    record.changed_at = happened.now;
    commit(hub, txn, key, &mut record, false)?;
    happened.record(txn, &key, Activity::ReinstallAsked { files })?;
    Ok(record.node)
}

fn cancel(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    happened: &Happened,
) -> Result<NodeId, HubError> {
    let mut record = Whole::find_kept(hub, txn, &key)?;
    let is_open = is_open(txn, &key, &record)?;
    let Some(ask) = record.choices.install.as_mut().filter(|_| is_open) else {
        let why = "no install script of this server runs or is to be run";
        return Err(HubError::Refused(why.to_owned()));
    };
    if ask.cancelled {
        return Ok(record.node);
    }
    ask.cancelled = true;
    record.changed_at = happened.now;
    commit(hub, txn, key, &mut record, false)?;
    happened.record(txn, &key, Activity::InstallCancelAsked)?;
    Ok(record.node)
}

/// Refuses to run the install script of a blueprint for a server for which none is to be run.
pub(super) fn check_script(blueprint: &Blueprint, record: &ServerRecord) -> Result<(), HubError> {
    let why = if record.choices.suspended {
        "server is suspended"
    } else if record.skip_scripts {
        "install scripts are switched off for this server"
    } else if blueprint.install.is_none() {
        "the server's blueprint has no install script"
    } else {
        return Ok(());
    };
    Err(HubError::Refused(why.to_owned()))
}

/// Refuses what cannot be done while the install script runs or is to be run.
pub(super) fn check_closed(
    txn: &impl Snapshot,
    key: &ServerKey,
    record: &ServerRecord,
) -> Result<(), HubError> {
    if is_open(txn, key, record)? {
        return Err(HubError::Refused("server is being installed".to_owned()));
    }
    Ok(())
}

/// Returns why a server may not be started because of its install script, if that is so.
pub(super) fn refuses_start(
    txn: &impl Snapshot,
    key: &ServerKey,
    record: &ServerRecord,
) -> Result<Option<&'static str>, HubError> {
    Ok(match state(txn, key, record)? {
        InstallState::None | InstallState::Done => None,
        InstallState::Waiting | InstallState::Running => Some("server is being installed"),
        InstallState::Failed => Some("install of the server failed: have it installed again"),
        InstallState::Cancelled => {
            Some("install of the server was cancelled: have it installed again")
        }
    })
}

/// Whether a run of the install script is under way, or is to be made.
fn is_open(txn: &impl Snapshot, key: &ServerKey, record: &ServerRecord) -> Result<bool, HubError> {
    Ok(matches!(state(txn, key, record)?, InstallState::Waiting | InstallState::Running))
}

/// Whether a server has a script in front of it that its node did not report on.
fn state(
    txn: &impl Snapshot,
    key: &ServerKey,
    record: &ServerRecord,
) -> Result<InstallState, HubError> {
    let observed = txn.get(OBSERVED, key)?;
    let run = observed.as_ref().and_then(|it| it.observed.install.as_ref());
    Ok(shown(record, run).state)
}

/// Says how far the install of a server is, by what its node said last.
pub(super) fn shown(record: &ServerRecord, run: Option<&InstallRecord>) -> Install {
    Install::of(record.choices.install.as_ref(), run)
}

impl Hub {
    /// Returns the names of the variables of a server that its people may see.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn viewable_variables(
        &self,
        server: &Server,
    ) -> Result<std::collections::BTreeSet<String>, HubError> {
        let found = self.read(|txn| {
            let record = txn.get(SERVERS, &(server.tenant, server.server))?;
            let record = record.ok_or(HubError::NotFound { what: "server" })?;
            blueprint_of(txn, &record)
        });
        match found {
            Ok(blueprint) => {
                let open = blueprint.variables.into_iter().filter(|it| it.user_viewable);
                Ok(open.map(|it| it.env).collect())
            }
            // Adopted by a hub that does not know its blueprint: what nobody vouches for stays hidden.
            Err(HubError::NotFound { .. }) => Ok(Default::default()),
            Err(err) => Err(err),
        }
    }
}

#[cfg(test)]
mod tests;

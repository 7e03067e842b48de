//! Runs of install scripts: what is kept of them, and the changes of it.
//!
//! Table 40 `installs` holds the newest run of each server. A run is written down before its container
//! is made, and its end in one transaction with the fact that tells of it, exactly once. The same end
//! lies beside the script's log in a file, so that a node that lost its store does not install again
//! over a world that is there.

mod files;
mod log;

pub use files::{InstallDirs, InstallError};
pub use log::{InstallLog, LOG_BYTES_MAX};

use crate::store::{ChangeError, DESIRED, append_all};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot, Table, TableDef, Txn, TxnError},
    desired::Order,
    fact::{Activity, ActivityFact},
    ids::{EventId, ServerId},
    lifecycle::{
        Actor,
        install::{InstallEnd, InstallOutcome, InstallRecord, Stage, stage},
    },
};
use mamba_wire::node::NodeError;

/// The newest run of each server.
pub const INSTALLS: Table<ServerId, InstallRecord> = Table::new(40, "installs");

/// All tables of this module.
pub const TABLES: [TableDef; 1] = [INSTALLS.def()];

/// Writes down that a run begins, with the fact that tells of it. One that has begun, or that a newer
/// one took the place of, is returned as it is.
///
/// # Errors
/// When the store cannot take it.
pub fn begin(
    txn: &mut Txn<'_>,
    asked: Order,
    fact: &ActivityFact,
) -> Result<InstallRecord, ChangeError> {
    let Some((_, server)) = fact.about else { return Ok(new(asked, fact.at)) };
    if let Some(known) = txn.get(INSTALLS, &server)?.filter(|known| known.asked >= asked) {
        return Ok(known);
    }
    let record = new(asked, fact.at);
    txn.put(INSTALLS, &server, &record)?;
    append_all(txn, std::slice::from_ref(fact))?;
    Ok(record)
}

/// Writes down how a run ended, with the fact that tells of it. An end that is written already stays,
/// and so does a newer run; what is kept is returned.
///
/// # Errors
/// When the store cannot take it.
pub fn end(
    txn: &mut Txn<'_>,
    asked: Order,
    end: &InstallEnd,
    fact: &ActivityFact,
) -> Result<InstallRecord, ChangeError> {
    let Some((_, server)) = fact.about else { return Ok(new(asked, end.at)) };
    let known = txn.get(INSTALLS, &server)?;
    let known = match known {
        Some(known) if known.asked > asked || (known.asked == asked && known.end.is_some()) => {
            return Ok(known);
        }
        Some(known) if known.asked == asked => known,
        Some(_) | None => new(asked, end.at),
    };
    let record = InstallRecord { end: Some(end.clone()), ..known };
    txn.put(INSTALLS, &server, &record)?;
    append_all(txn, std::slice::from_ref(fact))?;
    Ok(record)
}

/// Writes down that somebody on the node wants a run to end.
///
/// # Errors
/// The inner one when no run is under way or to be made: nothing was written. The outer one when the
/// store cannot take it.
pub fn cancel(
    txn: &mut Txn<'_>,
    server: ServerId,
    by: &Actor,
    event: EventId,
    now: UnixMs,
) -> Result<Result<(), NodeError>, ChangeError> {
    let held = txn.get(DESIRED, &server)?.and_then(|it| it.in_force);
    let Some(envelope) = held.and_then(|held| held.envelope.open().ok()) else {
        return Ok(Err(NodeError::NoSuchServer(server)));
    };
    let record = txn.get(INSTALLS, &server)?;
    let wanted = envelope.body.spec().and_then(|spec| spec.install.as_ref());
    let asked = match stage(wanted, record.as_ref()) {
        Stage::Due { asked, .. } => asked,
        Stage::Ending { .. } => return Ok(Ok(())),
        Stage::Ready | Stage::Failed(_) => {
            let why = "no install script of this server runs or is to be run";
            return Ok(Err(NodeError::NotAllowed(why.to_owned())));
        }
    };
    let known = record.filter(|record| record.asked == asked);
    let record = known.unwrap_or_else(|| new(asked, now));
    txn.put(INSTALLS, &server, &InstallRecord { cancel: Some(by.clone()), ..record })?;
    let about = Some((envelope.tenant, server));
    let (actor, body) = (by.clone(), Activity::InstallCancelAsked);
    append_all(txn, &[ActivityFact { event, at: now, about, actor, body }])?;
    Ok(Ok(()))
}

/// Returns why a server may not be started because of its install script, if that is so.
///
/// # Errors
/// When the store cannot be read.
pub fn refuses_start(
    txn: &impl Snapshot,
    server: ServerId,
    wanted: Option<&mamba_core::server::Install>,
) -> Result<Option<String>, TxnError> {
    let record = txn.get(INSTALLS, &server)?;
    Ok(match stage(wanted, record.as_ref()) {
        Stage::Ready => None,
        Stage::Due { .. } | Stage::Ending { .. } => Some("server is being installed".to_owned()),
        Stage::Failed(end) => Some(match &end.outcome {
            InstallOutcome::Failed { error, .. } => {
                format!("install of the server failed ({error}): have it installed again")
            }
            InstallOutcome::Installed | InstallOutcome::Cancelled => {
                "install of the server was cancelled: have it installed again".to_owned()
            }
        }),
    })
}

fn new(asked: Order, begun_at: UnixMs) -> InstallRecord {
    InstallRecord { asked, begun_at, cancel: None, end: None }
}

#[cfg(test)]
mod tests;

//! Pure: how a server is, in a word and a colour.

use crate::{i18n::t, parts::Tone};
use mamba_core::lifecycle::{NotRunning, ServerState};
use mamba_wire::api::server::{Pending, Server};

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// Its colour.
    pub(super) tone: Tone,
    /// In a word.
    pub(super) word: &'static str,
    /// What is wanted and not yet so; empty when nothing is.
    pub(super) pending: &'static str,
}

/// Tells how a server is, by its node's last word.
pub(super) fn of(server: &Server) -> Condition {
    let texts = &t().servers;
    let pending = match server.pending {
        Pending::None => "",
        Pending::Restart => texts.pending_restart,
        Pending::Node => texts.pending_node,
    };
    let (tone, word) = if server.deleted_at.is_some() {
        (Tone::Busy, texts.deleting)
    } else if server.suspended {
        (Tone::Busy, texts.suspended)
    } else {
        observed(server)
    };
    Condition { tone, word, pending }
}

fn observed(server: &Server) -> (Tone, &'static str) {
    let texts = &t().servers;
    let Some(observed) = &server.observed else { return (Tone::Calm, texts.unknown) };
    match (observed.state, &observed.not_running) {
        (ServerState::Preparing, _) => (Tone::Busy, texts.preparing),
        (ServerState::Starting, _) => (Tone::Busy, texts.starting),
        (ServerState::Running, _) => (Tone::Good, texts.running),
        (ServerState::Stopping, _) => (Tone::Busy, texts.stopping),
        (ServerState::Installing, _) => (Tone::Busy, texts.installing),
        (ServerState::Offline, Some(reason)) => offline(reason),
        (ServerState::Offline, None) => (Tone::Calm, texts.offline),
    }
}

fn offline(reason: &NotRunning) -> (Tone, &'static str) {
    let texts = &t().servers;
    match reason {
        NotRunning::NotWanted
        | NotRunning::Stopped { .. }
        | NotRunning::Ended { .. }
        | NotRunning::EntitlementEnded { .. } => (Tone::Calm, texts.offline),
        NotRunning::RestartDue { .. }
        | NotRunning::GaveUp { .. }
        | NotRunning::CrashedNoRestart => (Tone::Bad, texts.crashed),
        NotRunning::Suspended => (Tone::Busy, texts.suspended),
        NotRunning::Moving => (Tone::Busy, texts.moving),
        NotRunning::InstallFailed { .. } | NotRunning::InstallCancelled { .. } => {
            (Tone::Bad, texts.not_installed)
        }
        NotRunning::NotBefore { .. } | NotRunning::Queued => (Tone::Busy, texts.queued),
        NotRunning::StepFailed { .. } | NotRunning::EngineUnreachable { .. } => {
            (Tone::Bad, texts.failing)
        }
    }
}

/// Whether a server has a process that uses something, by its node's last word.
pub(super) fn has_process(server: &Server) -> bool {
    server.observed.as_ref().is_some_and(|it| match it.state {
        ServerState::Starting | ServerState::Running | ServerState::Stopping => true,
        ServerState::Preparing | ServerState::Installing | ServerState::Offline => false,
    })
}

/// Returns where players connect: the primary port.
pub(super) fn address(server: &Server) -> Option<String> {
    let port = server.ports.first()?;
    let host = port.alias.clone().unwrap_or_else(|| port.ip.to_string());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Some(format!("{host}:{}", port.port))
}

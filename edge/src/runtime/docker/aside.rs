//! Containers of processes that ended: set aside when the next start needs their name, removed later.
//!
//! The engine takes a tenth of a second to remove a container, and a few milliseconds to give it another
//! name. Nobody who waits for a start has to wait for what is left of the run before it. One that is set
//! aside is gone for everybody but this file; it is removed after the next look at all containers, also
//! when it is another daemon that looks.

use super::{DockerRuntime, LOOK_MS, config, state};
use crate::runtime::{ContainerId, ContainerSpec, ContainerStatus, RuntimeError};
use bollard::{
    models::{ContainerInspectResponse, ContainerSummary},
    query_parameters::{InspectContainerOptions, RenameContainerOptions},
};
use mamba_core::error::chain;
use std::sync::{Mutex, PoisonError};
use tokio::task::JoinSet;

/// How the name of a container begins that was set aside. What follows is its id.
const ASIDE: &str = "mamba-ended-";
/// Removed after one look. More than are started between two looks, but on a machine that boots: there the
/// rest goes after the next ones.
const SWEPT_MAX: usize = 32;

/// Removes, one at a time: at most one task.
#[derive(Debug, Default)]
pub(super) struct Sweeper(Mutex<JoinSet<()>>);

impl DockerRuntime {
    /// Makes room for a container of a server: sets aside the one that an earlier start left under its
    /// name.
    ///
    /// # Errors
    /// `Refused` when that one runs or is another node's.
    pub(super) async fn make_room(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        let refused =
            |error: &str| Err(RuntimeError::Refused { step: "create", error: error.to_owned() });
        let found = self.inspect_raw(&config::container_name(spec.server)).await?;
        let Some(found) = found else { return Ok(()) };
        let is_own = state::container(Some(spec.node), &found).is_some();
        let Some(container) = state::container(None, &found) else { return Ok(()) };
        match container.status {
            ContainerStatus::Running { .. } => refused("a container of this server is running"),
            _ if !is_own => refused("a container of this server belongs to another node"),
            // A start of it that was given up may still come true: nobody would see what then runs.
            ContainerStatus::Created => super::Runtime::remove(self, &container.id).await,
            ContainerStatus::Exited { .. } => self.set_aside(&container.id).await,
        }
    }

    async fn set_aside(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let options = RenameContainerOptions { name: aside_name(id) };
        let renamed = self.call("rename", LOOK_MS, |docker| async move {
            docker.rename_container(&id.0, options).await
        });
        match renamed.await {
            // Somebody may be removing it.
            Err(RuntimeError::Refused { .. }) => super::Runtime::remove(self, id).await,
            Err(RuntimeError::NoSuchContainer) => Ok(()),
            other => other,
        }
    }

    /// Removes in the background what was set aside, of the containers in a list.
    pub(super) fn sweep(&self, listed: &[ContainerSummary]) {
        let aside = listed.iter().filter(|it| it.names.iter().flatten().any(|name| is_aside(name)));
        let ids = aside.filter_map(|it| it.id.clone()).map(ContainerId);
        let ids: Vec<ContainerId> = ids.take(SWEPT_MAX).collect();
        let mut task = self.sweeper.0.lock().unwrap_or_else(PoisonError::into_inner);
        while task.try_join_next().is_some() {}
        if ids.is_empty() || !task.is_empty() {
            return;
        }
        // Without the sweeper, which would otherwise hold itself.
        let runtime = Self { sweeper: std::sync::Arc::default(), ..self.clone() };
        task.spawn(async move {
            for id in ids {
                if let Err(err) = super::Runtime::remove(&runtime, &id).await {
                    tracing::warn!(id = id.0, error = chain(&err), "ended container is kept");
                }
            }
        });
    }

    /// Asks about a container. What the engine says is large: it is kept off the stack.
    pub(super) async fn inspect_raw(
        &self,
        name: &str,
    ) -> Result<Option<Box<ContainerInspectResponse>>, RuntimeError> {
        let found = self.call("inspect", LOOK_MS, |docker| async move {
            docker.inspect_container(name, None::<InspectContainerOptions>).await.map(Box::new)
        });
        match Box::pin(found).await {
            Ok(found) => Ok(Some(found)),
            Err(RuntimeError::NoSuchContainer) => Ok(None),
            Err(err) => Err(err),
        }
    }
}

fn aside_name(id: &ContainerId) -> String {
    format!("{ASIDE}{}", id.0)
}

/// Whether a name as the engine tells it, with a slash in front, is one of a container set aside.
pub(super) fn is_aside(name: &str) -> bool {
    name.trim_start_matches('/').starts_with(ASIDE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::ids::ServerId;

    #[test]
    fn a_name_says_whether_a_container_was_set_aside() {
        let aside = aside_name(&ContainerId("0123abcd".to_owned()));
        assert!(is_aside(&aside) && is_aside(&format!("/{aside}")));
        assert!(!is_aside(&format!("/{}", config::container_name(ServerId::from_bytes([1; 16])))));
    }
}

//! Networks by name: the engine lets many have one name, and then takes that name no longer.

use super::{DockerRuntime, LOOK_MS, NETWORK_MS, is_status};
use crate::runtime::RuntimeError;
use bollard::query_parameters::ListNetworksOptions;
use std::time::Duration;
use tokio::sync::SemaphorePermit;

impl DockerRuntime {
    /// Waits until nobody else makes or removes networks. The engine gives one name to many of them,
    /// and refuses every use of the name from then on.
    pub(super) async fn network_turn(&self) -> Result<SemaphorePermit<'_>, RuntimeError> {
        let late = || RuntimeError::TimedOut { step: "wait for other networks", ms: NETWORK_MS };
        let turn = tokio::time::timeout(Duration::from_millis(NETWORK_MS), self.networks.acquire());
        turn.await.map_err(|_| late())?.map_err(|_| late())
    }

    /// Returns the ids of all networks of exactly this name.
    pub(super) async fn networks_named(&self, name: &str) -> Result<Vec<String>, RuntimeError> {
        let filters = [("name".to_owned(), vec![name.to_owned()])].into();
        let options = ListNetworksOptions { filters: Some(filters) };
        let listed = self.call("look for network", LOOK_MS, |docker| async move {
            docker.list_networks(Some(options)).await
        });
        // The engine's filter also finds longer names.
        let found = listed.await?.into_iter().filter(|it| it.name.as_deref() == Some(name));
        Ok(found.filter_map(|it| it.id).collect())
    }

    /// Whether there is a network of this name. A call that was given up may have made a second one
    /// later on: of several, those that no container is in are removed until one is left.
    pub(super) async fn one_network(&self, name: &str) -> Result<bool, RuntimeError> {
        let ids = self.networks_named(name).await?;
        let mut left = ids.len();
        for id in &ids {
            if left > 1 {
                match self.remove_network_by_id(id).await {
                    Ok(()) => left -= 1,
                    Err(RuntimeError::Refused { error, .. }) => {
                        tracing::warn!(name, id, error, "network of a name twice is kept");
                    }
                    Err(err) => return Err(err),
                }
            }
        }
        Ok(left > 0)
    }

    pub(super) async fn remove_network_by_id(&self, id: &str) -> Result<(), RuntimeError> {
        self.call("remove network", NETWORK_MS, |docker| async move {
            match docker.remove_network(id).await {
                Err(err) if is_status(&err, 404) => Ok(()),
                other => other,
            }
        })
        .await
    }
}

//! Events of our containers, across restarts of the engine.

use super::{DockerRuntime, config, time};
use crate::runtime::{RuntimeError, RuntimeEvent};
use bollard::{models::EventMessage, query_parameters::EventsOptions};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use mamba_core::ids::{NodeId, ServerId};
use std::time::Duration;

/// Waits before a new subscription, doubled up to the longer one.
const WAIT_MIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// What changes a container's status. Others are noise: one memory kill makes dozens of `oom`.
const ACTIONS: [&str; 3] = ["start", "die", "destroy"];

type Events = BoxStream<'static, Result<EventMessage, bollard::errors::Error>>;

struct Subscription {
    runtime: DockerRuntime,
    node: NodeId,
    events: Option<Events>,
    wait: Duration,
}

/// Returns the events of a node's containers, `Rescan` first.
pub(super) fn subscribe(runtime: DockerRuntime, node: NodeId) -> BoxStream<'static, RuntimeEvent> {
    let start = Subscription { runtime, node, events: None, wait: WAIT_MIN };
    let events = stream::unfold(start, |mut it| async move {
        let event = it.next().await;
        Some((event, it))
    });
    events.boxed()
}

impl Subscription {
    async fn next(&mut self) -> RuntimeEvent {
        loop {
            let Some(events) = &mut self.events else {
                match open(self.runtime.clone(), self.node).await {
                    Ok(events) => {
                        self.events = Some(events);
                        return RuntimeEvent::Rescan;
                    }
                    Err(err) => {
                        tracing::debug!(%err, "no events from the container engine");
                        self.pause().await;
                        continue;
                    }
                }
            };
            match events.next().await {
                Some(Ok(event)) => {
                    self.wait = WAIT_MIN;
                    if let Some(server) = server(&event) {
                        return RuntimeEvent::Changed(server);
                    }
                }
                Some(Err(_)) | None => {
                    self.events = None;
                    self.pause().await;
                }
            }
        }
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(WAIT_MAX);
    }
}

/// Subscribes from a moment before now, by the engine's clock: the request goes out with the first
/// poll, and what happens until then must not be lost.
async fn open(runtime: DockerRuntime, node: NodeId) -> Result<Events, RuntimeError> {
    let session = runtime.connect().await?;
    let now = session.system_time.as_deref().and_then(time::parse);
    let filters = [
        ("type", vec!["container".to_owned()]),
        ("label", vec![format!("{}={node}", config::LABEL_NODE)]),
        ("event", ACTIONS.map(str::to_owned).to_vec()),
    ];
    let options = EventsOptions {
        since: now.map(|now| (now.0 / 1_000).saturating_sub(1).to_string()),
        until: None,
        filters: Some(filters.map(|(name, values)| (name.to_owned(), values)).into()),
    };
    Ok(session.docker.events(Some(options)).boxed())
}

fn server(event: &EventMessage) -> Option<ServerId> {
    event.actor.as_ref()?.attributes.as_ref()?.get(config::LABEL_SERVER)?.parse().ok()
}

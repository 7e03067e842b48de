//! Gauges from nodes, for one viewer, as long as it looks.

use crate::{Hub, relay::NodeDoor};
use mamba_core::ids::{NodeId, ServerId};
use mamba_wire::{
    api::feed::GAUGES_MAX,
    node::{Answer, Gauges, NodeReply, NodeRequest},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

/// Wait before a node is asked again that was away, or did not answer. It bounds how long a server that
/// is live again stays without gauges.
const AGAIN_MS: u64 = 5_000;

/// The open requests of one viewer. Dropped, they end.
pub(super) struct Taps {
    hub: Hub,
    links: Arc<dyn NodeDoor>,
    open: BTreeMap<ServerId, (NodeId, AbortHandle)>,
    tasks: JoinSet<()>,
    sender: mpsc::Sender<Gauges>,
    gauges: mpsc::Receiver<Gauges>,
}

impl Taps {
    pub(super) fn new(hub: Hub, links: Arc<dyn NodeDoor>) -> Self {
        let (sender, gauges) = mpsc::channel(GAUGES_MAX);
        Self { hub, links, open: BTreeMap::new(), tasks: JoinSet::new(), sender, gauges }
    }

    /// Asks for the gauges of these servers and of no others.
    pub(super) fn turn(&mut self, wanted: &BTreeMap<ServerId, NodeId>) {
        self.open.retain(|server, (node, task)| {
            let is_kept = wanted.get(server) == Some(node);
            if !is_kept {
                task.abort();
            }
            is_kept
        });
        for (&server, &node) in wanted {
            if !self.open.contains_key(&server) {
                let (hub, links) = (self.hub.clone(), self.links.clone());
                let tap = tap(hub, links, node, server, self.sender.clone());
                self.open.insert(server, (node, self.tasks.spawn(tap)));
            }
        }
        // What ended is forgotten.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Waits for the next gauges, for ever without a tap. Cancelled, nothing is lost.
    pub(super) async fn next(&mut self) -> Gauges {
        loop {
            match self.gauges.recv().await {
                // What was on its way when somebody looked away is not theirs any more.
                Some(gauges) if self.open.contains_key(&gauges.server) => return gauges,
                Some(_) => {}
                // Cannot be: a sender is held here.
                None => std::future::pending().await,
            }
        }
    }
}

async fn tap(
    hub: Hub,
    links: Arc<dyn NodeDoor>,
    node: NodeId,
    server: ServerId,
    out: mpsc::Sender<Gauges>,
) {
    loop {
        let request = NodeRequest::Gauges { server, query: hub.query_of(server) };
        follow(&*links, node, server, request, &out).await;
        sleep(Duration::from_millis(AGAIN_MS)).await;
    }
}

/// Passes gauges on until the node ends it or says something else.
async fn follow(
    links: &dyn NodeDoor,
    node: NodeId,
    server: ServerId,
    request: NodeRequest,
    out: &mpsc::Sender<Gauges>,
) {
    let Ok(mut stream) = links.open(node, request).await else { return };
    while let Ok(Some(frame)) = stream.reader.next().await {
        let Ok(NodeReply::Ok(answer)) = NodeReply::from_frame(&frame) else { return };
        match *answer {
            // A node speaks for the server that it was asked about, and for no other.
            Answer::Gauges(gauges) if gauges.server == server => {
                if out.send(gauges).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}

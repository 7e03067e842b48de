//! Gauges from nodes, for one viewer, as long as it looks.

use crate::{Hub, relay::NodeDoor};
use mamba_core::{
    access::ServerKeys,
    ids::{NodeId, ServerId, UserId},
};
use mamba_wire::{
    api::feed::GAUGES_MAX,
    node::{Answer, Ask, Asker, Gauges, NodeReply, NodeRequest},
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

/// Where a server is asked for its gauges, and what the viewer holds for it.
pub(super) type Place = (NodeId, ServerKeys);

/// The open requests of one viewer. Dropped, they end.
pub(super) struct Taps {
    hub: Hub,
    links: Arc<dyn NodeDoor>,
    user: UserId,
    open: BTreeMap<ServerId, (Place, AbortHandle)>,
    tasks: JoinSet<()>,
    sender: mpsc::Sender<Gauges>,
    gauges: mpsc::Receiver<Gauges>,
}

impl Taps {
    pub(super) fn new(hub: Hub, links: Arc<dyn NodeDoor>, user: UserId) -> Self {
        let (sender, gauges) = mpsc::channel(GAUGES_MAX);
        Self { hub, links, user, open: BTreeMap::new(), tasks: JoinSet::new(), sender, gauges }
    }

    /// Asks for the gauges of these servers and of no others.
    pub(super) fn turn(&mut self, wanted: &BTreeMap<ServerId, Place>) {
        self.open.retain(|server, (place, task)| {
            let is_kept = wanted.get(server) == Some(place);
            if !is_kept {
                task.abort();
            }
            is_kept
        });
        for (&server, &place) in wanted {
            if !self.open.contains_key(&server) {
                let (hub, links) = (self.hub.clone(), self.links.clone());
                let (node, keys) = place;
                let by = Asker::User { user: self.user, keys };
                let tap = tap(hub, links, (node, server), by, self.sender.clone());
                self.open.insert(server, (place, self.tasks.spawn(tap)));
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
    (node, server): (NodeId, ServerId),
    by: Asker,
    out: mpsc::Sender<Gauges>,
) {
    loop {
        let request = NodeRequest::Gauges { server, query: hub.query_of(server) };
        follow(&*links, (node, server), Ask { by: by.clone(), request }, &out).await;
        sleep(Duration::from_millis(AGAIN_MS)).await;
    }
}

/// Passes gauges on until the node ends it or says something else.
async fn follow(
    links: &dyn NodeDoor,
    (node, server): (NodeId, ServerId),
    ask: Ask,
    out: &mpsc::Sender<Gauges>,
) {
    let Ok(mut stream) = links.open(node, ask).await else { return };
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

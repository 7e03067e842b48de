//! Batches of facts as they come from a node that repeats, forks, forgets and lies, into a real hub on
//! a simulated disk, against a model that bills second by second.
//!
//! The input is a list of steps: facts are made, sent in batches, the node's disk goes back, the hub
//! crashes, clocks move. What the hub answers, and in the end its books, must be the model's.

mod model;
mod place;

use crate::Input;
use mamba_core::{
    clock::UnixMs,
    fact::{Chain, GapReason, Quantities, Stream, UsageBody, UsageFact},
    seq::{Epoch, Seq},
};
use mamba_hub::link::backend::IngestError;
use mamba_wire::link::v1::{Facts, Found, StreamHello};
use model::Model;
use place::{Place, START};

/// Steps of one input: more would only be slower.
const STEPS_MAX: usize = 64;
/// Facts kept on the node.
const FACTS_MAX: usize = 1_000;

/// The sending end: what the node keeps, and as what.
struct Node {
    epoch: Epoch,
    bodies: Vec<Vec<u8>>,
}

impl Node {
    /// The chain after so many facts.
    fn chain_at(&self, count: usize) -> Chain {
        let numbered = (1..).map(Seq).zip(&self.bodies).take(count);
        numbered.fold(Chain::default(), |chain, (seq, body)| chain.then(self.epoch, seq, body))
    }

    fn hello(&self, pruned: usize) -> StreamHello {
        StreamHello {
            stream: Stream::Usage,
            epoch: self.epoch,
            first_retained: Seq(pruned as u64 + 1),
            next: Seq(self.bodies.len() as u64 + 1),
            chain_head: self.chain_at(self.bodies.len()),
            chain_before_first: self.chain_at(pruned),
        }
    }
}

/// Plays one input.
pub fn check(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(play(Input(data)));
}

async fn play(mut input: Input<'_>) {
    let mut place = Place::open().await;
    let mut node = Node { epoch: Epoch(1), bodies: Vec::new() };
    let mut model = Model::new(place.servers);
    let mut epochs = 1;
    greet(&place, &node, &mut model, 0).await;
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        match input.byte() % 8 {
            0..=2 => make(&mut input, &place, &mut node),
            3 | 4 => send(&mut input, &place, &node, &mut model).await,
            5 => {
                // The disk goes back, and perhaps other facts follow than before.
                let left = node.bodies.len().saturating_sub(usize::from(input.byte() % 8));
                node.bodies.truncate(left);
                greet(&place, &node, &mut model, 0).await;
            }
            6 => {
                // A new epoch issues anew what is kept; or the node has pruned what is in custody.
                let pruned = usize::from(input.byte()).min(node.bodies.len());
                if input.byte().is_multiple_of(2) {
                    epochs += 1;
                    node = Node { epoch: Epoch(epochs), bodies: node.bodies.split_off(pruned) };
                    greet(&place, &node, &mut model, 0).await;
                } else {
                    greet(&place, &node, &mut model, pruned).await;
                }
            }
            _ => match input.byte() % 4 {
                0 => place.restart(input.byte()).await,
                1 => place.clock.back(u64::from(input.byte()) * 1_000),
                _ => place.clock.advance(u64::from(input.byte()) * 60_000),
            },
        }
    }
    model.agrees_with(&place.hub, place.node).await;
}

/// Says hello; what is found is what the model finds.
async fn greet(place: &Place, node: &Node, model: &mut Model, pruned: usize) {
    let hello = node.hello(pruned);
    let welcome = place.greet(hello).await;
    let expected = model.greet(&hello);
    assert_eq!((welcome.found, welcome.watermark), expected);
    assert!(welcome.found != Found::NewEpoch || welcome.epoch == node.epoch);
}

/// The node measures something, or keeps some bytes that are no fact.
fn make(input: &mut Input<'_>, place: &Place, node: &mut Node) {
    if node.bodies.len() == FACTS_MAX {
        return;
    }
    let kind = input.byte();
    let (tenant, server) = place.servers[usize::from(kind) % place.servers.len()];
    // Some minutes before the server was made, until half a day later.
    let from = UnixMs(START.0 - 240_000).plus(u64::from(input.short()) * 1_000);
    let seconds = match input.byte() {
        255 => 5_000,
        seconds => u64::from(seconds) * 8,
    };
    let amount = u128::from(input.byte()) << (input.byte() % 128);
    let body = match (kind >> 2) % 8 {
        0 => UsageBody::Gap(GapReason::Reboot),
        1 => UsageBody::ClockStep { by_ms: i64::from(input.byte()) },
        _ => {
            UsageBody::Measured(Quantities { cpu_used: amount, egress: 3, ..Quantities::default() })
        }
    };
    let fact = UsageFact { tenant, server, from, to: from.plus(seconds * 1_000), body };
    let mut bytes = fact.encode().unwrap();
    if kind >= 240 {
        let at = usize::from(input.byte()) % bytes.len();
        bytes[at] = input.byte();
        // The model counts whole seconds.
        let is_whole =
            |fact: &UsageFact| [fact.from, fact.to].iter().all(|at| at.0.is_multiple_of(1_000));
        if UsageFact::decode(&bytes).is_ok_and(|fact| !is_whole(&fact)) {
            return;
        }
    }
    node.bodies.push(bytes);
}

/// The node sends some of what it keeps: again, with a hole, with a wrong chain.
async fn send(input: &mut Input<'_>, place: &Place, node: &Node, model: &mut Model) {
    let again = usize::from(input.byte() % 8);
    let first = (model.watermark() + 1).saturating_sub(again) + usize::from(input.byte() == 255);
    let count = 1 + usize::from(input.byte() % 64);
    let last = (first + count - 1).min(node.bodies.len());
    let bodies = node.bodies.get(first.saturating_sub(1)..last).unwrap_or_default().to_vec();
    let mut chain = node.chain_at(last);
    if input.byte() == 255 {
        chain = Chain([1; 32]);
    }
    let facts =
        Facts { stream: Stream::Usage, epoch: node.epoch, first: Seq(first as u64), bodies, chain };
    let expected = model.take(&facts, place.clock.at());
    match place.hub.ingest(&place.scope, facts).await {
        Ok(ack) => assert_eq!(expected, Ok(ack.watermark)),
        Err(err @ IngestError::Diverged) => assert_eq!(expected, Err(Some(err))),
        // Words of its own; the only reason on a disk in order is a clock that went back.
        Err(IngestError::Store(_)) => assert_eq!(expected, Err(None)),
    }
}

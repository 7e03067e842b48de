//! Wishes: whatever arrives in whatever order, the rank that is held never falls, and both ends
//! agree once each has what the other lacked.

use crate::Input;
use mamba_core::{
    desired::{EnvelopeHash, Order, Verdict, judge},
    ids::ServerId,
    seq::{Generation, Incarnation},
};
use mamba_wire::{link::v1::DesiredLine, session::desired_delta};
use std::collections::BTreeMap;

type Held = BTreeMap<ServerId, (Order, EnvelopeHash)>;

fn wish(input: &mut Input<'_>) -> (ServerId, (Order, EnvelopeHash)) {
    let server = ServerId::from_bytes([input.byte() % 4; 16]);
    let order = Order {
        incarnation: Incarnation(u32::from(input.byte() % 3)),
        generation: Generation(u64::from(input.byte() % 4)),
    };
    (server, (order, EnvelopeHash([input.byte() % 3; 32])))
}

/// Offers a wish to a holder.
fn offer(held: &mut Held, server: ServerId, got: (Order, EnvelopeHash)) -> Verdict {
    let before = held.get(&server).copied();
    let verdict = judge(before, got);
    if verdict == Verdict::Adopt {
        held.insert(server, got);
    }
    let after = held.get(&server).copied();
    assert!(after >= before.map(|it| (it.0, EnvelopeHash([0; 32]))), "D1: the rank never falls");
    assert!(before.is_none() || after.map(|it| it.0) >= before.map(|it| it.0));
    assert_eq!(verdict == Verdict::Same, before == Some(got));
    if verdict == Verdict::Adopt {
        assert_eq!(judge(after, got), Verdict::Same, "a second copy is harmless");
    } else {
        assert_eq!(after, before, "what is not adopted changes nothing");
    }
    verdict
}

fn lines(held: &Held) -> Vec<DesiredLine> {
    held.iter().map(|(&server, &(order, hash))| DesiredLine { server, order, hash }).collect()
}

/// The first byte is how many wishes come to the edge; the others are made at the hub.
pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let at_edge = input.byte();
    let (mut edge, mut hub) = (Held::new(), Held::new());
    let mut count = 0;
    while !input.is_empty() {
        let (server, got) = wish(&mut input);
        offer(if count < at_edge { &mut edge } else { &mut hub }, server, got);
        count = count.saturating_add(1);
    }
    let delta = desired_delta(&lines(&edge), &lines(&hub));
    assert!(delta.send.iter().all(|server| !delta.ask.contains(server)), "one way only");
    let conflicts: Vec<ServerId> = delta
        .send
        .iter()
        .filter(|server| offer(&mut edge, **server, hub[*server]) == Verdict::Conflict)
        .copied()
        .collect();
    for server in &delta.ask {
        assert_eq!(offer(&mut hub, *server, edge[server]), Verdict::Adopt);
    }
    // What is in conflict stays so, is told at each hello, and is all that is left.
    let left = desired_delta(&lines(&edge), &lines(&hub));
    assert_eq!((left.send, left.ask.len()), (conflicts.clone(), 0));
    for (server, at_hub) in &hub {
        assert_eq!(edge[server] == *at_hub, !conflicts.contains(server));
    }
    assert_eq!(edge.len(), hub.len(), "absence is never deletion");
}

//! The table at the beginning of a session: what the hub does with any hello.

use crate::Input;
use mamba_core::{
    fact::{Chain, Stream},
    seq::{Epoch, Seq},
};
use mamba_wire::{
    link::v1::{Found, StreamHello},
    session::{StreamRecord, compare},
};

/// Numbers at which sums and differences could go wrong, and ordinary ones.
fn seq(input: &mut Input<'_>) -> Seq {
    Seq(match input.byte() {
        255 => u64::MAX,
        254 => u64::MAX - 1,
        small => u64::from(small % 16),
    })
}

fn chain(input: &mut Input<'_>) -> Chain {
    Chain([input.byte() % 3; 32])
}

/// Takes a hello and what the hub holds of its epoch.
pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let hello = StreamHello {
        stream: Stream::Usage,
        epoch: Epoch(7),
        first_retained: seq(&mut input),
        next: seq(&mut input),
        chain_head: chain(&mut input),
        chain_before_first: chain(&mut input),
    };
    let is_held = input.byte() % 2 == 1;
    let held = is_held.then(|| StreamRecord {
        watermark: seq(&mut input),
        chain: chain(&mut input),
        backup_watermark: seq(&mut input),
    });
    let found = compare(&hello, held.as_ref());
    let before = held.unwrap_or_default();
    assert_eq!(found.record.backup_watermark, before.backup_watermark, "no promise is made here");
    assert!(found.record.watermark >= before.watermark, "custody never shrinks");
    match found.found {
        Found::Fork | Found::InStep => assert_eq!((found.record, found.lost), (before, None)),
        Found::HubLost => assert!(is_held && found.lost.is_some()),
        Found::NewEpoch => assert!(!is_held),
    }
    if let Some((first, last)) = found.lost {
        assert_eq!(first, before.watermark.next(), "the gap begins where custody ends");
        assert!(first <= last && last == found.record.watermark, "and ends at the new watermark");
    }
    if found.found != Found::Fork {
        // The edge can go on from there: the next fact is kept, or the next one made.
        let next = found.record.watermark.next();
        assert!(hello.first_retained <= next.max(Seq(1)) && next <= hello.next.max(Seq(1)));
        let again = compare(&hello, Some(&found.record));
        assert_eq!(
            (again.found, again.record),
            (Found::InStep, found.record),
            "and is in step then"
        );
    }
    let welcome = found.welcome(&hello);
    assert_eq!((welcome.watermark, welcome.epoch), (found.record.watermark, hello.epoch));
}

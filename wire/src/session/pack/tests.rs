//! Packed facts come out as they went in, and bad ones are refused.

use super::*;
use mamba_core::fact::{GapReason, Quantities};
use proptest::prelude::*;

const START: u64 = 1_795_366_800_000;

fn fact(server: u8, from: u64, ms: u64, used: [u128; 7]) -> UsageFact {
    let mut quantities = Quantities::default();
    for (meter, value) in Meter::ALL.into_iter().zip(used) {
        *quantities.of_mut(meter) = value;
    }
    UsageFact {
        tenant: TenantId::from_bytes([1; 16]),
        server: ServerId::from_bytes([server; 16]),
        from: UnixMs(from),
        to: UnixMs(from + ms),
        body: UsageBody::Measured(quantities),
    }
}

fn encoded(facts: &[UsageFact]) -> Vec<Vec<u8>> {
    facts.iter().map(|fact| fact.encode().unwrap()).collect()
}

#[test]
fn a_quiet_server_takes_one_byte_and_a_busy_one_few() {
    let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
    let used =
        |more: u128| [18_000_000_000_000 + more * 1_000_000, 3_000_000 + more, 0, 200_000, 7, 8, 9];
    let mut sizes = Vec::new();
    for (round, more) in [0, 0, 700].into_iter().enumerate() {
        let from = START + 300_000 * round as u64;
        let facts = [1, 2, 3].map(|server| fact(server, from, 300_000, used(more)));
        let packed = packer.pack(&encoded(&facts));
        assert_eq!(unpacker.unpack(&packed), Ok(encoded(&facts)));
        sizes.push(packed.len());
    }
    assert_eq!(sizes, [3 * 60, 3, 3 * (1 + 5 + 2)]);
}

#[test]
fn the_sent_form_is_fixed() {
    let facts =
        [fact(2, 1_000, 500, [1, 2, 3, 4, 5, 6, 7]), fact(2, 1_500, 500, [1, 2, 3, 0, 5, 6, 9])];
    let mut bytes = vec![NEW];
    bytes.extend([[1; 16], [2; 16]].concat());
    bytes.extend([0xe8, 7, 0xf4, 3, 1, 2, 3, 4, 5, 6, 7]);
    bytes.extend([0x98, 0, 7, 0, 0, 4]);
    assert_eq!(Packer::default().pack(&encoded(&facts)), bytes);
    assert_eq!(Unpacker::default().unpack(&bytes), Ok(encoded(&facts)));
}

#[test]
fn what_is_no_measured_span_goes_as_it_is() {
    let gap =
        UsageFact { body: UsageBody::Gap(GapReason::Reboot), ..fact(1, START, 300_000, [0; 7]) };
    let bodies = vec![gap.encode().unwrap(), vec![], b"no fact".to_vec()];
    let packed = Packer::default().pack(&bodies);
    assert_eq!(Unpacker::default().unpack(&packed), Ok(bodies));
}

#[test]
fn servers_beyond_the_limit_go_as_they_are() {
    let facts: Vec<UsageFact> = (0..=SERVERS_MAX as u64)
        .map(|number| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            UsageFact { server: ServerId::from_bytes(id), ..fact(1, START, 1, [1; 7]) }
        })
        .collect();
    let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
    for batch in encoded(&facts).chunks(BATCH_FACTS_MAX) {
        assert_eq!(unpacker.unpack(&packer.pack(batch)), Ok(batch.to_vec()));
    }
    assert_eq!(packer.known.last.len(), SERVERS_MAX);
    let mut packed = Vec::new();
    put_new(&fact(7, START, 1, [1; 7]), &mut packed);
    assert_eq!(unpacker.unpack(&packed), Err(BadPack));
}

#[test]
fn a_number_over_its_size_and_an_unknown_server_are_refused() {
    let take = |bytes: &[u8]| Unpacker::default().unpack(bytes);
    assert_eq!(take(&[0]), Err(BadPack));
    assert_eq!(take(&[ELSEWHERE, 3]), Err(BadPack));
    assert_eq!(take(&[0x20]), Err(BadPack));
    assert_eq!(take(&[RAW, 5, 1]), Err(BadPack));
    let mut reader = Reader(&[0xff; 19]);
    assert_eq!(reader.number(), Err(BadPack));
    let mut most = Vec::new();
    put_number(u128::MAX, &mut most);
    assert_eq!(Reader(&most).number(), Ok(u128::MAX));
}

fn any_fact() -> impl Strategy<Value = UsageFact> {
    let amount = prop_oneof![Just(0_u128), 0..1_u128 << 45, any::<u128>()];
    let used = prop::array::uniform7(amount);
    let ms = prop_oneof![Just(300_000_u64), 0..3_600_000_u64];
    (0_u8..6, 0..3_u64, ms, used)
        .prop_map(|(server, hour, ms, used)| fact(server, START + hour * 300_000, ms, used))
}

proptest! {
    #[test]
    fn what_comes_out_is_what_went_in(
        batches in prop::collection::vec(prop::collection::vec(any_fact(), 1..20), 1..8),
    ) {
        let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
        for batch in batches {
            let bodies = encoded(&batch);
            prop_assert_eq!(unpacker.unpack(&packer.pack(&bodies)), Ok(bodies));
        }
    }

    #[test]
    fn no_bytes_break_the_receiver(
        first in any_fact(),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut unpacker = Unpacker::default();
        unpacker.unpack(&Packer::default().pack(&encoded(&[first]))).unwrap();
        if let Ok(bodies) = unpacker.unpack(&bytes) {
            prop_assert!(bodies.len() <= BATCH_FACTS_MAX + 1);
        }
    }
}

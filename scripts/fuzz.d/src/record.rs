//! Stored records and facts of every version: the first byte chooses the type, the rest is what is
//! on disk. What can be read is written again as the newest version and read as the same value.

use mamba_core::{
    db::Record,
    desired::{Envelope, SignedEnvelope},
    fact::{ActivityFact, UsageFact},
    lifecycle::power::Power,
};
use mamba_hub::store;

fn comes_back<T: Record + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = T::from_record_bytes(bytes) {
        let stored = value.to_record_bytes().unwrap();
        assert_eq!(stored.first(), Some(&T::VERSION));
        assert_eq!(T::from_record_bytes(&stored), Ok(value));
    }
}

/// Every type, in the order of the first byte. New ones are added at the end.
const TYPES: [fn(&[u8]); 30] = [
    comes_back::<store::Meta>,
    comes_back::<store::NodeRef>,
    comes_back::<store::TenantRef>,
    comes_back::<store::StreamRecord>,
    comes_back::<store::CustodyRecord>,
    comes_back::<store::Quarantined>,
    comes_back::<store::StreamGap>,
    comes_back::<store::Counters>,
    comes_back::<store::Posting>,
    comes_back::<store::Coverage>,
    comes_back::<store::HourRecord>,
    comes_back::<store::Gap>,
    comes_back::<store::ActivityRecord>,
    comes_back::<store::Alarm>,
    comes_back::<store::NodeRecord>,
    comes_back::<store::KeyRecord>,
    comes_back::<store::NodeSeen>,
    comes_back::<store::NodeStateRecord>,
    comes_back::<store::JoinTokenRecord>,
    comes_back::<store::AllocationRecord>,
    comes_back::<store::ServerRecord>,
    comes_back::<store::EnvelopeRecord>,
    comes_back::<store::PlacedServer>,
    comes_back::<store::Lease>,
    comes_back::<store::IntentRecord>,
    comes_back::<store::ObservedRecord>,
    comes_back::<Power>,
    usage_fact,
    activity_fact,
    envelope,
];

fn usage_fact(bytes: &[u8]) {
    if let Ok(fact) = UsageFact::decode(bytes) {
        assert_eq!(UsageFact::decode(&fact.encode().unwrap()), Ok(fact));
    }
}

fn activity_fact(bytes: &[u8]) {
    if let Ok(fact) = ActivityFact::decode(bytes) {
        assert_eq!(ActivityFact::decode(&fact.encode().unwrap()), Ok(fact));
    }
}

fn envelope(bytes: &[u8]) {
    let signed = SignedEnvelope { bytes: bytes.to_vec(), signature: vec![] };
    if let Ok(envelope) = signed.open() {
        let bytes = envelope.encode().unwrap();
        let again: Result<Envelope, _> = SignedEnvelope { bytes, signature: vec![] }.open();
        assert_eq!(again, Ok(envelope));
    }
}

/// See the module's documentation.
pub fn check(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else { return };
    TYPES[usize::from(choice) % TYPES.len()](bytes);
}

//! What takes several transactions, or forgets, on a store in memory.

use super::*;
use mamba_core::{
    clock::Entropy,
    db::{StoreOptions, sim::SimDisk},
    desired::{Envelope, Home, Wish},
    ids::NodeId,
    lifecycle::{Actor, PowerAction},
    seq::{Generation, Incarnation},
};

const NOW: UnixMs = UnixMs(1_800_000_000_000);

struct Zeros;
impl Entropy for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

async fn store() -> EdgeStore {
    let options = StoreOptions { runs_twice: true, ..StoreOptions::EDGE };
    let store = Store::inline(SimDisk::default(), options).unwrap();
    store.write(|txn| outbox::init(txn, &Zeros)).await.unwrap();
    EdgeStore::new(store)
}

fn server(number: u16) -> ServerId {
    let mut bytes = [7; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    ServerId::from_bytes(bytes)
}

#[tokio::test]
async fn the_boot_of_a_node_with_more_servers_than_one_transaction_writes_is_stored() {
    let store = store().await;
    let start = Power::never_asked().then(PowerAction::Start, Actor::Edge, NOW);
    let powers: Vec<_> = (0..2_000).map(|number| (server(number), start.clone())).collect();
    let stopped = Power::never_asked().then(PowerAction::Stop, Actor::Hub, NOW);
    let (first, asked) = (server(0), stopped.clone());
    store.raw().write(move |txn| txn.put(POWER, &first, &asked)).await.unwrap();
    store.save_boot(BootId([3; 16]), powers, Vec::new()).await.unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.boot_id, Some(BootId([3; 16])));
    assert_eq!(loaded.power[&first], stopped, "what somebody asked for meanwhile stays");
    assert_eq!(loaded.power.values().filter(|it| **it == start).count(), 1_999);
}

#[tokio::test]
async fn a_tombstone_is_kept_long_after_the_purge_and_not_for_ever() {
    let store = store().await;
    let order = Order { incarnation: Incarnation(1), generation: Generation(2) };
    for number in 0..3 {
        let envelope = Envelope {
            tenant: TenantId::from_bytes([9; 16]),
            node: NodeId::from_bytes([8; 16]),
            server: server(number),
            order,
            home: Home::default(),
            not_before: NOW,
            force: false,
            body: Wish::Deleted { retain_ms: 0 },
        };
        let envelope = SignedEnvelope { bytes: envelope.encode().unwrap(), signature: vec![] };
        let held = Held { order, hash: envelope.hash(), not_before: NOW, envelope };
        let desired = Desired { in_force: Some(held), ..Desired::default() };
        let id = server(number);
        store.raw().write(move |txn| txn.put(DESIRED, &id, &desired)).await.unwrap();
    }
    let purged = |at| Trash { order, moved_at: at, purge_at: at, is_purged: true };
    let later = NOW.plus(TOMBSTONE_KEPT_MS);
    store.save_trash(server(0), purged(NOW), Vec::new(), NOW).await.unwrap();
    let unpurged = Trash { is_purged: false, ..purged(NOW) };
    let before = UnixMs(later.0 - 1);
    store.save_trash(server(1), unpurged, Vec::new(), before).await.unwrap();
    assert_eq!(store.desired().unwrap().len(), 3);
    store.save_trash(server(2), purged(later), Vec::new(), later).await.unwrap();
    let kept: Vec<ServerId> = store.desired().unwrap().into_keys().collect();
    assert_eq!(kept, [server(1), server(2)]);
    assert_eq!(store.load().unwrap().trash.into_keys().collect::<Vec<_>>(), kept);
}

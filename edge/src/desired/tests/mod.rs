//! Envelopes and intents against a store in memory.

mod crash_points;

use super::*;
use crate::{
    calendar::Moment,
    outbox,
    store::{EdgeStore, POWER},
};
use mamba_core::{
    clock::Entropy,
    db::{
        Snapshot, Store, StoreOptions,
        sim::{SimDisk, SimMode},
    },
    desired::{Envelope, Home, Order, SignedEnvelope, Wish},
    ids::{IntentId, NodeId, UserId},
    lifecycle::PowerAction,
    seq::{Generation, Incarnation},
    server::{AutoStart, Entry, Limits, RestartPolicy, ServerSpec, StopMethod},
    units::{Mib, Millicores},
};
use mamba_wire::link::v1::{DesiredOutcome, Intent, IntentOutcome};
use std::{collections::BTreeMap, sync::Arc};

const NOW: UnixMs = UnixMs(1_000_000);

fn sure(now: UnixMs) -> Moment {
    Moment { now, certain: now }
}

struct Zeros;
impl Entropy for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

async fn adopter(disk: SimDisk) -> Adopter {
    // Each closure runs twice, as on a store that meets conflicts.
    let options = StoreOptions { runs_twice: true, ..StoreOptions::EDGE };
    let store = Store::inline(disk, options).unwrap();
    store.write(|txn| outbox::init(txn, &Zeros)).await.unwrap();
    let verify: Verify = Arc::new(|signed| signed.signature == b"good");
    let node = NodeId::from_bytes([1; 16]);
    Adopter { store: EdgeStore::new(store), node, verify, entropy: Arc::new(Zeros) }
}

fn server(number: u8) -> ServerId {
    ServerId::from_bytes([number; 16])
}

fn spec() -> ServerSpec {
    ServerSpec {
        name: "one".into(),
        image: "game:1".into(),
        startup: "./game".into(),
        entry: Entry::Shell,
        environment: BTreeMap::new(),
        done: vec![],
        stop: StopMethod::Runtime,
        stop_grace_ms: 1,
        limits: Limits {
            memory_mib: Mib(64),
            swap_mib: Mib(0),
            cpu_millicores: Millicores(100),
            disk_mib: Mib(64),
            pids: 16,
            sharing: mamba_core::server::Sharing::USUAL,
        },
        ports: vec![],
        capabilities: vec![],
        auto_start: AutoStart::Always,
        restart: RestartPolicy::default(),
        config_files: vec![],
        mounts: vec![],
        suspended: false,
        run_until: None,
        install: None,
    }
}

/// An envelope of generation `generation` in incarnation 2 for a server.
fn exist(number: u8, generation: u64) -> Envelope {
    Envelope {
        tenant: TenantId::from_bytes([9; 16]),
        node: NodeId::from_bytes([1; 16]),
        server: server(number),
        order: Order { incarnation: Incarnation(2), generation: Generation(generation) },
        home: Home::default(),
        not_before: UnixMs(0),
        force: false,
        body: Wish::Exist(Box::new(spec())),
    }
}

fn deleted(number: u8, generation: u64) -> Envelope {
    Envelope { body: Wish::Deleted { retain_ms: 1 }, ..exist(number, generation) }
}

fn signed(envelope: &Envelope) -> SignedEnvelope {
    SignedEnvelope { bytes: envelope.encode().unwrap(), signature: b"good".to_vec() }
}

async fn outcomes(adopter: &Adopter, delta: Vec<SignedEnvelope>) -> Vec<DesiredOutcome> {
    adopter.adopt_all(delta, sure(NOW)).await.into_iter().map(|result| result.outcome).collect()
}

/// Offers an envelope to a node that holds generation 5 of server 1.
#[track_caller]
fn check(change: impl FnOnce(&mut Envelope), expected: DesiredOutcome) {
    let mut envelope = exist(1, 6);
    change(&mut envelope);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = runtime.block_on(async {
        let adopter = adopter(SimDisk::new(0)).await;
        outcomes(&adopter, vec![signed(&exist(1, 5))]).await;
        outcomes(&adopter, vec![signed(&envelope)]).await.remove(0)
    });
    assert_eq!(outcome, expected);
}

#[test]
fn rank_content_node_owner_and_rules_decide() {
    check(|_| {}, DesiredOutcome::Adopted);
    check(|it| it.order.generation = Generation(5), DesiredOutcome::Adopted);
    check(|it| *it = Envelope { force: true, ..exist(1, 5) }, DesiredOutcome::Conflict);
    check(|it| it.order.generation = Generation(4), DesiredOutcome::Stale);
    check(|it| it.order.incarnation = Incarnation(1), DesiredOutcome::HubRollback);
    check(|it| it.node = NodeId::from_bytes([3; 16]), DesiredOutcome::Forged);
    let invalid = |field: &str, rule: &str| {
        DesiredOutcome::Invalid(mamba_core::error::Invalid::new(field, rule))
    };
    let other = TenantId::from_bytes([3; 16]);
    let rule = "must stay the same until the server changes hands";
    check(|it| it.tenant = other, invalid("tenant", rule));
    let given = |it: &mut Envelope| (it.tenant, it.home.owners) = (other, 1);
    check(given, DesiredOutcome::Adopted);
    let bad = Box::new(ServerSpec { image: "a b".into(), ..spec() });
    check(|it| it.body = Wish::Exist(bad), invalid("image", "must not contain blanks"));
}

#[tokio::test]
async fn a_hub_that_forgot_whose_a_server_is_by_now_is_not_followed() {
    let adopter = adopter(SimDisk::new(0)).await;
    let new = TenantId::from_bytes([3; 16]);
    let home = Home { owners: 1, owned_since: NOW, ..Home::default() };
    let given = Envelope { tenant: new, home, ..exist(1, 6) };
    assert_eq!(
        outcomes(&adopter, vec![signed(&exist(1, 5)), signed(&given)]).await,
        [DesiredOutcome::Adopted, DesiredOutcome::Adopted]
    );
    // It came back from a backup, and its life counts for more than what was wanted.
    let order = Order { incarnation: Incarnation(3), generation: Generation(1) };
    let old = Envelope { order, ..exist(1, 5) };
    assert_eq!(outcomes(&adopter, vec![signed(&old)]).await, [DesiredOutcome::Stale]);
    let back = Envelope { home: Home { owners: 2, ..home }, order, ..exist(1, 5) };
    assert_eq!(outcomes(&adopter, vec![signed(&back)]).await, [DesiredOutcome::Adopted]);
}

/// CVE-2024-34066: who held the node's token could rewrite its config; only what the hub signed counts.
#[tokio::test]
async fn a_wrong_signature_is_forged_and_no_envelope_is_left_out() {
    let adopter = adopter(SimDisk::new(0)).await;
    let forged = SignedEnvelope { signature: b"bad".to_vec(), ..signed(&exist(1, 1)) };
    let rubbish = SignedEnvelope { bytes: vec![1, 2], signature: b"good".to_vec() };
    assert_eq!(outcomes(&adopter, vec![rubbish, forged]).await, [DesiredOutcome::Forged]);
    assert!(adopter.store.desired().unwrap().is_empty());
}

#[tokio::test]
async fn a_bad_wish_is_recorded_once_and_a_good_one_clears_it() {
    let adopter = adopter(SimDisk::new(0)).await;
    let bad = Box::new(ServerSpec { image: "a b".into(), ..spec() });
    let bad = signed(&Envelope { body: Wish::Exist(bad), ..exist(1, 2) });
    outcomes(&adopter, vec![signed(&exist(1, 1)), bad.clone(), bad]).await;
    let held = adopter.store.desired().unwrap().remove(&server(1)).unwrap();
    assert_eq!(held.in_force.unwrap().order.generation, Generation(1));
    assert_eq!(held.refused.unwrap().order.generation, Generation(2));
    let facts = adopter.store.raw().read(|txn| outbox::activity(txn, None, 9)).unwrap();
    let bodies: Vec<_> = facts.into_iter().map(|fact| fact.body).collect();
    assert!(
        matches!(&bodies[..], [Activity::Refused(_), Activity::Applied { generation: 1 }]),
        "{bodies:?}"
    );
    outcomes(&adopter, vec![signed(&exist(1, 3))]).await;
    assert_eq!(adopter.store.desired().unwrap()[&server(1)].refused, None);
}

#[tokio::test]
async fn a_wish_for_later_leaves_the_present_one_in_force_and_counts_as_held() {
    let adopter = adopter(SimDisk::new(0)).await;
    let later = Envelope { not_before: NOW.plus(10), ..deleted(1, 2) };
    outcomes(&adopter, vec![signed(&exist(1, 1)), signed(&later)]).await;
    let mut held = adopter.store.desired().unwrap().remove(&server(1)).unwrap();
    assert_eq!(held.in_force.as_ref().unwrap().order.generation, Generation(1));
    let lines = adopter.store.raw().read(desired_lines).unwrap();
    assert_eq!(lines[0].order.generation, Generation(2));
    let year_ahead = Moment { now: NOW.plus(31_536_000_000), certain: NOW.plus(9) };
    for too_early in [sure(NOW.plus(9)), year_ahead] {
        assert!(!held.promote(too_early), "{too_early:?}");
    }
    assert!(held.promote(sure(NOW.plus(10))));
    assert_eq!(held.in_force.unwrap().order.generation, Generation(2));
}

#[tokio::test]
async fn a_delta_that_ends_too_many_servers_ends_none_without_force() {
    let adopter = adopter(SimDisk::new(0)).await;
    outcomes(&adopter, (1..=10).map(|number| signed(&exist(number, 1))).collect()).await;
    let mut delta: Vec<_> = (1..=6).map(|number| signed(&deleted(number, 2))).collect();
    delta.push(signed(&exist(7, 2)));
    let mut expected = vec![DesiredOutcome::NeedsForce; 6];
    expected.push(DesiredOutcome::Adopted);
    assert_eq!(outcomes(&adopter, delta).await, expected);
    let forced = (1..=6).map(|number| signed(&Envelope { force: true, ..deleted(number, 2) }));
    let adopted = vec![DesiredOutcome::Adopted; 6];
    assert_eq!(outcomes(&adopter, forced.collect()).await, adopted);
}

#[tokio::test]
async fn a_disk_that_takes_no_write_adopts_nothing_and_says_so() {
    let disk = SimDisk::new(0);
    let adopter = adopter(disk.clone()).await;
    disk.set_mode(SimMode::ReadOnly);
    let delta = vec![signed(&exist(1, 1))];
    assert_eq!(outcomes(&adopter, delta.clone()).await, [DesiredOutcome::NotStored]);
    disk.set_mode(SimMode::Works);
    assert_eq!(outcomes(&adopter, delta).await, [DesiredOutcome::Adopted]);
}

fn intent(number: u8, server: ServerId, action: PowerAction) -> Intent {
    Intent {
        intent: IntentId::from_bytes([number; 16]),
        server,
        action,
        by: UserId::from_bytes([4; 16]),
        keys: [action.key()].into_iter().collect(),
        expires_at: NOW.plus(60_000),
    }
}

async fn give(adopter: &Adopter, intent: &Intent, now: UnixMs) -> IntentOutcome {
    let (intent, event) = (intent.clone(), EventId::new(now, [intent.intent.to_bytes()[0]; 10]));
    let write = move |txn: &mut mamba_core::db::Txn<'_>| accept_intent(txn, &intent, event, now);
    adopter.store.raw().write(write).await.unwrap().outcome
}

#[tokio::test]
async fn an_intent_counts_once_however_often_it_comes() {
    let adopter = adopter(SimDisk::new(0)).await;
    outcomes(&adopter, vec![signed(&exist(1, 1))]).await;
    let start = intent(1, server(1), PowerAction::Start);
    assert_eq!(give(&adopter, &start, NOW).await, IntentOutcome::Accepted);
    let stop = intent(2, server(1), PowerAction::Stop);
    assert_eq!(give(&adopter, &stop, NOW).await, IntentOutcome::Accepted);
    // The second copy is answered as the first was and changes nothing, also when it is late.
    assert_eq!(give(&adopter, &start, NOW.plus(600_000)).await, IntentOutcome::Accepted);
    let power = adopter.store.power(server(1)).unwrap();
    assert_eq!((power.number, power.wish.running), (2, false));
}

#[tokio::test]
async fn an_intent_that_is_late_or_not_allowed_does_nothing() {
    let adopter = adopter(SimDisk::new(0)).await;
    let suspended = Box::new(ServerSpec { suspended: true, ..spec() });
    let suspended = Envelope { body: Wish::Exist(suspended), ..exist(2, 1) };
    let delta = vec![signed(&exist(1, 1)), signed(&suspended), signed(&deleted(3, 1))];
    outcomes(&adopter, delta).await;
    let late = intent(1, server(1), PowerAction::Start);
    assert_eq!(give(&adopter, &late, late.expires_at).await, IntentOutcome::Expired);
    for (number, says) in [(2, "suspended"), (3, "deleted"), (4, "not on this node")] {
        let refused =
            give(&adopter, &intent(number, server(number), PowerAction::Start), NOW).await;
        assert!(
            matches!(&refused, IntentOutcome::Refused(why) if why.contains(says)),
            "{refused:?}"
        );
    }
    let powers =
        (1..5).map(|number| adopter.store.raw().read(|txn| txn.get(POWER, &server(number))));
    assert!(powers.flatten().all(|power| power.is_none()));
}

#[tokio::test]
async fn old_intents_are_forgotten() {
    let adopter = adopter(SimDisk::new(0)).await;
    let old = intent(1, server(1), PowerAction::Start);
    give(&adopter, &old, NOW).await;
    let much_later = NOW.plus(2 * 24 * 3_600_000);
    give(&adopter, &intent(2, server(1), PowerAction::Start), much_later).await;
    let kept = adopter
        .store
        .raw()
        .read(|txn| txn.range(crate::store::INTENTS, mamba_core::db::Span::all(), 9));
    let kept: Vec<_> = kept.unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(kept, [IntentId::from_bytes([2; 16])]);
}

#[test]
fn no_table_is_declared_twice() {
    let tables: Vec<_> = crate::store::TABLES
        .into_iter()
        .chain(outbox::TABLES)
        .chain(crate::calendar::TABLES)
        .chain(crate::install::TABLES)
        .chain(crate::registries::TABLES)
        .collect();
    assert_eq!(mamba_core::db::duplicate_table(&tables), None);
    assert!(crate::store::TABLES.iter().all(|table| (1..20).contains(&table.id)));
}

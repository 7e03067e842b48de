//! Tests of chains, anchors, pruning, and that every kind of tampering is found.

use super::*;
use crate::testing::{World, admin, tenant};
use mamba_core::{
    audit::{Change, Origin},
    clock::HOUR_MS,
    lifecycle::Actor,
};
use mamba_wire::api::audit::AuditQuery;

/// More entries than one transaction removes.
const PRUNE_BATCH: usize = 60;

async fn add(world: &World, number: u8, event: &str) {
    let entry = AuditEntry::new(world.hub.now(), &Actor::Hub, Origin::default(), event);
    let id = tenant(number).tenant();
    world
        .hub
        .write(move |txn| append(txn, id, entry.clone().with([Change::set("a", "b")])))
        .await
        .unwrap();
}

async fn filled() -> World {
    let world = World::new().await;
    for event in ["a:one", "a:two", "b:three"] {
        add(&world, 1, event).await;
        add(&world, 2, event).await;
        world.clock.advance(HOUR_MS);
        world.hub.anchor_audit().await.unwrap();
    }
    world
}

/// Damages the store and expects exactly one break, at this entry.
async fn check_break(
    damage: impl Fn(&mut Txn<'_>) -> Result<(), TxnError> + Send + 'static,
    number: u64,
    what: &str,
) {
    let world = filled().await;
    assert!(world.hub.verify_audit().unwrap().is_whole());
    world.hub.write(move |txn| Ok(damage(txn)?)).await.unwrap();
    let found = world.hub.verify_audit().unwrap();
    let first = &found.breaks[0];
    assert_eq!(first.number, number, "{found:?}");
    assert!(first.what.contains(what), "{first:?}");
}

#[tokio::test]
async fn each_kind_of_tampering_is_found_and_placed() {
    let id = tenant(1).tenant();
    check_break(move |txn| txn.delete(ENTRIES, &(id, 2)), 2, "missing").await;
    check_break(move |txn| txn.delete(ENTRIES, &(id, 3)), 3, "missing at the end").await;
    check_break(
        move |txn| {
            let mut row = txn.get(ENTRIES, &(id, 2))?.unwrap();
            let last = row.body.len() - 1;
            row.body[last] ^= 1;
            txn.put(ENTRIES, &(id, 2), &row)
        },
        2,
        "was changed",
    )
    .await;
    // Who rewrites the whole chain cannot rewrite what was signed.
    check_break(
        move |txn| {
            let mut hash = [0; 32];
            for number in 1..=3 {
                let mut row = txn.get(ENTRIES, &(id, number))?.unwrap();
                let last = row.body.len() - 1;
                row.body[last] ^= 1;
                hash = chain(&hash, id, number, &row.body);
                row.hash = hash;
                txn.put(ENTRIES, &(id, number), &row)?;
            }
            let head = Head { last: 3, hash, ..Head::default() };
            txn.put(HEADS, &id, &head)
        },
        1,
        "not what the hub signed",
    )
    .await;
    check_break(
        move |txn| {
            let row = txn.get(ENTRIES, &(id, 2))?.unwrap();
            txn.delete(ENTRIES, &(id, 3))?;
            txn.put(HEADS, &id, &Head { last: 2, hash: row.hash, ..Head::default() })
        },
        3,
        "although the hub signed it",
    )
    .await;
    check_break(
        move |txn| {
            for number in 1..=3 {
                txn.delete(ENTRIES, &(id, number))?;
            }
            txn.delete(HEADS, &id)
        },
        3,
        "chain is gone",
    )
    .await;
    check_break(|txn| txn.delete(ANCHORS, &2), 3, "follows a gap").await;
    check_break(
        |txn| {
            let mut anchor = txn.get(ANCHORS, &3)?.unwrap();
            anchor.signature[0] ^= 1;
            txn.put(ANCHORS, &3, &anchor)
        },
        3,
        "not signed",
    )
    .await;
}

#[tokio::test]
async fn what_is_left_after_pruning_hangs_on_an_anchor() {
    let world = filled().await;
    add(&world, 1, "c:not-anchored").await;
    let until = UnixMs(crate::testing::START.0 + 2 * HOUR_MS + 1);
    assert_eq!(world.hub.prune_audit(until).await.unwrap(), 4);
    let found = world.hub.verify_audit().unwrap();
    assert_eq!((found.entries, found.breaks), (3, vec![]));
    // Not even time removes what no anchor holds.
    world.hub.prune_audit(UnixMs(u64::MAX)).await.unwrap();
    let found = world.hub.verify_audit().unwrap();
    assert_eq!((found.entries, found.breaks), (1, vec![]));
    let id = tenant(1).tenant();
    let damage = move |txn: &mut Txn<'_>| {
        let mut head = txn.get(HEADS, &id)?.unwrap();
        head.base = [9; 32];
        Ok(txn.put(HEADS, &id, &head)?)
    };
    world.hub.write(damage).await.unwrap();
    assert!(!world.hub.verify_audit().unwrap().is_whole());
}

/// Somebody who fails to sign in a thousand times a minute did stop the removal for ever: no anchor
/// stood among the oldest eighty entries.
#[tokio::test]
async fn a_flood_between_two_anchors_goes_like_the_rest_and_anchors_with_it() {
    let world = filled().await;
    for _ in 0..PRUNE_BATCH * 3 {
        add(&world, 1, "auth:fail").await;
    }
    for _ in 0..3 {
        world.clock.advance(HOUR_MS);
        world.hub.anchor_audit().await.unwrap();
        add(&world, 2, "d:more").await;
    }
    let oldest = |world: &World| world.hub.read(|view| Ok(view.first(ANCHORS, Span::all())?));
    let until = world.hub.now();
    let removed = world.hub.prune_audit(until).await.unwrap();
    assert_eq!(removed, u64::try_from(PRUNE_BATCH * 3).unwrap() + 6 + 1);
    let found = world.hub.verify_audit().unwrap();
    assert_eq!((found.entries, found.anchors, found.breaks), (2, 1, vec![]));
    assert_eq!(oldest(&world).unwrap().unwrap().0, 6, "only the newest anchor is left");
    assert_eq!(world.hub.prune_audit(until).await.unwrap(), 0);
    assert!(world.hub.audit(tenant(1).tenant(), &AuditQuery::ALL).unwrap().items.is_empty());
    // The chains go on, and what was removed is no break, but only where the hub removed it.
    add(&world, 1, "e:after").await;
    world.hub.anchor_audit().await.unwrap();
    assert!(world.hub.verify_audit().unwrap().is_whole());
    let forged = |txn: &mut Txn<'_>| {
        let (number, anchor) = txn.first(ANCHORS, Span::all())?.unwrap();
        let signature = txn.get(DROPPED, &())?.unwrap().signature;
        txn.delete(ANCHORS, &number)?;
        Ok(txn.put(DROPPED, &(), &Dropped { number, hash: anchor.hash, signature })?)
    };
    world.hub.write(forged).await.unwrap();
    assert!(!world.hub.verify_audit().unwrap().is_whole());
}

#[tokio::test]
async fn what_was_tampered_with_is_not_removed() {
    let world = filled().await;
    let id = tenant(1).tenant();
    let damage = move |txn: &mut Txn<'_>| {
        let mut row = txn.get(ENTRIES, &(id, 1))?.unwrap();
        row.hash = [9; 32];
        Ok(txn.put(ENTRIES, &(id, 1), &row)?)
    };
    world.hub.write(damage).await.unwrap();
    let err = world.hub.prune_audit(UnixMs(u64::MAX)).await.unwrap_err();
    assert!(err.to_string().contains("not what the hub signed"), "{err}");
    assert_eq!(world.hub.verify_audit().unwrap().breaks[0].number, 1);
}

#[tokio::test]
async fn a_change_and_its_entry_are_made_together() {
    let mut world = World::new().await;
    let node = world.node("n1").await;
    let server = world.server(&tenant(1), node).await;
    let page = world.hub.audit(tenant(1).tenant(), &AuditQuery::ALL).unwrap();
    assert_eq!(page.items[0].entry.event, "server:create");
    assert_eq!(page.items[0].entry.server, Some(server));
    let before = page.items.len();
    let change = crate::control::ServerChange { name: Some(String::new()), ..Default::default() };
    assert!(world.hub.change_server(&tenant(1), server, change).await.is_err());
    assert_eq!(world.hub.audit(tenant(1).tenant(), &AuditQuery::ALL).unwrap().items.len(), before);
    let change =
        crate::control::ServerChange { name: Some("new".to_owned()), ..Default::default() };
    world.hub.change_server(&tenant(1), server, change).await.unwrap();
    let page = world.hub.audit(tenant(1).tenant(), &AuditQuery::ALL).unwrap();
    assert_eq!(page.items[0].entry.event, "server:settings.rename");
    let change = Change::new("name", Some("world"), Some("new"));
    assert!(page.items[0].entry.changes.contains(&change), "{:?}", page.items[0]);
    world.hub.revoke_node(&admin(), node).await.unwrap();
    let page = world.hub.audit(HUB_CHAIN, &AuditQuery::ALL).unwrap();
    assert_eq!(page.items[0].entry.event, "node:revoke");
}

#[tokio::test]
async fn reading_filters_and_pages() {
    let world = filled().await;
    let id = tenant(1).tenant();
    let events = |query: &AuditQuery| {
        let page = world.hub.audit(id, query).unwrap();
        (page.items.into_iter().map(|it| it.entry.event).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(events(&AuditQuery::ALL).0, ["b:three", "a:two", "a:one"]);
    assert_eq!(
        events(&AuditQuery { event: Some("a:".into()), ..AuditQuery::ALL }).0,
        ["a:two", "a:one"]
    );
    let (first, next) = events(&AuditQuery { limit: Some(2), ..AuditQuery::ALL });
    assert_eq!(first, ["b:three", "a:two"]);
    assert_eq!(
        events(&AuditQuery { after: next, ..AuditQuery::ALL }),
        (vec!["a:one".to_owned()], None)
    );
    let from = Some(UnixMs(crate::testing::START.0 + 2 * HOUR_MS));
    assert_eq!(events(&AuditQuery { from, ..AuditQuery::ALL }).0, ["b:three"]);
    assert_eq!(events(&AuditQuery { until: from, ..AuditQuery::ALL }).0, ["a:two", "a:one"]);
    let user = Some(mamba_core::ids::UserId::from_bytes([1; 16]));
    assert!(events(&AuditQuery { actor: user, ..AuditQuery::ALL }).0.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_at_once_neither_fork_nor_lose() {
    let world = std::sync::Arc::new(World::threaded().await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let world = world.clone();
        tasks.spawn(async move { add(&world, 1, "x:y").await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let found = world.hub.verify_audit().unwrap();
    assert_eq!((found.entries, found.breaks), (50, vec![]));
}

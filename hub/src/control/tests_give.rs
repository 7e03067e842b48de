//! Servers that change hands: what goes along, what stays, who pays, and who may not.

use super::{Deleting, NewServer, ServerChange, tests::SECRETIVE, transfer::NewTransfer};
use crate::{
    HubError,
    ingest::tests::{cpu_billed, greet, reasons, send, usage, usage_outbox},
    store::{ALLOCATIONS, GAPS, OBSERVED, PLACED, SERVERS},
    tenants::{Owner, SUB_USER_OF, SUB_USERS, SubUser, TENANTS, Tenant},
    testing::{Outbox, START, World, admin, new_server, tenant},
};
use mamba_core::{
    access::ServerKey,
    clock::{HOUR_MS, UnixMs},
    db::{Snapshot as _, Span},
    desired::{Envelope, Wish},
    fact::{Activity, ActivityFact, GapReason, Stream, UsageBody, UsageFact},
    ids::{EventId, NodeId, ServerId, TenantId, UserId},
    lifecycle::{Actor, PowerAction},
    quota::Quota,
    scope::NodeScope,
};
use mamba_wire::api::{
    PageQuery,
    server::{IntentState, ServerQuery},
    usage::{TenantUsageQuery, UsageQuery},
};
use std::collections::BTreeMap;

/// A world with a server of tenant 1 that is an hour old.
async fn world() -> (World, NodeId, ServerId) {
    let mut world = World::new().await;
    let node = world.node("a").await;
    world.hub.import_blueprint(&admin(), SECRETIVE.as_bytes()).await.unwrap();
    let variables = BTreeMap::from([("RCON_PASSWORD".to_owned(), "hunter2".to_owned())]);
    let new = NewServer {
        node: Some(node),
        blueprint: "secretive".to_owned(),
        external_id: "whmcs-7".parse().ok(),
        variables,
        ..new_server()
    };
    let server = world.hub.create_server(&tenant(1), new).await.unwrap().server;
    world.clock.advance(HOUR_MS);
    (world, node, server)
}

fn of(number: u8) -> TenantId {
    tenant(number).tenant()
}

async fn give(world: &World, server: ServerId, from: u8, to: u8) -> Result<TenantId, HubError> {
    let given = world.hub.give_server(&tenant(from), &tenant(to), server).await?;
    Ok(given.tenant)
}

fn wish(world: &World, node: NodeId, server: ServerId) -> Envelope {
    let scope = NodeScope::granted(node);
    world.hub.envelopes(&scope, &[server]).unwrap().remove(0).open().unwrap()
}

fn happened(world: &World, number: u8, server: ServerId) -> Vec<Activity> {
    let page = world.hub.activity(&tenant(number), server, &PageQuery::FIRST).unwrap();
    page.items.into_iter().map(|it| it.activity).collect()
}

#[tokio::test]
async fn what_names_the_owner_is_written_anew_and_what_was_stays() {
    let (world, node, server) = world().await;
    let before = wish(&world, node, server);
    world.hub.power(&tenant(1), server, PowerAction::Start, None).await.unwrap();
    let at = world.hub.now();
    assert_eq!(give(&world, server, 1, 2).await.unwrap(), of(2));
    let after = wish(&world, node, server);
    assert_eq!((after.tenant, after.home.owners, after.home.owned_since), (of(2), 1, at));
    assert!(after.order > before.order);
    let (Wish::Exist(old), Wish::Exist(new)) = (&before.body, &after.body) else { panic!() };
    assert_eq!(old, new, "secrets, ports and all");
    let hub = &world.hub;
    let gone = hub.server(&tenant(1), server).unwrap_err();
    assert!(matches!(gone, HubError::NotFound { .. }), "{gone}");
    let shown = hub.server(&tenant(2), server).unwrap();
    assert_eq!(shown.external_id.as_deref(), Some("whmcs-7"));
    assert_eq!(shown.variables["RCON_PASSWORD"], "hunter2");
    let named = ServerQuery { external_id: Some("whmcs-7".to_owned()), ..ServerQuery::ALL };
    let found = hub.list_servers(&super::Seen::All, &named).unwrap();
    assert_eq!(found.items.iter().map(|it| it.tenant).collect::<Vec<_>>(), [of(2)]);
    let ports = hub.read(|txn| Ok(txn.prefix(ALLOCATIONS, &(node,), 99)?)).unwrap();
    assert!(ports.iter().all(|(_, it)| it.server.is_none_or(|it| it == (of(2), server))));
    assert!(ports.iter().any(|(_, it)| it.server.is_some()));
    // Each is told its own part, and what was is not told to the new owner.
    assert_eq!(happened(&world, 1, server)[0], Activity::GivenAway);
    assert_eq!(happened(&world, 2, server), [Activity::TakenOver]);
    let intents = hub.intents(&tenant(1), server, &PageQuery::FIRST).unwrap();
    assert_eq!(intents.items[0].state, IntentState::Cancelled);
    // What is left of it under its former owner is no server, and has no secrets.
    let former = hub.read(|txn| Ok(txn.get(SERVERS, &(of(1), server))?)).unwrap().unwrap();
    assert!(!former.is_present() && former.choices.variables.is_empty());
    assert!(hub.signed_wish((of(1), server)).unwrap().is_none());
    hub.change_server(
        &tenant(2),
        server,
        ServerChange { name: Some("mine".to_owned()), ..ServerChange::default() },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn each_owner_pays_for_his_own_time_whatever_the_node_knows() {
    let (world, node, server) = world().await;
    // At the full hour, so that spans are easy to place; the node is cut off and names tenant 1.
    let (a, b) = ((of(1), server), (of(2), server));
    assert_eq!(world.hub.now(), START.plus(HOUR_MS));
    world.clock.advance(90_000);
    give(&world, server, 1, 2).await.unwrap();
    world.clock.advance(600_000);
    let late = |from_ms, ms, cpu| usage(a, HOUR_MS + from_ms, ms, cpu);
    let gap = UsageFact { body: UsageBody::Gap(GapReason::Recovered), ..late(60_000, 60_000, 0) };
    let facts = [
        late(0, 60_000, 60),
        // Across the moment, half of it each.
        late(60_000, 60_000, 60),
        late(120_000, 60_000, 60),
        gap,
        // It heard of it meanwhile, and says the same once more.
        usage(b, HOUR_MS + 180_000, 60_000, 60),
        usage(b, HOUR_MS + 60_000, 60_000, 60),
    ];
    let outbox = usage_outbox(&facts);
    greet(&world, node, vec![outbox.hello(1)]).await;
    assert_eq!(send(&world, node, outbox.batch(1, 6)).await, Ok(6));
    assert_eq!(reasons(&world), Vec::<String>::new());
    assert_eq!((cpu_billed(&world, a), cpu_billed(&world, b)), (90, 150));
    let gaps = world.hub.read(|txn| Ok(txn.range(GAPS, Span::all(), 9)?)).unwrap();
    let told: Vec<_> =
        gaps.iter().map(|((tenant, _, from, ..), gap)| (*tenant, *from, gap.to)).collect();
    let at = |ms| START.plus(HOUR_MS + ms);
    assert_eq!(told, [(of(1), at(60_000), at(90_000)), (of(2), at(90_000), at(120_000))]);
    let report = world.hub.reconcile(None).await.unwrap();
    assert!(report.is_balanced(), "{report:?}");
    // The former owner still sees what he is billed for, and nobody else does.
    let query = TenantUsageQuery { from: None, to: None, after: None, limit: None };
    let page = world.hub.tenant_usage(&tenant(1), &query).unwrap();
    assert_eq!((page.items[0].server, page.items[0].is_gone), (server, true));
    assert_eq!(page.items[0].amounts[1].amount, "90");
    let mine = world.hub.usage(&tenant(2), server, &UsageQuery { from: None, to: None }).unwrap();
    assert_eq!(
        mine.hours.iter().map(|it| it.amounts[1].amount.as_str()).collect::<Vec<_>>(),
        ["150"]
    );
}

#[tokio::test]
async fn a_server_that_comes_back_is_billed_to_each_in_turn() {
    let (world, node, server) = world().await;
    let (a, b) = ((of(1), server), (of(2), server));
    world.clock.advance(10_000);
    give(&world, server, 1, 2).await.unwrap();
    world.clock.advance(10_000);
    give(&world, server, 2, 1).await.unwrap();
    // By a clock that went back: still later than before.
    world.clock.set(UnixMs(world.hub.now().0 - 5_000));
    give(&world, server, 1, 2).await.unwrap();
    give(&world, server, 2, 1).await.unwrap();
    world.clock.advance(600_000);
    let outbox = usage_outbox(&[usage(a, HOUR_MS, 60_000, 60_000)]);
    greet(&world, node, vec![outbox.hello(1)]).await;
    assert_eq!(send(&world, node, outbox.batch(1, 1)).await, Ok(1));
    assert_eq!(reasons(&world), Vec::<String>::new());
    assert_eq!((cpu_billed(&world, a), cpu_billed(&world, b)), (49_999, 10_001));
    assert!(world.hub.reconcile(None).await.unwrap().is_balanced());
    assert!(world.hub.server(&tenant(1), server).is_ok());
}

#[tokio::test]
async fn events_are_told_to_whose_server_it_was_then() {
    let (world, node, server) = world().await;
    give(&world, server, 1, 2).await.unwrap();
    let at = world.hub.now();
    world.clock.advance(60_000);
    let fact = |event, named, at| ActivityFact {
        event: EventId::from_bytes([event; 16]),
        at,
        about: Some((of(named), server)),
        actor: Actor::Edge,
        body: Activity::ConsoleCommand { line: format!("say {event}") },
    };
    let facts = [
        fact(1, 1, UnixMs(at.0 - 1)),
        // The node does not know yet that what is said now is not for tenant 1.
        fact(2, 1, at.plus(1)),
        // A second copy is no second event.
        fact(2, 2, at.plus(1)),
        fact(3, 2, UnixMs(at.0 - 1)),
        fact(4, 3, at.plus(1)),
    ];
    let bodies = facts.iter().map(|fact| fact.encode().unwrap()).collect();
    let outbox = Outbox { bodies, ..Outbox::new(Stream::Activity, 1) };
    greet(&world, node, vec![outbox.hello(1)]).await;
    assert_eq!(send(&world, node, outbox.batch(1, 5)).await, Ok(5));
    let said = |number| {
        let all = happened(&world, number, server).into_iter();
        let lines = all.filter_map(|it| match it {
            Activity::ConsoleCommand { line } => Some(line),
            _ => None,
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(
        (said(1), said(2)),
        (vec!["say 1".to_owned()], vec!["say 2".to_owned(), "say 3".to_owned()])
    );
    assert_eq!(reasons(&world).len(), 1, "who never owned it is told nothing");
}

#[tokio::test]
async fn nobody_whom_the_former_owner_let_in_comes_along_or_back() {
    let (world, _, server) = world().await;
    let users: Vec<UserId> = (1..=45).map(|number| UserId::from_bytes([number; 16])).collect();
    let share = |tenant: TenantId, users: Vec<UserId>| {
        world.hub.write(move |txn| {
            for user in &users {
                let keys = [ServerKey::ControlConsole].into();
                txn.put(SUB_USERS, &(tenant, server, *user), &SubUser { keys, since: START })?;
                txn.put(SUB_USER_OF, &(*user, server), &Owner(tenant))?;
            }
            Ok::<_, HubError>(())
        })
    };
    let count = || {
        let rows = world.hub.read(|txn| {
            Ok((
                txn.range(SUB_USERS, Span::all(), 999)?.len(),
                txn.range(SUB_USER_OF, Span::all(), 999)?.len(),
            ))
        });
        rows.unwrap()
    };
    share(of(1), users.clone()).await.unwrap();
    give(&world, server, 1, 2).await.unwrap();
    assert_eq!(count(), (0, 0));
    // A row that a hub left behind that was killed right after it, and one of the new owner's.
    share(of(1), vec![users[0], users[1]]).await.unwrap();
    share(of(2), vec![users[0]]).await.unwrap();
    assert_eq!(count(), (3, 2));
    give(&world, server, 2, 1).await.unwrap();
    assert_eq!(count(), (0, 0));
}

#[tokio::test]
async fn what_cannot_be_given_stays() {
    let (mut world, node, server) = world().await;
    let other = world.node("b").await;
    let refused = |err: HubError, text: &str| {
        assert!(err.to_string().contains(text), "{err}");
    };
    refused(give(&world, server, 1, 1).await.unwrap_err(), "owns the server already");
    let theirs = give(&world, server, 3, 2).await.unwrap_err();
    assert!(matches!(theirs, HubError::NotFound { .. }), "{theirs}");
    let none = give(&world, ServerId::from_bytes([9; 16]), 1, 2).await.unwrap_err();
    assert_eq!(none.to_string(), theirs.to_string());
    // The quota of who gets it is held inside of the transaction.
    let quota = Quota { servers: Some(0), ..Quota::default() };
    let (parent, made_at) = (None, START);
    for (number, quota) in [(1, Quota::default()), (2, quota)] {
        let record = Tenant { name: "t".to_owned(), parent, quota, made_at, external_id: None };
        let put = move |txn: &mut mamba_core::db::Txn<'_>| {
            Ok::<_, HubError>(txn.put(TENANTS, &of(number), &record)?)
        };
        world.hub.write(put).await.unwrap();
    }
    refused(give(&world, server, 1, 2).await.unwrap_err(), "servers");
    let unknown = give(&world, server, 1, 4).await.unwrap_err();
    assert!(matches!(unknown, HubError::NotFound { what: "tenant" }), "{unknown}");
    let to = NewTransfer { node: Some(other), ..NewTransfer::default() };
    world.hub.start_transfer(&tenant(1), server, to).await.unwrap();
    refused(give(&world, server, 1, 2).await.unwrap_err(), "being moved");
    world.hub.cancel_transfer(&tenant(1), server).await.unwrap();
    world.hub.delete_server(&tenant(1), server, Deleting::default()).await.unwrap();
    refused(give(&world, server, 1, 2).await.unwrap_err(), "being deleted");
    assert_eq!(wish(&world, node, server).tenant, of(1));
    let placed = world.hub.read(|txn| Ok(txn.get(PLACED, &(node, server))?)).unwrap().unwrap();
    assert_eq!(placed.tenant, of(1));
    assert!(world.hub.read(|txn| Ok(txn.get(OBSERVED, &(of(2), server))?)).unwrap().is_none());
}

#[tokio::test]
async fn a_hub_from_an_older_backup_learns_whose_the_server_is() {
    let (mut world, node, server) = world().await;
    let backup = world.disk.crash(1);
    world.clock.advance(60_000);
    give(&world, server, 1, 2).await.unwrap();
    let at = wish(&world, node, server).home.owned_since;
    let scope = NodeScope::granted(node);
    let held = world.hub.envelopes(&scope, &[server]).unwrap();
    for is_changed in [false, true] {
        world.reopen(backup.crash(2)).await;
        let mut rank = held[0].open().unwrap().order;
        while is_changed && wish(&world, node, server).order <= rank {
            let memory = u32::try_from(wish(&world, node, server).order.generation.0).unwrap();
            let limits = mamba_core::server::Limits {
                memory_mib: mamba_core::units::Mib(256 + memory),
                ..crate::testing::limits()
            };
            let change = ServerChange { limits: Some(limits), ..ServerChange::default() };
            world.hub.change_server(&tenant(1), server, change).await.unwrap();
        }
        rank = wish(&world, node, server).order.max(rank);
        world.hub.adopt(&scope, held.clone()).await.unwrap();
        let now = wish(&world, node, server);
        assert_eq!((now.tenant, now.home.owners, now.home.owned_since), (of(2), 1, at));
        // What was wanted since the restore is wanted of the new owner's server.
        assert_eq!(now.order > rank, is_changed);
        assert_eq!(world.hub.server(&tenant(2), server).unwrap().tenant, of(2));
        assert!(world.hub.server(&tenant(1), server).is_err());
        // An old wish of the former owner changes nothing.
        world.hub.adopt(&scope, held.clone()).await.unwrap();
        assert_eq!(wish(&world, node, server), now);
    }
}

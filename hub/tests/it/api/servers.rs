//! The life of a server over HTTP, without a node that answers.

use super::world::{ALL_SERVERS, NO_PAGE, World, limits, new_server};
use mamba_core::{
    access::ServerKey, ids::AllocationId, lifecycle::PowerAction, quota::Quota, scope::NodeScope,
};
use mamba_wire::api::{
    Code, LinkState,
    allocation::AllocationQuery,
    member::{SubUserPath, UpdateSubUser},
    node,
    params::{AllocationPath, IntentPath, NodePath, ServerPath, TenantPath, TokenPath},
    server::{
        CreateServer, DeleteQuery, IntentState, Power, ServerQuery, SuspendQuery, UpdateLimits,
        UpdateServer,
    },
    table,
    tenant::LimitTenant,
    usage::UsageQuery,
};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_server_is_made_changed_suspended_and_deleted() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let owner = Some(owner.as_str());
    let server = world.server(node, acme, 30_001).await;
    let path = ServerPath { server };
    let shown = world.call::<table::ShowServer>(owner, &path, &(), &()).await.unwrap();
    assert_eq!((shown.tenant, shown.node, shown.ports[0].port), (acme, node, 30_001));
    assert_eq!((shown.observed, shown.freshness.link), (None, LinkState::Unreachable));
    let first = shown.desired;

    let name = "lobby".to_owned();
    let variables = BTreeMap::from([("SERVER_NAME".to_owned(), "Ours".to_owned())]);
    let update =
        UpdateServer { name: Some(name), variables: Some(variables), ..UpdateServer::default() };
    let shown = world.call::<table::UpdateServer>(owner, &path, &(), &update).await.unwrap();
    assert_eq!((shown.name.as_str(), &*shown.variables["SERVER_NAME"]), ("lobby", "Ours"));
    assert!(shown.desired > first);
    let bad = BTreeMap::from([("SERVER_NAME".to_owned(), "\"".to_owned())]);
    let update = UpdateServer { variables: Some(bad), ..UpdateServer::default() };
    let err = world.call::<table::UpdateServer>(owner, &path, &(), &update).await.unwrap_err();
    assert_eq!(err.errors[0].field, "variables.SERVER_NAME");

    let body = UpdateLimits { limits: limits(256), allocation_limit: None, backup_limit: None };
    let shown = world.admin::<table::UpdateLimits>(&path, &(), &body).await;
    assert_eq!(shown.limits, limits(256));
    let body = UpdateLimits { limits: limits(1), allocation_limit: None, backup_limit: None };
    let err = world.call::<table::UpdateLimits>(Some(&world.admin), &path, &(), &body).await;
    assert_eq!(err.unwrap_err().errors[0].field, "limits.memory_mib");

    let shown =
        world.admin::<table::SuspendServer>(&path, &SuspendQuery { force: None }, &()).await;
    assert!(shown.suspended);
    let start = Power { action: PowerAction::Start, expires_in_ms: None };
    let err = world.call::<table::Power>(owner, &path, &(), &start).await.unwrap_err();
    assert_eq!(err.code, Code::Conflict);
    assert!(!world.admin::<table::UnsuspendServer>(&path, &(), &()).await.suspended);

    let forced = DeleteQuery { after_ms: Some(0), retain_ms: None, force: Some(true) };
    let err = world.call::<table::DeleteServer>(owner, &path, &forced, &()).await.unwrap_err();
    assert_eq!(err.code, Code::Forbidden);
    let query = DeleteQuery { after_ms: Some(0), retain_ms: None, force: None };
    let shown = world.call::<table::DeleteServer>(owner, &path, &query, &()).await.unwrap();
    assert!(shown.deleted_at.is_some());
    let activity = world.call::<table::ListActivity>(owner, &path, &NO_PAGE, &()).await.unwrap();
    assert!(activity.items.len() >= 5, "{activity:?}");
    let usage = UsageQuery { from: None, to: None };
    let usage = world.call::<table::ShowUsage>(owner, &path, &usage, &()).await.unwrap();
    assert_eq!(usage.hours, []);
}

#[tokio::test]
async fn a_power_action_waits_for_its_node_and_expires() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let path = ServerPath { server: world.server(node, acme, 30_001).await };
    let start = Power { action: PowerAction::Start, expires_in_ms: Some(10_000) };
    let given = world.call::<table::Power>(Some(&owner), &path, &(), &start).await.unwrap();
    assert_eq!(given.state, IntentState::Pending);
    let list = async || world.admin::<table::ListIntents>(&path, &NO_PAGE, &()).await.items;
    assert_eq!(list().await, [given]);
    world.clock.advance(10_000);
    assert_eq!(list().await[0].state, IntentState::Expired);
    let given = world.call::<table::Power>(Some(&owner), &path, &(), &start).await.unwrap();
    let which = IntentPath { server: path.server, intent: given.intent };
    let cancel = async || world.call::<table::CancelIntent>(Some(&owner), &which, &(), &()).await;
    assert_eq!(cancel().await.unwrap().state, IntentState::Cancelled);
    assert_eq!(list().await[0].state, IntentState::Cancelled);
    assert_eq!(
        cancel().await.unwrap().state,
        IntentState::Cancelled,
        "the second time changes nothing"
    );
    let never = Power { action: PowerAction::Start, expires_in_ms: Some(0) };
    let err = world.call::<table::Power>(Some(&owner), &path, &(), &never).await.unwrap_err();
    assert_eq!(err.errors[0].field, "expires_in_ms");
}

#[tokio::test]
async fn what_somebody_asked_for_is_not_handed_over_once_they_may_not_do_it() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let server = world.server(node, acme, 30_001).await;
    let path = ServerPath { server };
    let start_alone = [ServerKey::WebsocketConnect, ServerKey::ControlStart];
    let both = start_alone.into_iter().chain([ServerKey::ControlStop]);
    let friend = world.friend(&owner, server, both).await;
    let ask = async |token: &str, action| {
        // Ids made in one millisecond have no order.
        world.clock.advance(1);
        let body = Power { action, expires_in_ms: None };
        world.call::<table::Power>(Some(token), &path, &(), &body).await.unwrap().intent
    };
    let stop = ask(&friend, PowerAction::Stop).await;
    let start = ask(&friend, PowerAction::Start).await;
    let own = ask(&owner, PowerAction::Stop).await;
    let user = world.call::<table::WhoAmI>(Some(&friend), &(), &(), &()).await.unwrap().user;
    let place = SubUserPath { server, user };
    let left = UpdateSubUser { keys: start_alone.into() };
    world.call::<table::UpdateSubUser>(Some(&owner), &place, &(), &left).await.unwrap();
    let handed = async |key| {
        let wanted = world.hub.wanted(&NodeScope::granted(node)).await.unwrap();
        let intents = wanted.intents.into_iter();
        intents.map(|it| (it.intent, it.keys.contains(key))).collect::<Vec<_>>()
    };
    assert_eq!(handed(ServerKey::ControlStart).await, [(start, true), (own, true)]);
    let shown = world.admin::<table::ListIntents>(&path, &NO_PAGE, &()).await.items;
    let shown: Vec<_> = shown.into_iter().map(|it| (it.intent, it.state)).collect();
    let why = "who asked for it may not do it any more".to_owned();
    assert_eq!(
        shown,
        [(own, IntentState::Sent), (start, IntentState::Sent), (stop, IntentState::Refused(why))]
    );
    // The node may have carried it out already, and says so; if not, it sees that it must not.
    world.call::<table::RemoveSubUser>(Some(&owner), &place, &(), &()).await.unwrap();
    assert_eq!(handed(ServerKey::ControlStart).await, [(start, false), (own, true)]);
}

#[tokio::test]
async fn ports_belong_to_one_server() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, _) = world.tenant("acme").await;
    let allocation = world.allocate(node, 30_001).await.remove(0);
    let mut body = new_server(node, acme);
    body.allocations = vec![allocation.allocation];
    let made = world.admin::<table::CreateServer>(&(), &(), &body).await;
    let admin = Some(world.admin.as_str());
    let err = world.call::<table::CreateServer>(admin, &(), &(), &body).await.unwrap_err();
    assert_eq!(err.code, Code::Invalid);
    let query = AllocationQuery { node: Some(node), ..NO_PAGE.into() };
    let listed = world.admin::<table::ListAllocations>(&(), &query, &()).await.items;
    assert_eq!(listed[0].server, Some(made.server.server));
    let path = AllocationPath { allocation: allocation.allocation };
    let err = world.call::<table::DeleteAllocation>(admin, &path, &(), &()).await.unwrap_err();
    assert_eq!(err.code, Code::Conflict);
    let path = AllocationPath { allocation: AllocationId::from_bytes([1; 16]) };
    let err = world.call::<table::DeleteAllocation>(admin, &path, &(), &()).await.unwrap_err();
    assert_eq!(err.code, Code::NotFound);
    let all = world.admin::<table::ListServers>(&(), &ALL_SERVERS, &()).await;
    assert_eq!(all.items.len(), 1, "nothing is left of what was refused");
}

#[tokio::test]
async fn pages_follow_each_other() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, _) = world.tenant("acme").await;
    let mut made = vec![];
    for port in 30_001..30_004 {
        made.push(world.server(node, acme, port).await);
    }
    let (mut seen, mut after) = (vec![], None);
    loop {
        let query = ServerQuery { after, limit: Some(2), ..ServerQuery::ALL };
        let page = world.admin::<table::ListServers>(&(), &query, &()).await;
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(|it| it.server));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn nodes_and_their_tokens_are_looked_after() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let path = NodePath { node };
    let admin = Some(world.admin.as_str());
    let body = node::CreateJoinToken { name: "n2".to_owned(), replaces: None };
    let token = world.admin::<table::CreateJoinToken>(&(), &(), &body).await;
    assert!(token.token.ends_with("@hub.example.org:7443"), "{}", token.token);
    let open = world.admin::<table::ListJoinTokens>(&(), &NO_PAGE, &()).await.items;
    assert_eq!((open.len(), open[0].id), (1, token.id));
    let token_path = TokenPath { token: token.id };
    world.admin::<table::DeleteJoinToken>(&token_path, &(), &()).await;
    let err = world.call::<table::DeleteJoinToken>(admin, &token_path, &(), &()).await;
    assert_eq!(err.unwrap_err().code, Code::NotFound);
    assert_eq!(world.admin::<table::ListNodes>(&(), &NO_PAGE.into(), &()).await.items.len(), 1);
    assert_eq!(world.admin::<table::ShowNode>(&path, &(), &()).await.name, "n1");
    let revoked = world.admin::<table::RevokeNode>(&path, &(), &()).await;
    assert_eq!(revoked.standing, node::Standing::Revoked);
    let known = world.admin::<table::ListBlueprints>(&(), &NO_PAGE.into(), &()).await;
    assert!(known.items.iter().any(|it| it.blueprint == "teeworlds"));
}

#[tokio::test]
async fn backups_that_servers_may_have_are_within_the_tenants_quota() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, _) = world.tenant("acme").await;
    let path = TenantPath { tenant: acme };
    let quota = Quota { backups: Some(5), ..Quota::default() };
    world.admin::<table::LimitTenant>(&path, &(), &LimitTenant { quota }).await;
    for port in [30_001, 30_002] {
        world.allocate(node, port).await;
    }
    let admin = Some(world.admin.as_str());
    let make = async |backup_limit| {
        let body = CreateServer { backup_limit, ..new_server(node, acme) };
        let made = world.call::<table::CreateServer>(admin, &(), &(), &body).await;
        made.map(|it| it.server.server).map_err(|it| it.code)
    };
    let limit = async |server, backup_limit| {
        let body = UpdateLimits {
            limits: limits(128),
            allocation_limit: None,
            backup_limit: Some(backup_limit),
        };
        let path = ServerPath { server };
        let done = world.call::<table::UpdateLimits>(admin, &path, &(), &body).await;
        done.map(|it| it.backup_limit).map_err(|it| it.code)
    };
    let first = make(3).await.unwrap();
    assert_eq!(make(3).await, Err(Code::Conflict), "nothing is left of what is refused");
    let second = make(2).await.unwrap();
    let used = world.admin::<table::ShowQuota>(&path, &(), &()).await.used;
    assert_eq!((used.backups, used.servers), (5, 2));
    assert_eq!(limit(second, 3).await, Err(Code::Conflict));
    assert_eq!(limit(first, 2).await, Ok(2));
    assert_eq!(limit(second, 3).await, Ok(3));
    assert_eq!(limit(second, 1_001).await, Err(Code::Invalid));
    let quota = Quota { backups: Some(1), ..Quota::default() };
    world.admin::<table::LimitTenant>(&path, &(), &LimitTenant { quota }).await;
    assert_eq!(limit(second, 2).await, Ok(2), "what shrinks is always allowed");
}

//! Tests of quotas and names under concurrency, and of the tree of tenants.

use super::*;
use crate::{
    Hub, HubError,
    control::{Maker, NewServer},
    external::ExternalId,
    testing::{World, admin, new_server, tenant},
};
use mamba_core::{
    access::{Access, AdminRight},
    quota::Quota,
    server::PortProtocol,
};
use mamba_wire::api::{PageQuery, tenant::TenantQuery};
use std::net::{IpAddr, Ipv4Addr};

async fn put(world: &World, number: u8, parent: Option<u8>, quota: Quota) -> Result<(), HubError> {
    let parent = parent.map(|number| tenant(number).tenant());
    let id = tenant(number).tenant();
    let (name, made_at) = (format!("t{number}"), world.hub.now());
    let record = Tenant { name, parent, quota, made_at, external_id: None };
    let owner = UserId::from_bytes([number; 16]);
    world
        .hub
        .write(move |txn| {
            insert(txn, id, &record, owner)?;
            check_pool(txn, &record)
        })
        .await
}

fn servers(servers: u64) -> Quota {
    Quota { servers: Some(servers), ..Quota::default() }
}

/// CVE-2025-69198: the quota was looked at before the write and not inside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_creates_at_once_make_as_many_servers_as_the_quota_allows() {
    let mut world = World::threaded().await;
    let node = world.node("n1").await;
    let ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let ports = 31_000..=31_199;
    world
        .hub
        .create_allocations(&admin(), node, ip, ports, PortProtocol::Udp, Default::default())
        .await
        .unwrap();
    put(&world, 1, None, servers(50)).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let hub = world.hub.clone();
        let new = NewServer { node: Some(node), ..new_server() };
        tasks.spawn(async move { hub.create_server(&tenant(1), new).await });
    }
    let (mut made, mut refused) = (0, 0);
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            Ok(_) => made += 1,
            Err(HubError::Refused(why)) => {
                assert!(why.contains("quota allows 50 servers"), "{why}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((made, refused), (50, 150));
    assert_eq!(world.hub.read(|view| quota::used(view, tenant(1).tenant())).unwrap().servers, 50);
}

/// What members may make by themselves: within a quota that limits everything, and without learning
/// of nodes.
#[tokio::test]
async fn members_make_servers_within_a_quota_that_limits_everything() {
    let mut world = World::new().await;
    let own = NewServer { maker: Maker::Member, ..new_server() };
    let make = async |hub: &Hub, number| hub.create_server(&tenant(number), own.clone()).await;
    put(&world, 1, None, servers(1)).await.unwrap();
    let err = make(&world.hub, 1).await.unwrap_err();
    assert!(err.to_string().contains("must limit `memory_mib`"), "{err}");

    let all = Quota {
        memory_mib: Some(10_000),
        cpu_millicores: Some(10_000),
        disk_mib: Some(10_000),
        servers: Some(1),
        backups: Some(0),
        allocations: Some(10),
    };
    put(&world, 2, None, all).await.unwrap();
    let err = make(&world.hub, 2).await.unwrap_err();
    assert_eq!(err.to_string(), "no node has room for this server at the moment");
    world.node("n1").await;
    make(&world.hub, 2).await.unwrap();
    let err = make(&world.hub, 2).await.unwrap_err();
    assert!(err.to_string().contains("quota allows 1 servers"), "{err}");
}

#[tokio::test]
async fn quotas_of_tenants_below_come_out_of_the_pool_above() {
    let mut world = World::new().await;
    let node = world.node("n1").await;
    put(&world, 1, None, servers(5)).await.unwrap();
    put(&world, 2, Some(1), servers(3)).await.unwrap();
    let err = put(&world, 3, Some(1), servers(3)).await.err().unwrap();
    assert!(err.to_string().contains("quota allows 5 servers"), "{err}");
    let err = put(&world, 3, Some(1), Quota::default()).await.err().unwrap();
    assert!(err.to_string().contains("must be limited"), "{err}");
    world.server(&tenant(1), node).await;
    world.server(&tenant(1), node).await;
    let new = NewServer { node: Some(node), ..new_server() };
    assert!(world.hub.create_server(&tenant(1), new).await.is_err());
    assert!(world.hub.limit_tenant(&tenant(2), servers(4)).await.is_err());
    world.hub.limit_tenant(&tenant(2), servers(2)).await.unwrap();
    put(&world, 3, Some(1), servers(1)).await.unwrap();
}

/// A tenant below without a limit counts nothing: limiting the one above did not bound it.
#[tokio::test]
async fn a_tenant_is_limited_only_once_those_below_are() {
    let world = World::new().await;
    put(&world, 1, None, Quota::default()).await.unwrap();
    put(&world, 2, Some(1), Quota::default()).await.unwrap();
    put(&world, 3, Some(2), Quota::default()).await.unwrap();
    for number in [1, 2] {
        let err = world.hub.limit_tenant(&tenant(number), servers(5)).await.err().unwrap();
        let expected = format!("needs a limit in the tenant below, `t{}`", number + 1);
        assert!(err.to_string().contains(&expected), "{err}");
    }
    for number in [3, 2, 1] {
        world.hub.limit_tenant(&tenant(number), servers(5)).await.unwrap();
    }
    let err = world.hub.limit_tenant(&tenant(3), Quota::default()).await.err().unwrap();
    assert!(err.to_string().contains("the tenant above is"), "{err}");
}

#[tokio::test]
async fn the_tree_of_tenants_has_a_bound() {
    let world = World::new().await;
    put(&world, 1, None, Quota::default()).await.unwrap();
    for number in 2..=4 {
        put(&world, number, Some(number - 1), Quota::default()).await.unwrap();
    }
    assert!(put(&world, 5, Some(4), Quota::default()).await.is_err());
    assert!(world.hub.delete_tenant(&tenant(3), "t3".to_owned()).await.is_err());
    assert!(world.hub.delete_tenant(&tenant(4), "t3".to_owned()).await.is_err());
    world.hub.delete_tenant(&tenant(4), "t4".to_owned()).await.unwrap();
    world.hub.delete_tenant(&tenant(3), "t3".to_owned()).await.unwrap();
}

async fn name(world: &World, number: u8, name: &str) -> Result<Tenant, HubError> {
    let external_id = Some(ExternalId::or_none(name).unwrap());
    let change = TenantChange { external_id, ..TenantChange::default() };
    world.hub.change_tenant(&tenant(number), change).await
}

fn found(world: &World, name: &str) -> Vec<TenantId> {
    let access = Access { admin: AdminRight::ALL.iter().copied().collect(), ..Access::default() };
    let query = TenantQuery { external_id: Some(name.to_owned()), ..PageQuery::FIRST.into() };
    let page = world.hub.tenants(&access, &query).unwrap();
    page.items.into_iter().map(|(id, _)| id).collect()
}

const TAKEN: &str = "`external_id`: belongs to another tenant already";

#[tokio::test]
async fn at_most_one_tenant_has_a_name_in_another_system_until_it_goes() {
    let world = World::new().await;
    for number in 1..=2 {
        put(&world, number, None, Quota::default()).await.unwrap();
    }
    let of = |number| tenant(number).tenant();
    assert_eq!(name(&world, 1, "7").await.unwrap().external_id, "7".parse().ok());
    assert_eq!(name(&world, 2, "7").await.unwrap_err().to_string(), TAKEN);
    assert_eq!((found(&world, "7"), found(&world, "8")), (vec![of(1)], vec![]));
    let rename = TenantChange { name: Some("acme".to_owned()), ..TenantChange::default() };
    let renamed = world.hub.change_tenant(&tenant(1), rename).await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.external_id), ("acme", "7".parse().ok()));
    let limited = world.hub.limit_tenant(&tenant(1), servers(5)).await.unwrap();
    assert_eq!(limited.external_id, "7".parse().ok());
    name(&world, 1, "8").await.unwrap();
    name(&world, 2, "7").await.unwrap();
    assert_eq!((found(&world, "7"), found(&world, "8")), (vec![of(2)], vec![of(1)]));
    assert_eq!(name(&world, 2, "").await.unwrap().external_id, None);
    assert_eq!(found(&world, "7"), []);
    world.hub.delete_tenant(&tenant(1), "acme".to_owned()).await.unwrap();
    assert_eq!(found(&world, "8"), []);
    name(&world, 2, "8").await.unwrap();
    let gone = name(&world, 1, "9").await.unwrap_err();
    assert!(matches!(gone, HubError::NotFound { what: "tenant" }), "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_tenants_that_are_given_a_name_at_once_one_has_it() {
    let world = World::threaded().await;
    for number in 1..=20 {
        put(&world, number, None, Quota::default()).await.unwrap();
    }
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=20 {
        let (hub, external_id) = (world.hub.clone(), Some("7".parse().ok()));
        let change = TenantChange { external_id, ..TenantChange::default() };
        tasks.spawn(async move {
            hub.change_tenant(&tenant(number), change).await.map(|_| tenant(number).tenant())
        });
    }
    let mut named = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            Ok(tenant) => named.push(tenant),
            Err(err) => assert_eq!(err.to_string(), TAKEN),
        }
    }
    assert_eq!((named.len(), found(&world, "7")), (1, named));
}

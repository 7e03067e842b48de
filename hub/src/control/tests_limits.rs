//! How servers share their nodes: from what is asked to what a node is told.

use super::{NewServer, ServerChange};
use crate::{
    HubError,
    control::transfer::NewTransfer,
    testing::{World, limits, machine, new_server, tenant},
};
use mamba_core::{
    desired::Wish,
    ids::{NodeId, ServerId},
    placement::{Needs, Size},
    scope::NodeScope,
    server::{Limits, Sharing},
    units::Mib,
};
use mamba_wire::link::v1::StateReport;

fn bound(threads: &str) -> Limits {
    let threads = Some(threads.parse().unwrap());
    Limits { sharing: Sharing { threads, io_weight: Some(500), oom_disabled: true }, ..limits() }
}

fn change(limits: Limits) -> ServerChange {
    ServerChange { limits: Some(limits), ..ServerChange::default() }
}

fn refused(result: Result<impl Sized, HubError>, cpus: u32) {
    match result.map(|_| ()).unwrap_err() {
        HubError::Invalid(err) => {
            assert!(err.field == "limits.sharing.threads" || err.field == "node", "{err}");
            assert!(err.rule.contains(&format!("has {cpus} processors")), "{err}");
        }
        other => panic!("{other:?}"),
    }
}

fn needs(limits: &Limits) -> Needs {
    let threads = limits.sharing.threads;
    Needs { size: Size::of(limits), threads, ..Needs::default() }
}

/// Reports the node with one processor.
async fn shrink(world: &World, node: NodeId) {
    let mut small = StateReport { complete: true, servers: vec![], node: machine() };
    small.node.cpus = 1;
    world.hub.note_state(&NodeScope::granted(node), small).await.unwrap();
}

#[tokio::test]
async fn a_node_is_told_how_a_server_shares_it_unless_it_cannot() {
    let mut world = World::new().await;
    let (node, other) = (world.node("a").await, world.node("b").await);
    let cpus = machine().cpus;
    let beyond = bound(&format!("0,{cpus}"));
    let server = world.server(&tenant(1), node).await;
    world.hub.change_server(&tenant(1), server, change(bound("0"))).await.unwrap();
    let wanted = |server: ServerId| {
        let wish = world.hub.signed_wish((tenant(1).tenant(), server)).unwrap().unwrap();
        match wish.open().unwrap().body {
            Wish::Exist(spec) => spec.limits,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(wanted(server), bound("0"));
    refused(world.hub.change_server(&tenant(1), server, change(beyond)).await, cpus);
    assert_eq!(wanted(server), bound("0"), "nothing was changed");
    let new = NewServer { limits: beyond, ..new_server() };
    let named = NewServer { node: Some(node), ..new.clone() };
    refused(world.hub.create_server(&tenant(1), named).await, cpus);
    let everywhere = world.hub.create_server(&tenant(1), new).await.unwrap_err();
    assert!(matches!(&everywhere, HubError::NoNode(all) if all.len() == 2), "{everywhere:?}");
    // A smaller machine cannot take it over.
    world.hub.change_server(&tenant(1), server, change(bound("1"))).await.unwrap();
    shrink(&world, other).await;
    let there = NewTransfer { node: Some(other), ..NewTransfer::default() };
    refused(world.hub.start_transfer(&tenant(1), server, there).await, 1);
}

#[tokio::test]
async fn processors_that_are_gone_stop_no_other_change() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = world.server(&tenant(1), node).await;
    world.hub.change_server(&tenant(1), server, change(bound("1"))).await.unwrap();
    shrink(&world, node).await;
    let suspended = ServerChange { suspended: Some(true), force: true, ..ServerChange::default() };
    world.hub.change_server(&tenant(1), server, suspended).await.unwrap();
    let freed = ServerChange { suspended: Some(false), ..ServerChange::default() };
    world.hub.change_server(&tenant(1), server, freed).await.unwrap();
    let named = ServerChange { name: Some("b".to_owned()), ..ServerChange::default() };
    assert_eq!(world.hub.change_server(&tenant(1), server, named).await.unwrap().name, "b");
    // Other limits may change beside them, to other processors that are not there it cannot go.
    let less = Limits { memory_mib: Mib(200), ..bound("1") };
    world.hub.change_server(&tenant(1), server, change(less)).await.unwrap();
    refused(world.hub.change_server(&tenant(1), server, change(bound("0,1"))).await, 1);
    world.hub.change_server(&tenant(1), server, change(bound("0"))).await.unwrap();
}

#[tokio::test]
async fn the_node_with_the_processors_is_chosen() {
    let mut world = World::new().await;
    let (small, right) = (world.node("small").await, world.node("right").await);
    shrink(&world, small).await;
    let limits = bound("1");
    // Both have as much memory: without processors the older one is taken.
    let free = world.hub.would_place(Needs { threads: None, ..needs(&limits) }, None).await;
    assert_eq!(free.unwrap().node, Some(small));
    let would = world.hub.would_place(needs(&limits), Some("teeworlds")).await.unwrap();
    let new = NewServer { limits, ..new_server() };
    let (made, rejected) = world.hub.place_server(&tenant(1), new).await.unwrap();
    assert_eq!((made.node, would.node), (right, Some(right)));
    assert_eq!(rejected[0].reason, "has 1 processors, of which none is 1");
    assert_eq!(rejected, would.rejected);
    // A move looks for it in the same way.
    let third = world.node("third").await;
    world.hub.start_transfer(&tenant(1), made.server, NewTransfer::default()).await.unwrap();
    assert_eq!(world.hub.transfer(&tenant(1), made.server).unwrap().to, third);
}

//! Install scripts as part of what is wanted, on a real store.

use super::*;
use crate::{
    control::{NewServer, ServerChange},
    store::ENVELOPES,
    testing::{World, admin, machine, new_server, tenant},
};
use mamba_core::{
    clock::UnixMs,
    desired::{Order, Wish},
    lifecycle::{
        Actor, Observed, PowerAction, PowerWish, ServerState,
        install::{InstallEnd, InstallOutcome},
    },
    scope::NodeScope,
    server::ServerSpec,
};
use mamba_wire::{api::PageQuery, link::v1::StateReport};

/// An egg with an install script, two images and a variable that users may not see.
fn egg() -> String {
    serde_json::json!({
        "meta": { "version": "PTDL_v2" },
        "name": "Scripted",
        "docker_images": { "One": "game:1", "Two": "game:2" },
        "startup": "./game",
        "config": { "files": "{}", "startup": "{\"done\": \"up \"}", "logs": "[]", "stop": "^C" },
        "scripts": { "installation": {
            "script": "echo hi\n", "container": "debian:12", "entrypoint": "bash"
        } },
        "variables": [{
            "name": "Hidden", "description": "", "env_variable": "HIDDEN",
            "default_value": "hunter2", "user_viewable": false, "user_editable": false,
            "rules": "required|string"
        }],
    })
    .to_string()
}

async fn scripted(world: &World, node: NodeId, skip_scripts: bool) -> ServerId {
    world.hub.import_blueprint(&admin(), egg().as_bytes()).await.unwrap();
    let new = NewServer {
        node: Some(node),
        blueprint: "scripted".to_owned(),
        variables: Default::default(),
        skip_scripts,
        ..new_server()
    };
    world.hub.create_server(&tenant(1), new).await.unwrap().server
}

fn wanted(world: &World, server: ServerId) -> (Order, ServerSpec) {
    let key = (tenant(1).tenant(), server);
    let record = world.hub.read(|txn| Ok(txn.get(ENVELOPES, &key)?)).unwrap().unwrap();
    match world.hub.signed_wish(key).unwrap().unwrap().open().unwrap().body {
        Wish::Exist(spec) => (record.order, *spec),
        other => panic!("{other:?}"),
    }
}

/// The node says how far a run is.
async fn says(world: &World, node: NodeId, server: ServerId, run: InstallRecord) {
    let observed = Observed {
        server,
        applied: None,
        refused: None,
        state: ServerState::Offline,
        since: UnixMs(1),
        not_running: None,
        wish: PowerWish { running: false, by: Actor::Hub, at: UnixMs(1) },
        started_at: None,
        last_exit: None,
        crashes: 0,
        restart_pending: false,
        install: Some(run),
    };
    let report = StateReport { complete: true, servers: vec![observed], node: machine() };
    world.hub.note_state(&NodeScope::granted(node), report).await.unwrap();
}

fn run(asked: Order, outcome: Option<InstallOutcome>) -> InstallRecord {
    let end = outcome.map(|outcome| InstallEnd { at: UnixMs(20), outcome });
    InstallRecord { asked, begun_at: UnixMs(10), cancel: None, end }
}

fn state_of(world: &World, server: ServerId) -> InstallState {
    world.hub.server(&tenant(1), server).unwrap().install.state
}

async fn start(world: &World, server: ServerId) -> Result<(), String> {
    let given = world.hub.power(&tenant(1), server, PowerAction::Start, None).await;
    given.map(drop).map_err(|err| err.to_string())
}

#[tokio::test]
async fn a_server_is_installed_once_and_again_when_that_is_asked_for() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = scripted(&world, node, false).await;
    let (first, spec) = wanted(&world, server);
    let install = spec.install.unwrap();
    assert_eq!((install.asked, install.files), (first, InstallFiles::Keep));
    assert!(install.secrets.contains("HIDDEN"));
    assert_eq!(state_of(&world, server), InstallState::Waiting);
    assert_eq!(start(&world, server).await.unwrap_err(), "server is being installed");
    // Another change does not ask for another run.
    let change = ServerChange { name: Some("renamed".to_owned()), ..ServerChange::default() };
    world.hub.change_server(&tenant(1), server, change).await.unwrap();
    assert_eq!(wanted(&world, server).1.install.unwrap().asked, first);
    let again = world.hub.reinstall_server(&tenant(1), server, InstallFiles::Wipe).await;
    assert_eq!(again.unwrap_err().to_string(), "server is being installed");

    says(&world, node, server, run(first, Some(InstallOutcome::Installed))).await;
    assert_eq!(state_of(&world, server), InstallState::Done);
    start(&world, server).await.unwrap();
    world.hub.reinstall_server(&tenant(1), server, InstallFiles::Wipe).await.unwrap();
    let (second, spec) = wanted(&world, server);
    let install = spec.install.unwrap();
    assert_eq!((install.asked, install.files), (second, InstallFiles::Wipe));
    assert!(second > first);
    assert_eq!(state_of(&world, server), InstallState::Waiting, "the node knows of the first only");

    says(&world, node, server, run(second, None)).await;
    assert_eq!(state_of(&world, server), InstallState::Running);
    let failed = InstallOutcome::Failed { code: Some(3), error: "script ended with code 3".into() };
    says(&world, node, server, run(second, Some(failed))).await;
    let shown = world.hub.server(&tenant(1), server).unwrap().install;
    assert_eq!((shown.state, shown.code), (InstallState::Failed, Some(3)));
    assert_eq!((shown.begun_at, shown.ended_at), (Some(UnixMs(10)), Some(UnixMs(20))));
    assert!(start(&world, server).await.unwrap_err().starts_with("install of the server failed"));
    let activity = world.hub.activity(&tenant(1), server, &PageQuery::FIRST).unwrap().items;
    let asked = |it: &&mamba_wire::api::activity::ActivityItem| {
        it.activity == Activity::ReinstallAsked { files: InstallFiles::Wipe }
    };
    assert_eq!(activity.iter().filter(asked).count(), 1);
}

#[tokio::test]
async fn a_run_is_ended_while_there_is_one() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = scripted(&world, node, false).await;
    let (first, _) = wanted(&world, server);
    world.hub.cancel_install(&tenant(1), server).await.unwrap();
    let (second, spec) = wanted(&world, server);
    let install = spec.install.unwrap();
    assert_eq!((install.asked, install.cancelled), (first, true));
    // Asking twice is asking once.
    world.hub.cancel_install(&tenant(1), server).await.unwrap();
    assert_eq!(wanted(&world, server).0, second);
    says(&world, node, server, run(first, Some(InstallOutcome::Cancelled))).await;
    assert_eq!(state_of(&world, server), InstallState::Cancelled);
    let again = world.hub.cancel_install(&tenant(1), server).await;
    assert!(matches!(again, Err(HubError::Refused(_))), "{again:?}");
    world.hub.reinstall_server(&tenant(1), server, InstallFiles::Keep).await.unwrap();
    assert!(!wanted(&world, server).1.install.unwrap().cancelled);
}

#[tokio::test]
async fn scripts_can_be_left_out() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = scripted(&world, node, true).await;
    assert_eq!(wanted(&world, server).1.install, None);
    assert_eq!(state_of(&world, server), InstallState::None);
    start(&world, server).await.unwrap();
    let refused = world.hub.reinstall_server(&tenant(1), server, InstallFiles::Keep).await;
    assert!(refused.unwrap_err().to_string().contains("switched off"));
    let change = ServerChange { skip_scripts: Some(false), ..ServerChange::default() };
    world.hub.change_server(&tenant(1), server, change).await.unwrap();
    assert_eq!(wanted(&world, server).1.install, None, "nobody asked for a run");
    world.hub.reinstall_server(&tenant(1), server, InstallFiles::Keep).await.unwrap();
    assert!(wanted(&world, server).1.install.is_some());
    let plain = world.server(&tenant(1), node).await;
    let refused = world.hub.reinstall_server(&tenant(1), plain, InstallFiles::Keep).await;
    assert!(refused.unwrap_err().to_string().contains("has no install script"));
}

#[tokio::test]
async fn another_tenants_server_is_not_there() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = scripted(&world, node, false).await;
    for refused in [
        world.hub.reinstall_server(&tenant(2), server, InstallFiles::Keep).await,
        world.hub.cancel_install(&tenant(2), server).await,
    ] {
        assert!(matches!(refused, Err(HubError::NotFound { .. })), "{refused:?}");
    }
}

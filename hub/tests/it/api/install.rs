//! Install scripts, images, start lines and variables, as people see them over HTTP.

use super::{
    features::{import, server_on},
    world::World,
};
use mamba_core::{clock::UnixMs, ids::NodeId, lifecycle::PowerAction, server::InstallFiles};
use mamba_wire::{
    api::{
        Code, Problem,
        params::ServerPath,
        server::{InstallState, Power, Reinstall, Server, UpdateServer},
        table,
    },
    node::{Answer, ConsoleLine, InstallLog, LineSource, NodeReply},
};
use std::collections::BTreeMap;

pub(super) fn egg() -> serde_json::Value {
    let variable = |name: &str, viewable: bool, editable: bool| {
        serde_json::json!({
            "name": name, "description": "", "env_variable": name, "default_value": "one",
            "user_viewable": viewable, "user_editable": editable, "rules": "required|string",
        })
    };
    serde_json::json!({
        "meta": { "version": "PTDL_v2" },
        "name": "Scripted",
        "docker_images": { "One": "game:1", "Two": "game:2" },
        "startup": "./game",
        "config": { "files": "{}", "startup": "{\"done\": \"up \"}", "logs": "[]", "stop": "^C" },
        "scripts": { "installation": {
            "script": "echo hi\n", "container": "debian:12", "entrypoint": "bash"
        } },
        "variables": [
            variable("OPEN", true, true), variable("FIXED", true, false),
            variable("HIDDEN", false, true),
        ],
    })
}

/// A server of the egg, its node and the token of its owner.
async fn scripted(world: &World) -> (ServerPath, NodeId, String) {
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let blueprint = import(world, &egg()).await;
    let server = server_on(world, node, acme, &blueprint).await;
    (ServerPath { server }, node, owner)
}

async fn update(
    world: &World,
    token: &str,
    path: &ServerPath,
    body: UpdateServer,
) -> Result<Server, Problem> {
    world.call::<table::UpdateServer>(Some(token), path, &(), &body).await
}

fn variable(name: &str, value: &str) -> UpdateServer {
    let variables = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    UpdateServer { variables: Some(variables), ..UpdateServer::default() }
}

fn names(server: &Server) -> Vec<&str> {
    server.variables.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn variables_are_seen_and_changed_as_the_blueprint_lets_people() {
    let world = World::new().await;
    let (path, _, owner) = scripted(&world).await;
    let shown = world.call::<table::ShowServer>(Some(&owner), &path, &(), &()).await.unwrap();
    assert_eq!(names(&shown), ["FIXED", "OPEN"]);
    let shown = world.admin::<table::ShowServer>(&path, &(), &()).await;
    assert_eq!(names(&shown), ["FIXED", "HIDDEN", "OPEN"]);
    let all = super::world::ALL_SERVERS;
    let listed = world.call::<table::ListServers>(Some(&owner), &(), &all, &()).await.unwrap();
    assert_eq!(names(&listed.items[0]), ["FIXED", "OPEN"]);
    let changed = update(&world, &owner, &path, variable("OPEN", "two")).await.unwrap();
    assert_eq!((names(&changed), &*changed.variables["OPEN"]), (vec!["FIXED", "OPEN"], "two"));
    let fixed = update(&world, &owner, &path, variable("FIXED", "two")).await.unwrap_err();
    assert_eq!(fixed.errors[0].field, "variables.FIXED");
    // Whether the value is right is not told: both are refused alike.
    for value in ["one", "two"] {
        let hidden = update(&world, &owner, &path, variable("HIDDEN", value)).await.unwrap_err();
        assert_eq!(hidden.errors[0].rule, "is not a variable of this blueprint");
    }
    let changed = update(&world, &world.admin, &path, variable("HIDDEN", "two")).await.unwrap();
    assert_eq!(&*changed.variables["HIDDEN"], "two");
}

#[tokio::test]
async fn images_and_start_lines_outside_the_list_are_for_administrators() {
    let world = World::new().await;
    let (path, _, owner) = scripted(&world).await;
    let image =
        |image: &str| UpdateServer { image: Some(image.to_owned()), ..UpdateServer::default() };
    let startup =
        |line: &str| UpdateServer { startup: Some(line.to_owned()), ..UpdateServer::default() };
    let shown = update(&world, &owner, &path, image("game:2")).await.unwrap();
    assert_eq!(shown.image.as_deref(), Some("game:2"));
    let refused = update(&world, &owner, &path, image("evil:1")).await.unwrap_err();
    assert_eq!((refused.code, refused.errors[0].field.as_str()), (Code::Invalid, "image"));
    let shown = update(&world, &world.admin, &path, image("own:1")).await.unwrap();
    assert_eq!(shown.image.as_deref(), Some("own:1"));
    // What an administrator chose stays when people change something else.
    update(&world, &owner, &path, variable("OPEN", "two")).await.unwrap();
    let refused = update(&world, &owner, &path, startup("rm -rf /")).await.unwrap_err();
    assert_eq!(refused.errors[0].field, "startup");
    update(&world, &world.admin, &path, startup("./game --debug")).await.unwrap();
    update(&world, &owner, &path, startup("./game")).await.unwrap();
    let skip = UpdateServer { skip_scripts: Some(true), ..UpdateServer::default() };
    let refused = update(&world, &owner, &path, skip.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::Forbidden);
    assert!(update(&world, &world.admin, &path, skip).await.unwrap().skip_scripts);
}

#[tokio::test]
async fn a_server_is_installed_again_and_its_log_comes_from_the_node() {
    let world = World::new().await;
    let (path, _, owner) = scripted(&world).await;
    let owner = Some(owner.as_str());
    let shown = world.call::<table::ShowServer>(owner, &path, &(), &()).await.unwrap();
    assert_eq!(shown.install.state, InstallState::Waiting);
    let start = Power { action: PowerAction::Start, expires_in_ms: None };
    let refused = world.call::<table::Power>(owner, &path, &(), &start).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.detail.as_str()),
        (Code::Conflict, "server is being installed")
    );
    world.call::<table::CancelInstall>(owner, &path, &(), &()).await.unwrap();
    let log = world.call::<table::ShowInstallLog>(owner, &path, &(), &()).await.unwrap_err();
    assert_eq!(log.code, Code::NodeOffline);
    let body = Reinstall { files: InstallFiles::Wipe };
    // The node has not said a word: the first run is still to come.
    let refused = world.call::<table::ReinstallServer>(owner, &path, &(), &body).await.unwrap_err();
    assert_eq!(refused.code, Code::Conflict);

    let mut node = world.door.expect(1 << 16);
    let line =
        ConsoleLine { at: UnixMs(7), source: LineSource::Stdout, text: "installing".to_owned() };
    let log = InstallLog { run: None, is_cut: true, lines: vec![line.clone()] };
    let reply = NodeReply::Ok(Box::new(Answer::InstallLog(log)));
    node.writer.send(&reply.to_frame().unwrap()).await.unwrap();
    let log = world.call::<table::ShowInstallLog>(owner, &path, &(), &()).await.unwrap();
    assert_eq!((log.is_cut, log.lines), (true, vec![line]));
}

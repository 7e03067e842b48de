//! What a game needs somebody for, as people answer it over HTTP while the node is away.

use super::world::{World, new_server};
use mamba_core::{
    audit::AuditEntry,
    desired::Wish,
    ids::{NodeId, ServerId, TenantId},
    server::{PortProtocol, ServerSpec},
};
use mamba_wire::api::{
    Code,
    allocation::CreateAllocations,
    audit::AuditQuery,
    blueprint::ImportBlueprint,
    params::{ServerPath, TenantPath},
    server::CreateServer,
    table,
};

/// An egg of Pterodactyl's with these features.
pub(super) fn egg(name: &str, features: &[&str]) -> serde_json::Value {
    serde_json::json!({
        "meta": { "version": "PTDL_v2" },
        "name": name,
        "features": features,
        "docker_images": { "Java 17": "java:17", "Java 21": "java:21" },
        "startup": "java -jar server.jar",
        "config": { "files": "{}", "startup": "{\"done\": \"Done \"}", "logs": "[]", "stop": "stop" },
        "scripts": { "installation": { "script": null, "container": "debian:12", "entrypoint": "bash" } },
        "variables": [],
    })
}

/// Imports an egg and returns its key.
pub(super) async fn import(world: &World, egg: &serde_json::Value) -> String {
    let file = ImportBlueprint { content: egg.to_string() };
    world.admin::<table::ImportBlueprint>(&(), &(), &file).await.blueprint
}

/// Makes a server of a blueprint on a node of its own.
pub(super) async fn server_of(world: &World, tenant: TenantId, blueprint: &str) -> ServerId {
    let node = world.node(&format!("node of {blueprint}"), 1).await;
    server_on(world, node, tenant, blueprint).await
}

/// Makes a server of a blueprint on a node.
pub(super) async fn server_on(
    world: &World,
    node: NodeId,
    tenant: TenantId,
    blueprint: &str,
) -> ServerId {
    // Eggs do not say which transport they need.
    let ports = CreateAllocations {
        node,
        ip: "0.0.0.0".parse().unwrap(),
        port: 30_001,
        port_last: None,
        protocol: PortProtocol::Both,
        alias: None,
        note: None,
    };
    world.admin::<table::CreateAllocations>(&(), &(), &ports).await;
    let body = CreateServer { blueprint: blueprint.to_owned(), ..new_server(node, tenant) };
    world.admin::<table::CreateServer>(&(), &(), &body).await.server.server
}

impl World {
    /// Returns what the node of a server is to be told.
    pub(super) fn wanted(&self, tenant: TenantId, server: ServerId) -> ServerSpec {
        let signed = self.hub.signed_wish((tenant, server)).unwrap().unwrap();
        match signed.open().unwrap().body {
            Wish::Exist(spec) => *spec,
            other => panic!("{other:?}"),
        }
    }

    /// Returns a tenant's audit trail, newest first.
    pub(super) async fn trail_of(&self, tenant: TenantId) -> Vec<AuditEntry> {
        let page =
            self.admin::<table::ListAudit>(&TenantPath { tenant }, &AuditQuery::ALL, &()).await;
        page.items.into_iter().map(|item| item.entry).collect()
    }
}

#[tokio::test]
async fn a_licence_is_agreed_to_once_and_its_node_need_not_be_there() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let blueprint = import(&world, &egg("Paper", &["eula", "java_version"])).await;
    let server = server_of(&world, acme, &blueprint).await;
    let path = ServerPath { server };
    let shown = world.call::<table::ShowServer>(Some(&owner), &path, &(), &()).await.unwrap();
    assert!(!shown.eula_accepted && !world.wanted(acme, server).accepts_eula());
    let agreed = world.call::<table::AcceptEula>(Some(&owner), &path, &(), &()).await.unwrap();
    assert!(agreed.eula_accepted && agreed.desired > shown.desired);
    assert!(world.wanted(acme, server).accepts_eula());
    let again = world.call::<table::AcceptEula>(Some(&owner), &path, &(), &()).await.unwrap();
    assert_eq!(again.desired, agreed.desired, "what is agreed to already makes no new wish");

    let trail = world.trail_of(acme).await;
    let told: Vec<_> = trail.iter().filter(|it| it.event == "server:eula.accept").collect();
    assert_eq!(told.len(), 1);
    let change = told[0].changes.iter().find(|it| it.field == "eula").unwrap();
    assert_eq!((change.before.as_deref(), change.after.as_deref()), (Some("false"), Some("true")));
}

#[tokio::test]
async fn a_game_without_a_licence_has_none_to_agree_to() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let blueprint = import(&world, &egg("Free", &["pid_limit"])).await;
    let path = ServerPath { server: server_of(&world, acme, &blueprint).await };
    let before = world.wanted(acme, path.server);
    let refused = world.call::<table::AcceptEula>(Some(&owner), &path, &(), &()).await.unwrap_err();
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.detail.contains("no licence"), "{}", refused.detail);
    assert_eq!(world.wanted(acme, path.server), before);
}

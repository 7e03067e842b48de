//! Logins of image registries, over HTTP: nothing secret comes back, and nodes are told.

use super::world::World;
use mamba_core::{registry::Login, scope::NodeScope};
use mamba_wire::api::{
    Code,
    audit::AuditQuery,
    registry::{RegistryPath, SetRegistry},
    table,
};

const SECRET: &str = "canary-0f1e2d3c4b5a";

fn path(host: &str) -> RegistryPath {
    RegistryPath { registry: host.to_owned() }
}

fn body(user: &str, password: Option<&str>) -> SetRegistry {
    SetRegistry { user: user.to_owned(), password: password.map(str::to_owned) }
}

async fn told(world: &World, node: mamba_core::ids::NodeId) -> Vec<Login> {
    world.hub.wanted(&NodeScope::granted(node)).await.unwrap().registries
}

#[tokio::test]
async fn a_login_is_set_told_to_nodes_and_never_given_back() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let login = |host: &str, user: &str, password: &str| Login {
        host: host.to_owned(),
        user: user.to_owned(),
        password: password.to_owned(),
    };
    assert_eq!(told(&world, node).await, []);
    // A host with a port has to survive the way through a URL.
    for host in ["ghcr.io", "registry.example.org:5000", "[::1]:5000"] {
        let (path, body) = (path(host), body("bot", Some(SECRET)));
        let set = world.admin::<table::SetRegistry>(&path, &(), &body).await;
        assert_eq!(set.registry, host);
    }
    let all = told(&world, node).await;
    assert_eq!(all.len(), 3);
    assert!(all.contains(&login("registry.example.org:5000", "bot", SECRET)));
    // Another name for the account keeps the password.
    world.admin::<table::SetRegistry>(&path("ghcr.io"), &(), &body("fleet", None)).await;
    assert!(told(&world, node).await.contains(&login("ghcr.io", "fleet", SECRET)));
    world.admin::<table::DeleteRegistry>(&path("[::1]:5000"), &(), &()).await;
    let listed = world.admin::<table::ListRegistries>(&(), &(), &()).await;
    let hosts: Vec<_> = listed.items.iter().map(|it| it.registry.as_str()).collect();
    assert_eq!(hosts, ["ghcr.io", "registry.example.org:5000"]);

    let bearer = format!("Bearer {}", world.admin);
    let headers = [("authorization", bearer.as_str())];
    for target in ["/api/v1/registries", "/api/v1/audit", "/api/v1/settings"] {
        let reply = world.send("GET", target, &headers, None).await;
        assert!(reply.status == 200 && !reply.body.contains(SECRET), "{target}");
    }
    let page = world.admin::<table::ListHubAudit>(&(), &AuditQuery::ALL, &()).await;
    let events: Vec<_> = page.items.iter().map(|it| it.entry.event.as_str()).collect();
    assert_eq!(events.iter().filter(|it| **it == "registry:update").count(), 4);
    assert_eq!(events.iter().filter(|it| **it == "registry:delete").count(), 1);
    // What was said about one that is gone already.
    let gone = path("[::1]:5000");
    let gone = world.call::<table::DeleteRegistry>(Some(&world.admin), &gone, &(), &()).await;
    assert_eq!(gone.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn a_new_master_key_seals_the_logins_too() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let host = path("ghcr.io");
    world.admin::<table::SetRegistry>(&host, &(), &body("bot", Some(SECRET))).await;
    let before = world.hub.vault().newest();
    let scope = mamba_core::scope::AdminScope::operator("tester".to_owned());
    let done = world.hub.rotate_secrets(&scope).await.unwrap();
    assert!(done.rewrapped >= 1 && world.hub.vault().newest() != before);
    assert_eq!(told(&world, node).await[0].password, SECRET);
}

#[tokio::test]
async fn what_is_wrong_with_a_login_is_told_by_its_field_and_without_the_password() {
    let world = World::new().await;
    let long = format!("{SECRET}{}", "x".repeat(9_000));
    let lines = format!("{SECRET}\nmore");
    for (host, user, password, field) in [
        ("ghcr.io", "bot", None, "password"),
        ("ghcr.io", "bot", Some(""), "password"),
        ("ghcr.io", "bot", Some(long.as_str()), "password"),
        ("ghcr.io", "bot", Some(lines.as_str()), "password"),
        ("ghcr.io", "", Some(SECRET), "user"),
        ("GHCR.io", "bot", Some(SECRET), "host"),
        ("myorg", "bot", Some(SECRET), "host"),
        ("ghcr.io/org", "bot", Some(SECRET), "host"),
        ("index.docker.io", "bot", Some(SECRET), "host"),
    ] {
        let (path, body) = (path(host), body(user, password));
        let refused = world.call::<table::SetRegistry>(Some(&world.admin), &path, &(), &body).await;
        let problem = refused.unwrap_err();
        assert_eq!((problem.code, problem.errors[0].field.as_str()), (Code::Invalid, field));
        assert!(!format!("{problem:?}").contains(SECRET));
    }
    assert_eq!(world.admin::<table::ListRegistries>(&(), &(), &()).await.items, []);
}

//! Imports, versions, deletions, on a real store.

use super::*;
use crate::{
    control::{Deleting, NewServer, ServerChange},
    store::ENVELOPES,
    testing::{World, admin, new_server, tenant},
};
use mamba_core::desired::Wish;
use mamba_wire::api::PageQuery;

/// An egg without an install script.
fn egg(stop: &str) -> String {
    serde_json::json!({
        "meta": { "version": "PTDL_v2" },
        "name": "Small Game",
        "docker_images": { "One": "game:1", "Two": "game:2" },
        "startup": "./game --port {{SERVER_PORT}} {{MISSING}}",
        "config": { "files": "{}", "startup": "{\"done\": \"up \"}", "logs": "[]", "stop": stop },
        "variables": [],
    })
    .to_string()
}

async fn import(world: &World, stop: &str) -> Imported {
    world.hub.import_blueprint(&admin(), egg(stop).as_bytes()).await.unwrap()
}

fn spec_of(world: &World, server: ServerId) -> mamba_core::server::ServerSpec {
    let found = world.hub.read(|txn| Ok(txn.range(ENVELOPES, Span::all(), 1_000)?)).unwrap();
    let (key, _) = found.into_iter().find(|((_, id), _)| *id == server).unwrap();
    match world.hub.signed_wish(key).unwrap().unwrap().open().unwrap().body {
        Wish::Exist(spec) => *spec,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_import_makes_a_version_only_when_something_changed() {
    let world = World::new().await;
    let first = import(&world, "^C").await;
    assert_eq!((first.known.version, first.is_new), (1, true));
    assert_eq!(first.known.blueprint.key, "small-game");
    assert!(first.notes.iter().any(|it| it.text.contains("{{MISSING}}")), "{:?}", first.notes);
    let again = import(&world, "^C").await;
    assert_eq!((again.known.version, again.is_new), (1, false));
    let changed = import(&world, "quit").await;
    assert_eq!((changed.known.version, changed.is_new), (2, true));
    assert_eq!(world.hub.blueprint("small-game").unwrap().blueprint.stop, "quit");
    let page = |after| {
        let query = PageQuery { after, limit: Some(3) };
        let page = world.hub.blueprints(&query.into()).unwrap();
        let keys: Vec<_> = page.items.into_iter().map(|it| it.blueprint.key).collect();
        (keys, page.next)
    };
    let (keys, next) = page(None);
    assert_eq!(keys, ["armagetronad", "minetest", "openttd"]);
    assert_eq!(page(next), (vec!["small-game".to_owned(), "teeworlds".to_owned()], None));
}

#[tokio::test]
async fn a_server_keeps_its_version_and_holds_its_blueprint() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    import(&world, "^C").await;
    let new = NewServer {
        node: Some(node),
        blueprint: "small-game".to_owned(),
        image: None,
        variables: Default::default(),
        ..new_server()
    };
    let server = world.hub.create_server(&tenant(1), new).await.unwrap().server;
    let before = spec_of(&world, server);
    assert_eq!(before.startup, "./game --port ${SERVER_PORT} ${MISSING}");
    assert_eq!(before.entry, mamba_core::blueprint::Entry::Image);
    import(&world, "quit").await;
    let change = ServerChange { name: Some("renamed".to_owned()), ..ServerChange::default() };
    world.hub.change_server(&tenant(1), server, change).await.unwrap();
    let after = spec_of(&world, server);
    assert_eq!((after.name.as_str(), &after.stop), ("renamed", &before.stop));
    let refused = world.hub.delete_blueprint(&admin(), "small-game".to_owned()).await;
    assert!(matches!(refused, Err(HubError::Refused(_))), "{refused:?}");
    let now = Deleting { after_ms: 0, ..Deleting::default() };
    world.hub.delete_server(&tenant(1), server, now).await.unwrap();
    world.end_server(node, &tenant(1), server).await;
    world.hub.delete_blueprint(&admin(), "small-game".to_owned()).await.unwrap();
    let gone = world.hub.blueprint("small-game");
    assert!(matches!(gone, Err(HubError::NotFound { .. })), "{gone:?}");
}

#[tokio::test]
async fn the_oldest_unused_version_makes_room() {
    let world = World::new().await;
    let versions = u32::try_from(VERSIONS_MAX).unwrap() + 3;
    for number in 0..versions {
        import(&world, &format!("stop {number}")).await;
    }
    let kept = world.hub.read(|txn| Ok(txn.range(VERSIONS, Span::all(), 1_000)?)).unwrap();
    assert_eq!(kept.len(), VERSIONS_MAX);
    assert_eq!(kept[0].0.1, 4);
    assert_eq!(world.hub.blueprint("small-game").unwrap().version, versions);
}

#[tokio::test]
async fn what_cannot_be_imported_or_deleted_is_told() {
    let world = World::new().await;
    let built_in = serde_json::to_vec(&Blueprint::built_in()[0]).unwrap();
    let refused = world.hub.import_blueprint(&admin(), &built_in).await;
    assert!(matches!(refused, Err(HubError::Refused(_))), "{refused:?}");
    let bad = world.hub.import_blueprint(&admin(), b"{\"meta\":{}}").await;
    assert!(matches!(&bad, Err(HubError::Invalid(err)) if err.field == "meta.version"), "{bad:?}");
    for key in ["teeworlds", "none"] {
        let refused = world.hub.delete_blueprint(&admin(), key.to_owned()).await;
        assert!(refused.is_err(), "{key}");
    }
}

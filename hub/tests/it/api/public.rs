//! What everybody may read.

use super::world::World;
use mamba_wire::api::{
    Code,
    legal::{LEGAL_PAGES, LegalPath},
    params::NodePath,
    status::Condition,
    table,
};

#[tokio::test]
async fn the_status_is_for_everybody_and_names_nobody() {
    let world = World::new().await;
    let node = world.node("private-name", 1).await;
    let (acme, _) = world.tenant("private-tenant").await;
    world.server(node, acme, 30_001).await;
    let status = world.call::<table::ShowStatus>(None, &(), &(), &()).await.unwrap();
    assert_eq!((status.condition, status.store), (Condition::Impaired, Condition::Good));
    let region = &status.regions[0];
    assert_eq!((region.condition, region.nodes, region.connected), (Condition::Down, 1, 0));
    assert_eq!((status.since, status.days.len(), &region.region), (None, 0, &None));
    let text = serde_json::to_string(&status).unwrap();
    assert!(!text.contains("private") && !text.contains(&node.to_string()), "{text}");
    // A crowd costs one look in ten seconds.
    world.admin::<table::RevokeNode>(&NodePath { node }, &(), &()).await;
    assert_eq!(world.call::<table::ShowStatus>(None, &(), &(), &()).await.unwrap(), status);
    world.clock.advance(10_000);
    let later = world.call::<table::ShowStatus>(None, &(), &(), &()).await.unwrap();
    assert_eq!((later.condition, later.regions.len()), (Condition::Good, 0));
}

#[tokio::test]
async fn legal_pages_are_for_everybody_and_no_other_file_is_read() {
    let world = World::new().await;
    let show = async |page: &str| {
        let path = LegalPath { page: page.to_owned() };
        world.call::<table::ShowLegal>(None, &path, &(), &()).await
    };
    for page in LEGAL_PAGES {
        let shown = show(page).await.unwrap();
        assert!(shown.is_template && shown.page == page, "{page}");
    }
    for page in ["imprint", "../master.key", "terms.md", ""] {
        assert_eq!(show(page).await.err().unwrap().code, Code::NotFound, "{page}");
    }
}

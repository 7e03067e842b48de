//! Examples: nodes and join tokens.

use super::{super::world::NO_PAGE, Example, Seed, examples};
use mamba_core::{ids::TokenId, placement::NodeSettings};
use mamba_wire::api::{
    node::{CreateJoinToken, DeleteNodeQuery, PlacementQuery, UpdateNode},
    params::{NodePath, TokenPath},
    table,
};

/// A node that may be spoilt.
async fn spare(seed: &Seed<'_>) -> NodePath {
    let number = seed.number();
    let key = u8::try_from(number % 199).unwrap() + 2;
    NodePath { node: seed.world.node(&format!("spare-{number}"), key).await }
}

fn new_token(seed: &Seed<'_>) -> CreateJoinToken {
    CreateJoinToken { name: format!("token-{}", seed.number()), replaces: None }
}

async fn token(seed: &Seed<'_>) -> TokenId {
    seed.world.admin::<table::CreateJoinToken>(&(), &(), &new_token(seed)).await.id
}

examples! {
    ListNodes, _seed => Example::new((), NO_PAGE.into(), ());
    ShowNode, seed => Example::new(NodePath { node: seed.node() }, (), ());
    ShowNodeLink, seed => Example::new(NodePath { node: seed.node() }, (), ());
    ListLinkChanges, seed => Example::new(NodePath { node: seed.node() }, NO_PAGE, ());
    ShowPlacement, _seed => {
        let query = PlacementQuery {
            blueprint: Some("teeworlds".to_owned()),
            memory_mib: Some(256),
            disk_mib: Some(512),
            cpu_millicores: Some(500),
            region: Some("eu".to_owned()),
            tags: Some("nvme".to_owned()),
            threads: Some("0-1".parse().unwrap()),
        };
        Example::new((), query, ())
    };
    ListRegions, _seed => Example::new((), (), ());
    UpdateNode, seed => {
        let settings = NodeSettings { region: Some("eu".to_owned()), ..NodeSettings::default() };
        let body = UpdateNode { name: None, settings: Some(settings) };
        Example::new(spare(seed).await, (), body)
    };
    RevokeNode, seed => Example::new(spare(seed).await, (), ());
    DeleteNode, seed => {
        let path = spare(seed).await;
        let shown = seed.world.admin::<table::ShowNode>(&path, &(), &()).await;
        let query = DeleteNodeQuery { name: Some(shown.name), force: None };
        Example::new(path, query, ())
    };
    ApproveReplacement, seed => Example::new(NodePath { node: seed.node() }, (), ());
    CreateJoinToken, seed => Example::new((), (), new_token(seed));
    ListJoinTokens, _seed => Example::new((), NO_PAGE, ());
    DeleteJoinToken, seed => Example::new(TokenPath { token: token(seed).await }, (), ());
}

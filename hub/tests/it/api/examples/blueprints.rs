//! Examples: blueprints.

use super::{super::world::NO_PAGE, Example, examples};
use mamba_core::blueprint::{Blueprint, egg::to_ptdl_v2};
use mamba_wire::api::{
    blueprint::{ExportQuery, ImportBlueprint},
    params::BlueprintPath,
    table,
};

examples! {
    ListBlueprints, _seed => Example::new((), NO_PAGE.into(), ());
    ShowBlueprint, _seed => {
        Example::new(BlueprintPath { blueprint: "teeworlds".to_owned() }, (), ()).shared()
    };
    ImportBlueprint, seed => Example::new((), (), file(seed.number()));
    ExportBlueprint, _seed => {
        let path = BlueprintPath { blueprint: "teeworlds".to_owned() };
        Example::new(path, ExportQuery { format: Some("ptdl_v2".to_owned()) }, ()).shared()
    };
    DeleteBlueprint, seed => {
        let file = file(seed.number());
        let made = seed.world.admin::<table::ImportBlueprint>(&(), &(), &file).await;
        Example::new(BlueprintPath { blueprint: made.blueprint }, (), ()).shared()
    };
}

/// A blueprint of a name that is not taken.
fn file(number: u16) -> ImportBlueprint {
    let blueprint = Blueprint { key: format!("game-{number}"), ..Blueprint::built_in()[0].clone() };
    ImportBlueprint { content: to_ptdl_v2(&blueprint) }
}

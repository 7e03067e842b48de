//! Examples: blueprints.

use super::{super::world::NO_PAGE, Example, examples};
use mamba_wire::api::params::BlueprintPath;

examples! {
    ListBlueprints, _seed => Example::new((), NO_PAGE, ());
    ShowBlueprint, _seed => {
        Example::new(BlueprintPath { blueprint: "teeworlds".to_owned() }, (), ()).shared()
    };
}

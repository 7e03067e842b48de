//! Pure: game definitions that servers are made from.

use super::prelude::*;
use crate::api::blueprint::Blueprint;

endpoints! {
    /// Game definitions that servers are made from.
    BLUEPRINTS "blueprints" for_each_blueprint_endpoint;

    /// Lists blueprints.
    ListBlueprints: Get "/api/v1/blueprints", Permission::SignedIn, 200,
        ((), PageQuery, ()) -> Page<Blueprint>;
    /// Shows a blueprint.
    ShowBlueprint: Get "/api/v1/blueprints/{blueprint}", Permission::SignedIn, 200,
        (BlueprintPath, (), ()) -> Blueprint;
}

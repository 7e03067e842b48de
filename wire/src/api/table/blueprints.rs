//! Pure: game definitions that servers are made from.

use super::prelude::*;
use crate::api::blueprint::{
    self, Blueprint, BlueprintQuery, ExportQuery, ExportedBlueprint, ImportedBlueprint,
};

endpoints! {
    /// Game definitions that servers are made from.
    BLUEPRINTS "blueprints" for_each_blueprint_endpoint;

    /// Lists blueprints; with a filter a page may be short and have a next one all the same.
    ListBlueprints: Get "/api/v1/blueprints", Permission::SignedIn, 200,
        ((), BlueprintQuery, ()) -> Page<Blueprint>;
    /// Shows a blueprint.
    ShowBlueprint: Get "/api/v1/blueprints/{blueprint}", Permission::SignedIn, 200,
        (BlueprintPath, (), ()) -> Blueprint;
    /// Reads a blueprint file or an egg and stores it, as a new version when there was one.
    ImportBlueprint: Post "/api/v1/blueprints", Permission::Admin(AdminRight::BlueprintsWrite), 201 keyed,
        ((), (), blueprint::ImportBlueprint) -> ImportedBlueprint, [Conflict];
    /// Gives a blueprint as a file.
    ExportBlueprint: Get "/api/v1/blueprints/{blueprint}/export",
        Permission::Admin(AdminRight::BlueprintsRead), 200,
        (BlueprintPath, ExportQuery, ()) -> ExportedBlueprint;
    /// Deletes a blueprint that no server uses.
    DeleteBlueprint: Delete "/api/v1/blueprints/{blueprint}",
        Permission::Admin(AdminRight::BlueprintsWrite), 204,
        (BlueprintPath, (), ()) -> (), [Conflict];
}

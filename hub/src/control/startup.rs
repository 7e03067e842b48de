//! Shows how a server starts, and what can be chosen for that.

use super::wish::find;
use crate::{Hub, HubError, blueprints::Shelf, store::ServerRecord};
use mamba_core::{
    blueprint::{Blueprint, Pick},
    ids::ServerId,
    scope::TenantScope,
};
use mamba_wire::api::{
    blueprint::Image,
    startup::{StartLine, Startup},
};

impl Hub {
    /// Shows how a server starts. Values of secret variables are not even read for it.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn startup(&self, scope: &TenantScope, server: ServerId) -> Result<Startup, HubError> {
        self.read(|txn| {
            let record = find(txn, &(scope.tenant(), server))?;
            let mut shelf = Shelf::default();
            Ok(startup(shelf.of_server(txn, &record)?, &record))
        })
    }
}

/// Pure: what is shown of a record; `blueprint` is `None` for one adopted from a node by a hub that does
/// not know its blueprint.
fn startup(blueprint: Option<&Blueprint>, record: &ServerRecord) -> Startup {
    let choices = &record.choices;
    let is_own = |pick: &Option<Pick>| matches!(pick, Some(Pick::Own(_)));
    let text = |pick: &Option<Pick>| pick.as_ref().map(|it| it.text().to_owned());
    let template = text(&choices.startup).or_else(|| Some(blueprint?.startup.clone()));
    let line = template.as_ref().map(|template| {
        blueprint.map_or_else(|| template.clone(), |it| it.shown_line(template, choices))
    });
    let lines = blueprint.map(|it| it.startups.as_slice()).unwrap_or_default().iter();
    let images = blueprint.map(|it| it.images.as_slice()).unwrap_or_default().iter();
    Startup {
        line,
        template,
        template_is_own: is_own(&choices.startup),
        templates: lines
            .map(|it| StartLine { label: it.label.clone(), template: it.line.clone() })
            .collect(),
        image: text(&choices.image).or_else(|| Some(blueprint?.images.first()?.image.clone())),
        image_is_own: is_own(&choices.image),
        images: images
            .map(|it| Image { label: it.label.clone(), image: it.image.clone() })
            .collect(),
        auto_start: choices.auto_start,
        restart: choices.restart,
    }
}

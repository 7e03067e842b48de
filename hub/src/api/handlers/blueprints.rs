//! Blueprints: those that come with the product.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_core::{blueprint as domain, error::Invalid};
use mamba_wire::api::{
    Page, PageQuery,
    blueprint::{Blueprint, Image, Variable},
    page::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX},
    params::BlueprintPath,
    table,
};

impl Handle<table::ListBlueprints> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<Blueprint>>, ApiError> {
        let limit = query.limit.unwrap_or(PAGE_ITEMS_DEFAULT);
        if !(1..=PAGE_ITEMS_MAX).contains(&limit) {
            return Err(Invalid::new("limit", format!("must be 1 to {PAGE_ITEMS_MAX}")).into());
        }
        let mut known = domain::Blueprint::built_in();
        known.sort_by(|one, other| one.key.cmp(&other.key));
        known.retain(|it| query.after.as_ref().is_none_or(|after| it.key > *after));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = known.len() > limit;
        known.truncate(limit);
        let next = known.last().filter(|_| has_more).map(|it| it.key.clone());
        Ok(Served::Json(Page { items: known.into_iter().map(show).collect(), next }))
    }
}

impl Handle<table::ShowBlueprint> for Api {
    async fn handle(
        &self,
        _context: Context,
        path: BlueprintPath,
        (): (),
        (): (),
    ) -> Result<Served<Blueprint>, ApiError> {
        let mut known = domain::Blueprint::built_in().into_iter();
        let found = known.find(|it| it.key == path.blueprint);
        found.map(|it| Served::Json(show(it))).ok_or_else(|| ApiError::not_found("blueprint"))
    }
}

fn show(it: domain::Blueprint) -> Blueprint {
    let image = |it: domain::ImageChoice| Image { label: it.label, image: it.image };
    let variable = |it: domain::Variable| Variable {
        name: it.env,
        title: it.name,
        description: it.description,
        default: it.default,
        editable: it.user_editable,
        rules: it.rules,
    };
    Blueprint {
        blueprint: it.key,
        title: it.name,
        description: it.description,
        images: it.images.into_iter().map(image).collect(),
        variables: it.variables.into_iter().map(variable).collect(),
        ports: it.ports,
    }
}

//! Blueprints: those that come with the product and imported ones.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    blueprints::Known,
};
use mamba_core::{
    access::AdminRight,
    blueprint::{self as domain, egg},
    error::Invalid,
};
use mamba_wire::api::{
    Page,
    blueprint::{
        Blueprint, BlueprintQuery, ExportQuery, ExportedBlueprint, Feature, Image, ImportBlueprint,
        ImportedBlueprint, Variable,
    },
    params::BlueprintPath,
    table,
};

impl Handle<table::ListBlueprints> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: BlueprintQuery,
        (): (),
    ) -> Result<Served<Page<Blueprint>>, ApiError> {
        let sees_all = sees_all(&context)?;
        let Page { items, next } = self.hub().blueprints(&query)?;
        let items = items.into_iter().map(|it| show(it, sees_all)).collect();
        Ok(Served::Json(Page { items, next }))
    }
}

impl Handle<table::ShowBlueprint> for Api {
    async fn handle(
        &self,
        context: Context,
        path: BlueprintPath,
        (): (),
        (): (),
    ) -> Result<Served<Blueprint>, ApiError> {
        let sees_all = sees_all(&context)?;
        Ok(Served::Json(show(self.hub().blueprint(&path.blueprint)?, sees_all)))
    }
}

impl Handle<table::ImportBlueprint> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: ImportBlueprint,
    ) -> Result<Served<ImportedBlueprint>, ApiError> {
        let content = body.content.as_bytes();
        let done = self.hub().import_blueprint(&context.admin()?, content).await?;
        Ok(Served::Json(ImportedBlueprint {
            blueprint: done.known.blueprint.key,
            version: done.known.version,
            is_new: done.is_new,
            format: done.format,
            notes: done.notes,
        }))
    }
}

impl Handle<table::ExportBlueprint> for Api {
    async fn handle(
        &self,
        _context: Context,
        path: BlueprintPath,
        query: ExportQuery,
        (): (),
    ) -> Result<Served<ExportedBlueprint>, ApiError> {
        let blueprint = self.hub().blueprint(&path.blueprint)?.blueprint;
        let key = &blueprint.key;
        let (file_name, content) = match query.format.as_deref() {
            None | Some("ptdl_v2") => (format!("egg-{key}.json"), egg::to_ptdl_v2(&blueprint)),
            Some("mamba") => (format!("{key}.json"), own_text(&blueprint)?),
            Some(_) => {
                return Err(Invalid::new("query.format", "must be `ptdl_v2` or `mamba`").into());
            }
        };
        Ok(Served::Json(ExportedBlueprint { file_name, content }))
    }
}

impl Handle<table::DeleteBlueprint> for Api {
    async fn handle(
        &self,
        context: Context,
        path: BlueprintPath,
        (): (),
        (): (),
    ) -> Result<Served<()>, ApiError> {
        self.hub().delete_blueprint(&context.admin()?, path.blueprint).await?;
        Ok(Served::Json(()))
    }
}

fn own_text(blueprint: &domain::Blueprint) -> Result<String, ApiError> {
    let text = serde_json::to_string_pretty(blueprint);
    Ok(text.map_err(|err| crate::HubError::Bug(format!("a blueprint has no JSON: {err}")))?)
}

/// Whether the caller may see what the blueprint's author hides from users.
fn sees_all(context: &Context) -> Result<bool, ApiError> {
    Ok(context.caller()?.access.has(AdminRight::BlueprintsRead))
}

fn show(Known { version, blueprint: it }: Known, sees_all: bool) -> Blueprint {
    let image = |it: domain::ImageChoice| Image { label: it.label, image: it.image };
    let variable = |it: domain::Variable| Variable {
        name: it.env,
        title: it.name,
        description: it.description,
        default: it.default,
        editable: it.user_editable,
        rules: it.rules,
    };
    let feature = |name: String| {
        let signs = domain::Feature::parse(&name).map(domain::Feature::signs).unwrap_or_default();
        Feature { name, signs: signs.iter().map(|it| (*it).to_owned()).collect() }
    };
    let mut variables = it.variables;
    variables.retain(|it| sees_all || it.user_viewable);
    variables.sort_by_key(|it| it.sort.unwrap_or(i64::MAX));
    Blueprint {
        blueprint: it.key,
        title: it.name,
        description: it.description,
        version,
        author: it.author,
        tags: it.tags,
        features: it.features.into_iter().map(feature).collect(),
        has_install: it.install.is_some(),
        images: it.images.into_iter().map(image).collect(),
        variables: variables.into_iter().map(variable).collect(),
        ports: it.ports,
    }
}

//! What a wish was made from, when only the wish is left: after the restore of a backup that is older
//! than a change of the server's blueprint.

use crate::{HubError, blueprints, store::ServerRecord};
use mamba_core::{
    blueprint::{Blueprint, Choices, Pick},
    db::Txn,
    server::{InstallAsk, ServerSpec},
};

/// A definition with its key and version.
pub(super) type Origin = (String, u32, Blueprint);

/// Finds what a server is made from. What the hub remembers counts, unless it could not have made this
/// wish and another definition that the hub has makes exactly it. `None` when there is neither.
pub(super) fn origin(
    txn: &Txn<'_>,
    spec: &ServerSpec,
    known: Option<&ServerRecord>,
) -> Result<Option<Origin>, HubError> {
    let Some(known) = known else {
        let runs = |it: &&Blueprint| it.images.iter().any(|it| it.image == spec.image);
        let found = Blueprint::built_in().iter().find(runs);
        return Ok(found.map(|it| (it.key.clone(), 0, it.clone())));
    };
    let (key, version) = (known.blueprint.clone(), known.blueprint_version);
    let remembered = blueprints::version(txn, &key, version).ok();
    let is_it = |it: &Blueprint| {
        let picks = (&known.choices.image, &known.choices.startup);
        makes(it, spec, Some(picks))
    };
    if remembered.as_ref().is_none_or(|it| !is_it(it)) {
        let other = blueprints::find(txn, &key, |it| makes(it, spec, None))?;
        if other.is_some() {
            return Ok(other);
        }
    }
    Ok(remembered.map(|it| (key, version, it)))
}

/// An image and a start line as they were picked.
type Picks<'a> = (&'a Option<Pick>, &'a Option<Pick>);

/// Whether a definition makes exactly this wish, out of its own lists; what an administrator picked beside
/// them fits every definition, and counts only where it is remembered.
fn makes(blueprint: &Blueprint, spec: &ServerSpec, remembered: Option<Picks<'_>>) -> bool {
    let choices = choices(Some(blueprint), spec);
    let is_own = |pick: &Option<Pick>| matches!(pick, Some(Pick::Own(_)));
    let may =
        |pick: &Option<Pick>, known: Option<&Option<Pick>>| !is_own(pick) || known == Some(pick);
    may(&choices.image, remembered.map(|it| it.0))
        && may(&choices.startup, remembered.map(|it| it.1))
        && blueprint.render(choices).is_ok_and(|made| made == *spec)
}

/// Reads the choices back out of a wish.
pub(super) fn choices(blueprint: Option<&Blueprint>, spec: &ServerSpec) -> Choices {
    let mut variables = spec.environment.clone();
    variables.retain(|name, _| {
        blueprint.is_some_and(|it| it.variables.iter().any(|variable| variable.env == *name))
    });
    Choices {
        name: spec.name.clone(),
        image: Some(match blueprint {
            Some(blueprint) => blueprint.pick_of_image(&spec.image),
            None => Pick::Own(spec.image.clone()),
        }),
        startup: match blueprint {
            Some(blueprint) => blueprint.pick_of_startup(&spec.startup),
            None => Some(Pick::Own(spec.startup.clone())),
        },
        variables,
        limits: spec.limits,
        ports: spec.ports.clone(),
        auto_start: spec.auto_start,
        restart: spec.restart,
        mounts: spec.mounts.clone(),
        suspended: spec.suspended,
        run_until: spec.run_until,
        install: spec.install.as_ref().map(|it| InstallAsk {
            asked: it.asked,
            files: it.files,
            cancelled: it.cancelled,
        }),
        eula_accepted: spec.accepts_eula(),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        control::{Remake, ServerChange},
        testing::{World, tenant},
    };
    use mamba_core::{desired::Wish, scope::NodeScope};

    #[tokio::test]
    async fn a_hub_from_before_a_change_of_blueprint_goes_on_with_the_new_one() {
        let mut world = World::new().await;
        let node = world.node("a").await;
        let scope = NodeScope::granted(node);
        let server = world.server(&tenant(1), node).await;
        let old_disk = world.disk.crash(1);
        let remake = Remake {
            blueprint: "minetest".to_owned(),
            image: None,
            variables: Default::default(),
            install: None,
        };
        world.hub.remake_server(&tenant(1), server, remake).await.unwrap();
        let signed = world.hub.envelopes(&scope, &[server]).unwrap();
        world.reopen(old_disk).await;
        world.connect(node).await;
        assert_eq!(world.hub.server(&tenant(1), server).unwrap().blueprint, "teeworlds");
        world.hub.adopt(&scope, signed.clone()).await.unwrap();
        assert_eq!(world.hub.server(&tenant(1), server).unwrap().blueprint, "minetest");
        let name = Some("renamed".to_owned());
        let change = ServerChange { name, ..ServerChange::default() };
        world.hub.change_server(&tenant(1), server, change).await.unwrap();
        let spec = |signed: &mamba_core::desired::SignedEnvelope| match signed.open().unwrap().body
        {
            Wish::Exist(spec) => *spec,
            other => panic!("{other:?}"),
        };
        let later = world.hub.envelopes(&scope, &[server]).unwrap().remove(0);
        let (before, after) = (spec(&signed[0]), spec(&later));
        assert_eq!(after.name, "renamed");
        assert_eq!(mamba_core::server::ServerSpec { name: before.name.clone(), ..after }, before);
    }
}

//! A server that is made from another blueprint, over HTTP, while its node is away.

use super::{
    features::{egg, import, server_of},
    world::World,
};
use mamba_core::server::InstallFiles;
use mamba_wire::api::{
    Code,
    params::{BlueprintPath, ServerPath},
    server::{ChangeBlueprint, InstallState, Pending, UpdateServer},
    table,
};
use std::collections::BTreeMap;

fn change(blueprint: &str) -> ChangeBlueprint {
    ChangeBlueprint {
        blueprint: blueprint.to_owned(),
        image: None,
        variables: BTreeMap::new(),
        install: None,
    }
}

fn motd(text: &str) -> UpdateServer {
    let variables = [("MOTD".to_owned(), text.to_owned())].into();
    UpdateServer { variables: Some(variables), ..UpdateServer::default() }
}

fn variable(name: &str, default: &str, rules: &str) -> serde_json::Value {
    serde_json::json!({
        "name": name, "description": "", "env_variable": name, "default_value": default,
        "user_viewable": true, "user_editable": true, "rules": rules,
    })
}

/// Two games with a variable of one name and one that only it has; the second has a script.
async fn two_games(world: &World) -> (String, String) {
    let mut first = egg("First", &[]);
    first["variables"] = serde_json::json!([
        variable("MOTD", "hello", "required|string"),
        variable("WORLD", "flat", "required|string"),
        variable("RCON_PASSWORD", "s3cret-of-first", "required|string"),
    ]);
    let mut second = egg("Second", &["eula"]);
    second["docker_images"] = serde_json::json!({ "A": "second:1", "B": "second:2" });
    second["variables"] = serde_json::json!([
        variable("MOTD", "hi", "required|string|max:8"),
        variable("SEED", "7", "required|integer"),
    ]);
    second["scripts"]["installation"]["script"] = "echo hi\n".into();
    (import(world, &first).await, import(world, &second).await)
}

#[tokio::test]
async fn a_server_changes_its_blueprint_while_its_node_is_away() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let (first, second) = two_games(&world).await;
    let server = server_of(&world, acme, &first).await;
    let path = ServerPath { server };
    world.admin::<table::UpdateServer>(&path, &(), &motd("howdy")).await;
    let before = world.admin::<table::ShowServer>(&path, &(), &()).await;
    let plain = change(&second);
    let refused = world.call::<table::ChangeBlueprint>(Some(&owner), &path, &(), &plain);
    assert_eq!(refused.await.unwrap_err().code, Code::Forbidden);

    let body = ChangeBlueprint {
        image: Some("second:2".to_owned()),
        variables: [("SEED".to_owned(), "42".to_owned())].into(),
        ..change(&second)
    };
    let after = world.admin::<table::ChangeBlueprint>(&path, &(), &body).await;
    assert_eq!((after.blueprint.as_str(), after.image.as_deref()), (&*second, Some("second:2")));
    assert_eq!((&after.ports, after.pending), (&before.ports, Pending::Node));
    assert_eq!(after.install.state, InstallState::None, "the script was not asked for");
    let spec = world.wanted(acme, server);
    let values = ["MOTD", "SEED"].map(|name| spec.environment[name].as_str());
    assert_eq!((values, spec.image.as_str()), (["howdy", "42"], "second:2"));
    assert!(!spec.environment.contains_key("WORLD") && spec.install.is_none());
    let again = world.admin::<table::ChangeBlueprint>(&path, &(), &body).await;
    assert_eq!(again.desired, after.desired, "what is so already makes no new wish");

    let trail = world.trail_of(acme).await;
    let told: Vec<_> = trail.iter().filter(|it| it.event == "server:blueprint.change").collect();
    assert_eq!(told.len(), 1);
    let of = |field: &str| {
        let change = told[0].changes.iter().find(|it| it.field == field).unwrap();
        (change.before.as_deref(), change.after.as_deref())
    };
    assert_eq!(of("blueprint"), (Some(first.as_str()), Some(second.as_str())));
    assert_eq!(of("variables.SEED"), (None, Some("42")));
    assert!(!format!("{trail:?}").contains("s3cret-of-first"));
    // Its former blueprint is free to go, its present one is not.
    let used = BlueprintPath { blueprint: second };
    let kept = world.call::<table::DeleteBlueprint>(Some(&world.admin), &used, &(), &()).await;
    assert_eq!(kept.unwrap_err().code, Code::Conflict);
    world.admin::<table::DeleteBlueprint>(&BlueprintPath { blueprint: first }, &(), &()).await;
}

#[tokio::test]
async fn the_install_script_of_the_new_blueprint_is_run_when_it_is_wanted() {
    let world = World::new().await;
    let (acme, _) = world.tenant("acme").await;
    let (first, second) = two_games(&world).await;
    let server = server_of(&world, acme, &first).await;
    let path = ServerPath { server };
    let install = Some(InstallFiles::Wipe);
    let none = ChangeBlueprint { install, ..change(&first) };
    let refused = world.call::<table::ChangeBlueprint>(Some(&world.admin), &path, &(), &none).await;
    assert!(refused.unwrap_err().detail.contains("no install script"));
    let body = ChangeBlueprint { install, ..change(&second) };
    let after = world.admin::<table::ChangeBlueprint>(&path, &(), &body).await;
    assert_eq!(after.install.state, InstallState::Waiting);
    let run = world.wanted(acme, server).install.unwrap();
    assert_eq!(
        (run.script.as_str(), run.files, run.asked),
        ("echo hi\n", InstallFiles::Wipe, after.desired)
    );
    let home = change(&first);
    let back = world.call::<table::ChangeBlueprint>(Some(&world.admin), &path, &(), &home);
    assert!(back.await.unwrap_err().detail.contains("being installed"));
}

#[tokio::test]
async fn what_does_not_fit_the_new_blueprint_is_told_by_its_field() {
    let world = World::new().await;
    let (acme, _) = world.tenant("acme").await;
    let (first, second) = two_games(&world).await;
    let node = world.node("narrow", 2).await;
    let narrow = world.server(node, acme, 30_100).await;
    let server = server_of(&world, acme, &first).await;
    let path = ServerPath { server };
    world.admin::<table::UpdateServer>(&path, &(), &motd("longer than eight")).await;
    let wanted = world.wanted(acme, server);
    // The first variable that is wrong is told.
    let with = |name: &str, value: &str| {
        let variables = [("MOTD", "short"), (name, value)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        ChangeBlueprint { variables, ..change(&second) }
    };
    let image = ChangeBlueprint { image: Some("java:17".to_owned()), ..change(&second) };
    for (server, body, field) in [
        (server, change(&second), "variables.MOTD"),
        (server, with("SEED", "x"), "variables.SEED"),
        (server, with("WORLD", "flat"), "variables.WORLD"),
        (server, image, "image"),
        (server, change("nothing"), "blueprint"),
        // Its port carries UDP alone, and eggs want both.
        (narrow, change(&second), "ports"),
    ] {
        let path = ServerPath { server };
        let refused = world.call::<table::ChangeBlueprint>(Some(&world.admin), &path, &(), &body);
        let problem = refused.await.unwrap_err();
        assert_eq!((problem.code, problem.errors[0].field.as_str()), (Code::Invalid, field));
    }
    assert_eq!(world.wanted(acme, server), wanted);
    world.admin::<table::ChangeBlueprint>(&path, &(), &with("MOTD", "short")).await;
    assert_eq!(world.wanted(acme, server).environment["MOTD"], "short");
}

#[tokio::test]
async fn a_value_that_users_could_not_see_does_not_come_to_light() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let game = async |name: &str, user_viewable: bool| {
        let mut egg = egg(name, &[]);
        let mut level = variable("LEVEL", "normal", "required|string");
        level["user_viewable"] = user_viewable.into();
        egg["variables"] = serde_json::json!([level]);
        import(&world, &egg).await
    };
    let (closed, open) = (game("Closed", false).await, game("Open", true).await);
    let other = game("Other", false).await;
    let server = server_of(&world, acme, &closed).await;
    let path = ServerPath { server };
    let variables = Some([("LEVEL".to_owned(), "hush".to_owned())].into());
    let set = UpdateServer { variables, ..UpdateServer::default() };
    world.admin::<table::UpdateServer>(&path, &(), &set).await;
    world.admin::<table::ChangeBlueprint>(&path, &(), &change(&other)).await;
    assert_eq!(world.wanted(acme, server).environment["LEVEL"], "hush", "still hidden");
    world.admin::<table::ChangeBlueprint>(&path, &(), &change(&open)).await;
    assert_eq!(world.wanted(acme, server).environment["LEVEL"], "normal");
    let shown = world.call::<table::ShowServer>(Some(&owner), &path, &(), &()).await.unwrap();
    assert_eq!(shown.variables["LEVEL"], "normal");
    assert!(!format!("{:?}", world.trail_of(acme).await).contains("hush"));
}

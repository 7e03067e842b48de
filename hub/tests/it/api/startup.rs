//! How a server starts, as it is shown and chosen over HTTP.

use super::{
    features::{egg, import, server_of},
    world::World,
};
use mamba_core::{access::ServerKey, ids::ServerId};
use mamba_wire::api::{
    Code,
    params::ServerPath,
    server::{Server, UpdateServer},
    startup::Startup,
    table,
};

async fn a_server(world: &World, owner: &str) -> (ServerPath, Startup) {
    let mut egg = egg("Game", &[]);
    egg["startup"] =
        "run {{server.build.default.port}} -m {{SERVER_MEMORY}} {{MAP}} -p {{RCON_PASSWORD}} \
                      {{HIDDEN}} $HOME {{NONE}}."
            .into();
    let variable = |name: &str, default: &str, viewable: bool| {
        serde_json::json!({
            "name": name, "description": "", "env_variable": name, "default_value": default,
            "user_viewable": viewable, "user_editable": true, "rules": "required|string",
        })
    };
    egg["variables"] = serde_json::json!([
        variable("MAP", "flat", true),
        variable("RCON_PASSWORD", "s3cret-1", true),
        variable("HIDDEN", "s3cret-2", false),
    ]);
    let blueprint = import(world, &egg).await;
    let tenant = {
        let me = world.call::<table::ListTenants>(Some(owner), &(), &all_tenants(), &()).await;
        me.unwrap().items[0].tenant
    };
    let path = ServerPath { server: server_of(world, tenant, &blueprint).await };
    let shown = world.call::<table::ShowStartup>(Some(owner), &path, &(), &()).await.unwrap();
    (path, shown)
}

fn all_tenants() -> mamba_wire::api::tenant::TenantQuery {
    mamba_wire::api::PageQuery::FIRST.into()
}

fn image(image: &str) -> UpdateServer {
    UpdateServer { image: Some(image.to_owned()), ..UpdateServer::default() }
}

#[tokio::test]
async fn the_line_is_shown_with_its_values_and_no_secret() {
    let world = World::new().await;
    let (_, owner) = world.tenant("acme").await;
    let (path, shown) = a_server(&world, &owner).await;
    let line = "run 30001 -m 128 flat -p [hidden] [hidden] $HOME .";
    assert_eq!(shown.line.as_deref(), Some(line));
    assert!(shown.template.as_ref().is_some_and(|it| it.contains("{{MAP}}")), "{shown:?}");
    let images: Vec<&str> = shown.images.iter().map(|it| it.image.as_str()).collect();
    assert_eq!((images, shown.image.as_deref()), (vec!["java:17", "java:21"], Some("java:17")));
    let variables = [("MAP".to_owned(), "hills".to_owned())].into();
    let body = UpdateServer { variables: Some(variables), ..UpdateServer::default() };
    let done = world.call::<table::UpdateServer>(Some(&owner), &path, &(), &body).await;
    assert!(done.is_ok(), "{done:?}");
    let shown = world.admin::<table::ShowStartup>(&path, &(), &()).await;
    assert_eq!(shown.line, Some(line.replace("flat", "hills")));
    let stranger = world.tenant("stranger").await.1;
    let refused = world.call::<table::ShowStartup>(Some(&stranger), &path, &(), &()).await;
    assert_eq!(refused.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn users_choose_among_the_images_unless_an_administrator_named_another() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let (path, _) = a_server(&world, &owner).await;
    let choose = async |who: &str, name: &str| -> Result<Server, Code> {
        let done = world.call::<table::UpdateServer>(Some(who), &path, &(), &image(name)).await;
        done.map_err(|it| it.code)
    };
    let runs = |server: ServerId| world.wanted(acme, server).image;
    assert_eq!(choose(&owner, "java:21").await.unwrap().image.as_deref(), Some("java:21"));
    assert_eq!(runs(path.server), "java:21", "its node is told");
    assert_eq!(choose(&owner, "evil:1").await.unwrap_err(), Code::Invalid);
    let helper = world.friend(&owner, path.server, [ServerKey::StartupRead]).await;
    assert_eq!(choose(&helper, "java:17").await.unwrap_err(), Code::Forbidden);
    choose(&world.admin, "special:1").await.unwrap();
    let shown = world.call::<table::ShowStartup>(Some(&owner), &path, &(), &()).await.unwrap();
    assert!(shown.image_is_own && shown.image.as_deref() == Some("special:1"), "{shown:?}");
    assert_eq!(choose(&owner, "java:17").await.unwrap_err(), Code::Conflict);
    assert_eq!(runs(path.server), "special:1");
    choose(&world.admin, "java:17").await.unwrap();
    assert!(choose(&owner, "java:21").await.is_ok());
}

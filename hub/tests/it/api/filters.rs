//! Lists that are cut by what is asked for.

use super::world::{World, ids};
use mamba_core::{blueprint::Blueprint, placement::NodeSettings, server::PortProtocol};
use mamba_wire::api::{
    Code, Page, PageQuery,
    allocation::{AllocationQuery, CreateAllocations},
    blueprint::{BlueprintQuery, ImportBlueprint},
    mail::MailQuery,
    node::{NodeQuery, UpdateNode},
    params::NodePath,
    table,
    tenant::{CreateChild, TenantQuery},
    user::{CreateUser, UserQuery},
};

fn nodes() -> NodeQuery {
    PageQuery::FIRST.into()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn nodes_and_ports_are_those_that_fit_and_no_others() {
    let world = World::new().await;
    let one = world.node("Falkenstein-1", 1).await;
    // Ids made in one millisecond have no order.
    world.clock.advance(1);
    let two = world.node("oslo-2", 2).await;
    let region = Some("eu".to_owned());
    let settings =
        NodeSettings { region, tags: ["nvme".to_owned()].into(), ..NodeSettings::default() };
    let body = UpdateNode { name: None, settings: Some(settings) };
    world.admin::<table::UpdateNode>(&NodePath { node: one }, &(), &body).await;
    for (query, expected) in [
        (nodes(), vec![one, two]),
        (NodeQuery { name: text("FALKEN"), ..nodes() }, vec![one]),
        (NodeQuery { region: text("eu"), ..nodes() }, vec![one]),
        (NodeQuery { region: text("us"), ..nodes() }, vec![]),
        (NodeQuery { tag: text("nvme"), name: text("oslo"), ..nodes() }, vec![]),
        (NodeQuery { link: text("unreachable"), ..nodes() }, vec![one, two]),
        (NodeQuery { link: text("live"), ..nodes() }, vec![]),
    ] {
        let page = world.admin::<table::ListNodes>(&(), &query, &()).await;
        assert_eq!(ids(&page, |it| it.node), expected, "{query:?}");
    }
    let wrong = NodeQuery { link: text("up"), ..nodes() };
    let err = world.call::<table::ListNodes>(Some(&world.admin), &(), &wrong, &()).await;
    let err = err.err().unwrap();
    assert_eq!((err.code, err.errors[0].field.as_str()), (Code::Invalid, "link"));
    let free = world.allocate(one, 30_002).await[0].allocation;
    let (acme, _) = world.tenant("Acme").await;
    world.server(two, acme, 30_001).await;
    let ports = |port, taken| AllocationQuery { port, taken, ..PageQuery::FIRST.into() };
    for (query, expected) in [
        (ports(None, None), 2),
        (ports(Some(30_002), None), 1),
        (ports(None, Some(true)), 1),
        (ports(Some(30_002), Some(true)), 0),
    ] {
        let page = world.admin::<table::ListAllocations>(&(), &query, &()).await;
        assert_eq!(page.items.len(), expected, "{query:?}");
    }
    let page: Page<_> =
        world.admin::<table::ListAllocations>(&(), &ports(None, Some(false)), &()).await;
    assert_eq!(ids(&page, |it| it.allocation), [free]);
}

#[tokio::test]
async fn tenants_and_mails_are_those_that_fit_and_no_others() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("Acme").await;
    let below = CreateChild {
        name: "below".to_owned(),
        quota: Default::default(),
        owner: "below@example.org".to_owned(),
    };
    let path = mamba_wire::api::params::TenantPath { tenant: acme };
    let below = world.call::<table::CreateChild>(Some(&owner), &path, &(), &below).await.unwrap();
    let tenants = |name: Option<&str>, parent| TenantQuery {
        name: name.map(str::to_owned),
        parent,
        ..PageQuery::FIRST.into()
    };
    for token in [&world.admin, &owner] {
        for (query, expected) in [
            (tenants(Some("ACM"), None), vec![acme]),
            (tenants(None, Some(acme)), vec![below.tenant]),
            (tenants(Some("acm"), Some(acme)), vec![]),
        ] {
            let page = world.call::<table::ListTenants>(Some(token), &(), &query, &()).await;
            assert_eq!(ids(&page.unwrap(), |it| it.tenant), expected, "{query:?}");
        }
    }
    for email in ["mailed@example.org", "other@example.org"] {
        let (email, password, is_verified) = (email.to_owned(), None, false);
        let body = CreateUser { email, password, is_verified, external_id: None };
        world.admin::<table::CreateUser>(&(), &(), &body).await;
    }
    let mails = |to: Option<&str>, waiting| MailQuery {
        to: to.map(str::to_owned),
        waiting,
        ..PageQuery::FIRST.into()
    };
    for (query, expected) in [
        (mails(Some("Mailed@"), None), 1),
        (mails(None, Some(true)), 3),
        (mails(None, Some(false)), 0),
    ] {
        let page = world.admin::<table::ListMails>(&(), &query, &()).await;
        assert_eq!(page.items.len(), expected, "{query:?}");
    }
}

#[tokio::test]
async fn blueprints_are_those_that_fit_and_no_others() {
    let world = World::new().await;
    let blueprint = Blueprint {
        key: "block-game".to_owned(),
        name: "Sand & Stone".to_owned(),
        tags: vec!["sandbox".to_owned()],
        features: vec!["eula".to_owned()],
        ..Blueprint::built_in()[0].clone()
    };
    let file = ImportBlueprint { content: serde_json::to_string(&blueprint).unwrap() };
    world.admin::<table::ImportBlueprint>(&(), &(), &file).await;
    let all = || BlueprintQuery::from(PageQuery::FIRST);
    let listed = async |query: &BlueprintQuery| {
        let page = world.admin::<table::ListBlueprints>(&(), query, &()).await;
        assert_eq!(page.next, None);
        ids(&page, |it| it.blueprint.clone())
    };
    assert_eq!(listed(&all()).await.len(), 5);
    for (query, expected) in [
        (BlueprintQuery { name: text("BLOCK-"), ..all() }, vec!["block-game"]),
        (BlueprintQuery { name: text("sand &"), ..all() }, vec!["block-game"]),
        (BlueprintQuery { name: text("tee"), ..all() }, vec!["teeworlds"]),
        (BlueprintQuery { tag: text("sandbox"), name: text("block"), ..all() }, vec!["block-game"]),
        (BlueprintQuery { tag: text("sand"), ..all() }, vec![]),
        (BlueprintQuery { feature: text("eula"), name: text("s"), ..all() }, vec!["block-game"]),
        (BlueprintQuery { feature: text("none"), ..all() }, vec![]),
    ] {
        assert_eq!(listed(&query).await, expected, "{query:?}");
    }
}

/// Asks for pages of two in an order, by the text of a field of each item; and for an order that does not
/// exist.
macro_rules! sorted {
    ($world:expr, $endpoint:ident, $query:expr, $field:expr, $($sort:literal => $expected:expr),+) => {
        $({
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let mut query = $query;
                (query.sort, query.limit, query.after) = (text($sort), Some(2), after);
                let page = $world.admin::<table::$endpoint>(&(), &query, &()).await;
                assert!(page.items.len() <= 2);
                found.extend(page.items.iter().map($field));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, $expected, "{} by {}", stringify!($endpoint), $sort);
        })+
        let mut query = $query;
        query.sort = text("colour");
        let err = $world.call::<table::$endpoint>(Some(&$world.admin), &(), &query, &()).await;
        let err = err.err().unwrap();
        assert_eq!((err.code, err.errors[0].field.as_str()), (Code::Invalid, "sort"));
    };
}

#[tokio::test]
async fn every_list_comes_in_the_order_that_is_asked_for() {
    let world = World::new().await;
    let mut all = Vec::new();
    for (number, name) in (1..).zip(["oslo", "Berlin", "athens"]) {
        // Ids made in one millisecond have no order.
        world.clock.advance(1);
        all.push(world.node(name, number).await);
        world.tenant(name).await;
    }
    sorted!(world, ListNodes, nodes(), |it| it.name.clone(),
        "made" => ["oslo", "Berlin", "athens"], "-made" => ["athens", "Berlin", "oslo"],
        "name" => ["athens", "Berlin", "oslo"], "-name" => ["oslo", "Berlin", "athens"]);
    let tenants = || TenantQuery::from(PageQuery::FIRST);
    sorted!(world, ListTenants, tenants(), |it| it.name.clone(),
        "-made" => ["athens", "Berlin", "oslo"], "name" => ["athens", "Berlin", "oslo"],
        "-name" => ["oslo", "Berlin", "athens"]);
    let users = || UserQuery::from(PageQuery::FIRST);
    sorted!(world, ListUsers, users(), |it| it.email.split('@').next().unwrap().to_owned(),
        "-made" => ["athens", "berlin", "oslo", "admin"],
        "email" => ["admin", "athens", "berlin", "oslo"],
        "-email" => ["oslo", "berlin", "athens", "admin"]);
    let blueprints = || BlueprintQuery::from(PageQuery::FIRST);
    sorted!(world, ListBlueprints, blueprints(), |it| it.blueprint.clone(),
        "-blueprint" => ["teeworlds", "openttd", "minetest", "armagetronad"],
        "title" => ["armagetronad", "minetest", "openttd", "teeworlds"]);
    for (ip, port) in [("10.0.0.9", 3), ("::1", 2), ("9.0.0.1", 4)] {
        world.clock.advance(1);
        let body = CreateAllocations {
            node: all[0],
            ip: ip.parse().unwrap(),
            port,
            port_last: None,
            protocol: PortProtocol::Udp,
            alias: None,
            note: None,
        };
        world.admin::<table::CreateAllocations>(&(), &(), &body).await;
    }
    let ports = || AllocationQuery { node: Some(all[0]), ..PageQuery::FIRST.into() };
    sorted!(world, ListAllocations, ports(), |it| it.port,
        "-made" => [4, 2, 3], "port" => [2, 3, 4], "-port" => [4, 3, 2], "ip" => [4, 3, 2]);
}

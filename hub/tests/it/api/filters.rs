//! Lists that are cut by what is asked for.

use super::world::{World, ids};
use mamba_core::placement::NodeSettings;
use mamba_wire::api::{
    Code, Page, PageQuery,
    allocation::AllocationQuery,
    mail::MailQuery,
    node::{NodeQuery, UpdateNode},
    params::NodePath,
    table,
    tenant::{CreateTenant, NewOwner, TenantQuery},
    user::CreateUser,
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
    let ports = |port, taken| AllocationQuery { node: None, port, taken, after: None, limit: None };
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
    let below = CreateTenant {
        name: "below".to_owned(),
        quota: Default::default(),
        owner: NewOwner {
            email: "below@example.org".to_owned(),
            password: super::world::PASSWORD.to_owned(),
        },
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
        let body = CreateUser { email: email.to_owned(), password: None, is_verified: false };
        world.admin::<table::CreateUser>(&(), &(), &body).await;
    }
    let mails = |to: Option<&str>, waiting| MailQuery {
        to: to.map(str::to_owned),
        waiting,
        ..PageQuery::FIRST.into()
    };
    for (query, expected) in [
        (mails(Some("Mailed@"), None), 1),
        (mails(None, Some(true)), 2),
        (mails(None, Some(false)), 0),
    ] {
        let page = world.admin::<table::ListMails>(&(), &query, &()).await;
        assert_eq!(page.items.len(), expected, "{query:?}");
    }
}

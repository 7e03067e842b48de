//! API keys that are bound to a tenant: who sees them, who ends them, and how long they are listed.

use super::world::{NO_PAGE, World, ids};
use mamba_core::{
    access::{Rights, Role, ServerKey},
    ids::{SessionId, TenantId},
};
use mamba_wire::api::{
    Code, PageQuery, Problem,
    account::{ApiKeyPath, CreateApiKey, NewApiKey},
    audit::AuditQuery,
    member::{TenantApiKey, TenantApiKeyPath},
    params::TenantPath,
    table,
    tenant::DeleteTenantQuery,
    user::{UserPath, UserQuery},
};
use std::collections::BTreeSet;

impl World {
    async fn bind(&self, by: &str, tenant: Option<TenantId>) -> Result<NewApiKey, Problem> {
        let body = CreateApiKey {
            name: "deploy".to_owned(),
            admin: BTreeSet::new(),
            rights: Rights::all(),
            tenant,
            networks: vec!["127.0.0.0/8".to_owned()],
            until: None,
        };
        self.call::<table::CreateApiKey>(Some(by), &(), &(), &body).await
    }

    async fn bound(&self, by: &str, tenant: TenantId) -> Result<Vec<TenantApiKey>, Code> {
        let path = TenantPath { tenant };
        let listed = self.call::<table::ListTenantApiKeys>(Some(by), &path, &NO_PAGE, &()).await;
        listed.map(|it| it.items).map_err(|it| it.code)
    }

    async fn end_key(&self, by: &str, tenant: TenantId, key: SessionId) -> Option<Code> {
        let path = TenantApiKeyPath { tenant, key };
        let ended = self.call::<table::EndTenantApiKey>(Some(by), &path, &(), &()).await;
        ended.err().map(|it| it.code)
    }

    /// Returns what a key may see of a tenant.
    async fn opens(&self, key: &NewApiKey, tenant: TenantId) -> Option<Code> {
        let path = TenantPath { tenant };
        let shown = self.call::<table::ShowTenant>(Some(&key.token), &path, &(), &()).await;
        shown.err().map(|it| it.code)
    }

    async fn events(&self, by: &str, tenant: TenantId) -> Vec<String> {
        let path = TenantPath { tenant };
        let query = AuditQuery { event: Some("tenant:api-key".to_owned()), ..AuditQuery::ALL };
        let listed = self.call::<table::ListAudit>(Some(by), &path, &query, &()).await.unwrap();
        listed.items.into_iter().map(|it| it.entry.event).collect()
    }
}

/// Two tenants, and a member of the first with a key bound to it.
struct Two {
    world: World,
    acme: TenantId,
    owner: String,
    other: TenantId,
    stranger: String,
    member: String,
    key: NewApiKey,
}

async fn two(role: Role) -> Two {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let (other, stranger) = world.tenant("other").await;
    let (_, member) = world.tenant("member").await;
    let made = world.invite(&owner, acme, "member@example.org", role).await.unwrap();
    assert_eq!(world.accept(&member, &made).await, None);
    let key = world.bind(&member, Some(acme)).await.unwrap();
    Two { world, acme, owner, other, stranger, member, key }
}

#[tokio::test]
async fn a_tenant_lists_the_keys_that_are_bound_to_it_and_nobody_elses() {
    let Two { world, acme, owner, other, stranger, member, key } = two(Role::Viewer).await;
    // One that reaches everything of its owner's is its owner's business.
    world.bind(&member, None).await.unwrap();
    assert_eq!(world.opens(&key, acme).await, None);
    let listed = world.bound(&owner, acme).await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    let it = &listed[0];
    assert_eq!((it.key, it.email.as_str()), (key.key.key, "member@example.org"));
    assert_eq!((it.name.as_str(), &it.prefix), ("deploy", &key.key.prefix));
    assert_eq!(
        (&it.rights, it.networks.as_slice()),
        (&Rights::all(), &["127.0.0.0/8".to_owned()][..])
    );
    assert!(it.used_at.is_some() && it.until.is_none());
    assert!(!format!("{listed:?}").contains(&key.token[40..]), "the secret is told");
    assert_eq!(world.bound(&stranger, acme).await.err(), Some(Code::NotFound));
    assert_eq!(world.bound(&stranger, other).await, Ok(vec![]));
    // Nobody puts a key into the list of a tenant without a part in it, administrators neither.
    for token in [&stranger, &world.admin] {
        let refused = world.bind(token, Some(acme)).await.err().unwrap();
        assert_eq!((refused.code, refused.errors[0].field.as_str()), (Code::Invalid, "tenant"));
    }
    // Pages go on where the one before ended. Ids made in one millisecond have no order.
    world.clock.advance(1);
    let second = world.bind(&owner, Some(acme)).await.unwrap();
    let page = async |after: Option<String>| {
        let (path, query) = (TenantPath { tenant: acme }, PageQuery { after, limit: Some(1) });
        world.call::<table::ListTenantApiKeys>(Some(&owner), &path, &query, &()).await.unwrap()
    };
    let first = page(None).await;
    assert_eq!(ids(&first, |it| it.key), [key.key.key]);
    let last = page(first.next).await;
    assert_eq!((ids(&last, |it| it.key), last.next), (vec![second.key.key], None));
}

#[tokio::test]
async fn who_shares_a_server_may_bind_a_key_to_its_tenant() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let server = world.server(node, acme, 30_001).await;
    let friend = world.friend(&owner, server, [ServerKey::ControlStart]).await;
    world.bind(&friend, Some(acme)).await.unwrap();
    let listed = world.bound(&owner, acme).await.unwrap();
    assert_eq!(listed[0].email, "friend@example.org");
    assert_eq!(world.bound(&friend, acme).await.err(), Some(Code::NotFound));
}

#[tokio::test]
async fn who_administers_members_ends_a_key_at_once_and_everybody_is_told() {
    let Two { world, acme, owner, other, stranger, member, key } = two(Role::Viewer).await;
    let id = key.key.key;
    assert_eq!(world.end_key(&member, acme, id).await, Some(Code::Forbidden));
    assert_eq!(world.end_key(&stranger, acme, id).await, Some(Code::NotFound));
    // Not by another tenant's name, nor a key that is bound to none.
    assert_eq!(world.end_key(&stranger, other, id).await, Some(Code::NotFound));
    let unbound = world.bind(&member, None).await.unwrap();
    assert_eq!(world.end_key(&owner, acme, unbound.key.key).await, Some(Code::NotFound));
    assert_eq!(world.opens(&key, acme).await, None);

    // Letters of one millisecond have no order.
    world.clock.advance(1);
    assert_eq!(world.end_key(&owner, acme, id).await, None);
    assert_eq!(world.opens(&key, acme).await, Some(Code::NotSignedIn));
    assert_eq!(world.opens(&unbound, acme).await, None, "another key of the same owner ended");
    assert_eq!(world.bound(&owner, acme).await, Ok(vec![]));
    assert_eq!(world.end_key(&owner, acme, id).await, Some(Code::NotFound));
    let own = world.call::<table::ListApiKeys>(Some(&member), &(), &(), &()).await.unwrap();
    assert_eq!(ids(&own, |it| it.key), [unbound.key.key]);
    let told = world.events(&owner, acme).await;
    assert_eq!(told, ["tenant:api-key.delete", "tenant:api-key.create"]);
    assert_eq!(world.letter("member@example.org").await.0, "Your account lost its API key");
    // Its owner reads that it ended, but not where who ended it sits; nobody else reads it.
    let activity = async |token: &str| {
        let page = world.call::<table::ListOwnActivity>(Some(token), &(), &NO_PAGE, &()).await;
        page.unwrap().items.into_iter().find(|it| it.event == "user:api-key.end")
    };
    let ended = activity(&member).await.unwrap();
    assert_eq!((ended.address, ended.by_key), (None, false));
    assert!(ended.changes.iter().any(|it| it.after.as_deref() == Some(&*id.to_string())));
    assert!(activity(&owner).await.is_some_and(|it| it.address.is_some()));
    assert!(activity(&stranger).await.is_none());
}

#[tokio::test]
async fn a_key_is_listed_as_long_as_it_is_there() {
    let Two { world, acme, owner, member, key, .. } = two(Role::Admin).await;
    // Deleted by its owner.
    let path = ApiKeyPath { key: key.key.key };
    world.call::<table::DeleteApiKey>(Some(&member), &path, &(), &()).await.unwrap();
    assert_eq!(world.bound(&owner, acme).await, Ok(vec![]));
    // Gone with the account.
    world.bind(&member, Some(acme)).await.unwrap();
    assert_eq!(world.bound(&owner, acme).await.unwrap().len(), 1);
    let query = UserQuery { email: Some("member@".to_owned()), ..UserQuery::from(NO_PAGE) };
    let user = world.admin::<table::ListUsers>(&(), &query, &()).await.items[0].user;
    let own = world.call::<table::WhoAmI>(Some(&member), &(), &(), &()).await.unwrap().tenants;
    let tenant = own.iter().find(|it| it.tenant != acme).unwrap().tenant;
    let (path, typed) =
        (TenantPath { tenant }, DeleteTenantQuery { name: Some("member".to_owned()) });
    world.admin::<table::DeleteTenant>(&path, &typed, &()).await;
    world.admin::<table::DeleteUser>(&UserPath { user }, &(), &()).await;
    assert_eq!(world.bound(&owner, acme).await, Ok(vec![]));
    // Gone with the tenant: from its owner's own list too.
    let key = world.bind(&owner, Some(acme)).await.unwrap();
    let (path, typed) =
        (TenantPath { tenant: acme }, DeleteTenantQuery { name: Some("acme".to_owned()) });
    world.admin::<table::DeleteTenant>(&path, &typed, &()).await;
    assert_eq!(world.opens(&key, acme).await, Some(Code::NotSignedIn));
    let own = world.call::<table::ListApiKeys>(Some(&owner), &(), &(), &()).await.unwrap();
    assert_eq!(own.items, []);
}

//! Names that another system gave to accounts and tenants: who gives them, who finds by them, what is told.

use super::world::{PASSWORD, World, ids};
use mamba_core::{
    access::AdminRight,
    audit::Change,
    ids::{TenantId, UserId},
};
use mamba_wire::api::{
    Code, PageQuery, Problem,
    audit::AuditQuery,
    params::TenantPath,
    server::ServerQuery,
    table,
    tenant::{
        CreateChild, CreateTenant, DeleteTenantQuery, NewOwner, Tenant, TenantQuery, UpdateTenant,
    },
    user::{CreateUser, UpdateUser, User, UserPath, UserQuery},
};

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

impl World {
    async fn make_named(&self, by: &str, email: &str, name: &str) -> Result<User, Problem> {
        // Ids made in one millisecond have no order.
        self.clock.advance(1);
        let (email, external_id) = (email.to_owned(), text(name));
        let body = CreateUser { email, password: None, is_verified: false, external_id };
        self.call::<table::CreateUser>(Some(by), &(), &(), &body).await
    }

    async fn name_user(&self, by: &str, user: UserId, name: &str) -> Result<User, Problem> {
        let body = UpdateUser { external_id: text(name), ..UpdateUser::default() };
        self.call::<table::UpdateUser>(Some(by), &UserPath { user }, &(), &body).await
    }

    async fn users_named(&self, by: &str, name: &str) -> Result<Vec<UserId>, Problem> {
        let query = UserQuery { external_id: text(name), ..PageQuery::FIRST.into() };
        let page = self.call::<table::ListUsers>(Some(by), &(), &query, &()).await?;
        Ok(ids(&page, |it| it.user))
    }

    async fn make_tenant_named(&self, name: &str, external_id: &str) -> Result<Tenant, Problem> {
        let (email, password) = (format!("{name}@example.org"), PASSWORD.to_owned());
        let body = CreateTenant {
            name: name.to_owned(),
            quota: Default::default(),
            owner: NewOwner { email, password },
            external_id: text(external_id),
        };
        self.call::<table::CreateTenant>(Some(&self.admin), &(), &(), &body).await
    }

    async fn change_tenant(
        &self,
        by: &str,
        tenant: TenantId,
        body: UpdateTenant,
    ) -> Result<Tenant, Problem> {
        self.call::<table::UpdateTenant>(Some(by), &TenantPath { tenant }, &(), &body).await
    }

    async fn name_tenant(&self, by: &str, tenant: TenantId, name: &str) -> Result<Tenant, Problem> {
        let body = UpdateTenant { external_id: text(name), ..UpdateTenant::default() };
        self.change_tenant(by, tenant, body).await
    }

    async fn tenants_named(&self, by: &str, name: &str) -> Vec<TenantId> {
        let query = TenantQuery { external_id: text(name), ..PageQuery::FIRST.into() };
        let page = self.call::<table::ListTenants>(Some(by), &(), &query, &()).await.unwrap();
        assert_eq!(page.next, None);
        ids(&page, |it| it.tenant)
    }

    /// What a tenant's trail tells of events of a kind, newest first; it stays when the tenant goes.
    fn told_of(&self, tenant: TenantId, event: &str) -> Vec<Vec<Change>> {
        let trail = self.hub.audit(tenant, &AuditQuery::ALL).unwrap();
        let fitting = trail.items.into_iter().filter(|it| it.entry.event == event);
        fitting.map(|it| it.entry.changes).collect()
    }
}

/// Asserts that a request was refused for its `external_id`.
#[track_caller]
fn refused<T>(result: Result<T, Problem>, rule: &str) {
    let err = result.err().unwrap();
    let told: Vec<_> = err.errors.iter().map(|it| (it.field.as_str(), it.rule.as_str())).collect();
    assert_eq!((err.code, told), (Code::Invalid, vec![("external_id", rule)]));
}

#[track_caller]
fn code_of<T>(result: Result<T, Problem>) -> Code {
    result.err().unwrap().code
}

fn changed(before: Option<&str>, after: Option<&str>) -> Change {
    Change::new("external_id", before, after)
}

#[tokio::test]
async fn an_account_is_made_with_a_name_and_found_by_it() {
    let world = World::new().await;
    let admin = world.admin.as_str();
    // What looks like an escape is none: a name is what was sent, decoded once.
    let names = ["client-7", "Client-7", "a/b c", "50%", "50%25", "ä&email=x"];
    let mut users = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        let made = world.make_named(admin, &format!("{number}@example.org"), name).await.unwrap();
        assert_eq!(made.external_id.as_deref(), Some(name));
        users.push(made.user);
    }
    for (user, name) in users.iter().zip(names) {
        assert_eq!(world.users_named(admin, name).await.unwrap(), [*user], "{name}");
    }
    assert_eq!(world.users_named(admin, "client").await.unwrap(), []);
    let query =
        UserQuery { email: text("1@"), external_id: text("50%"), ..PageQuery::FIRST.into() };
    let page = world.admin::<table::ListUsers>(&(), &query, &()).await;
    assert_eq!(page.items, [], "each filter lets through what fits");
    let query =
        UserQuery { external_id: text("50%"), sort: text("-email"), ..PageQuery::FIRST.into() };
    let page = world.admin::<table::ListUsers>(&(), &query, &()).await;
    assert_eq!(ids(&page, |it| it.user), [users[3]]);
    refused(
        world.make_named(admin, "another@example.org", "50%").await,
        "belongs to another account already",
    );
    refused(
        world.make_named(admin, "another@example.org", "").await,
        "must be 1 to 128 bytes long",
    );
    // A tenant and a server are other things: their names are apart.
    let tenant = world.make_tenant_named("acme", "50%").await.unwrap().tenant;
    assert_eq!(world.tenants_named(admin, "50%").await, [tenant]);
    assert_eq!(world.tenants_named(admin, "client-7").await, []);
    let query = ServerQuery { external_id: text("50%"), ..ServerQuery::ALL };
    assert_eq!(world.admin::<table::ListServers>(&(), &query, &()).await.items, []);
}

#[tokio::test]
async fn names_of_accounts_are_told_before_and_after_and_freed_with_the_account() {
    let world = World::new().await;
    let admin = world.admin.as_str();
    let user = world.make_named(admin, "one@example.org", "7").await.unwrap().user;
    world.name_user(admin, user, "8").await.unwrap();
    world.name_user(admin, user, "8").await.unwrap();
    world.name_user(admin, user, "").await.unwrap();
    world.name_user(admin, user, "9").await.unwrap();
    world.call::<table::DeleteUser>(Some(admin), &UserPath { user }, &(), &()).await.unwrap();
    let told = world.told("user:account.external-id").await;
    let told: Vec<_> = told.iter().rev().map(|changes| changes[1].clone()).collect();
    let steps = [(Some("7"), Some("8")), (Some("8"), None), (None, Some("9"))];
    assert_eq!(told, steps.map(|(before, after)| changed(before, after)));
    assert!(world.told("user:create").await[0].contains(&changed(None, Some("7"))));
    assert!(world.told("user:delete").await[0].contains(&changed(Some("9"), None)));
    for (email, name) in [("a@example.org", "7"), ("b@example.org", "8"), ("c@example.org", "9")] {
        world.make_named(admin, email, name).await.unwrap();
    }
}

/// Who gives an account a name decides whom the other system takes it for.
#[tokio::test]
async fn nobody_names_or_finds_accounts_without_the_right() {
    let world = World::new().await;
    let (_, owner) = world.tenant("acme").await;
    let me = world.call::<table::WhoAmI>(Some(&owner), &(), &(), &()).await.unwrap();
    world.make_named(&world.admin, "one@example.org", "taken").await.unwrap();
    let (of_writer, writer) = world.helper("writer", &[AdminRight::UsersWrite]).await;
    let (_, other) = world.helper("other", &[AdminRight::NodesRead]).await;
    // The answer is the same whether there is such a name or not.
    for name in ["taken", "free"] {
        for by in [&owner, &other] {
            assert_eq!(code_of(world.users_named(by, name).await), Code::Forbidden);
            assert_eq!(code_of(world.name_user(by, me.user, name).await), Code::Forbidden);
        }
        // An owner may do more in its tenant than who has rights over accounts alone.
        assert_eq!(code_of(world.name_user(&writer, me.user, name).await), Code::Forbidden);
    }
    let own = world.name_user(&writer, of_writer.user, "mine").await.unwrap();
    assert_eq!(own.external_id.as_deref(), Some("mine"));
}

#[tokio::test]
async fn only_administrators_name_tenants() {
    let world = World::new().await;
    let admin = world.admin.as_str();
    let (acme, owner) = world.tenant("acme").await;
    let (_, stranger) = world.tenant("stranger").await;
    world.make_tenant_named("other", "taken").await.unwrap();
    refused(world.make_tenant_named("another", "taken").await, "belongs to another tenant already");
    let body = CreateChild {
        name: "below".to_owned(),
        quota: Default::default(),
        owner: "below@example.org".to_owned(),
    };
    let path = TenantPath { tenant: acme };
    let child = world.call::<table::CreateChild>(Some(&owner), &path, &(), &body).await.unwrap();
    assert_eq!(child.external_id, None);
    // Neither its owner nor who made it takes a name, nor learns whether it is taken.
    for name in ["taken", "free", ""] {
        for tenant in [acme, child.tenant] {
            let err = world.name_tenant(&owner, tenant, name).await.err().unwrap();
            let why = "only an administrator may change `external_id`";
            assert_eq!((err.code, err.detail.as_str()), (Code::Forbidden, why));
        }
        let none = TenantId::from_bytes([9; 16]);
        let [hidden, missing] = [
            world.name_tenant(&stranger, acme, name).await.err().unwrap(),
            world.name_tenant(&stranger, none, name).await.err().unwrap(),
        ];
        assert_eq!((hidden.code, &hidden.detail), (Code::NotFound, &missing.detail));
        assert_eq!(hidden.code, missing.code);
    }
    refused(world.name_tenant(admin, acme, "taken").await, "belongs to another tenant already");
    refused(world.name_tenant(admin, acme, "a\nb").await, "must not contain control characters");
    world.name_tenant(admin, acme, "client-7").await.unwrap();
    world.name_tenant(admin, child.tenant, "client-8").await.unwrap();
    let body = UpdateTenant { name: text("Acme & sons"), ..UpdateTenant::default() };
    let renamed = world.change_tenant(&owner, acme, body).await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.external_id), ("Acme & sons", text("client-7")));
    // Each finds what it sees, and nothing of others.
    for by in [admin, owner.as_str()] {
        assert_eq!(world.tenants_named(by, "client-7").await, [acme]);
        assert_eq!(world.tenants_named(by, "client-8").await, [child.tenant]);
    }
    assert_eq!(world.tenants_named(&owner, "taken").await, []);
    for name in ["client-7", "nothing"] {
        assert_eq!(world.tenants_named(&stranger, name).await, []);
    }
}

#[tokio::test]
async fn names_of_tenants_are_told_before_and_after_and_freed_with_the_tenant() {
    let world = World::new().await;
    let admin = world.admin.as_str();
    let tenant = world.make_tenant_named("acme", "7").await.unwrap().tenant;
    let both = UpdateTenant { name: text("Acme"), external_id: text("8") };
    let changed_both = world.change_tenant(admin, tenant, both.clone()).await.unwrap();
    assert_eq!((changed_both.name, changed_both.external_id), (text("Acme").unwrap(), text("8")));
    world.change_tenant(admin, tenant, both).await.unwrap();
    world.change_tenant(admin, tenant, UpdateTenant::default()).await.unwrap();
    world.name_tenant(admin, tenant, "").await.unwrap();
    world.name_tenant(admin, tenant, "9").await.unwrap();
    let named = DeleteTenantQuery { name: text("Acme") };
    let path = TenantPath { tenant };
    world.call::<table::DeleteTenant>(Some(admin), &path, &named, &()).await.unwrap();
    let mut told = world.told_of(tenant, "tenant:external-id");
    told.reverse();
    let steps = [(Some("7"), Some("8")), (Some("8"), None), (None, Some("9"))];
    assert_eq!(told, steps.map(|(before, after)| vec![changed(before, after)]));
    let renamed = Change::new("name", Some("acme"), Some("Acme"));
    assert_eq!(world.told_of(tenant, "tenant:rename"), [[renamed]]);
    assert!(world.told_of(tenant, "tenant:create")[0].contains(&changed(None, Some("7"))));
    assert!(world.told_of(tenant, "tenant:delete")[0].contains(&changed(Some("9"), None)));
    for (name, external_id) in [("a", "7"), ("b", "8"), ("c", "9")] {
        world.make_tenant_named(name, external_id).await.unwrap();
    }
    assert_eq!(world.hub.verify_audit().unwrap().breaks, []);
}

//! What a tenant has, uses and owns, and what of it each of its people may see.

use super::world::{NO_PAGE, PASSWORD, World, ids};
use mamba_core::{
    access::{Role, TenantRight},
    ids::TenantId,
    quota::{Amounts, Quota},
};
use mamba_wire::api::{
    Code, Problem,
    audit::AuditQuery,
    mail::MailPath,
    member::{AnswerInvitation, CreateInvitation, LetterState, RegisterInvited},
    params::{ServerPath, TenantPath},
    server::{GiveServer, Server},
    table,
    tenant::{CreateChild, LimitTenant},
    usage::TenantUsageQuery,
};

const USAGE: TenantUsageQuery = TenantUsageQuery { from: None, to: None, after: None, limit: None };

impl World {
    /// Makes a tenant below one, whose owner comes by its letter; returns it with its owner's token.
    async fn child(&self, by: &str, parent: TenantId, quota: Quota) -> (TenantId, String) {
        let email = "below@example.org";
        let body = CreateChild { name: "below".to_owned(), quota, owner: email.to_owned() };
        let path = TenantPath { tenant: parent };
        let made = self.call::<table::CreateChild>(Some(by), &path, &(), &body).await.unwrap();
        let (token, password) = (self.mailed(email).await, PASSWORD.to_owned());
        let body = RegisterInvited { token, password };
        let joined = self.call::<table::RegisterInvited>(None, &(), &(), &body).await.unwrap();
        assert_eq!(joined.email, email);
        (made.tenant, self.login(email).await.access_token)
    }
}

#[tokio::test]
async fn a_quota_is_shown_with_what_is_taken_of_it() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let path = TenantPath { tenant: acme };
    let quota = Quota { servers: Some(3), memory_mib: Some(1_024), ..Quota::default() };
    world.admin::<table::LimitTenant>(&path, &(), &LimitTenant { quota }).await;
    let show =
        async || world.call::<table::ShowQuota>(Some(&owner), &path, &(), &()).await.unwrap();
    assert_eq!((show().await.quota, show().await.used), (quota, Amounts::default()));
    let server = world.server(node, acme, 30_001).await;
    let used = show().await.used;
    assert_eq!((used.servers, used.memory_mib, used.allocations), (1, 128, 1));
    // What is promised to a tenant below is taken too.
    let quota = Quota { servers: Some(1), memory_mib: Some(512), ..Quota::default() };
    let (child, below) = world.child(&owner, acme, quota).await;
    assert_eq!(show().await.used.memory_mib, 640);
    let list = async |token: &str| {
        world.call::<table::ListChildren>(Some(token), &path, &NO_PAGE, &()).await
    };
    assert_eq!(ids(&list(&owner).await.unwrap(), |it| it.tenant), [child]);
    assert_eq!(list(&below).await.err().unwrap().code, Code::NotFound);
    // Nothing was measured: every meter is there, with nothing.
    let usage = world.call::<table::ListUsage>(Some(&owner), &path, &USAGE, &()).await.unwrap();
    assert_eq!((usage.items.len(), usage.items[0].server), (1, server));
    assert!(usage.items[0].amounts.iter().all(|it| it.amount == "0") && !usage.items[0].is_gone);
}

#[tokio::test]
async fn rights_follow_the_role_and_letters_are_told_until_they_left() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let (_, friend) = world.tenant("friend").await;
    let path = TenantPath { tenant: acme };
    let rights =
        async |token: &str| world.call::<table::ShowRights>(Some(token), &path, &(), &()).await;
    assert_eq!(rights(&friend).await.err().unwrap().code, Code::NotFound);
    assert_eq!(Some(rights(&owner).await.unwrap()), Role::Owner.rights());
    assert!(rights(&world.admin).await.unwrap().tenant.contains(&TenantRight::TenantDelete));
    let body = CreateInvitation { email: "friend@example.org".to_owned(), role: Role::Viewer };
    let made = world.call::<table::CreateInvitation>(Some(&owner), &path, &(), &body).await;
    let made = made.unwrap();
    assert_eq!(made.invitation.letter, LetterState::Waits);
    let mails = world.admin::<table::ListMails>(&(), &NO_PAGE.into(), &()).await.items;
    let mail = mails.iter().find(|it| it.to == "friend@example.org").unwrap().mail;
    world.admin::<table::DeleteMail>(&MailPath { mail }, &(), &()).await;
    let open = world.call::<table::ListInvitations>(Some(&owner), &path, &NO_PAGE, &()).await;
    assert_eq!(open.unwrap().items[0].letter, LetterState::Left);
    let answer = AnswerInvitation { token: made.token };
    world.call::<table::AcceptInvitation>(Some(&friend), &(), &(), &answer).await.unwrap();
    assert_eq!(Some(rights(&friend).await.unwrap()), Role::Viewer.rights());
    let usage = world.call::<table::ListUsage>(Some(&friend), &path, &USAGE, &()).await;
    assert_eq!(usage.err().unwrap().code, Code::Forbidden);
    let children = world.call::<table::ListChildren>(Some(&friend), &path, &NO_PAGE, &()).await;
    assert_eq!(children.err().unwrap().code, Code::Forbidden);
}

#[tokio::test]
async fn a_server_is_given_only_to_a_tenant_in_which_its_giver_may_make_servers() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let (stranger, theirs) = world.tenant("stranger").await;
    let quota = Quota { servers: Some(1), ..Quota::default() };
    let (child, below) = world.child(&owner, acme, quota).await;
    let server = ServerPath { server: world.server(node, acme, 30_001).await };
    let give = async |token: &str, tenant| {
        let body = GiveServer { tenant };
        world.call::<table::GiveServer>(Some(token), &server, &(), &body).await
    };
    let code = |given: Result<Server, Problem>| given.err().unwrap().code;
    // A tenant of somebody else is like none, and so is somebody else's server.
    let none = TenantId::from_bytes([9; 16]);
    assert_eq!(code(give(&owner, stranger).await), Code::NotFound);
    assert_eq!(code(give(&owner, none).await), Code::NotFound);
    assert_eq!(code(give(&theirs, stranger).await), Code::NotFound);
    assert_eq!(code(give(&below, child).await), Code::NotFound);
    assert_eq!(give(&owner, child).await.unwrap().tenant, child);
    let show =
        async |token: &str| world.call::<table::ShowServer>(Some(token), &server, &(), &()).await;
    assert_eq!(show(&below).await.unwrap().tenant, child);
    // Who owns the tenant above still sees what is below; its new owner does not see what is above.
    assert_eq!(code(give(&below, acme).await), Code::NotFound);
    world.admin::<table::GiveServer>(&server, &(), &GiveServer { tenant: stranger }).await;
    assert_eq!(code(show(&owner).await), Code::NotFound);
    assert_eq!(code(show(&below).await), Code::NotFound);
    assert_eq!(show(&theirs).await.unwrap().tenant, stranger);
    let told = async |tenant| {
        let path = TenantPath { tenant };
        let page = world.admin::<table::ListAudit>(&path, &AuditQuery::ALL, &()).await;
        let entries = page.items.into_iter().map(|it| it.entry);
        let about = entries.filter(|it| it.server == Some(server.server));
        about.map(|it| it.event).collect::<Vec<_>>()
    };
    assert!(told(acme).await.contains(&"server:given-away".to_owned()));
    assert_eq!(told(stranger).await, ["server:taken-over"]);
    let passed = told(child).await;
    let both = ["server:given-away", "server:taken-over"];
    assert!(both.iter().all(|event| passed.iter().any(|it| it == event)), "{passed:?}");
    // Its quota is one server, and it has one.
    let another = world.server(node, acme, 30_002).await;
    let one = ServerPath { server: another };
    let body = GiveServer { tenant: child };
    world.call::<table::GiveServer>(Some(&owner), &one, &(), &body).await.unwrap();
    let over = ServerPath { server: world.server(node, acme, 30_003).await };
    let over = world.call::<table::GiveServer>(Some(&owner), &over, &(), &body).await;
    assert_eq!(code(over), Code::Conflict);
}

//! Invitations: what becomes of them when who invited may not any more; and that nobody floods others with
//! their letters.

use super::world::{NO_PAGE, PASSWORD, World, api_key};
use mamba_core::{
    access::{Role, ServerKey},
    clock::{Clock as _, SystemEntropy, draw},
    db::Txn,
    ids::{EventId, ServerId, TenantId},
    quota::Quota,
};
use mamba_hub::mail::{CROWDED, Letter, queue};
use mamba_wire::api::{
    Code, Problem,
    account::ApiKeyPath,
    audit::AuditQuery,
    auth,
    member::{
        AnswerInvitation, CreateInvitation, InvitationPath, InviteSubUser, MemberPath,
        NewInvitation, RegisterInvited, UpdateMember,
    },
    params::{ServerPath, TenantPath},
    table,
    tenant::{CreateChild, Tenant},
    user::{UserPath, UserQuery},
};
use std::collections::BTreeSet;

/// Letters of one transaction, with four of its 512 writes each.
const LETTERS: u64 = 125;

impl World {
    pub(super) async fn invite(
        &self,
        by: &str,
        tenant: TenantId,
        email: &str,
        role: Role,
    ) -> Result<NewInvitation, Problem> {
        let body = CreateInvitation { email: email.to_owned(), role };
        let path = TenantPath { tenant };
        self.call::<table::CreateInvitation>(Some(by), &path, &(), &body).await
    }

    async fn share(
        &self,
        by: &str,
        server: ServerId,
        email: &str,
    ) -> Result<NewInvitation, Problem> {
        let keys = BTreeSet::from([ServerKey::ControlStart]);
        let body = InviteSubUser { email: email.to_owned(), keys };
        self.call::<table::InviteSubUser>(Some(by), &ServerPath { server }, &(), &body).await
    }

    pub(super) async fn accept(&self, by: &str, made: &NewInvitation) -> Option<Code> {
        let body = AnswerInvitation { token: made.token.clone() };
        let answered = self.call::<table::AcceptInvitation>(Some(by), &(), &(), &body).await;
        answered.err().map(|it| it.code)
    }

    async fn register(&self, token: &str) -> Result<String, Code> {
        let body = RegisterInvited { token: token.to_owned(), password: PASSWORD.to_owned() };
        let made = self.call::<table::RegisterInvited>(None, &(), &(), &body).await;
        made.map(|it| it.email).map_err(|it| it.code)
    }

    async fn open_invitations(&self, tenant: TenantId) -> usize {
        let path = TenantPath { tenant };
        self.admin::<table::ListInvitations>(&path, &NO_PAGE, &()).await.items.len()
    }
}

#[tokio::test]
async fn an_invitation_opens_nothing_that_who_invited_may_not_give_any_more() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let server = world.server(node, acme, 30_001).await;
    let (_, manager) = world.tenant("manager").await;
    let user = world.call::<table::WhoAmI>(Some(&manager), &(), &(), &()).await.unwrap().user;
    let member = MemberPath { tenant: acme, user };
    let play = async |role| {
        let body = UpdateMember { role };
        world.call::<table::UpdateMember>(Some(&owner), &member, &(), &body).await.unwrap();
    };
    let join = async || {
        let made = world.invite(&owner, acme, "manager@example.org", Role::Admin).await.unwrap();
        assert_eq!(world.accept(&manager, &made).await, None);
    };
    let key = async || {
        let body = api_key("inviter");
        world.call::<table::CreateApiKey>(Some(&manager), &(), &(), &body).await.unwrap()
    };
    join().await;
    let path = TenantPath { tenant: acme };
    for way in ["demoted", "removed", "key", "locked"] {
        let (_, friend) = world.tenant(way).await;
        let email = &format!("{way}@example.org");
        let key = key().await;
        let by = if way == "key" { &key.token } else { &manager };
        let made = [
            world.invite(by, acme, email, Role::Viewer).await.unwrap(),
            world.share(by, server, email).await.unwrap(),
        ];
        assert_eq!(world.open_invitations(acme).await, 2);
        let (used, account) = (ApiKeyPath { key: key.key.key }, UserPath { user });
        match way {
            "demoted" => play(Role::Viewer).await,
            "removed" => {
                world.call::<table::RemoveMember>(Some(&owner), &member, &(), &()).await.unwrap();
            }
            "key" => {
                world.call::<table::DeleteApiKey>(Some(&manager), &used, &(), &()).await.unwrap();
            }
            _ => drop(world.admin::<table::LockUser>(&account, &(), &()).await),
        }
        for made in &made {
            assert_eq!(world.accept(&friend, made).await, Some(Code::NotFound), "{way}");
        }
        assert_eq!(world.open_invitations(acme).await, 0, "{way}");
        // It may again, but what ended has ended.
        match way {
            "demoted" => play(Role::Admin).await,
            "removed" => join().await,
            _ => {}
        }
        assert_eq!(world.accept(&friend, &made[0]).await, Some(Code::NotFound), "{way}");
        let seen = world.call::<table::ShowTenant>(Some(&friend), &path, &(), &()).await;
        assert_eq!(seen.err().unwrap().code, Code::NotFound, "{way}");
    }
    let query = AuditQuery { limit: Some(100), ..AuditQuery::ALL };
    let told = world.admin::<table::ListAudit>(&path, &query, &()).await.items;
    let ended = told.iter().filter(|it| it.entry.event == "member:invitation.revoke");
    assert_eq!(ended.count(), 8);
    let (_, friend) = world.tenant("friend").await;
    let made = world.invite(&owner, acme, "friend@example.org", Role::Viewer).await.unwrap();
    assert_eq!(world.accept(&friend, &made).await, None);
    assert!(world.call::<table::ShowTenant>(Some(&friend), &path, &(), &()).await.is_ok());
}

#[tokio::test]
async fn one_invitation_of_an_address_is_open_and_its_letter_ends_with_it() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let server = world.server(node, acme, 30_001).await;
    let (_, friend) = world.tenant("friend").await;
    let email = "friend@example.org";
    let waiting = async || {
        let mails = world.admin::<table::ListMails>(&(), &NO_PAGE.into(), &()).await.items;
        mails.iter().filter(|it| it.to == email).count()
    };
    let first = world.invite(&owner, acme, email, Role::Admin).await.unwrap();
    let shared = world.share(&owner, server, email).await.unwrap();
    assert_eq!((world.open_invitations(acme).await, waiting().await), (2, 2));
    // However it is written.
    let second = world.invite(&owner, acme, "Friend@example.org", Role::Viewer).await.unwrap();
    assert_eq!((world.open_invitations(acme).await, waiting().await), (2, 2));
    assert_eq!(world.accept(&friend, &first).await, Some(Code::NotFound));
    let revoke = async |it: &NewInvitation| {
        let path = InvitationPath { tenant: acme, invitation: it.invitation.invitation };
        world.call::<table::RevokeInvitation>(Some(&owner), &path, &(), &()).await.unwrap();
    };
    revoke(&second).await;
    assert_eq!((world.open_invitations(acme).await, waiting().await), (1, 1));
    assert_eq!(world.accept(&friend, &second).await, Some(Code::NotFound));
    assert_eq!(world.accept(&friend, &shared).await, None);
}

/// Any owner of a tenant could test which addresses have accounts, and made accounts for others.
#[tokio::test]
async fn who_makes_a_tenant_below_learns_of_no_account_and_makes_none() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let (_, friend) = world.tenant("friend").await;
    let make = async |email: &str| {
        let body = CreateChild {
            name: "below".to_owned(),
            quota: Quota::default(),
            owner: email.to_owned(),
        };
        let path = TenantPath { tenant: acme };
        world.call::<table::CreateChild>(Some(&owner), &path, &(), &body).await
    };
    let known = make("Friend@example.org").await.unwrap();
    let unknown = make("nobody@example.org").await.unwrap();
    let told = |it: &Tenant| {
        let mut it = serde_json::to_value(it).unwrap();
        it.as_object_mut().unwrap().remove("tenant");
        it
    };
    assert_eq!(told(&known), told(&unknown));
    let members = async |tenant| {
        let path = TenantPath { tenant };
        world.admin::<table::ListMembers>(&path, &NO_PAGE, &()).await.items.len()
    };
    assert_eq!((members(known.tenant).await, members(unknown.tenant).await), (0, 0));
    let all = UserQuery::from(NO_PAGE);
    let users = world.admin::<table::ListUsers>(&(), &all, &()).await.items;
    assert!(users.iter().all(|it| it.email != "nobody@example.org"), "{users:?}");
    assert_eq!(make("no address").await.err().unwrap().errors[0].field, "owner");
    // Who is invited owns it, as long as who made it may make tenants.
    let body = AnswerInvitation { token: world.mailed("friend@example.org").await };
    world.call::<table::AcceptInvitation>(Some(&friend), &(), &(), &body).await.unwrap();
    let path = TenantPath { tenant: known.tenant };
    let rights = world.call::<table::ShowRights>(Some(&friend), &path, &(), &()).await.unwrap();
    assert_eq!(Some(rights), Role::Owner.rights());
    let user = world.call::<table::WhoAmI>(Some(&owner), &(), &(), &()).await.unwrap().user;
    world.admin::<table::LockUser>(&UserPath { user }, &(), &()).await;
    let token = world.mailed("nobody@example.org").await;
    assert_eq!(world.register(&token).await, Err(Code::NotFound));
    assert_eq!(world.open_invitations(unknown.tenant).await, 0);
}

#[tokio::test]
async fn who_has_the_letter_of_an_invitation_makes_the_account_where_nobody_registers() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let (_, friend) = world.tenant("friend").await;
    let email = "new@example.org";
    let made = world.invite(&owner, acme, email, Role::Viewer).await.unwrap();
    // What who invited was shown proves no address.
    assert_eq!(world.register(&made.token).await, Err(Code::NotFound));
    let token = world.mailed(email).await;
    assert_ne!(token, made.token);
    let short = RegisterInvited { token: token.clone(), password: "short".to_owned() };
    let refused = world.call::<table::RegisterInvited>(None, &(), &(), &short).await;
    assert_eq!(refused.err().unwrap().errors[0].field, "password");
    let (one, two) = tokio::join!(world.register(&token), world.register(&token));
    assert_eq!([&one, &two].iter().filter(|it| it.is_ok()).count(), 1, "{one:?} {two:?}");
    assert_eq!(world.register(&token).await, Err(Code::NotFound));
    let tokens = world.login(email).await;
    assert_eq!(tokens.me.tenants.len(), 1);
    assert_eq!((tokens.me.tenants[0].tenant, tokens.me.tenants[0].role), (acme, Role::Viewer));
    let account = world.call::<table::ShowAccount>(Some(&tokens.access_token), &(), &(), &()).await;
    assert!(account.unwrap().email_verified_at.is_some());
    let path = TenantPath { tenant: acme };
    let trail = world.admin::<table::ListAudit>(&path, &AuditQuery::ALL, &()).await.items;
    assert_eq!(trail[0].entry.event, "member:create");
    // An account is not made twice, and its owner may use the same letter.
    world.invite(&owner, acme, "friend@example.org", Role::Viewer).await.unwrap();
    let token = world.mailed("friend@example.org").await;
    assert_eq!(world.register(&token).await, Err(Code::Conflict));
    let body = AnswerInvitation { token };
    world.call::<table::AcceptInvitation>(Some(&friend), &(), &(), &body).await.unwrap();
    // Nor after it is over.
    world.invite(&owner, acme, "late@example.org", Role::Viewer).await.unwrap();
    let token = world.mailed("late@example.org").await;
    world.clock.advance(7 * 24 * 3_600_000);
    assert_eq!(world.register(&token).await, Err(Code::NotFound));
}

/// Whoever may share a server, or invite members, ended so what an owner had given.
#[tokio::test]
async fn an_open_invitation_is_replaced_only_by_who_may_give_as_much() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let server = world.server(node, acme, 30_001).await;
    let (_, sharer) = world.tenant("sharer").await;
    let keys = BTreeSet::from([ServerKey::UserCreate, ServerKey::ControlStart]);
    let share = InviteSubUser { email: "sharer@example.org".to_owned(), keys };
    let path = ServerPath { server };
    let made = world.call::<table::InviteSubUser>(Some(&owner), &path, &(), &share).await.unwrap();
    assert_eq!(world.accept(&sharer, &made).await, None);
    let (_, friend) = world.tenant("friend").await;
    let email = "friend@example.org";
    let keys = BTreeSet::from([ServerKey::ControlStop]);
    let body = InviteSubUser { email: email.to_owned(), keys };
    let first = world.call::<table::InviteSubUser>(Some(&owner), &path, &(), &body).await.unwrap();
    let refused = world.share(&sharer, server, email).await.err().unwrap();
    assert_eq!(refused.code, Code::Forbidden);
    assert_eq!(world.accept(&friend, &first).await, None);
    // Its own it replaces.
    let other = "other@example.org";
    world.share(&sharer, server, other).await.unwrap();
    world.share(&sharer, server, other).await.unwrap();
    assert_eq!(world.open_invitations(acme).await, 1);
}

#[tokio::test]
async fn nobody_floods_an_address_or_the_spool_with_invitations() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let (other, stranger) = world.tenant("other").await;
    let code = |refused: Result<NewInvitation, Problem>| refused.err().map(|it| it.code);
    let ask = async |by: &str, tenant, email: &str| {
        code(world.invite(by, tenant, email, Role::Viewer).await)
    };
    for index in 0..5 {
        let (by, tenant) = if index % 2 == 0 { (&owner, acme) } else { (&stranger, other) };
        assert_eq!(ask(by, tenant, "victim@example.org").await, None);
    }
    for (by, tenant) in [(&owner, acme), (&stranger, other)] {
        assert_eq!(ask(by, tenant, "Victim@example.org").await, Some(Code::Throttled));
    }
    // Three of the owner's thirty are used.
    for index in 0..27 {
        assert_eq!(ask(&owner, acme, &format!("{index}@example.org")).await, None);
    }
    assert_eq!(ask(&owner, acme, "more@example.org").await, Some(Code::Throttled));
    assert_eq!(ask(&stranger, other, "more@example.org").await, None);
    // With a crowded spool nobody invites, and what people wait for still goes out.
    let now = world.clock.wall();
    for _ in 0..CROWDED / LETTERS {
        let ids: Vec<_> = (0..LETTERS).map(|_| EventId::new(now, draw(&SystemEntropy))).collect();
        let fill = move |txn: &mut Txn<'_>| {
            let to = "somebody@example.org";
            ids.iter().try_for_each(|id| queue(txn, now, *id, to, &Letter::SecondFactorOn))
        };
        world.hub.store().write(fill).await.unwrap();
    }
    let refused = world.invite(&stranger, other, "last@example.org", Role::Viewer).await;
    let refused = refused.err().unwrap();
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.detail.contains("too many letters wait"), "{refused:?}");
    world.clock.advance(1);
    let body = auth::RequestReset { email: "acme@example.org".to_owned() };
    world.call::<table::RequestReset>(None, &(), &(), &body).await.unwrap();
    let newest = world.admin::<table::ListMails>(&(), &NO_PAGE.into(), &()).await.items;
    assert_eq!(newest[0].to, "acme@example.org");
}

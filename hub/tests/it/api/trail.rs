//! What the audit trail tells of accounts, keys and what administrators make.

use super::world::{NO_PAGE, World, api_key};
use mamba_core::{
    access::{AdminRight, Rights},
    audit::{AuditActor, AuditEntry},
    ids::TenantId,
    quota::Quota,
    server::PortProtocol,
};
use mamba_wire::api::{
    PageQuery, account, allocation, audit::AuditQuery, auth, params::TenantPath, table,
    tenant::CreateChild,
};
use std::collections::BTreeSet;

const ADMIN: &str = "admin@example.org";
/// Typed into the field for the address by mistake.
const TYPED: &str = "hunter2 hunter2";

impl World {
    /// Returns the installation's audit trail, newest first.
    async fn trail(&self) -> Vec<AuditEntry> {
        self.identity.flush().await;
        let query = AuditQuery { limit: Some(100), ..AuditQuery::ALL };
        let page = self.admin::<table::ListHubAudit>(&(), &query, &()).await;
        page.items.into_iter().map(|item| item.entry).collect()
    }
}

/// Returns entries of one event.
fn of<'a>(trail: &'a [AuditEntry], event: &str) -> Vec<&'a AuditEntry> {
    trail.iter().filter(|entry| entry.event == event).collect()
}

fn after<'a>(entry: &'a AuditEntry, field: &str) -> Option<&'a str> {
    entry.changes.iter().find(|change| change.field == field)?.after.as_deref()
}

#[tokio::test]
async fn sign_ins_are_told_whether_they_succeed_or_not() {
    let mut world = World::new().await;
    for (email, times) in [(ADMIN, 2), (TYPED, 1), ("nobody@example.org", 1)] {
        for _ in 0..times {
            let body = auth::Login { email: email.to_owned(), password: "wrong".to_owned() };
            assert!(world.call::<table::Login>(None, &(), &(), &body).await.is_err());
        }
    }
    let me = world.admin::<table::WhoAmI>(&(), &(), &()).await;
    let trail = world.trail().await;
    let failed = of(&trail, "auth:fail");
    let counts: BTreeSet<_> =
        failed.iter().map(|it| (after(it, "account"), after(it, "count"))).collect();
    let user = me.user.to_string();
    assert_eq!(counts, BTreeSet::from([(Some(user.as_str()), Some("2")), (None, Some("2"))]));
    assert!(failed.iter().all(|it| it.address == Some([127, 0, 0, 1].into())));
    assert!(!format!("{trail:?}").contains(TYPED));
    let signed_in = of(&trail, "auth:success");
    assert_eq!(signed_in[0].actor, AuditActor::Account(me.user));
    assert_eq!(after(signed_in[0], "with"), Some("password"));
    // A guess too many, and a password that was forgotten.
    for _ in 0..10 {
        let body = auth::Login { email: ADMIN.to_owned(), password: "wrong".to_owned() };
        world.call::<table::Login>(None, &(), &(), &body).await.err().unwrap();
    }
    let ask = auth::RequestReset { email: ADMIN.to_owned() };
    world.call::<table::RequestReset>(None, &(), &(), &ask).await.unwrap();
    world.admin::<table::EndOtherSessions>(&(), &(), &()).await;
    world.admin::<table::Logout>(&(), &(), &()).await;
    world.clock.advance(15 * 60_000);
    world.admin = world.login(ADMIN).await.access_token;
    let trail = world.trail().await;
    for event in ["auth:ip-blocked", "auth:reset-password", "user:session.delete", "auth:logout"] {
        assert_eq!(of(&trail, event).len(), 1, "{event}");
    }
}

#[tokio::test]
async fn what_a_key_makes_is_told_as_the_keys() {
    let world = World::new().await;
    let node = world.node("alpha", 1).await;
    let new = account::CreateApiKey {
        admin: BTreeSet::from([AdminRight::AllocationsWrite]),
        rights: Rights::default(),
        ..api_key("script")
    };
    let key = world.admin::<table::CreateApiKey>(&(), &(), &new).await;
    let body = allocation::CreateAllocations {
        node,
        ip: "0.0.0.0".parse().unwrap(),
        port: 25_565,
        port_last: Some(25_570),
        protocol: PortProtocol::Udp,
        alias: None,
        note: None,
    };
    let token = Some(key.token.as_str());
    world.call::<table::CreateAllocations>(token, &(), &(), &body).await.unwrap();
    let user = world.admin::<table::WhoAmI>(&(), &(), &()).await.user;
    let trail = world.trail().await;
    let made = of(&trail, "allocation:create");
    assert_eq!(made[0].actor, AuditActor::ApiKey { user, key: key.key.key });
    assert_eq!(after(made[0], "ports"), Some("25565-25570"));
    let created = of(&trail, "user:api-key.create");
    assert_eq!(after(created[0], "admin"), Some("allocations.write"));
    let (_, secret) = key.token.rsplit_once('_').unwrap();
    assert!(!format!("{trail:?}").contains(secret));
}

#[tokio::test]
async fn a_tenant_is_told_where_it_is_and_where_it_was_made() {
    let world = World::new().await;
    let (parent, owner) = world.tenant("reseller").await;
    let owner_of_child = "c@example.org".to_owned();
    let body =
        CreateChild { name: "child".to_owned(), quota: Quota::default(), owner: owner_of_child };
    let path = TenantPath { tenant: parent };
    let child = world.call::<table::CreateChild>(Some(&owner), &path, &(), &body).await.unwrap();
    let made = async |tenant: TenantId| {
        let path = TenantPath { tenant };
        let page = world.admin::<table::ListAudit>(&path, &AuditQuery::ALL, &()).await.items;
        let entries = page.into_iter().map(|item| item.entry);
        entries.filter(|it| it.event == "tenant:create").collect::<Vec<_>>()
    };
    assert_eq!(after(&made(child.tenant).await[0], "owner"), Some("c@example.org"));
    let names: Vec<_> =
        made(parent).await.iter().map(|it| after(it, "name").map(str::to_owned)).collect();
    assert_eq!(names, [Some("child".to_owned()), Some("reseller".to_owned())]);
    assert_eq!(after(of(&world.trail().await, "tenant:create")[0], "name"), Some("reseller"));
}

/// Without SMTP administrators read mails: a link among them would make each of them root.
#[tokio::test]
async fn who_may_read_mails_cannot_reset_the_passwords_of_others() {
    let world = World::new().await;
    let new = account::CreateApiKey {
        admin: BTreeSet::from([AdminRight::MailRead]),
        rights: Rights::default(),
        ..api_key("mails")
    };
    let key = world.admin::<table::CreateApiKey>(&(), &(), &new).await;
    // Letters of one millisecond have no order, and a new key is told by one.
    world.clock.advance(1);
    let ask = auth::RequestReset { email: ADMIN.to_owned() };
    world.call::<table::RequestReset>(None, &(), &(), &ask).await.unwrap();
    let read = async |token: &str| {
        let page =
            world.call::<table::ListMails>(Some(token), &(), &NO_PAGE.into(), &()).await.unwrap();
        page.items[0].text.clone().unwrap()
    };
    let whole = read(&world.admin).await;
    let (_, token) = whole.split_once('#').unwrap();
    let token = token.split_whitespace().next().unwrap();
    let hidden = read(&key.token).await;
    assert!(token.len() == 64 && !hidden.contains(token) && hidden.contains("root"), "{hidden}");
}

#[tokio::test]
async fn everybody_reads_what_was_done_with_their_own_account_and_no_other() {
    let world = World::new().await;
    let (_, owner) = world.tenant("acme").await;
    let (_, other) = world.tenant("other").await;
    for email in ["acme@example.org", "other@example.org"] {
        let body = auth::Login { email: email.to_owned(), password: "wrong".to_owned() };
        assert!(world.call::<table::Login>(None, &(), &(), &body).await.is_err());
    }
    let key = api_key("my-key-of-acme");
    world.call::<table::CreateApiKey>(Some(&owner), &(), &(), &key).await.unwrap();
    world.identity.flush().await;
    let own = async |token: &str| {
        let page = world.call::<table::ListOwnActivity>(Some(token), &(), &NO_PAGE, &()).await;
        page.unwrap().items
    };
    let seen = own(&owner).await;
    let count = |event: &str| seen.iter().filter(|it| it.event == event).count();
    assert_eq!((count("auth:success"), count("auth:fail")), (1, 1), "{seen:?}");
    assert!(format!("{seen:?}").contains("my-key-of-acme"), "{seen:?}");
    let theirs = own(&other).await;
    assert!(!format!("{theirs:?}").contains("my-key-of-acme"), "{theirs:?}");
    assert!(theirs.iter().all(|it| it.address.is_some()), "{theirs:?}");
    // It is cut like every list.
    let page = PageQuery { after: None, limit: Some(1) };
    let first = world.call::<table::ListOwnActivity>(Some(&owner), &(), &page, &()).await.unwrap();
    assert_eq!(first.items, seen[..1]);
    let page = PageQuery { after: first.next, limit: Some(1) };
    let second = world.call::<table::ListOwnActivity>(Some(&owner), &(), &page, &()).await.unwrap();
    assert_eq!(second.items, seen[1..2]);
}

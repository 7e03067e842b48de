//! Who administers the installation: parts of it given, used and taken away.

use super::world::{NO_PAGE, World, api_key};
use mamba_core::{
    access::{AdminRight, Administration, Rights},
    audit::Change,
    clock::Clock as _,
    ids::UserId,
    scope::AdminScope,
};
use mamba_hub::identity::{IdentityError, set_administration};
use mamba_wire::api::{
    Code, Problem, account,
    audit::AuditQuery,
    mail::MailPath,
    node::CreateJoinToken,
    table,
    user::{SetAdministration, User, UserPath},
};

use AdminRight::{MailWrite, NodesRead, NodesWrite, UsersWrite};

fn some(rights: &[AdminRight]) -> Administration {
    Administration::Some(rights.iter().copied().collect())
}

/// An account with its token.
struct Account {
    user: UserId,
    token: String,
}

impl World {
    async fn account(&self, name: &str) -> Account {
        let (_, token) = self.tenant(name).await;
        let user = self.who(&token).await;
        Account { user, token }
    }

    async fn who(&self, token: &str) -> UserId {
        self.call::<table::WhoAmI>(Some(token), &(), &(), &()).await.unwrap().user
    }

    async fn give(
        &self,
        token: &str,
        user: UserId,
        admin: Administration,
    ) -> Result<User, Problem> {
        let (path, body) = (UserPath { user }, SetAdministration { admin });
        self.call::<table::SetAdministration>(Some(token), &path, &(), &body).await
    }

    async fn refused(&self, token: &str, user: UserId, admin: Administration) -> Code {
        self.give(token, user, admin).await.err().unwrap().code
    }

    /// Whether somebody may make a join token.
    async fn may_add_nodes(&self, who: &Account) -> bool {
        let body = CreateJoinToken { name: who.user.to_string(), replaces: None };
        match self.call::<table::CreateJoinToken>(Some(&who.token), &(), &(), &body).await {
            Ok(_) => true,
            Err(problem) => {
                assert_eq!(problem.code, Code::Forbidden, "{problem:?}");
                false
            }
        }
    }
}

#[tokio::test]
async fn an_administrator_of_some_rights_uses_them_and_no_others() {
    let world = World::new().await;
    let helper = world.account("helper").await;
    let nodes = async || {
        world.call::<table::ListNodes>(Some(&helper.token), &(), &NO_PAGE.into(), &()).await
    };
    assert_eq!(nodes().await.err().unwrap().code, Code::Forbidden);
    let given = world.give(&world.admin, helper.user, some(&[NodesRead])).await.unwrap();
    assert_eq!(given.admin, some(&[NodesRead]));
    // The session goes on, with what it may do now.
    assert!(nodes().await.is_ok() && !world.may_add_nodes(&helper).await);
    let mail = MailPath { mail: mamba_core::ids::EventId::from_bytes([9; 16]) };
    let delete = world.call::<table::DeleteMail>(Some(&helper.token), &mail, &(), &()).await;
    assert_eq!(delete.err().unwrap().code, Code::Forbidden);
    world.give(&world.admin, helper.user, some(&[NodesWrite, MailWrite])).await.unwrap();
    assert!(nodes().await.is_ok() && world.may_add_nodes(&helper).await);
    let delete = world.call::<table::DeleteMail>(Some(&helper.token), &mail, &(), &()).await;
    assert_eq!(delete.err().unwrap().code, Code::NotFound);
    let servers = super::world::ALL_SERVERS;
    let node = world.node("n1", 1).await;
    let (acme, _) = world.tenant("acme").await;
    world.server(node, acme, 30_001).await;
    let seen = world.call::<table::ListServers>(Some(&helper.token), &(), &servers, &()).await;
    assert!(seen.unwrap().items.is_empty(), "no right over servers was given");
    // No rights are none, and leave nothing.
    let taken = world.give(&world.admin, helper.user, some(&[])).await.unwrap();
    assert_eq!(taken.admin, Administration::None);
    assert_eq!(nodes().await.err().unwrap().code, Code::Forbidden);
}

#[tokio::test]
async fn nobody_gives_or_takes_what_it_does_not_have() {
    let world = World::new().await;
    let (helper, other) = (world.account("helper").await, world.account("other").await);
    let root = world.who(&world.admin).await;
    assert_eq!(world.refused(&helper.token, helper.user, some(&[])).await, Code::Forbidden);
    world.give(&world.admin, helper.user, some(&[NodesRead, UsersWrite])).await.unwrap();
    world.give(&helper.token, other.user, some(&[NodesRead])).await.unwrap();
    for admin in [some(&[NodesWrite]), some(&[NodesRead, MailWrite]), Administration::Root] {
        for user in [helper.user, other.user] {
            let code = world.refused(&helper.token, user, admin.clone()).await;
            assert_eq!(code, Code::Forbidden, "{admin:?}");
        }
    }
    assert_eq!(world.refused(&helper.token, root, Administration::None).await, Code::Forbidden);
    world.give(&world.admin, other.user, some(&[MailWrite])).await.unwrap();
    let code = world.refused(&helper.token, other.user, Administration::None).await;
    assert_eq!(code, Code::Forbidden, "it has a right that the helper lacks");
    // Every right there is today is less than root, which also has those of tomorrow.
    world.give(&world.admin, helper.user, some(AdminRight::ALL)).await.unwrap();
    for (user, admin) in [(other.user, Administration::Root), (root, Administration::None)] {
        assert_eq!(world.refused(&helper.token, user, admin).await, Code::Forbidden);
    }
    let of_root = UserPath { user: root };
    let lock = world.call::<table::LockUser>(Some(&helper.token), &of_root, &(), &());
    assert_eq!(lock.await.err().unwrap().code, Code::Forbidden);
    // A key of root is not root in person.
    let body = account::CreateApiKey {
        admin: AdminRight::ALL.iter().copied().collect(),
        rights: Rights::default(),
        ..api_key("k")
    };
    let key = world.admin::<table::CreateApiKey>(&(), &(), &body).await.token;
    assert_eq!(world.refused(&key, other.user, Administration::Root).await, Code::Forbidden);
    assert!(world.give(&key, other.user, some(&[NodesRead])).await.is_ok());
    let nobody = UserId::from_bytes([9; 16]);
    assert_eq!(world.refused(&world.admin, nobody, some(&[])).await, Code::NotFound);
}

#[tokio::test]
async fn one_root_that_may_sign_in_always_stays() {
    let world = World::new().await;
    let first = world.who(&world.admin).await;
    let none = || Administration::None;
    assert_eq!(world.refused(&world.admin, first, none()).await, Code::Conflict);
    assert_eq!(world.refused(&world.admin, first, some(AdminRight::ALL)).await, Code::Conflict);
    let second = world.account("second").await;
    world.give(&world.admin, second.user, Administration::Root).await.unwrap();
    // A locked one does not count.
    let path = UserPath { user: second.user };
    world.admin::<table::LockUser>(&path, &(), &()).await;
    assert_eq!(world.refused(&world.admin, first, none()).await, Code::Conflict);
    world.admin::<table::UnlockUser>(&path, &(), &()).await;
    let second = world.login("second@example.org").await.access_token;
    world.give(&second, first, none()).await.unwrap();
    assert_eq!(world.refused(&world.admin, first, Administration::Root).await, Code::Forbidden);
    assert_eq!(world.refused(&second, path.user, none()).await, Code::Conflict);
    // Who has the machine helps, and is bound by the same.
    let (store, now) = (world.hub.store(), world.clock.wall());
    let operator = AdminScope::operator("test".to_owned());
    let set = async |email: &str, admin: Administration| {
        set_administration(store, &operator, now, email, admin).await
    };
    let last = set("second@example.org", none()).await;
    assert!(matches!(last, Err(IdentityError::Refused(_))), "{last:?}");
    let unknown = set("nobody@example.org", Administration::Root).await;
    assert!(matches!(unknown, Err(IdentityError::NotFound(_))), "{unknown:?}");
    set("Admin@example.org", Administration::Root).await.unwrap();
    set("second@example.org", none()).await.unwrap();
    assert_eq!(world.refused(&second, first, none()).await, Code::Forbidden);
}

#[tokio::test]
async fn the_trail_tells_what_somebody_was_and_became() {
    let world = World::new().await;
    let helper = world.account("helper").await;
    for admin in [some(&[NodesWrite, NodesRead]), some(&[NodesRead, NodesWrite]), some(&[])] {
        world.give(&world.admin, helper.user, admin).await.unwrap();
    }
    let trail = world.admin::<table::ListHubAudit>(&(), &AuditQuery::ALL, &()).await;
    let event = "user:account.administration";
    let told = trail.items.into_iter().filter(|it| it.entry.event == event);
    let told: Vec<Change> = told.map(|it| it.entry.changes[2].clone()).collect();
    let change = |before: &str, after: &str| {
        Change::new("administration", Some(before.to_owned()), Some(after.to_owned()))
    };
    let both = "nodes.read nodes.write";
    assert_eq!(told, [change(both, "none"), change("none", both)], "the second changed nothing");
    assert_eq!(world.hub.verify_audit().unwrap().breaks, []);
}

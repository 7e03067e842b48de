//! Invitations: what becomes of them when who invited may not any more.

use super::world::{NO_PAGE, World};
use mamba_core::{
    access::{Rights, Role, ServerKey},
    ids::{ServerId, TenantId},
};
use mamba_wire::api::{
    Code, Problem,
    account::{ApiKeyPath, CreateApiKey},
    audit::AuditQuery,
    member::{
        AnswerInvitation, CreateInvitation, InviteSubUser, MemberPath, NewInvitation, UpdateMember,
    },
    params::{ServerPath, TenantPath},
    table,
    user::UserPath,
};
use std::collections::BTreeSet;

const FRIEND: &str = "friend@example.org";

impl World {
    async fn invite(
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

    async fn accept(&self, by: &str, made: &NewInvitation) -> Option<Code> {
        let body = AnswerInvitation { token: made.token.clone() };
        let answered = self.call::<table::AcceptInvitation>(Some(by), &(), &(), &body).await;
        answered.err().map(|it| it.code)
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
    let (_, friend) = world.tenant("friend").await;
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
        let body = CreateApiKey {
            name: "inviter".to_owned(),
            admin: BTreeSet::new(),
            rights: Rights::all(),
            tenant: None,
            networks: Vec::new(),
            until: None,
        };
        world.call::<table::CreateApiKey>(Some(&manager), &(), &(), &body).await.unwrap()
    };
    join().await;
    for way in ["demoted", "removed", "key", "locked"] {
        let key = key().await;
        let by = if way == "key" { &key.token } else { &manager };
        let made = [
            world.invite(by, acme, FRIEND, Role::Viewer).await.unwrap(),
            world.share(by, server, FRIEND).await.unwrap(),
        ];
        assert_eq!(world.open_invitations(acme).await, 2);
        let (path, account) = (ApiKeyPath { key: key.key.key }, UserPath { user });
        match way {
            "demoted" => play(Role::Viewer).await,
            "removed" => {
                world.call::<table::RemoveMember>(Some(&owner), &member, &(), &()).await.unwrap();
            }
            "key" => {
                world.call::<table::DeleteApiKey>(Some(&manager), &path, &(), &()).await.unwrap();
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
    }
    let path = TenantPath { tenant: acme };
    let show = async || world.call::<table::ShowTenant>(Some(&friend), &path, &(), &()).await;
    assert_eq!(show().await.err().unwrap().code, Code::NotFound);
    let query = AuditQuery { limit: Some(100), ..AuditQuery::ALL };
    let told = world.admin::<table::ListAudit>(&path, &query, &()).await.items;
    let ended = told.iter().filter(|it| it.entry.event == "member:invitation.revoke");
    assert_eq!(ended.count(), 8);
    let made = world.invite(&owner, acme, FRIEND, Role::Viewer).await.unwrap();
    assert_eq!(world.accept(&friend, &made).await, None);
    assert!(show().await.is_ok());
}

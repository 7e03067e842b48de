//! Examples: people in tenants.

use super::{
    super::world::{NO_PAGE, PASSWORD, api_key},
    Example, Seed, examples,
};
use mamba_core::{
    access::{Rights, Role, ServerKey},
    ids::{InvitationId, RoleId, SessionId, UserId},
};
use mamba_wire::api::{
    Code,
    account::CreateApiKey,
    member::*,
    params::{ServerPath, TenantPath},
    table,
};

const NOBODY: UserId = UserId::from_bytes([9; 16]);

fn tenant(seed: &Seed<'_>) -> TenantPath {
    TenantPath { tenant: seed.tenant }
}

fn answer() -> AnswerInvitation {
    AnswerInvitation { token: "unknown".to_owned() }
}

fn role() -> WriteRole {
    WriteRole { name: super::CANARY.to_owned(), rights: Rights::default() }
}

async fn owner(seed: &Seed<'_>) -> MemberPath {
    let members = seed.world.admin::<table::ListMembers>(&tenant(seed), &NO_PAGE, &()).await;
    MemberPath { tenant: seed.tenant, user: members.items[0].user }
}

async fn invitation(seed: &Seed<'_>) -> InvitationId {
    let body = CreateInvitation { email: "guest@example.org".to_owned(), role: Role::Viewer };
    let path = tenant(seed);
    let made = seed.world.admin::<table::CreateInvitation>(&path, &(), &body).await;
    made.invitation.invitation
}

async fn new_role(seed: &Seed<'_>) -> RoleId {
    let (path, body) = (tenant(seed), role());
    let made = seed.world.admin::<table::CreateRole>(&path, &(), &body).await;
    match made.role {
        Role::Custom(id) => id,
        other => panic!("{other:?}"),
    }
}

async fn bound_key(seed: &Seed<'_>) -> SessionId {
    let owner = seed.world.login(&seed.email()).await.access_token;
    let body = CreateApiKey { tenant: Some(seed.tenant), ..api_key(super::CANARY) };
    let made = seed.world.call::<table::CreateApiKey>(Some(&owner), &(), &(), &body).await;
    made.unwrap().key.key
}

examples! {
    ListMembers, seed => Example::new(tenant(seed), NO_PAGE, ());
    ShowMember, seed => Example::new(owner(seed).await, (), ());
    UpdateMember, seed => Example::new(
        MemberPath { tenant: seed.tenant, user: NOBODY },
        (),
        UpdateMember { role: Role::Custom(new_role(seed).await) },
    )
    .refused(Code::NotFound);
    RemoveMember, seed => Example::new(
        MemberPath { tenant: seed.tenant, user: NOBODY },
        (),
        (),
    )
    .refused(Code::NotFound);
    CreateInvitation, seed => {
        let role = Role::Custom(new_role(seed).await);
        let body = CreateInvitation { email: "guest@example.org".to_owned(), role };
        Example::new(tenant(seed), (), body)
    };
    ListInvitations, seed => Example::new(tenant(seed), NO_PAGE, ());
    RevokeInvitation, seed => Example::new(
        InvitationPath { tenant: seed.tenant, invitation: invitation(seed).await },
        (),
        (),
    );
    AcceptInvitation, _seed => Example::new((), (), answer()).refused(Code::NotFound);
    DeclineInvitation, _seed => Example::new((), (), answer()).refused(Code::NotFound);
    RegisterInvited, _seed => {
        let (token, password) = ("unknown".to_owned(), PASSWORD.to_owned());
        Example::new((), (), RegisterInvited { token, password }).refused(Code::NotFound)
    };
    ListRoles, seed => Example::new(tenant(seed), (), ());
    ShowRole, seed => Example::new(
        RolePath { tenant: seed.tenant, role: new_role(seed).await },
        (),
        (),
    );
    CreateRole, seed => Example::new(tenant(seed), (), role());
    UpdateRole, seed => Example::new(
        RolePath { tenant: seed.tenant, role: new_role(seed).await },
        (),
        role(),
    );
    DeleteRole, seed => Example::new(
        RolePath { tenant: seed.tenant, role: new_role(seed).await },
        (),
        (),
    );
    ListTenantApiKeys, seed => {
        bound_key(seed).await;
        Example::new(tenant(seed), NO_PAGE, ())
    };
    EndTenantApiKey, seed => Example::new(
        TenantApiKeyPath { tenant: seed.tenant, key: bound_key(seed).await },
        (),
        (),
    );
    ListSubUsers, seed => Example::new(ServerPath { server: seed.server().await }, NO_PAGE, ());
    ShowSubUser, seed => Example::new(
        SubUserPath { server: seed.server().await, user: NOBODY },
        (),
        (),
    )
    .refused(Code::NotFound);
    InviteSubUser, seed => Example::new(
        ServerPath { server: seed.server().await },
        (),
        InviteSubUser {
            email: "guest@example.org".to_owned(),
            keys: [ServerKey::ControlStart].into(),
        },
    );
    UpdateSubUser, seed => Example::new(
        SubUserPath { server: seed.server().await, user: NOBODY },
        (),
        UpdateSubUser { keys: [ServerKey::ControlStart].into() },
    )
    .refused(Code::NotFound);
    RemoveSubUser, seed => Example::new(
        SubUserPath { server: seed.server().await, user: NOBODY },
        (),
        (),
    )
    .refused(Code::NotFound);
}

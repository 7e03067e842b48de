//! Pure: people in tenants.

use super::prelude::*;
use crate::api::member::{
    self, InvitationPath, MemberPath, RolePath, SubUserPath, TenantApiKeyPath,
};

endpoints! {
    /// Who belongs to a tenant or to one of its servers, and what they may do.
    MEMBERS "members" for_each_member_endpoint;

    /// Lists members of a tenant.
    ListMembers: Get "/api/v1/tenants/{tenant}/members", Permission::Tenant(TenantRight::MemberRead), 200,
        (TenantPath, PageQuery, ()) -> Page<member::Member>;
    /// Shows a member.
    ShowMember: Get "/api/v1/tenants/{tenant}/members/{user}",
        Permission::Tenant(TenantRight::MemberRead), 200,
        (MemberPath, (), ()) -> member::Member;
    /// Gives a member another role; nobody gives or takes more than it has.
    UpdateMember: Patch "/api/v1/tenants/{tenant}/members/{user}",
        Permission::Tenant(TenantRight::MemberWrite), 200,
        (MemberPath, (), member::UpdateMember) -> member::Member, [Conflict];
    /// Removes a member; the last owner stays.
    RemoveMember: Delete "/api/v1/tenants/{tenant}/members/{user}",
        Permission::Tenant(TenantRight::MemberWrite), 204,
        (MemberPath, (), ()) -> (), [Conflict];
    /// Invites an account by its address to be a member.
    CreateInvitation: Post "/api/v1/tenants/{tenant}/invitations",
        Permission::Tenant(TenantRight::MemberWrite), 201 keyed,
        (TenantPath, (), member::CreateInvitation) -> member::NewInvitation, [Conflict];
    /// Lists open invitations of a tenant and its servers.
    ListInvitations: Get "/api/v1/tenants/{tenant}/invitations",
        Permission::Tenant(TenantRight::MemberRead), 200,
        (TenantPath, PageQuery, ()) -> Page<member::Invitation>;
    /// Withdraws an invitation.
    RevokeInvitation: Delete "/api/v1/tenants/{tenant}/invitations/{invitation}",
        Permission::Tenant(TenantRight::MemberWrite), 204,
        (InvitationPath, (), ()) -> ();
    /// Accepts an invitation to the caller's own address.
    AcceptInvitation: Post "/api/v1/invitations/accept", Permission::SignedIn, 204,
        ((), (), member::AnswerInvitation) -> (), [NotFound, Conflict];
    /// Declines an invitation to the caller's own address.
    DeclineInvitation: Post "/api/v1/invitations/decline", Permission::SignedIn, 204,
        ((), (), member::AnswerInvitation) -> (), [NotFound];
    /// Makes the account that an invitation's letter went to, and accepts; open where nobody registers too.
    RegisterInvited: Post "/api/v1/invitations/register", Permission::Public, 200,
        ((), (), member::RegisterInvited) -> member::Joined, [NotFound, Conflict];
    /// Lists roles of a tenant, the built-in ones first.
    ListRoles: Get "/api/v1/tenants/{tenant}/roles", Permission::Tenant(TenantRight::RoleRead), 200,
        (TenantPath, (), ()) -> Page<member::RoleItem>;
    /// Shows a role that the tenant made.
    ShowRole: Get "/api/v1/tenants/{tenant}/roles/{role}", Permission::Tenant(TenantRight::RoleRead), 200,
        (RolePath, (), ()) -> member::RoleItem;
    /// Makes a role.
    CreateRole: Post "/api/v1/tenants/{tenant}/roles", Permission::Tenant(TenantRight::RoleWrite), 201 keyed,
        (TenantPath, (), member::WriteRole) -> member::RoleItem, [Conflict];
    /// Changes a role for everybody who plays it.
    UpdateRole: Patch "/api/v1/tenants/{tenant}/roles/{role}",
        Permission::Tenant(TenantRight::RoleWrite), 200,
        (RolePath, (), member::WriteRole) -> member::RoleItem;
    /// Deletes a role that nobody plays.
    DeleteRole: Delete "/api/v1/tenants/{tenant}/roles/{role}",
        Permission::Tenant(TenantRight::RoleWrite), 204,
        (RolePath, (), ()) -> (), [Conflict];
    /// Lists API keys, of whomever, that are bound to a tenant.
    ListTenantApiKeys: Get "/api/v1/tenants/{tenant}/api-keys",
        Permission::Tenant(TenantRight::MemberRead), 200,
        (TenantPath, PageQuery, ()) -> Page<member::TenantApiKey>;
    /// Ends an API key that is bound to a tenant; what was opened with it ends.
    EndTenantApiKey: Delete "/api/v1/tenants/{tenant}/api-keys/{key}",
        Permission::Tenant(TenantRight::MemberWrite), 204,
        (TenantApiKeyPath, (), ()) -> ();
    /// Lists sub-users of a server.
    ListSubUsers: Get "/api/v1/servers/{server}/users", Permission::Server(ServerKey::UserRead), 200,
        (ServerPath, PageQuery, ()) -> Page<member::SubUser>;
    /// Shows a sub-user of a server.
    ShowSubUser: Get "/api/v1/servers/{server}/users/{user}", Permission::Server(ServerKey::UserRead), 200,
        (SubUserPath, (), ()) -> member::SubUser;
    /// Invites an account by its address to be a sub-user.
    InviteSubUser: Post "/api/v1/servers/{server}/users", Permission::Server(ServerKey::UserCreate), 201 keyed,
        (ServerPath, (), member::InviteSubUser) -> member::NewInvitation, [Conflict];
    /// Changes what a sub-user may do.
    UpdateSubUser: Patch "/api/v1/servers/{server}/users/{user}",
        Permission::Server(ServerKey::UserUpdate), 200,
        (SubUserPath, (), member::UpdateSubUser) -> member::SubUser;
    /// Removes a sub-user.
    RemoveSubUser: Delete "/api/v1/servers/{server}/users/{user}",
        Permission::Server(ServerKey::UserDelete), 204,
        (SubUserPath, (), ()) -> ();
}

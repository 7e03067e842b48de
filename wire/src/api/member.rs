//! Pure: members of tenants, their roles, invitations, and sub-users of servers.

use super::{RequestBody, params::params};
use mamba_core::{
    access::{Rights, Role, ServerKey},
    clock::UnixMs,
    ids::{InvitationId, RoleId, ServerId, SessionId, TenantId, UserId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

params! {
    /// Names a member.
    MemberPath {
        /// Of which tenant.
        tenant: TenantId,
        /// Which account.
        user: UserId,
    }

    /// Names an invitation.
    InvitationPath {
        /// Of which tenant.
        tenant: TenantId,
        /// Which.
        invitation: InvitationId,
    }

    /// Names a role that a tenant made.
    RolePath {
        /// Of which tenant.
        tenant: TenantId,
        /// Which.
        role: RoleId,
    }

    /// Names an API key that is bound to a tenant.
    TenantApiKeyPath {
        /// To which tenant.
        tenant: TenantId,
        /// Which.
        key: SessionId,
    }

    /// Names a sub-user.
    SubUserPath {
        /// Of which server.
        server: ServerId,
        /// Which account.
        user: UserId,
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// The account.
    pub user: UserId,
    /// Its e-mail address.
    pub email: String,
    /// Its part.
    pub role: Role,
    /// Since when.
    pub since: UnixMs,
}

/// An API key that is bound to a tenant: it reaches nothing else, and never may more than its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TenantApiKey {
    /// Its id.
    pub key: SessionId,
    /// What its owner calls it.
    pub name: String,
    /// How it begins, to recognise it.
    pub prefix: String,
    /// Its owner.
    pub user: UserId,
    /// E-mail address of its owner.
    pub email: String,
    /// Rights in the tenant, as far as its owner has them too.
    pub rights: Rights,
    /// The only networks it may be used from; all when there is none.
    pub networks: Vec<String>,
    /// When it was made.
    pub made_at: UnixMs,
    /// When it ends; `null` when never.
    pub until: Option<UnixMs>,
    /// When it was used last, to some minutes; `null` when never.
    pub used_at: Option<UnixMs>,
}

/// Body of [`super::table::UpdateMember`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateMember {
    /// New part.
    pub role: Role,
}

/// Body of [`super::table::CreateInvitation`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitation {
    /// E-mail address of the account that may accept.
    pub email: String,
    /// Part that it will play.
    pub role: Role,
}

/// Body of [`super::table::InviteSubUser`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteSubUser {
    /// E-mail address of the account that may accept.
    pub email: String,
    /// What it may do with the server; `websocket.connect` is always among it.
    pub keys: BTreeSet<ServerKey>,
}

/// Body of [`super::table::UpdateSubUser`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateSubUser {
    /// What it may do from now on.
    pub keys: BTreeSet<ServerKey>,
}

/// To what somebody is invited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitedTo {
    /// To be a member with this part.
    Member(Role),
    /// To be a sub-user.
    SubUser {
        /// Of this server.
        server: ServerId,
        /// With these keys.
        keys: BTreeSet<ServerKey>,
    },
}

/// Where the letter of an invitation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LetterState {
    /// In the hub: no mail server took it yet.
    Waits,
    /// In the hub: it is not tried any more.
    GivenUp,
    /// Not in the hub: a mail server took it, or an administrator deleted it.
    Left,
}

/// One invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invitation {
    /// Its id.
    pub invitation: InvitationId,
    /// Who may accept.
    pub email: String,
    /// To what.
    pub to: InvitedTo,
    /// When it was made.
    pub made_at: UnixMs,
    /// End of its life.
    pub until: UnixMs,
    /// Where its letter is.
    pub letter: LetterState,
}

/// A new invitation, with the token that accepts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewInvitation {
    /// What was made.
    pub invitation: Invitation,
    /// Accepts or declines it, once, by the invited account. Shown here and nowhere else; the letter has
    /// one of its own, which alone makes an account.
    pub token: String,
}

/// Body of [`super::table::AcceptInvitation`] and [`super::table::DeclineInvitation`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerInvitation {
    /// Token of the invitation.
    pub token: String,
}

/// Body of [`super::table::RegisterInvited`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterInvited {
    /// Token in the letter of the invitation.
    pub token: String,
    /// Password, 12 to 256 bytes.
    pub password: String,
}

/// An account that was made by an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Joined {
    /// Its address, to sign in with.
    pub email: String,
}

/// A role of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleItem {
    /// What members refer to it by.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
}

/// Body of [`super::table::CreateRole`] and [`super::table::UpdateRole`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteRole {
    /// Its name, 1 to 64 bytes.
    pub name: String,
    /// What it allows: nothing that the caller may not do.
    pub rights: Rights,
}

/// A sub-user of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubUser {
    /// The account.
    pub user: UserId,
    /// Its e-mail address.
    pub email: String,
    /// What it may do.
    pub keys: BTreeSet<ServerKey>,
    /// Since when.
    pub since: UnixMs,
}

impl RequestBody for UpdateMember {}
impl RequestBody for CreateInvitation {}
impl RequestBody for InviteSubUser {}
impl RequestBody for UpdateSubUser {}
impl RequestBody for AnswerInvitation {}
impl RequestBody for RegisterInvited {}
impl RequestBody for WriteRole {}

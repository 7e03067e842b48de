//! What is stored about tenants, their members and roles, and sub-users of their servers.

use crate::{
    external::{ExternalId, Names},
    store::TenantRef,
};
use mamba_core::{
    access::{Rights, Role, ServerKey},
    clock::UnixMs,
    db::{RecordError, Table, TableDef, decode_postcard},
    ids::{EventId, InvitationId, RoleId, ServerId, SessionId, TenantId, UserId},
    quota::Quota,
    record,
};
use mamba_wire::api::member::InvitedTo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Tenants by id.
pub(crate) const TENANTS: Table<TenantId, Tenant> = Table::new(200, "tenants");
/// Members of each tenant.
pub(crate) const MEMBERS: Table<(TenantId, UserId), Member> = Table::new(201, "members");
/// Tenants of each account.
pub(crate) const MEMBERSHIPS: Table<(UserId, TenantId), Present> = Table::new(202, "memberships");
/// Roles that tenants made.
pub(crate) const ROLES: Table<(TenantId, RoleId), RoleRecord> = Table::new(203, "roles");
/// Sub-users of each server.
pub(crate) const SUB_USERS: Table<(TenantId, ServerId, UserId), SubUser> =
    Table::new(204, "sub_users");
/// Servers of which an account is a sub-user.
pub(crate) const SUB_USER_OF: Table<(UserId, ServerId), Owner> = Table::new(205, "sub_user_of");
/// Tenants that a tenant owns.
pub(crate) const CHILDREN: Table<(TenantId, TenantId), Present> = Table::new(206, "children");

/// Open invitations of each tenant.
pub(crate) const INVITATIONS: Table<(TenantId, InvitationId), InvitationRecord> =
    Table::new(207, "invitations");
/// Open invitations by the hash of their token.
pub(crate) const INVITATIONS_BY_TOKEN: Table<[u8; 32], InvitationRef> =
    Table::new(208, "invitations_by_token");

/// When owners were last written to about a server, by the kind of letter, in milliseconds.
pub(crate) const SERVER_LETTERS: Table<(TenantId, ServerId, u64), u64> =
    Table::new(209, "server_letters");

/// Tenants by their names in another system.
const EXTERNAL_IDS: Table<String, TenantRef> = Table::new(396, "tenant_external_ids");
/// The same, as they are given and found.
pub(super) const NAMES: Names<TenantRef> = Names::new(EXTERNAL_IDS, "tenant");

/// All tables of this module.
pub const TABLES: &[TableDef] = &[
    TENANTS.def(),
    MEMBERS.def(),
    MEMBERSHIPS.def(),
    ROLES.def(),
    SUB_USERS.def(),
    SUB_USER_OF.def(),
    CHILDREN.def(),
    INVITATIONS.def(),
    INVITATIONS_BY_TOKEN.def(),
    SERVER_LETTERS.def(),
    EXTERNAL_IDS.def(),
];

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Name for people.
    pub name: String,
    /// Tenant that owns it; `None` when only the hub does.
    pub parent: Option<TenantId>,
    /// What it may use.
    pub quota: Quota,
    /// When it was made.
    pub made_at: UnixMs,
    /// Its name in another system, which no other tenant has.
    pub external_id: Option<ExternalId>,
}

impl Tenant {
    /// Version 1 had no name in another system.
    fn from_first(version: u8, body: &[u8]) -> Result<Self, RecordError> {
        type First = (String, Option<TenantId>, Quota, UnixMs);
        if version != 1 {
            return Err(RecordError::Unmigratable { found: version });
        }
        let (name, parent, quota, made_at): First = decode_postcard(version, body)?;
        Ok(Self { name, parent, quota, made_at, external_id: None })
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its part.
    pub role: Role,
    /// Since when.
    pub since: UnixMs,
}

/// A role that a tenant made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRecord {
    /// Name for people.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
    /// When it was made.
    pub made_at: UnixMs,
}

/// A sub-user of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubUser {
    /// What it may do.
    pub keys: BTreeSet<ServerKey>,
    /// Since when.
    pub since: UnixMs,
}

/// An open invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InvitationRecord {
    /// Address of the account that may accept, in lower case.
    pub(crate) email: String,
    /// To what.
    pub(crate) to: InvitedTo,
    /// When it was made.
    pub(crate) made_at: UnixMs,
    /// End of its life.
    pub(crate) until: UnixMs,
    /// Hash of the token that who invited may hand over.
    pub(crate) token: [u8; 32],
    /// Hash of the token in its letter.
    pub(crate) mailed: [u8; 32],
    /// Its letter.
    pub(crate) letter: EventId,
    /// Who invited.
    pub(crate) by: UserId,
    /// API key that it used.
    pub(crate) key: Option<SessionId>,
    /// By which right.
    pub(crate) ground: Ground,
}

/// By which right somebody invites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ground {
    /// It may give what it invites to.
    Given,
    /// It made the tenant below one of its own, and names the first owner.
    Made,
}

/// Where an invitation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InvitationRef(pub(crate) TenantId, pub(crate) InvitationId);

/// Whose a server is of which somebody is a sub-user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner(pub(crate) TenantId);

/// The key says it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Present;

record!(Tenant, 2, Tenant::from_first);
record!(Member, 1);
record!(RoleRecord, 1);
record!(SubUser, 1);
record!(Owner, 1);
record!(InvitationRecord, 1);
record!(InvitationRef, 1);
record!(Present, 1);

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::db::Record;

    #[test]
    fn a_tenant_of_version_1_has_no_name_in_another_system() {
        let tenant = Tenant {
            name: "acme".to_owned(),
            parent: Some(TenantId::from_bytes([1; 16])),
            quota: Quota { servers: Some(3), ..Quota::default() },
            made_at: UnixMs(3),
            external_id: None,
        };
        let mut bytes = tenant.to_record_bytes().unwrap();
        assert_eq!((bytes[0], bytes.pop()), (2, Some(0)), "without a name the last byte says so");
        bytes[0] = 1;
        assert_eq!(Tenant::from_record_bytes(&bytes).unwrap(), tenant);
        bytes.push(0);
        assert!(Tenant::from_record_bytes(&bytes).is_err(), "nothing followed in version 1");
        let named = Tenant { external_id: "whmcs-7".parse().ok(), ..tenant };
        let bytes = named.to_record_bytes().unwrap();
        assert_eq!(Tenant::from_record_bytes(&bytes).unwrap(), named);
    }
}

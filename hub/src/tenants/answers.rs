//! Answers to invitations: given once, by the account that has the address, or by who has the letter and
//! makes the account with it. They open nothing that who invited may not give any more.

use super::{
    MEMBERS, MEMBERSHIPS, SUB_USERS, SubUser, TENANTS,
    access::MEMBERSHIPS_MAX,
    invitations::{described, forget, hash_of, server_of},
    join, letters,
    people::{Granter, MEMBERS_MAX, check_keys, known_rights, share},
    records::{Ground, INVITATIONS, INVITATIONS_BY_TOKEN, InvitationRecord, InvitationRef},
};
use crate::{
    Hub, HubError, audit,
    control::find_server,
    identity::{Caller, Topic, access_now},
    mail::{self, Letter},
};
use mamba_core::{
    access::{ServerKey, TenantRight, Wanted},
    audit::{AuditEntry, Change, Origin},
    clock::UnixMs,
    db::{Snapshot, Txn},
    ids::{EventId, TenantId, UserId},
    lifecycle::Actor,
    scope::TenantScope,
};
use mamba_wire::api::member::InvitedTo;

/// One answer.
pub(crate) struct Answer {
    pub(crate) user: UserId,
    /// Address of the account.
    pub(crate) email: String,
    pub(crate) origin: Origin,
    /// Hash of the token.
    pub(crate) token: [u8; 32],
    pub(crate) accepts: bool,
}

impl Hub {
    /// Accepts or declines an invitation on behalf of the account with its address.
    ///
    /// # Errors
    /// `NotFound` for a token that is unknown, used, expired or another account's, or when who invited
    /// may not any more: which of these is not told. `Refused` when a bound is reached.
    pub async fn answer_invitation(
        &self,
        caller: &Caller,
        token: &str,
        accepts: bool,
    ) -> Result<(), HubError> {
        let (user, email, origin) = (caller.user, caller.email.clone(), caller.origin);
        let answer = Answer { user, email, origin, token: hash_of(token), accepts };
        let (now, letter_id) = (self.now(), self.new_id(EventId::new));
        let answered = self.write(move |txn| {
            let Some((tenant, record)) = give_answer(txn, now, &answer)? else { return Ok(None) };
            if answer.accepts {
                let letter = Letter::Added { to: letters::name_of(txn, tenant, &record.to)? };
                letters::to_account(txn, now, letter_id, (user, Topic::Access), &letter)?;
            }
            Ok(Some(()))
        });
        answered.await?.ok_or_else(missing)
    }
}

/// Returns the hash of a token that came by letter, and the address that it proves.
///
/// # Errors
/// `NotFound` for a token that is unknown, used or expired, or was not in the letter.
pub(crate) fn mailed_to(
    view: &impl Snapshot,
    now: UnixMs,
    token: &str,
) -> Result<([u8; 32], String), HubError> {
    let hash = hash_of(token);
    let (_, record) = find(view, now, &hash)?;
    if record.mailed == hash { Ok((hash, record.email)) } else { Err(missing()) }
}

/// Uses an invitation up and does what it is answered with; returns it with its tenant. `None` when it
/// was accepted and who invited may not any more: then it has ended, which is to be kept.
///
/// # Errors
/// As [`Hub::answer_invitation`].
pub(crate) fn give_answer(
    txn: &mut Txn<'_>,
    now: UnixMs,
    answer: &Answer,
) -> Result<Option<(TenantId, InvitationRecord)>, HubError> {
    let Answer { user, email, origin, token, accepts } = answer;
    let (InvitationRef(tenant, id), record) = find(txn, now, token)?;
    if record.email != *email {
        return Err(missing());
    }
    forget(txn, tenant, id, &record)?;
    if *accepts && !may_still(txn, now, tenant, &record)? {
        mail::remove(txn, record.letter)?;
        let (hub, event) = (Actor::Hub, "member:invitation.revoke");
        let entry = AuditEntry::new(now, &hub, Origin::default(), event);
        let entry = AuditEntry { server: server_of(&record.to), ..entry };
        let change = Change::set("email", record.email.clone());
        audit::append(txn, tenant, entry.with([change]))?;
        return Ok(None);
    }
    if *accepts {
        take(txn, tenant, *user, &record.to, now)?;
    }
    let event = match (&record.to, accepts) {
        (_, false) => "member:invitation.decline",
        (InvitedTo::Member(_), true) => "member:create",
        (InvitedTo::SubUser { .. }, true) => "server:subuser.create",
    };
    let entry = AuditEntry::new(now, &Actor::User(*user), *origin, event);
    let entry = AuditEntry { server: server_of(&record.to), ..entry };
    audit::append(txn, tenant, entry.with([described(&record.to)]))?;
    Ok(Some((tenant, record)))
}

fn missing() -> HubError {
    HubError::NotFound { what: "invitation" }
}

fn find(
    view: &impl Snapshot,
    now: UnixMs,
    token: &[u8; 32],
) -> Result<(InvitationRef, InvitationRecord), HubError> {
    let place = view.get(INVITATIONS_BY_TOKEN, token)?.ok_or_else(missing)?;
    let record = view.get(INVITATIONS, &(place.0, place.1))?.filter(|it| now < it.until);
    Ok((place, record.ok_or_else(missing)?))
}

/// Whether who invited may still: its account, its key or its part may have ended since.
fn may_still(
    view: &impl Snapshot,
    now: UnixMs,
    tenant: TenantId,
    record: &InvitationRecord,
) -> Result<bool, HubError> {
    let Some(access) = access_now(view, now, record.by, record.key)? else { return Ok(false) };
    let by = |tenant| Granter { scope: TenantScope::granted(tenant, record.by), access };
    let checked = match (record.ground, view.get(TENANTS, &tenant)?.and_then(|it| it.parent)) {
        (Ground::Given, _) => check_invited(view, &by(tenant), &record.to).map(drop),
        (Ground::Made, Some(parent)) => check_may_make(view, &by(parent)),
        (Ground::Made, None) => return Ok(false),
    };
    match checked {
        Ok(()) => Ok(true),
        Err(err @ (HubError::Unavailable(_) | HubError::Bug(_))) => Err(err),
        Err(_) => Ok(false),
    }
}

/// Checks that the granter may make tenants below its own, and so name their first owners.
pub(super) fn check_may_make(view: &impl Snapshot, by: &Granter) -> Result<(), HubError> {
    by.check_may(view, Wanted::Tenant(TenantRight::ChildWrite), None)
}

/// Checks that the granter may invite, and may give what it invites to; returns the event's name.
pub(super) fn check_invited(
    view: &impl Snapshot,
    by: &Granter,
    to: &InvitedTo,
) -> Result<&'static str, HubError> {
    match to {
        InvitedTo::Member(role) => {
            by.check_may(view, Wanted::Tenant(TenantRight::MemberWrite), None)?;
            by.check(view, &known_rights(view, by.scope.tenant(), *role)?)?;
            Ok("member:invite")
        }
        InvitedTo::SubUser { server, keys } => {
            find_server(view, &(by.scope.tenant(), *server))?;
            by.check_may(view, Wanted::Server(ServerKey::UserCreate), Some(*server))?;
            check_keys(view, by, *server, keys)?;
            Ok("server:subuser.invite")
        }
    }
}

fn take(
    txn: &mut Txn<'_>,
    tenant: TenantId,
    user: UserId,
    to: &InvitedTo,
    now: UnixMs,
) -> Result<(), HubError> {
    match to {
        InvitedTo::Member(role) => {
            known_rights(txn, tenant, *role)?;
            if txn.contains(MEMBERS, &(tenant, user))? {
                return Err(HubError::Refused("the account is a member already".to_owned()));
            }
            if txn.prefix(MEMBERS, &(tenant,), MEMBERS_MAX)?.len() >= MEMBERS_MAX {
                return Err(HubError::Refused(format!(
                    "a tenant has at most {MEMBERS_MAX} members"
                )));
            }
            if txn.prefix(MEMBERSHIPS, &(user,), MEMBERSHIPS_MAX)?.len() >= MEMBERSHIPS_MAX {
                let why = format!("an account is a member of at most {MEMBERSHIPS_MAX} tenants");
                return Err(HubError::Refused(why));
            }
            Ok(join(txn, tenant, user, *role, now)?)
        }
        InvitedTo::SubUser { server, keys } => {
            find_server(txn, &(tenant, *server))?;
            if txn.contains(SUB_USERS, &(tenant, *server, user))? {
                return Err(HubError::Refused("the account is a sub-user already".to_owned()));
            }
            share(txn, (tenant, *server), user, &SubUser { keys: keys.clone(), since: now })
        }
    }
}

//! Invitations: made for an address, answered once by the account that has it. They open nothing that who
//! invited may not give any more.

use super::{
    MEMBERS, MEMBERSHIPS, SUB_USERS, SubUser,
    access::MEMBERSHIPS_MAX,
    join, letters,
    people::{
        Granter, MEMBERS_MAX, check_keys, known_rights, names, role_text, share, with_connect,
    },
    records::{INVITATIONS, INVITATIONS_BY_TOKEN, InvitationRecord, InvitationRef},
};
use crate::{
    Hub, HubError, audit,
    control::Cut,
    identity::{Caller, PublicUrl, Topic, access_now, check_email},
    mail::{self, Letter},
    store::SERVERS,
};
use mamba_core::{
    access::{ServerKey, TenantRight, Wanted},
    audit::{AuditEntry, Change, Origin},
    clock::{UnixMs, draw},
    db::{Snapshot, Txn},
    ids::{EventId, InvitationId, TenantId},
    lifecycle::Actor,
    scope::TenantScope,
};
use mamba_wire::api::{
    Page, PageQuery,
    member::{Invitation, InvitedTo, NewInvitation},
};

/// Life of an invitation: a week to read one's mail.
const INVITATION_MS: u64 = 7 * 24 * 3_600_000;
/// Most open invitations of one tenant.
const INVITATIONS_MAX: usize = 200;

impl Hub {
    /// Invites an address, and writes to it with a link to the panel at `panel`. The token is returned
    /// once; only its hash is kept. An open invitation of the address to the same ends with it.
    ///
    /// # Errors
    /// `Invalid` names the field, `Forbidden` the key that the granter lacks, `Refused` when too many
    /// are open, or too many letters wait.
    pub async fn invite(
        &self,
        by: Granter,
        panel: &PublicUrl,
        email: &str,
        to: InvitedTo,
    ) -> Result<NewInvitation, HubError> {
        let email = check_email(email)?;
        let secret: [u8; 32] = draw(self.entropy());
        let token: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let (id, now) = (self.new_id(InvitationId::new), self.now());
        let to = match to {
            InvitedTo::SubUser { server, keys } => {
                InvitedTo::SubUser { server, keys: with_connect(&keys) }
            }
            member @ InvitedTo::Member(_) => member,
        };
        let (letter, link) = (self.new_id(EventId::new), panel.page("/invitation", &token));
        let Actor::User(inviter) = *by.scope.actor() else {
            return Err(HubError::Refused("only an account invites".to_owned()));
        };
        let record = InvitationRecord {
            email,
            to,
            made_at: now,
            until: now.plus(INVITATION_MS),
            token: hash_of(&token),
            letter,
            by: inviter,
            key: by.scope.origin().key,
        };
        let invitation = self.write(move |txn| {
            let tenant = by.scope.tenant();
            let event = check_invited(txn, &by, &record.to)?;
            make_room(txn, now, tenant, &record)?;
            txn.put(INVITATIONS, &(tenant, id), &record)?;
            txn.put(INVITATIONS_BY_TOKEN, &record.token, &InvitationRef(tenant, id))?;
            let written = Letter::Invitation {
                by: letters::sender(txn, by.scope.actor())?,
                to: letters::name_of(txn, tenant, &record.to)?,
                link: link.clone(),
            };
            mail::queue(txn, now, letter, &record.email, &written)?;
            let server = server_of(&record.to);
            let changes = [Change::set("email", record.email.clone()), described(&record.to)];
            by.note(txn, now, event, server, changes)?;
            show(txn, id, &record)
        });
        Ok(NewInvitation { invitation: invitation.await?, token })
    }

    /// Lists open invitations, oldest first.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn invitations(
        &self,
        scope: &TenantScope,
        query: &PageQuery,
    ) -> Result<Page<Invitation>, HubError> {
        let cut = Cut::<InvitationId>::new(query)?;
        let (tenant, now) = (scope.tenant(), self.now());
        self.read(|view| {
            let rows = view.prefix(INVITATIONS, &(tenant,), INVITATIONS_MAX)?;
            let open = rows.into_iter().filter(|(_, it)| it.until > now);
            let rest = open.filter(|((_, id), _)| cut.after.is_none_or(|after| *id > after));
            let shown = rest.take(cut.fetch()).map(|((_, id), it)| Ok((id, show(view, id, &it)?)));
            Ok(cut.page(shown.collect::<Result<_, HubError>>()?))
        })
    }

    /// Withdraws an invitation.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_invitation(&self, by: Granter, id: InvitationId) -> Result<(), HubError> {
        let now = self.now();
        self.write(move |txn| {
            let tenant = by.scope.tenant();
            let missing = HubError::NotFound { what: "invitation" };
            let record = txn.get(INVITATIONS, &(tenant, id))?.ok_or(missing)?;
            withdraw(txn, tenant, id, &record)?;
            let change = Change::set("email", record.email.clone());
            by.note(txn, now, "member:invitation.revoke", server_of(&record.to), [change])
        })
        .await
    }

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
        let (hash, now) = (hash_of(token), self.now());
        let (user, email, origin) = (caller.user, caller.email.clone(), caller.origin);
        let letter_id = self.new_id(EventId::new);
        let missing = || HubError::NotFound { what: "invitation" };
        let is_answered = self.write(move |txn| {
            let InvitationRef(tenant, id) =
                txn.get(INVITATIONS_BY_TOKEN, &hash)?.ok_or_else(missing)?;
            let record = txn.get(INVITATIONS, &(tenant, id))?.ok_or_else(missing)?;
            if record.until <= now || record.email != email {
                return Err(missing());
            }
            forget(txn, tenant, id, &record)?;
            if accepts && !may_still(txn, now, tenant, &record)? {
                mail::remove(txn, record.letter)?;
                let (hub, event) = (Actor::Hub, "member:invitation.revoke");
                let entry = AuditEntry::new(now, &hub, Origin::default(), event);
                let entry = AuditEntry { server: server_of(&record.to), ..entry };
                let change = Change::set("email", record.email.clone());
                audit::append(txn, tenant, entry.with([change]))?;
                return Ok(false);
            }
            if accepts {
                take(txn, tenant, user, &record.to, now)?;
                let letter = Letter::Added { to: letters::name_of(txn, tenant, &record.to)? };
                letters::to_account(txn, now, letter_id, (user, Topic::Access), &letter)?;
            }
            let event = match (&record.to, accepts) {
                (_, false) => "member:invitation.decline",
                (InvitedTo::Member(_), true) => "member:create",
                (InvitedTo::SubUser { .. }, true) => "server:subuser.create",
            };
            let entry = AuditEntry::new(now, &Actor::User(user), origin, event);
            let entry = AuditEntry { server: server_of(&record.to), ..entry };
            audit::append(txn, tenant, entry.with([described(&record.to)]))?;
            Ok(true)
        });
        if is_answered.await? { Ok(()) } else { Err(missing()) }
    }
}

/// Whether who invited may still: its account, its key or its part may have ended since.
fn may_still(
    view: &impl Snapshot,
    now: UnixMs,
    tenant: TenantId,
    record: &InvitationRecord,
) -> Result<bool, HubError> {
    let Some(access) = access_now(view, now, record.by, record.key)? else { return Ok(false) };
    let by = Granter { scope: TenantScope::granted(tenant, record.by), access };
    match check_invited(view, &by, &record.to) {
        Ok(_) => Ok(true),
        Err(err @ (HubError::Unavailable(_) | HubError::Bug(_))) => Err(err),
        Err(_) => Ok(false),
    }
}

/// Checks that the granter may invite, and may give what it invites to; returns the event's name.
fn check_invited(
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
            let record = view.get(SERVERS, &(by.scope.tenant(), *server))?;
            if !record.is_some_and(|it| it.is_present()) {
                return Err(HubError::NotFound { what: "server" });
            }
            by.check_may(view, Wanted::Server(ServerKey::UserCreate), Some(*server))?;
            check_keys(view, by, *server, keys)?;
            Ok("server:subuser.invite")
        }
    }
}

fn take(
    txn: &mut Txn<'_>,
    tenant: TenantId,
    user: mamba_core::ids::UserId,
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
            if !txn.get(SERVERS, &(tenant, *server))?.is_some_and(|it| it.is_present()) {
                return Err(HubError::NotFound { what: "server" });
            }
            if txn.contains(SUB_USERS, &(tenant, *server, user))? {
                return Err(HubError::Refused("the account is a sub-user already".to_owned()));
            }
            share(txn, (tenant, *server), user, &SubUser { keys: keys.clone(), since: now })
        }
    }
}

/// Ends what is over, and what the new invitation replaces; refuses it when it is one too many, or a
/// letter too many.
fn make_room(
    txn: &mut Txn<'_>,
    now: UnixMs,
    tenant: TenantId,
    new: &InvitationRecord,
) -> Result<(), HubError> {
    let mut open = 0;
    for ((_, id), old) in txn.prefix(INVITATIONS, &(tenant,), INVITATIONS_MAX)? {
        let is_replaced = old.email == new.email && server_of(&old.to) == server_of(&new.to);
        if old.until <= now || is_replaced {
            withdraw(txn, tenant, id, &old)?;
        } else {
            open += 1;
        }
    }
    if open >= INVITATIONS_MAX {
        return Err(HubError::Refused(format!("{INVITATIONS_MAX} invitations are open already")));
    }
    if mail::is_crowded(txn)? {
        let why = "too many letters wait to be sent: invite again later";
        return Err(HubError::Refused(why.to_owned()));
    }
    Ok(())
}

/// Forgets an invitation that nobody answered, and its letter where that waits still.
fn withdraw(
    txn: &mut Txn<'_>,
    tenant: TenantId,
    id: InvitationId,
    record: &InvitationRecord,
) -> Result<(), HubError> {
    forget(txn, tenant, id, record)?;
    mail::remove(txn, record.letter)?;
    Ok(())
}

fn forget(
    txn: &mut Txn<'_>,
    tenant: TenantId,
    id: InvitationId,
    record: &InvitationRecord,
) -> Result<(), HubError> {
    txn.delete(INVITATIONS, &(tenant, id))?;
    Ok(txn.delete(INVITATIONS_BY_TOKEN, &record.token)?)
}

fn server_of(to: &InvitedTo) -> Option<mamba_core::ids::ServerId> {
    match to {
        InvitedTo::Member(_) => None,
        InvitedTo::SubUser { server, .. } => Some(*server),
    }
}

fn described(to: &InvitedTo) -> Change {
    match to {
        InvitedTo::Member(role) => Change::set("role", role_text(*role)),
        InvitedTo::SubUser { keys, .. } => Change::set("keys", names(keys)),
    }
}

fn show(
    view: &impl Snapshot,
    id: InvitationId,
    it: &InvitationRecord,
) -> Result<Invitation, HubError> {
    let InvitationRecord { email, to, made_at, until, letter, .. } = it.clone();
    let letter = mail::state(view, letter)?;
    Ok(Invitation { invitation: id, email, to, made_at, until, letter })
}

/// The hashed form of a token of 256 random bits; it needs no salt and no delay.
fn hash_of(token: &str) -> [u8; 32] {
    blake3::derive_key("mamba invitation token v1", token.as_bytes())
}

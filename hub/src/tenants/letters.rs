//! Letters to people about what they may do and about their servers, queued in the transaction of what
//! they tell.

use super::{
    MEMBERS, SUB_USERS, TENANTS,
    people::{MEMBERS_MAX, SUB_USERS_MAX},
    records::SERVER_LETTERS,
};
use crate::{
    HubError,
    identity::{Topic, email_of, wants},
    mail::{self, Letter},
    store::SERVERS,
};
use mamba_core::{
    access::Role,
    clock::{HOUR_MS, UnixMs},
    db::{Snapshot, Txn, TxnError},
    fact::Activity,
    ids::{EventId, ServerId, TenantId, UserId},
    lifecycle::Actor,
};
use mamba_wire::api::member::InvitedTo;

/// Owners who are written to of one event: it is told in the transaction of a batch of facts.
const OWNERS_MAX: usize = 5;

/// People who are written to of one end: four writes each, beside what the end itself writes.
const TOLD_MAX: usize = 200;

/// What owners want to know of a server.
#[derive(Clone, Copy, Debug)]
enum Kind {
    GaveUp { crashes: u32 },
    Installed,
    InstallFailed,
}

impl Kind {
    fn of(activity: &Activity) -> Option<Self> {
        match activity {
            Activity::GaveUp { crashes } => Some(Self::GaveUp { crashes: *crashes }),
            Activity::Installed { .. } => Some(Self::Installed),
            Activity::InstallFailed { .. } => Some(Self::InstallFailed),
            _ => None,
        }
    }

    /// Its number, which is stored.
    fn number(self) -> u64 {
        match self {
            Self::GaveUp { .. } => 1,
            Self::Installed => 2,
            Self::InstallFailed => 3,
        }
    }

    fn letter(self, server: String) -> Letter {
        match self {
            Self::GaveUp { crashes } => {
                let reason = format!("it crashed {crashes} times one after another.");
                Letter::ServerCrashed { server, reason }
            }
            Self::Installed => Letter::ServerInstalled { server },
            Self::InstallFailed => Letter::InstallFailed { server },
        }
    }
}

/// Writes to the owner of an account, unless it wants no letters about that.
pub(super) fn to_account(
    txn: &mut Txn<'_>,
    now: UnixMs,
    id: EventId,
    (user, topic): (UserId, Topic),
    letter: &Letter,
) -> Result<(), HubError> {
    if let Some(email) = email_of(txn, user)?
        && wants(txn, user, topic)?
    {
        mail::queue(txn, now, id, &email, letter)?;
    }
    Ok(())
}

/// Writes to the owner of an account that it has no access to something any more.
pub(super) fn removed(
    txn: &mut Txn<'_>,
    now: UnixMs,
    id: EventId,
    user: UserId,
    from: String,
) -> Result<(), HubError> {
    to_account(txn, now, id, (user, Topic::Access), &Letter::Removed { from })
}

/// Writes to the members of a tenant that is deleted, but not to who deletes it. `event` is the deletion.
pub(super) fn tenant_deleted(
    txn: &mut Txn<'_>,
    now: UnixMs,
    event: EventId,
    (members, name): (&[UserId], &str),
    by: &Actor,
) -> Result<(), HubError> {
    let letter = Letter::Removed { from: name.to_owned() };
    tell_each(txn, now, event, members, by, &letter)
}

/// Writes to the sub-users of a server that is to be deleted, but not to who deletes it. `event` is the
/// deletion.
pub(crate) fn server_deleted(
    txn: &mut Txn<'_>,
    now: UnixMs,
    event: EventId,
    (tenant, server): (TenantId, ServerId),
    by: &Actor,
) -> Result<(), HubError> {
    let rows = txn.prefix(SUB_USERS, &(tenant, server), SUB_USERS_MAX)?;
    let users: Vec<UserId> = rows.into_iter().map(|((_, _, user), _)| user).collect();
    let letter =
        Letter::ServerDeleted { server: server_name(txn, tenant, server)?.unwrap_or_default() };
    tell_each(txn, now, event, &users, by, &letter)
}

fn tell_each(
    txn: &mut Txn<'_>,
    now: UnixMs,
    event: EventId,
    users: &[UserId],
    by: &Actor,
    letter: &Letter,
) -> Result<(), HubError> {
    let others = users.iter().filter(|it| *by != Actor::User(**it));
    for user in others.take(TOLD_MAX) {
        to_account(txn, now, derived(now, event, *user), (*user, Topic::Access), letter)?;
    }
    Ok(())
}

/// Writes to the owners of a server's tenant what they want to know of it: that it was installed or could
/// not be, or that it gave up after crashes. Each kind once an hour, so that no node fills their
/// mailboxes.
pub(crate) fn about_server(
    txn: &mut Txn<'_>,
    now: UnixMs,
    event: EventId,
    (tenant, server): (TenantId, ServerId),
    activity: &Activity,
) -> Result<(), HubError> {
    let Some(kind) = Kind::of(activity) else { return Ok(()) };
    let Some(name) = server_name(txn, tenant, server)? else { return Ok(()) };
    let (place, letter) = ((tenant, server, kind.number()), kind.letter(name));
    let last = txn.get(SERVER_LETTERS, &place)?;
    if last.is_some_and(|last| now.since(UnixMs(last)) < HOUR_MS) {
        return Ok(());
    }
    txn.put(SERVER_LETTERS, &place, &now.0)?;
    let members = txn.prefix(MEMBERS, &(tenant,), MEMBERS_MAX)?;
    let owners = members.into_iter().filter(|(_, it)| it.role == Role::Owner);
    for ((_, owner), _) in owners.take(OWNERS_MAX) {
        let to = (owner, Topic::Servers);
        to_account(txn, now, derived(now, event, owner), to, &letter)?;
    }
    Ok(())
}

/// Returns what somebody is invited to, as people call it.
pub(super) fn name_of(
    view: &impl Snapshot,
    tenant: TenantId,
    to: &InvitedTo,
) -> Result<String, TxnError> {
    let name = match to {
        InvitedTo::Member(_) => view.get(TENANTS, &tenant)?.map(|it| it.name),
        InvitedTo::SubUser { server, .. } => server_name(view, tenant, *server)?,
    };
    Ok(name.unwrap_or_default())
}

/// Returns who does something, as people know it.
pub(super) fn sender(view: &impl Snapshot, actor: &Actor) -> Result<String, TxnError> {
    let email = match actor {
        Actor::User(user) => email_of(view, *user)?,
        Actor::Operator(_) | Actor::Edge | Actor::Hub => None,
    };
    Ok(email.unwrap_or_else(|| "An administrator".to_owned()))
}

fn server_name(
    view: &impl Snapshot,
    tenant: TenantId,
    server: ServerId,
) -> Result<Option<String>, TxnError> {
    Ok(view.get(SERVERS, &(tenant, server))?.map(|it| it.choices.name))
}

/// Returns the id of one owner's letter about an event, the same for the same event.
fn derived(now: UnixMs, event: EventId, owner: UserId) -> EventId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&event.to_bytes());
    hasher.update(&owner.to_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&hasher.finalize().as_bytes()[..10]);
    EventId::new(now, random)
}

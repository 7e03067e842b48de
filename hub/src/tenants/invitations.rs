//! Invitations: made for an address, listed, withdrawn.

use super::{
    answers::check_invited,
    letters,
    people::{Granter, names, role_text, with_connect},
    records::{Ground, INVITATIONS, INVITATIONS_BY_TOKEN, InvitationRecord, InvitationRef},
};
use crate::{
    Hub, HubError,
    control::Cut,
    identity::{PublicUrl, check_email},
    mail::{self, Letter},
};
use mamba_core::{
    audit::Change,
    clock::{UnixMs, draw},
    db::{Snapshot, Txn},
    ids::{EventId, InvitationId, ServerId, TenantId},
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
    /// once; only its hash is kept. An open invitation of the address to the same ends with it. Whether
    /// there is such an account makes no difference.
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
        let to = match to {
            InvitedTo::SubUser { server, keys } => {
                InvitedTo::SubUser { server, keys: with_connect(&keys) }
            }
            member @ InvitedTo::Member(_) => member,
        };
        let draft = Draft::new(self, panel, (&by, email), to, Ground::Given)?;
        let (token, now) = (draft.token.clone(), self.now());
        let invitation = self.write(move |txn| {
            let record = &draft.record;
            let event = check_invited(txn, &by, &record.to)?;
            make_room(txn, now, &by, record)?;
            draft.put(txn, by.scope.tenant(), by.scope.actor())?;
            let server = server_of(&record.to);
            let changes = [Change::set("email", record.email.clone()), described(&record.to)];
            by.note(txn, now, event, server, changes)?;
            show(txn, draft.id, record)
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
}

/// An invitation with its secrets, ready to be stored.
pub(super) struct Draft {
    id: InvitationId,
    pub(super) record: InvitationRecord,
    /// For who invites, to hand over.
    token: String,
    /// In the letter.
    link: String,
}

impl Draft {
    /// Draws ids and secrets. The letter's own token is known to nobody but its reader: it proves the
    /// address, which the other, shown to who invites, does not.
    pub(super) fn new(
        hub: &Hub,
        panel: &PublicUrl,
        (by, email): (&Granter, &str),
        to: InvitedTo,
        ground: Ground,
    ) -> Result<Self, HubError> {
        let email = check_email(email)?;
        let Actor::User(inviter) = *by.scope.actor() else {
            return Err(HubError::Refused("only an account invites".to_owned()));
        };
        let draw_token = || -> String {
            let secret: [u8; 32] = draw(hub.entropy());
            secret.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let (token, mailed, now) = (draw_token(), draw_token(), hub.now());
        let record = InvitationRecord {
            email,
            to,
            made_at: now,
            until: now.plus(INVITATION_MS),
            token: hash_of(&token),
            mailed: hash_of(&mailed),
            letter: hub.new_id(EventId::new),
            by: inviter,
            key: by.scope.origin().key,
            ground,
        };
        let link = panel.page("/invitation", &mailed);
        Ok(Self { id: hub.new_id(InvitationId::new), record, token, link })
    }

    /// Stores it and queues its letter.
    pub(super) fn put(
        &self,
        txn: &mut Txn<'_>,
        tenant: TenantId,
        by: &Actor,
    ) -> Result<(), HubError> {
        let record = &self.record;
        txn.put(INVITATIONS, &(tenant, self.id), record)?;
        for token in [&record.token, &record.mailed] {
            txn.put(INVITATIONS_BY_TOKEN, token, &InvitationRef(tenant, self.id))?;
        }
        let written = Letter::Invitation {
            by: letters::sender(txn, by)?,
            to: letters::name_of(txn, tenant, &record.to)?,
            link: self.link.clone(),
        };
        Ok(mail::queue(txn, record.made_at, record.letter, &record.email, &written)?)
    }
}

/// Ends what is over, and what the new invitation replaces; refuses it when it is one too many, or a
/// letter too many, or when the old one gives what the granter may not.
fn make_room(
    txn: &mut Txn<'_>,
    now: UnixMs,
    by: &Granter,
    new: &InvitationRecord,
) -> Result<(), HubError> {
    let (tenant, mut open) = (by.scope.tenant(), 0);
    for ((_, id), old) in txn.prefix(INVITATIONS, &(tenant,), INVITATIONS_MAX)? {
        let is_replaced = old.email == new.email && server_of(&old.to) == server_of(&new.to);
        let is_over = old.until <= now;
        if is_replaced && !is_over {
            check_invited(txn, by, &old.to)?;
        }
        if is_over || is_replaced {
            withdraw(txn, tenant, id, &old)?;
        } else {
            open += 1;
        }
    }
    if open >= INVITATIONS_MAX {
        return Err(HubError::Refused(format!("{INVITATIONS_MAX} invitations are open already")));
    }
    check_spool(txn)
}

/// Refuses a letter that nobody waits for while too many wait.
pub(super) fn check_spool(view: &impl Snapshot) -> Result<(), HubError> {
    if mail::is_crowded(view)? {
        let why = "too many letters wait to be sent: invite again later";
        return Err(HubError::Refused(why.to_owned()));
    }
    Ok(())
}

/// Forgets an invitation that nobody answered, and its letter where that waits still.
pub(super) fn withdraw(
    txn: &mut Txn<'_>,
    tenant: TenantId,
    id: InvitationId,
    record: &InvitationRecord,
) -> Result<(), HubError> {
    forget(txn, tenant, id, record)?;
    mail::remove(txn, record.letter)?;
    Ok(())
}

pub(super) fn forget(
    txn: &mut Txn<'_>,
    tenant: TenantId,
    id: InvitationId,
    record: &InvitationRecord,
) -> Result<(), HubError> {
    txn.delete(INVITATIONS, &(tenant, id))?;
    txn.delete(INVITATIONS_BY_TOKEN, &record.mailed)?;
    Ok(txn.delete(INVITATIONS_BY_TOKEN, &record.token)?)
}

pub(super) fn server_of(to: &InvitedTo) -> Option<ServerId> {
    match to {
        InvitedTo::Member(_) => None,
        InvitedTo::SubUser { server, .. } => Some(*server),
    }
}

pub(super) fn described(to: &InvitedTo) -> Change {
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
pub(super) fn hash_of(token: &str) -> [u8; 32] {
    blake3::derive_key("mamba invitation token v1", token.as_bytes())
}

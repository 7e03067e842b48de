//! Mails to people: written in the transaction of what they tell, sent afterwards.
//!
//! [`queue`] puts a letter into the store, so that it is told exactly when what it tells is true. A
//! task hands it to the SMTP server of the config, with growing pauses after failures, and deletes it
//! once the server has taken it; a crash between the two sends it twice, under the same `Message-ID`.
//! Without an SMTP server letters stay where they are, and administrators read them in the API.
//!
//! What of a letter administrators read, see [`Shown`].
//!
//! Nothing here is logged but the id of a letter: its text may hold a token.

mod letter;
mod records;
mod send;

pub use letter::{Letter, Rendered, Way};
pub use records::TABLES;
pub use send::{Mailer, Secret, SmtpConfig, SmtpError, SmtpTls};

use mamba_core::{
    clock::UnixMs,
    db::{Order, Snapshot, Span, Store, Txn, TxnError},
    ids::EventId,
};
use mamba_wire::api::{mail::Mail, member::LetterState};
use records::{DUE, Due, MAILS, MAILS_COUNT, MAILS_TO, MailRecord};

/// Letters kept. Above it the oldest goes, as the last resort: with some kilobytes each they stay below
/// 100 MiB.
pub const MAILS_MAX: u64 = 10_000;
/// Letters kept above which none is taken that people cause to others at will: the rest of the room is for
/// those that somebody waits for.
pub const CROWDED: u64 = MAILS_MAX / 5 * 4;
/// How long a letter is kept that nobody takes: its links are long dead by then.
pub const KEEP_MS: u64 = 7 * 24 * 3_600_000;
/// Letters to one address that are deleted at once: some 1,000 writes of a transaction's 4,096.
const FORGOTTEN_MAX: usize = 250;

/// Writes a letter to an address. It is sent when the transaction is committed.
///
/// # Errors
/// As the transaction.
pub fn queue(
    txn: &mut Txn<'_>,
    now: UnixMs,
    id: EventId,
    to: &str,
    letter: &Letter,
) -> Result<(), TxnError> {
    let count = txn.get(MAILS_COUNT, &())?.unwrap_or(0);
    txn.put(MAILS_COUNT, &(), &(count + 1))?;
    if count >= MAILS_MAX
        && let Some((oldest, _)) = txn.first(MAILS, Span::all())?
    {
        remove(txn, oldest)?;
    }
    let Rendered { subject, text, html, link } = letter.render();
    let record = MailRecord {
        to: to.to_owned(),
        subject,
        text,
        html,
        link,
        made_at: now,
        tries: 0,
        next_at: Some(now),
        last_error: None,
    };
    txn.put(MAILS, &id, &record)?;
    txn.put(MAILS_TO, &(to.to_owned(), id), &Due)?;
    txn.put(DUE, &(now, id), &Due)
}

/// Deletes the oldest letters to an address, as many as one person ever has waiting: whoever reads the
/// spool reads nothing of somebody who is gone. Any more hold links that open nothing.
///
/// # Errors
/// As the transaction.
pub(crate) fn forget(txn: &mut Txn<'_>, to: &str) -> Result<(), TxnError> {
    for ((_, id), Due) in txn.prefix(MAILS_TO, &(to.to_owned(),), FORGOTTEN_MAX)? {
        remove(txn, id)?;
    }
    Ok(())
}

/// Returns how many letters wait to be sent or could not be.
pub(crate) fn kept(view: &impl Snapshot) -> Result<u64, TxnError> {
    Ok(view.get(MAILS_COUNT, &())?.unwrap_or(0))
}

/// Whether there is no room for letters that people cause to others at will.
///
/// # Errors
/// As the transaction.
pub(crate) fn is_crowded(view: &impl Snapshot) -> Result<bool, TxnError> {
    Ok(kept(view)? >= CROWDED)
}

/// Deletes a letter; `false` when there is none.
///
/// # Errors
/// As the transaction.
pub fn remove(txn: &mut Txn<'_>, id: EventId) -> Result<bool, TxnError> {
    let Some(record) = txn.get(MAILS, &id)? else { return Ok(false) };
    txn.delete(MAILS, &id)?;
    txn.delete(MAILS_TO, &(record.to, id))?;
    if let Some(at) = record.next_at {
        txn.delete(DUE, &(at, id))?;
    }
    let count = txn.get(MAILS_COUNT, &())?.unwrap_or(0);
    txn.put(MAILS_COUNT, &(), &count.saturating_sub(1))?;
    Ok(true)
}

/// Returns where a letter is.
///
/// # Errors
/// As the transaction.
pub fn state(view: &impl Snapshot, id: EventId) -> Result<LetterState, TxnError> {
    Ok(match view.get(MAILS, &id)? {
        Some(MailRecord { next_at: Some(_), .. }) => LetterState::Waits,
        Some(MailRecord { next_at: None, .. }) => LetterState::GivenUp,
        None => LetterState::Left,
    })
}

/// What of a letter is shown to somebody who is not its recipient.
///
/// A link in a letter resets a password or takes an invitation: who reads it can be anybody. Where
/// mail is sent nobody needs to read it here. Where it is not, an administrator can pass on what a
/// letter says, but only the root administrator, who may do everything anyway, its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// To whom, about what, and what became of it.
    Outside,
    /// The text too, with [`HIDDEN`] in the place of the link.
    WithoutLink,
    /// All of the text.
    Whole,
}

/// What stands in the place of a link that is not shown.
pub const HIDDEN: &str = "(only the root administrator sees this link)";

impl Shown {
    fn text(self, record: MailRecord) -> Option<String> {
        match (self, record.link) {
            (Self::Outside, _) => None,
            (Self::WithoutLink, Some(link)) => Some(record.text.replace(&link, HIDDEN)),
            (Self::WithoutLink, None) | (Self::Whole, _) => Some(record.text),
        }
    }
}

/// Returns up to `limit` letters before one, newest first.
///
/// # Errors
/// When the store cannot be read.
pub fn list(
    store: &Store,
    before: Option<EventId>,
    limit: usize,
    shown: Shown,
) -> Result<Vec<Mail>, TxnError> {
    let span = before.map_or_else(Span::all, |before| Span::all().before(&before));
    let found = store.read(|view| view.scan(MAILS, span, Order::Descending, limit))?;
    let mails = found.into_iter().map(|(mail, record)| Mail {
        mail,
        to: record.to.clone(),
        subject: record.subject.clone(),
        last_error: record.last_error.clone(),
        made_at: record.made_at,
        tries: record.tries,
        next_at: record.next_at,
        text: shown.text(record),
    });
    Ok(mails.collect())
}

#[cfg(test)]
mod every;
#[cfg(test)]
mod tests;

//! Mails to people: written in the transaction of what they tell, sent afterwards.
//!
//! [`queue`] puts a letter into the store, so that it is told exactly when what it tells is true. A
//! task hands it to the SMTP server of the config, with growing pauses after failures, and deletes it
//! once the server has taken it; a crash between the two sends it twice, under the same `Message-ID`.
//! Without an SMTP server letters stay where they are, and administrators read them in the API.
//!
//! Nothing here is logged but the id of a letter: its text may hold a token.

mod letter;
mod records;
mod send;

pub use letter::{Letter, Rendered};
pub use records::TABLES;
pub use send::{Mailer, Secret, SmtpConfig, SmtpError, SmtpTls};

use mamba_core::{
    clock::UnixMs,
    db::{Order, Snapshot, Span, Store, Txn, TxnError},
    ids::EventId,
};
use mamba_wire::api::mail::Mail;
use records::{DUE, Due, MAILS, MAILS_COUNT, MailRecord};

/// Letters kept. Above it the oldest goes: with some kilobytes each they stay below 100 MiB.
pub const MAILS_MAX: u64 = 10_000;
/// How long a letter is kept that nobody takes: its links are long dead by then.
pub const KEEP_MS: u64 = 7 * 24 * 3_600_000;

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
    let Rendered { subject, text, html } = letter.render();
    let record = MailRecord {
        to: to.to_owned(),
        subject,
        text,
        html,
        made_at: now,
        tries: 0,
        next_at: Some(now),
        last_error: None,
    };
    txn.put(MAILS, &id, &record)?;
    txn.put(DUE, &(now, id), &Due)
}

/// Deletes a letter; `false` when there is none.
///
/// # Errors
/// As the transaction.
pub fn remove(txn: &mut Txn<'_>, id: EventId) -> Result<bool, TxnError> {
    let Some(record) = txn.get(MAILS, &id)? else { return Ok(false) };
    txn.delete(MAILS, &id)?;
    if let Some(at) = record.next_at {
        txn.delete(DUE, &(at, id))?;
    }
    let count = txn.get(MAILS_COUNT, &())?.unwrap_or(0);
    txn.put(MAILS_COUNT, &(), &count.saturating_sub(1))?;
    Ok(true)
}

/// Returns up to `limit` letters before one, newest first. Texts only when `with_text`: they hold
/// tokens, which are for administrators to read only where no mail can be sent.
///
/// # Errors
/// When the store cannot be read.
pub fn list(
    store: &Store,
    before: Option<EventId>,
    limit: usize,
    with_text: bool,
) -> Result<Vec<Mail>, TxnError> {
    let span = before.map_or_else(Span::all, |before| Span::all().before(&before));
    let found = store.read(|view| view.scan(MAILS, span, Order::Descending, limit))?;
    let shown = found.into_iter().map(|(mail, record)| Mail {
        mail,
        to: record.to,
        subject: record.subject,
        text: with_text.then_some(record.text),
        made_at: record.made_at,
        tries: record.tries,
        next_at: record.next_at,
        last_error: record.last_error,
    });
    Ok(shown.collect())
}

#[cfg(test)]
mod tests;

//! What is stored about letters.

use mamba_core::{
    clock::UnixMs,
    db::{Table, TableDef},
    ids::EventId,
    record,
};
use serde::{Deserialize, Serialize};

/// Letters that were not sent.
pub(super) const MAILS: Table<EventId, MailRecord> = Table::new(260, "mails");
/// Those that will be tried, by when.
pub(super) const DUE: Table<(UnixMs, EventId), Due> = Table::new(261, "mails_due");
/// How many there are.
pub(super) const MAILS_COUNT: Table<(), u64> = Table::new(262, "mails_count");
/// Those to one address.
pub(super) const MAILS_TO: Table<(String, EventId), Due> = Table::new(330, "mails_to");

/// All tables of this module.
pub const TABLES: &[TableDef] = &[MAILS.def(), DUE.def(), MAILS_COUNT.def(), MAILS_TO.def()];

/// A letter that was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MailRecord {
    pub(super) to: String,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
    /// Where both lead; it may hold a token.
    pub(super) link: Option<String>,
    pub(super) made_at: UnixMs,
    /// How often it was tried.
    pub(super) tries: u32,
    /// When it is tried next; `None` when it was given up.
    pub(super) next_at: Option<UnixMs>,
    /// What the server said.
    pub(super) last_error: Option<String>,
}

/// The key says it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Due;

record!(MailRecord, 1);
record!(Due, 1);

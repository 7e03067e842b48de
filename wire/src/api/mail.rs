//! Pure: mails that were not sent.

use super::{page::unfiltered, params::params};
use mamba_core::{clock::UnixMs, ids::EventId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A mail that waits, or that no server took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mail {
    /// Its id, which is also in its `Message-ID`.
    pub mail: EventId,
    /// Address that it goes to.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// What it says. Only where the hub has no SMTP server, and a link in it, which may hold a token, only
    /// for the root administrator in person.
    pub text: Option<String>,
    /// When it was written.
    pub made_at: UnixMs,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next; `null` when it was given up.
    pub next_at: Option<UnixMs>,
    /// What the server said last.
    pub last_error: Option<String>,
}

params! {
    /// Which mails. Filters that are missing let everything through.
    MailQuery {
        /// With this text in the address that it goes to, in any case.
        to: Option<String>,
        /// Waiting to be sent, or given up.
        waiting: Option<bool>,
        /// Like [`super::PageQuery::after`].
        after: Option<String>,
        /// Like [`super::PageQuery::limit`].
        limit: Option<u32> where 1..=super::page::PAGE_ITEMS_MAX,
    }

    /// Names a mail.
    MailPath {
        /// Which.
        mail: EventId,
    }
}

unfiltered!(MailQuery { to, waiting });

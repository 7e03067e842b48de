//! Why the hub did not do what was asked of it.

use mamba_core::{
    access::Wanted,
    db::{TxnError, WriteError},
    error::Invalid,
    placement::Rejected,
};

/// One of these for every call; `api` maps each to a status once.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HubError {
    /// The input breaks a rule. Nothing was changed.
    #[error("{0}")]
    Invalid(Invalid),
    /// There is no such thing, or it is not within the caller's scope; which of the two is not told.
    #[error("{what} does not exist")]
    NotFound {
        /// For example `server`.
        what: &'static str,
    },
    /// The caller may see it but lacks this key, or would give a key that it does not have.
    #[error("this needs the right `{0}`")]
    Forbidden(Wanted),
    /// It cannot be done in the present state. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// No node can take the server.
    #[error("no node can take the server: {}", reasons(.0))]
    NoNode(Vec<Rejected>),
    /// It would stop or delete a large share of a node's servers at once.
    #[error(
        "{ending} of the node's {total} servers would be stopped or deleted before it took over \
         the last change: repeat with force if this is meant"
    )]
    NeedsForce {
        /// Servers that the node holds.
        total: usize,
        /// Servers that would end.
        ending: usize,
    },
    /// The store cannot do it now. Nothing was changed, or it may be repeated without harm.
    #[error("hub cannot use its store now")]
    Unavailable(#[source] TxnError),
    /// A promise of our own code is broken. Nothing was changed.
    #[error("internal error: {0}")]
    Bug(String),
}

impl HubError {
    /// Says that one field breaks a rule.
    pub fn invalid(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::Invalid(Invalid::new(field, rule))
    }

    /// Whether the same call may succeed later without anything else being changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

fn reasons(rejected: &[Rejected]) -> String {
    if rejected.is_empty() {
        return "there is none".to_owned();
    }
    let lines: Vec<String> =
        rejected.iter().map(|it| format!("{} {}", it.name, it.reason)).collect();
    lines.join("; ")
}

impl From<Invalid> for HubError {
    fn from(err: Invalid) -> Self {
        Self::Invalid(err)
    }
}

impl From<TxnError> for HubError {
    fn from(err: TxnError) -> Self {
        match err {
            TxnError::Storage(_) => Self::Unavailable(err),
            TxnError::Key { .. } | TxnError::Record { .. } | TxnError::TooLarge { .. } => {
                Self::Bug(mamba_core::error::chain(&err))
            }
        }
    }
}

impl From<WriteError<Self>> for HubError {
    fn from(err: WriteError<Self>) -> Self {
        match err {
            WriteError::Refused(err) => err,
            WriteError::TooLarge(err) => err.into(),
            WriteError::Panicked => Self::Bug("a change of the store panicked".to_owned()),
            WriteError::NotApplied(fault) | WriteError::Unknown(fault) => {
                Self::Unavailable(TxnError::Storage(fault))
            }
            WriteError::Conflict => {
                Self::Bug("a store with one writer reported a conflict".to_owned())
            }
        }
    }
}

//! Who somebody is: accounts, sessions and the tokens that prove them.
//!
//! A sign-in makes a session row with the hash of a refresh token. The refresh token is used once and
//! gives the next one; an old one that comes again ends the session, for somebody copied it. An access
//! token is a signed statement (EdDSA) that lives [`ACCESS_TTL_MS`]; each request also looks at its
//! session's row, so that an ended session ends at once. Nothing here stores a secret that could be
//! used: passwords as Argon2id, tokens as BLAKE3.
//!
//! Unknown addresses and wrong passwords cannot be told apart, neither by the answer nor by its time.

mod records;
mod passwords;
mod access;
mod throttle;
mod accounts;
mod sessions;
mod tickets;
#[cfg(test)]
mod tests;

pub use access::{AccessKey, KeyError};
pub use accounts::{NewAccount, NewTenant, create_admin, has_admin, tenant};
pub use records::{Account, TABLES};
pub use tickets::{Ticket, TicketError, Tickets};

use crate::identity::{passwords::Passwords, throttle::Throttle};
use mamba_core::{
    access::Access,
    clock::{Clock, Entropy},
    db::{Fault, Store, TxnError, WriteError},
    error::Invalid,
    ids::{SessionId, UserId},
};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Life of an access token: how long a stolen one is of use when its session goes on.
pub const ACCESS_TTL_MS: u64 = 15 * 60_000;
/// Life of a session that is not refreshed.
pub const REFRESH_TTL_MS: u64 = 30 * 24 * 3_600_000;
/// Most sessions of one account; the one refreshed longest ago makes room.
pub const SESSIONS_PER_USER_MAX: usize = 20;

const _: () = assert!(ACCESS_TTL_MS < REFRESH_TTL_MS);

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub user: UserId,
    /// Its address.
    pub email: String,
    /// What it may do, as it was when it asked.
    pub access: Access,
    /// The session it asks from.
    pub session: SessionId,
}

/// Why an identity was not proved, or an account not changed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Unknown address or wrong password.
    #[error("address or password is wrong")]
    WrongCredentials,
    /// No token, or one that does not hold now.
    #[error("the token is not valid")]
    NotSignedIn,
    /// Too many attempts for this address from there.
    #[error("too many attempts, try again in {} s", retry_after_ms.div_ceil(1_000))]
    Throttled {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// Too many passwords are being checked.
    #[error("too many sign-ins at once")]
    Busy,
    /// A field breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Another account has the address.
    #[error("there is an account with the address `{0}`")]
    EmailTaken(String),
    /// The store cannot be read.
    #[error("accounts could not be read")]
    Read(#[from] TxnError),
    /// The store did not take the change; it may be tried again.
    #[error("the change could not be stored")]
    Unavailable(#[source] Fault),
    /// The change can never be stored: our mistake.
    #[error("the change was not accepted by the store")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<WriteError<Self>> for IdentityError {
    fn from(err: WriteError<Self>) -> Self {
        match err {
            WriteError::Refused(err) => err,
            WriteError::NotApplied(fault) | WriteError::Unknown(fault) => Self::Unavailable(fault),
            other @ (WriteError::Conflict | WriteError::TooLarge(_) | WriteError::Panicked) => {
                Self::Broken(Box::new(other))
            }
        }
    }
}

/// Knows accounts and sessions. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    key: AccessKey,
    passwords: Passwords,
    throttle: Mutex<Throttle>,
    /// Counts ended sessions, to wake who holds something open on behalf of one.
    ended: watch::Sender<u64>,
}

impl Identity {
    /// Makes the handle. Hashes one password, which takes some ten milliseconds.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        key: AccessKey,
    ) -> Self {
        let passwords = Passwords::new(&*entropy);
        let throttle = Mutex::new(Throttle::default());
        let (ended, _) = watch::channel(0);
        let inner = Inner { store, clock, entropy, key, passwords, throttle, ended };
        Self { inner: Arc::new(inner) }
    }

    /// Changes whenever a session ended before its time.
    #[must_use]
    pub fn ended(&self) -> watch::Receiver<u64> {
        self.inner.ended.subscribe()
    }
}

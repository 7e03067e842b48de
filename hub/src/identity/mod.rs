//! Who somebody is: accounts, sessions and the tokens that prove them.
//!
//! A sign-in, with a second factor where there is one, begins a session, which lives by refreshing
//! (see `sessions`). An access token is a signed statement (EdDSA) that lives [`ACCESS_TTL_MS`]; each
//! request also looks at its session's row, so that an ended session ends at once. Nothing here stores
//! a secret that could be used: passwords as Argon2id, tokens and codes as BLAKE3, seeds sealed.
//!
//! Unknown addresses and wrong passwords cannot be told apart, neither by the answer nor by its time;
//! and what goes out by mail is answered alike whether it went out or not.

mod records;
mod settings;
mod passwords;
mod access;
mod throttle;
mod steps;
mod trail;
mod accounts;
mod users;
mod administration;
mod made;
mod ended;
mod sessions;
mod seen;
mod factors;
mod sign_in;
mod mailed;
mod planted;
mod letters;
mod invited;
mod ssh_keys;
mod api_keys;
mod tenant_keys;
mod passkeys;
mod presence;
mod provider;
mod oidc;
mod operator;
mod tickets;
#[cfg(test)]
mod tests;

pub use access::{AccessKey, KeyError};
#[cfg(test)]
pub(crate) use accounts::insert_root;
pub use accounts::{NewAccount, NewTenant, create_admin, has_admin, tenant};
pub(crate) use accounts::{check_email, email_of};
pub use administration::set_administration;
pub(crate) use api_keys::access_now;
pub use ended::delete_account;
pub use factors::RECOVERY_CODES;
pub(crate) use letters::{Topic, wants};
pub use made::{NewUser, create_account};
pub use mailed::{ADDRESS_TTL_MS, RESET_TTL_MS};
pub use oidc::PROVIDERS_MAX;
pub use operator::{disable_second_factor, set_password};
pub use presence::{PRESENCE_MS, is_present};
pub use provider::{Provider, ProviderKind};
pub use records::{Account, TABLES};
pub(crate) use settings::is_safe;
pub use settings::{PublicUrl, Registration, SecondFactorPolicy, Settings};
pub use ssh_keys::SSH_KEYS_MAX;
pub(crate) use tenant_keys::{ENDED as KEY_ENDED, remove_bound as remove_bound_keys};
pub use tickets::{Opens, Ticket, TicketError, Tickets};

use crate::{
    HubError,
    identity::{
        api_keys::Uses, oidc::Visit, passwords::Passwords, steps::Steps, throttle::Throttle,
        trail::Attempts,
    },
    secrets::Vault,
};
use mamba_core::{
    access::Access,
    audit::Origin,
    clock::{Clock, Entropy, UnixMs, draw},
    db::{Fault, Store, TxnError, WriteError},
    error::Invalid,
    ids::{EventId, SessionId, UserId},
};
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;
use webauthn_rs::prelude::{PasskeyAuthentication, PasskeyRegistration};

/// Life of an access token: how long a stolen one is of use when its session goes on.
pub const ACCESS_TTL_MS: u64 = 15 * 60_000;
/// Life of a session that is not refreshed.
pub const REFRESH_TTL_MS: u64 = 30 * 24 * 3_600_000;
/// Life of a session, however often it is refreshed.
pub const SESSION_TTL_MS: u64 = 90 * 24 * 3_600_000;
/// How long a client may repeat a refresh whose answer it lost.
pub const RETRY_MS: u64 = 10_000;
/// Longest name of a device that is kept.
const DEVICE_CHARS_MAX: usize = 200;
/// Most sessions of one account; the one refreshed longest ago makes room.
pub const SESSIONS_PER_USER_MAX: usize = 20;

const _: () = assert!(RETRY_MS < ACCESS_TTL_MS);
const _: () = assert!(ACCESS_TTL_MS < REFRESH_TTL_MS);
const _: () = assert!(REFRESH_TTL_MS < SESSION_TTL_MS);

/// Where a request comes from, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Address.
    pub peer: IpAddr,
    /// What it calls itself.
    pub device: String,
}

impl Client {
    /// Describes a client by its address and `user-agent`, of which control characters and what is
    /// too long are cut.
    #[must_use]
    pub fn new(peer: IpAddr, device: &str) -> Self {
        let plain = device.chars().filter(|c| !c.is_control()).take(DEVICE_CHARS_MAX);
        Self { peer: peer.to_canonical(), device: plain.collect() }
    }
}

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
    /// From where, for the audit trail.
    pub origin: Origin,
    /// Whether it is an API key that asks.
    pub is_key: bool,
    /// Whether it may only set up a second factor.
    pub is_limited: bool,
    /// When it proved last to be there; `None` for an API key, which is nobody.
    pub seen_at: Option<UnixMs>,
}

/// What was begun and waits for its second message.
#[derive(Clone, Debug)]
enum Step {
    /// The password was right.
    SecondFactor { user: UserId, password: [u8; 32] },
    /// A device makes a passkey.
    NewPasskey { user: UserId, state: Box<PasskeyRegistration> },
    /// A device signs with a passkey.
    Passkey { email: String, state: Box<PasskeyAuthentication> },
    /// A device signs that who is signed in is there.
    Confirm { user: UserId, state: Box<PasskeyAuthentication> },
    /// A browser is at another provider.
    Visit(Box<Visit>),
    /// An authenticator app is shown its seed.
    Totp { user: UserId, seed: [u8; 20] },
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
    /// A second factor that is wrong, or was used.
    #[error("the code is wrong, or was used before")]
    WrongCode,
    /// There is no such thing, or it belongs to somebody else.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The state of the account does not allow it.
    #[error("{0}")]
    Refused(&'static str),
    /// A provider does not vouch for anybody.
    #[error("the other provider cannot be asked: {0}")]
    Elsewhere(&'static str),
    /// It is not allowed here.
    #[error("{0}")]
    Forbidden(&'static str),
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
    /// Tenants would have no owner.
    #[error("it is the only owner of {}: give them another owner first, or delete them", quoted(.0))]
    OnlyOwner(Vec<String>),
    /// Another part of the hub failed.
    #[error(transparent)]
    Hub(Box<HubError>),
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

/// Names that are told in one sentence; of more than these the number is.
const NAMES_TOLD_MAX: usize = 5;

fn quoted(names: &[String]) -> String {
    let told: Vec<_> = names.iter().take(NAMES_TOLD_MAX).map(|it| format!("`{it}`")).collect();
    match names.len().checked_sub(NAMES_TOLD_MAX) {
        Some(more) if more > 0 => format!("{} and {more} more tenants", told.join(", ")),
        Some(_) | None => told.join(", "),
    }
}

impl From<HubError> for IdentityError {
    fn from(err: HubError) -> Self {
        Self::Hub(Box::new(err))
    }
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
    vault: Vault,
    settings: Settings,
    passwords: Passwords,
    throttle: Mutex<Throttle>,
    steps: Mutex<Steps<Step>>,
    uses: Mutex<Uses>,
    attempts: Mutex<Attempts>,
    /// Counts ended sessions, to wake who holds something open on behalf of one.
    ended: watch::Sender<u64>,
}

/// What accounts are kept with.
pub struct IdentityParts {
    /// Where.
    pub store: Store,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Signs access tokens.
    pub key: AccessKey,
    /// Seals seeds.
    pub vault: Vault,
    /// What is decided.
    pub settings: Settings,
}

impl Identity {
    /// Makes the handle. Hashes one password, which takes some ten milliseconds.
    #[must_use]
    pub fn new(parts: IdentityParts) -> Self {
        let IdentityParts { store, clock, entropy, key, vault, settings } = parts;
        let passwords = Passwords::new(&*clock, &*entropy);
        let (throttle, steps) = (Mutex::default(), Mutex::default());
        let (ended, _) = watch::channel(0);
        let inner = Inner {
            store,
            clock,
            entropy,
            key,
            vault,
            settings,
            passwords,
            throttle,
            steps,
            uses: Mutex::default(),
            attempts: Mutex::default(),
            ended,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Returns what is decided about accounts.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Changes whenever a session ended before its time.
    #[must_use]
    pub fn ended(&self) -> watch::Receiver<u64> {
        self.inner.ended.subscribe()
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.inner.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn steps(&self) -> MutexGuard<'_, Steps<Step>> {
        self.inner.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the id of a letter.
    fn draw_id(&self, now: UnixMs) -> EventId {
        EventId::new(now, draw(&*self.inner.entropy))
    }
}

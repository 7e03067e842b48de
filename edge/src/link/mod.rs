//! The edge's end of the link: it dials the hub, again and again, and holds a session.
//!
//! Nothing waits for this module, and it asks nothing of the hub that the node needs to run. What
//! goes wrong here is told in [`LinkStatus`] and tried again; only a missing identity makes it wait
//! for a person.

pub mod backend;
mod backoff;
mod dial;
mod identity;
mod session;
mod status;

pub use dial::DialError;
pub use identity::{Identity, IdentityError, IdentityFiles};

use crate::calendar::WALL_AHEAD_MS_MAX;
use crate::link::{
    backend::{Dispatcher, EdgeBackend},
    backoff::Backoff,
    session::{Ended, Parts},
    status::Status,
};
use mamba_core::{
    clock::{Clock, Entropy, UnixMs, draw},
    error::chain,
    ids::InstanceId,
};
use mamba_wire::{
    link::{
        enrol::{EnrolAnswer, EnrolAsk, EnrolRefused, EnrolRequest, Machine, NAME_BYTES_MAX},
        token::{CaHash, JoinToken},
        v1::Goodbye,
    },
    net::{
        authority::{LEAF_MS, RENEW_AFTER_MS, VALID_FROM, make_csr},
        endpoint::NetParts,
        keys::SecretKey,
        tls::{HubTrust, TimeSource},
    },
    node::LinkStatus,
    session::{End, Own},
};
use quinn::{Endpoint, VarInt};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

/// How often the files are looked at for an identity that another process puts there.
const IDENTITY_MS: u64 = 2_000;
/// Wait after the hub said that this node may not connect: only a person can change that.
const BARRED_MS: u64 = 60_000;
/// Time for the last packet to leave when the daemon stops.
const STOP_MS_MAX: u64 = 1_000;

/// What the link runs on.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Holds the identity.
    pub data_dir: PathBuf,
    /// Addresses of the hub that replace those learned at enrolment. Empty without replacement.
    pub hubs: Vec<String>,
    /// This run of the daemon.
    pub instance: InstanceId,
    /// Version of the program.
    pub software: String,
    /// The network; the default is the real one.
    pub net: NetParts,
}

/// Looks at the link from elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LinkHandle {
    /// What there is to say about it.
    pub status: watch::Receiver<LinkStatus>,
    rebind: Arc<Notify>,
}

impl LinkHandle {
    /// Moves the live session to a new local socket: the network has changed.
    pub fn rebind(&self) {
        self.rebind.notify_one();
    }

    /// A link that there is not.
    #[cfg(test)]
    pub(crate) fn absent() -> Self {
        Self { status: watch::channel(LinkStatus::default()).1, rebind: Arc::default() }
    }
}

/// The dialling end. [`EdgeLink::run`] must be polled for anything to happen.
pub struct EdgeLink<B> {
    config: LinkConfig,
    files: IdentityFiles,
    backend: Arc<B>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    status: Status,
    rebind: Arc<Notify>,
}

impl<B: EdgeBackend> EdgeLink<B> {
    /// Makes the link and the handle to look at it. Opens nothing.
    pub fn new(
        config: LinkConfig,
        backend: Arc<B>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> (Self, LinkHandle) {
        let floor = backend.time_floor();
        let (status, looked_at) = Status::new((floor > UnixMs(0)).then_some(floor));
        let rebind = Arc::new(Notify::new());
        let handle = LinkHandle { status: looked_at, rebind: Arc::clone(&rebind) };
        let files = IdentityFiles::new(&config.data_dir);
        let link = Self { config, files, backend, clock, entropy, status, rebind };
        (link, handle)
    }

    /// Dials until `stop` becomes true; `dispatcher` serves what the hub asks for.
    pub async fn run<D: Dispatcher>(self, dispatcher: Arc<D>, mut stop: watch::Receiver<bool>) {
        let mut backoff = Backoff::default();
        let mut endpoint = None;
        while !*stop.borrow_and_update() {
            let began = self.clock.boot();
            let ended = tokio::select! {
                biased;
                ended = self.attempt(&dispatcher, &mut endpoint, stop.clone()) => ended,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            backoff.session_ended(began, self.clock.boot());
            if Self::is_revoked(&ended) {
                // Who revokes a node may not trust its machine: what it need not know it forgets.
                self.backend.registries(Vec::new()).await;
            }
            let wait_ms = self.after(ended, &mut backoff);
            if wait_ms == 0 {
                continue;
            }
            self.status.waiting(backoff.failures(), self.clock.wall().plus(wait_ms));
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => {}
                () = self.rebind.notified() => {}
                () = sleep(Duration::from_millis(wait_ms)) => {}
            }
        }
        if let Some(endpoint) = endpoint {
            endpoint.close(VarInt::from_u32(0), b"edge stops");
            timeout(Duration::from_millis(STOP_MS_MAX), endpoint.wait_idle()).await.ok();
        }
        self.status.down(self.clock.wall(), None);
    }

    /// Whether the hub says that this node has no part in the installation any more.
    fn is_revoked(ended: &Result<Ended, Stumble>) -> bool {
        match ended {
            Ok(Ended::End(End::Goodbye(reason))) => *reason == Goodbye::Revoked,
            Ok(Ended::End(_) | Ended::Rehandshake | Ended::Stopping) => false,
            Err(Stumble::Dial(DialError::Refused(reason))) => *reason == EnrolRefused::Revoked,
            Err(Stumble::Dial(_) | Stumble::NotEnrolled) => false,
        }
    }

    /// Tells how an attempt ended and returns the wait before the next.
    fn after(&self, ended: Result<Ended, Stumble>, backoff: &mut Backoff) -> u64 {
        let random = u32::from_be_bytes(draw(&*self.entropy));
        let (why, wait_ms) = match ended {
            Ok(Ended::Rehandshake | Ended::Stopping) => (None, 0),
            Ok(Ended::End(End::Goodbye(reason @ (Goodbye::Revoked | Goodbye::Quarantined)))) => {
                (Some(chain(&End::Goodbye(reason))), BARRED_MS)
            }
            Ok(Ended::End(end)) => (Some(chain(&end)), backoff.next_wait_ms(random)),
            Err(Stumble::NotEnrolled) => {
                (Some("not enrolled: run `mamba-edge enrol`".to_owned()), IDENTITY_MS)
            }
            Err(Stumble::Dial(err)) => {
                let is_barred = matches!(err, DialError::Refused(EnrolRefused::Revoked));
                let wait_ms = if is_barred { BARRED_MS } else { backoff.next_wait_ms(random) };
                (Some(chain(&err)), wait_ms)
            }
        };
        if let Some(why) = &why {
            tracing::info!(wait_ms, "link is down: {why}");
        }
        self.status.down(self.clock.wall(), why);
        wait_ms
    }

    /// Dials once and holds the session to its end.
    async fn attempt<D: Dispatcher>(
        &self,
        dispatcher: &Arc<D>,
        endpoint: &mut Option<Endpoint>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Ended, Stumble> {
        let identity = self.files.load().map_err(DialError::Identity)?;
        let mut identity = identity.ok_or(Stumble::NotEnrolled)?;
        let key = self.files.key().map_err(DialError::Identity)?.ok_or(Stumble::NotEnrolled)?;
        let hubs = if self.config.hubs.is_empty() {
            identity.hubs.clone()
        } else {
            self.config.hubs.clone()
        };
        self.status.enrolled(hubs.join(", "), identity.valid_until);
        self.status.dialling();
        let endpoint = match endpoint {
            Some(endpoint) => endpoint,
            None => endpoint.insert(dial::bind(&self.config.net)?),
        };
        let result = self.dial(dispatcher, endpoint, &mut identity, &key, &hubs, &mut stop).await;
        if result.is_err()
            && self.config.net.socket.is_none()
            && let Err(err) = dial::rebind(endpoint)
        {
            // The next dial begins with a new socket, in case the old one is the reason.
            tracing::debug!("socket: {}", chain(&err));
        }
        result
    }

    async fn dial<D: Dispatcher>(
        &self,
        dispatcher: &Arc<D>,
        endpoint: &Endpoint,
        identity: &mut Identity,
        key: &SecretKey,
        hubs: &[String],
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Ended, Stumble> {
        let time = self.time(identity);
        if self.is_renewal_due(identity) {
            let renewed = self.renew(endpoint, identity, key, hubs).await;
            match renewed {
                Ok(()) => tracing::info!(until = %identity.valid_until, "certificate renewed"),
                // It may still be good enough for a session.
                Err(err) if identity.valid_until > time() => {
                    tracing::warn!("certificate could not be renewed: {}", chain(&err));
                }
                Err(err) => return Err(err.into()),
            }
        }
        let config = dial::session_config(identity, key, &time, &self.config.net)?;
        let (connection, hub) = dial::connect(endpoint, &config, hubs, &time).await?;
        let parts = Parts {
            backend: &self.backend,
            dispatcher,
            clock: &self.clock,
            status: &self.status,
            endpoint,
            rebind: &self.rebind,
            may_rebind: self.config.net.socket.is_none(),
            hub,
        };
        let own = Own {
            node: identity.node,
            instance: self.config.instance,
            software: self.config.software.clone(),
        };
        Ok(session::run(parts, connection, own, stop).await)
    }

    async fn renew(
        &self,
        endpoint: &Endpoint,
        identity: &mut Identity,
        key: &SecretKey,
        hubs: &[String],
    ) -> Result<(), DialError> {
        let time = self.time(identity);
        let trust = HubTrust::Ca(identity.hub_ca.clone());
        let config = dial::enrol_config(trust, &time, &self.config.net)?;
        let (connection, _) = dial::connect(endpoint, &config, hubs, &time).await?;
        let reply = dial::renew(&connection, identity.node, key).await?;
        self.backend.learn_time(reply.now);
        identity.renew(reply);
        self.files.save(identity).map_err(DialError::Identity)?;
        self.status.enrolled(hubs.join(", "), identity.valid_until);
        Ok(())
    }

    /// Whether a third of the certificate's life or less is left, give or take.
    fn is_renewal_due(&self, identity: &Identity) -> bool {
        let spread = u64::from(u32::from_be_bytes(draw(&*self.entropy)));
        let jitter = spread * (LEAF_MS / 10) / u64::from(u32::MAX);
        let left = identity.valid_until.since(self.time(identity)());
        left <= LEAF_MS - RENEW_AFTER_MS + jitter
    }

    /// Returns the time at which certificates are checked: the machine's clock where it can be
    /// right, else the latest time at which the hub was heard or gave a certificate. So a machine
    /// that thinks it is 1970, or ten years later, gets in and learns better.
    fn time(&self, identity: &Identity) -> TimeSource {
        let (clock, backend) = (Arc::clone(&self.clock), Arc::clone(&self.backend));
        let given = UnixMs(identity.valid_until.0.saturating_sub(LEAF_MS));
        Arc::new(move || plausible(clock.wall(), backend.time_floor().max(given).max(VALID_FROM)))
    }
}

/// Pure: the wall clock, unless it is before a `known` time or too long after it. Checking at the
/// known time is safe for being let in: certificates are valid from [`VALID_FROM`] on.
fn plausible(wall: UnixMs, known: UnixMs) -> UnixMs {
    if (known..=known.plus(WALL_AHEAD_MS_MAX)).contains(&wall) { wall } else { known }
}

/// Why there was no session.
enum Stumble {
    NotEnrolled,
    Dial(DialError),
}

impl From<DialError> for Stumble {
    fn from(err: DialError) -> Self {
        Self::Dial(err)
    }
}

/// What enrolment needs.
#[derive(Clone, Debug)]
pub struct EnrolConfig {
    /// Keeps the identity.
    pub data_dir: PathBuf,
    /// Addresses of the hub; the one in the token is tried when this is empty.
    pub hubs: Vec<String>,
    /// Name to show, for example the host's. Cut to 64 bytes.
    pub name_hint: String,
    /// The machine.
    pub machine: Machine,
    /// The network; the default is the real one.
    pub net: NetParts,
}

/// Makes this machine a node: makes its key if it has none, shows the token to the hub and keeps
/// what the hub gives. A running daemon takes the identity up by itself. May be repeated with the
/// same token when the answer was lost.
///
/// # Errors
/// See [`DialError`]. The key stays; no identity was kept.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn enrol(
    config: &EnrolConfig,
    token: &JoinToken,
    clock: &Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Identity, DialError> {
    let files = IdentityFiles::new(&config.data_dir);
    let key = files.key_or_new(entropy).map_err(DialError::Identity)?;
    let hubs = match &config.hubs[..] {
        [] => token.address.iter().cloned().collect(),
        hubs => hubs.to_vec(),
    };
    let wall = Arc::clone(clock);
    let time: TimeSource = Arc::new(move || wall.wall().max(VALID_FROM));
    let endpoint = dial::bind(&config.net)?;
    let quic = dial::enrol_config(HubTrust::Hash(token.hub_ca), &time, &config.net)?;
    let (connection, _) = dial::connect(&endpoint, &quic, &hubs, &time).await?;
    let csr = make_csr(&key).map_err(DialError::Request)?;
    let mut name_hint = config.name_hint.clone();
    while name_hint.len() > NAME_BYTES_MAX {
        name_hint.pop();
    }
    let machine = config.machine.clone();
    let ask = EnrolRequest { secret: token.secret.clone(), csr, name_hint, machine };
    let answer = dial::enrol(&connection, EnrolAsk::Enrol(ask)).await;
    timeout(Duration::from_millis(STOP_MS_MAX), endpoint.wait_idle()).await.ok();
    let reply = match answer? {
        EnrolAnswer::Enrolled(reply) => reply,
        EnrolAnswer::Refused(refused) => return Err(DialError::Refused(refused)),
        EnrolAnswer::Nonce(_) | EnrolAnswer::Renewed(_) => return Err(DialError::NoAnswer),
    };
    let renewal = reply.renewal;
    if CaHash::of(&renewal.hub_ca) != token.hub_ca {
        return Err(DialError::NoAnswer);
    }
    let identity = Identity {
        node: reply.node,
        hubs,
        certificate_chain: renewal.certificate_chain,
        valid_until: renewal.valid_until,
        hub_ca: renewal.hub_ca,
        envelope_key: renewal.envelope_key,
    };
    files.save(&identity).map_err(DialError::Identity)?;
    Ok(identity)
}

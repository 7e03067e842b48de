//! The hub's end of the link: one UDP port, on which edges enrol and hold their sessions.
//!
//! ALPN tells the two apart. TLS accepts a client without certificate, because enrolment has none;
//! the session refuses such a client. Each connection has a task of its own, and a peer that breaks
//! the protocol ends its own connection and nothing else.
//!
//! Bounds: [`CONNECTIONS_MAX`] connections, [`HANDSHAKES_MAX`] handshakes at a time, and a budget of
//! enrolment attempts per address. What is over a bound is refused at once and may come back.

pub mod backend;
mod budget;
mod enrol;
mod links;
mod session;
mod takeover;

pub use links::{Links, RequestError, SessionInfo};

use crate::link::{backend::LinkBackend, budget::Budget};
use mamba_core::{
    clock::{BootMs, Clock, Entropy},
    error::chain,
};
use mamba_wire::{
    link::v1::{ALPN, ALPN_ENROL},
    net::{
        authority::{CertificateError, HubKeys, RENEW_AFTER_MS},
        endpoint::{NetParts, bind_hub, hub_config},
        keys::{KeyError, SecretKey},
        tls::{TimeSource, TlsError, server_config},
    },
};
use quinn::{Connection, Endpoint, Incoming, VarInt, crypto::rustls::HandshakeData};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Most connections at a time; a hub is made for some thousand nodes.
pub const CONNECTIONS_MAX: usize = 8_192;
/// Most handshakes at a time: each costs some milliseconds of a core.
pub const HANDSHAKES_MAX: usize = 64;
/// Handshakes from which on a new peer first has to show that its address is real.
const HANDSHAKES_CALM: usize = 16;
/// Longest handshake: several round trips over a bad link.
const HANDSHAKE_MS_MAX: u64 = 10_000;
/// Time for sessions to say goodbye when the hub stops.
const STOP_MS_MAX: u64 = 3_000;

/// Where and how the hub listens.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// UDP address.
    pub listen: SocketAddr,
    /// Version of the program, told to edges.
    pub software: String,
    /// The network; the default is the real one.
    pub net: NetParts,
}

/// Why the hub cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address is taken or not ours.
    #[error("UDP address `{address}` could not be bound")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// No key for the server's certificate.
    #[error("key of the hub's certificate could not be made")]
    Key(#[source] KeyError),
    /// No certificate.
    #[error("certificate of the hub could not be made")]
    Certificate(#[source] CertificateError),
    /// No TLS.
    #[error("TLS of the link could not be set up")]
    Tls(#[source] TlsError),
}

/// What every connection needs.
pub(crate) struct Context<B> {
    backend: Arc<B>,
    keys: Arc<HubKeys>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    links: Links,
    budget: Mutex<Budget>,
    software: String,
}

impl<B> Context<B> {
    fn may_enrol(&self, peer: SocketAddr) -> bool {
        let now = self.clock.boot();
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(peer.ip(), now)
    }
}

/// The listening end. [`HubLink::run`] must be polled for anything to happen.
pub struct HubLink<B> {
    context: Arc<Context<B>>,
    endpoint: Endpoint,
    /// Key of the hub's own certificates: lives as long as this process.
    key: SecretKey,
    net: NetParts,
}

impl<B: LinkBackend> HubLink<B> {
    /// Binds the address. Returns the link and the handle through which nodes are reached.
    ///
    /// # Errors
    /// See [`LinkError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(
        config: LinkConfig,
        keys: Arc<HubKeys>,
        backend: Arc<B>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Self, Links), LinkError> {
        let LinkConfig { listen: address, software, net } = config;
        let net = net.with_lasting_resets(&keys.envelopes.reset_secret(), Arc::clone(&entropy));
        let key = SecretKey::generate(&*entropy).map_err(LinkError::Key)?;
        let links = Links::default();
        let budget = Mutex::new(Budget::default());
        let context =
            Context { backend, keys, clock, entropy, links: links.clone(), budget, software };
        let quic = quic(&context, &key, &net)?;
        let endpoint =
            bind_hub(address, quic, &net).map_err(|source| LinkError::Bind { address, source })?;
        Ok((Self { context: Arc::new(context), endpoint, key, net }, links))
    }

    /// Returns the bound address.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Serves until `stop` becomes true, then says goodbye to every edge.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let Self { context, endpoint, key, net } = self;
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let mut tasks = JoinSet::new();
        let mut stopped = stop.clone();
        let mut renew_at = context.clock.boot().plus(RENEW_AFTER_MS);
        loop {
            let renew_in = until(&*context.clock, renew_at);
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => break,
                Some(_) = tasks.join_next() => {}
                () = sleep(renew_in) => {
                    renew_at = context.clock.boot().plus(RENEW_AFTER_MS);
                    match quic(&context, &key, &net) {
                        Ok(config) => endpoint.set_server_config(Some(config)),
                        Err(err) => tracing::error!("hub certificate: {}", chain(&err)),
                    }
                }
                incoming = endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    if let Some((incoming, permit)) = admit(incoming, &handshakes, tasks.len()) {
                        let (context, stop) = (Arc::clone(&context), stop.clone());
                        tasks.spawn(serve(context, incoming, permit, stop));
                    }
                }
            }
        }
        endpoint.set_server_config(None);
        let drained = async { while tasks.join_next().await.is_some() {} };
        if timeout(Duration::from_millis(STOP_MS_MAX), drained).await.is_err() {
            tracing::warn!("some sessions did not end in time");
            tasks.abort_all();
        }
        endpoint.close(VarInt::from_u32(0), b"hub stops");
        let idle = timeout(Duration::from_millis(STOP_MS_MAX), endpoint.wait_idle()).await;
        if idle.is_err() {
            tracing::warn!("some edges may not know that the hub stopped");
        }
    }
}

/// Makes the present certificate and everything around it.
fn quic<B>(
    context: &Context<B>,
    key: &SecretKey,
    net: &NetParts,
) -> Result<quinn::ServerConfig, LinkError> {
    let now = context.clock.wall();
    let keys = &context.keys;
    let leaf = keys
        .hub_ca
        .issue_server(key.public(), now, &*context.entropy)
        .map_err(LinkError::Certificate)?;
    let clock = Arc::clone(&context.clock);
    let time: TimeSource = Arc::new(move || clock.wall());
    let tls =
        server_config(&leaf, key, keys.node_ca.certificate(), &time).map_err(LinkError::Tls)?;
    hub_config(tls, net).map_err(LinkError::Tls)
}

/// Lets a peer begin its handshake, or turns it away.
fn admit(
    incoming: Incoming,
    handshakes: &Arc<Semaphore>,
    connections: usize,
) -> Option<(Incoming, OwnedSemaphorePermit)> {
    let running = HANDSHAKES_MAX - handshakes.available_permits();
    if running >= HANDSHAKES_CALM && !incoming.remote_address_validated() {
        if let Err(err) = incoming.retry() {
            err.into_incoming().refuse();
        }
        return None;
    }
    match Arc::clone(handshakes).try_acquire_owned() {
        Ok(permit) if connections < CONNECTIONS_MAX => Some((incoming, permit)),
        Ok(_) | Err(_) => {
            incoming.refuse();
            None
        }
    }
}

async fn serve<B: LinkBackend>(
    context: Arc<Context<B>>,
    incoming: Incoming,
    permit: OwnedSemaphorePermit,
    stop: watch::Receiver<bool>,
) {
    let peer = incoming.remote_address();
    let handshake = timeout(Duration::from_millis(HANDSHAKE_MS_MAX), incoming).await;
    drop(permit);
    let connection = match handshake {
        Ok(Ok(connection)) => connection,
        Ok(Err(err)) => return tracing::info!(%peer, "handshake failed: {}", chain(&err)),
        Err(_) => return tracing::info!(%peer, "handshake took too long"),
    };
    match protocol(&connection).as_deref() {
        Some(ALPN) => session::serve(&context, connection, stop).await,
        Some(ALPN_ENROL) => {
            if context.may_enrol(peer) {
                enrol::serve(&context, connection).await;
            } else {
                connection.close(VarInt::from_u32(2), b"too many attempts from this address");
            }
        }
        Some(_) | None => connection.close(VarInt::from_u32(1), b"unknown protocol"),
    }
}

fn protocol(connection: &Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

/// Returns the time from now to `at`, nothing when it is past.
fn until(clock: &dyn Clock, at: BootMs) -> Duration {
    Duration::from_millis(at.since(clock.boot()))
}

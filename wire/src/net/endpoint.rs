//! QUIC endpoints of both ends, with every limit written down.

use crate::net::tls::TlsError;
use aws_lc_rs::hmac;
use mamba_core::clock::{Entropy, draw};
use quinn::{
    AsyncUdpSocket, ClientConfig, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig,
    IdleTimeout, MtuDiscoveryConfig, Runtime, ServerConfig, TransportConfig, VarInt,
    crypto::{
        HmacKey,
        rustls::{QuicClientConfig, QuicServerConfig},
    },
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};

/// The edge says that it is there after so much silence; that keeps NAT entries open, whose shortest
/// common life is 30 s. The hub's pings come before that, so that an idle link carries one exchange at a
/// time and not two: this is for a hub that is slow, and for the time before a session is up.
pub const KEEP_ALIVE_MS: u64 = 28_000;
const _: () = assert!(KEEP_ALIVE_MS > crate::session::PING_MS && KEEP_ALIVE_MS < 30_000);
/// Silence after which a connection is given up: a ping that is lost with all that repeats it, and most of
/// the next.
pub const IDLE_MS: u32 = 45_000;
/// Requests that the hub may have open at one edge: consoles of as many viewers, and some more.
pub const REQUESTS_MAX: u32 = 64;
/// Bidirectional streams that an edge may open: control, or one exchange of enrolment.
const EDGE_BIDI_MAX: u32 = 1;
/// Unidirectional streams that an edge may open: two for facts and one for state.
const EDGE_UNI_MAX: u32 = 3;
/// Unread bytes of one stream; a frame may be larger, since reading goes on meanwhile.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// Unread bytes of one connection: the worst case of memory per peer.
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Bytes sent and not yet acknowledged: 2 MiB fill 100 Mbit/s at 160 ms.
const SEND_WINDOW_BYTES: u64 = 2 * 1024 * 1024;

/// Length of a connection id: chance alone must not make two the same.
const ID_BYTES: usize = 8;

/// What a simulator puts in place of the real network. The default is the real one.
#[derive(Clone)]
pub struct NetParts {
    /// Socket; without one a UDP socket is bound.
    pub socket: Option<Arc<dyn AsyncUdpSocket>>,
    /// Timers and tasks; without one tokio's.
    pub runtime: Option<Arc<dyn Runtime>>,
    /// Seed of the protocol's random numbers; without one the system's.
    pub rng_seed: Option<[u8; 32]>,
    /// Key of stateless resets; without one a random key.
    pub reset_key: Option<Arc<dyn HmacKey>>,
    /// Connection ids.
    pub cid_generator: Option<Arc<dyn Fn() -> Box<dyn ConnectionIdGenerator> + Send + Sync>>,
    /// Connection id of a client's first packet.
    pub first_cid: Option<Arc<dyn Fn() -> ConnectionId + Send + Sync>>,
    /// Wall clock of address validation tokens.
    pub token_time: Option<Arc<dyn quinn::TimeSource>>,
    /// Whether larger packets are tried; off in simulation.
    pub mtu_discovery: bool,
    /// Whether the kernel may cut packets; off in simulation.
    pub segmentation_offload: bool,
}

impl Default for NetParts {
    fn default() -> Self {
        Self {
            socket: None,
            runtime: None,
            rng_seed: None,
            reset_key: None,
            cid_generator: None,
            first_cid: None,
            token_time: None,
            mtu_discovery: true,
            segmentation_offload: true,
        }
    }
}

impl NetParts {
    /// Lets resets outlive the process, where nothing else was set. A hub that was killed and started
    /// again answers packets of connections that it no longer knows with the resets that it had
    /// promised for these, so that edges dial again at once and not after [`IDLE_MS`] of silence.
    #[must_use]
    pub fn with_lasting_resets(mut self, secret: &[u8; 32], entropy: Arc<dyn Entropy>) -> Self {
        if self.reset_key.is_none() && self.cid_generator.is_none() {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            self.reset_key = Some(Arc::new(key));
            // The generator of the library knows only ids of its own life.
            self.cid_generator = Some(Arc::new(move || Box::new(RandomIds(Arc::clone(&entropy)))));
        }
        self
    }
}

/// Connection ids that any life of an endpoint takes for its own.
struct RandomIds(Arc<dyn Entropy>);

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&draw::<ID_BYTES>(&*self.0))
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

impl std::fmt::Debug for NetParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetParts")
            .field("socket", &self.socket)
            .field("seeded", &self.rng_seed.is_some())
            .finish_non_exhaustive()
    }
}

/// Priority of streams that carry much: behind everything else, whose least is 0.
pub const BULK_PRIORITY: i32 = -1;

/// Which end of the link an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Edge,
    Hub,
}

/// Opens the hub's endpoint.
///
/// # Errors
/// When the address cannot be bound.
///
/// # Panics
/// Outside of a tokio runtime, unless `parts` brings its own.
pub fn bind_hub(
    address: SocketAddr,
    config: ServerConfig,
    parts: &NetParts,
) -> io::Result<Endpoint> {
    bind(address, Some(config), parts)
}

/// Opens an edge's endpoint, which accepts nothing.
///
/// # Errors
/// When the address cannot be bound.
///
/// # Panics
/// Outside of a tokio runtime, unless `parts` brings its own.
pub fn bind_edge(address: SocketAddr, parts: &NetParts) -> io::Result<Endpoint> {
    bind(address, None, parts)
}

fn bind(
    address: SocketAddr,
    server: Option<ServerConfig>,
    parts: &NetParts,
) -> io::Result<Endpoint> {
    let runtime = parts.runtime.clone().unwrap_or_else(|| Arc::new(quinn::TokioRuntime));
    let socket = match &parts.socket {
        Some(socket) => Arc::clone(socket),
        None => runtime.wrap_udp_socket(std::net::UdpSocket::bind(address)?)?,
    };
    let mut config = match &parts.reset_key {
        Some(key) => EndpointConfig::new(Arc::clone(key)),
        None => EndpointConfig::default(),
    };
    config.rng_seed(parts.rng_seed);
    if let Some(generator) = parts.cid_generator.clone() {
        config.cid_generator(move || generator());
    }
    Endpoint::new_with_abstract_socket(config, server, socket, runtime)
}

/// Makes the hub's QUIC configuration.
///
/// # Errors
/// `Quic`.
pub fn hub_config(tls: rustls::ServerConfig, parts: &NetParts) -> Result<ServerConfig, TlsError> {
    let crypto = QuicServerConfig::try_from(tls).map_err(|_| TlsError::Quic)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport(End::Hub, parts)));
    config.migration(true);
    // Handshakes that wait for the acceptor, each with at most 64 KiB of early packets.
    config.max_incoming(1_024);
    config.incoming_buffer_size(64 * 1024);
    config.incoming_buffer_size_total(8 * 1024 * 1024);
    if let Some(time) = &parts.token_time {
        config.time_source(Arc::clone(time));
    }
    Ok(config)
}

/// Makes an edge's QUIC configuration.
///
/// # Errors
/// `Quic`.
pub fn edge_config(tls: rustls::ClientConfig, parts: &NetParts) -> Result<ClientConfig, TlsError> {
    let crypto = QuicClientConfig::try_from(tls).map_err(|_| TlsError::Quic)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport(End::Edge, parts)));
    // Tokens would tie a new connection to an old address.
    config.token_store(Arc::new(quinn::NoneTokenStore));
    if let Some(first) = &parts.first_cid {
        config.initial_dst_cid_provider(Arc::clone(first));
    }
    Ok(config)
}

fn transport(end: End, parts: &NetParts) -> TransportConfig {
    let mut config = TransportConfig::default();
    let (bidi, uni, keep_alive) = match end {
        End::Edge => (REQUESTS_MAX, 0, Some(Duration::from_millis(KEEP_ALIVE_MS))),
        End::Hub => (EDGE_BIDI_MAX, EDGE_UNI_MAX, None),
    };
    config.max_concurrent_bidi_streams(VarInt::from_u32(bidi));
    config.max_concurrent_uni_streams(VarInt::from_u32(uni));
    config.keep_alive_interval(keep_alive);
    config.max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))));
    config.stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES));
    config.receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES));
    config.send_window(SEND_WINDOW_BYTES);
    config.datagram_receive_buffer_size(None);
    config.mtu_discovery_config(parts.mtu_discovery.then(MtuDiscoveryConfig::default));
    config.enable_segmentation_offload(parts.segmentation_offload);
    config
}

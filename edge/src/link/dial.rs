//! From an address to a connection, and from there to a certificate.

use crate::link::{
    backend::BackendError,
    identity::{Identity, IdentityError},
};
use mamba_core::{clock::UnixMs, error::chain, ids::NodeId};
use mamba_wire::{
    frame::FrameError,
    link::enrol::{EnrolAnswer, EnrolAsk, EnrolRefused, RenewReply, RenewRequest, renewal_text},
    net::{
        SERVER_NAME,
        authority::{CertificateError, make_csr},
        endpoint::{NetParts, bind_edge, edge_config},
        frames::{FramedError, FramedReader, FramedWriter},
        keys::SecretKey,
        tls::{HubTrust, Identity as TlsIdentity, TimeSource, TlsError, client_config},
    },
};
use quinn::{ClientConfig, Connection, Endpoint, VarInt, rustls::pki_types::CertificateDer};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};
use tokio::{net::lookup_host, time::timeout};

/// Longest look-up of a name.
const RESOLVE_MS_MAX: u64 = 5_000;
/// Longest handshake with one address.
const CONNECT_MS_MAX: u64 = 10_000;
/// Longest exchange of enrolment or renewal on a connection.
const EXCHANGE_MS_MAX: u64 = 20_000;
/// Most addresses of one name that are tried in one dial.
const ADDRESSES_MAX: usize = 4;

/// Why the hub was not reached, or said no.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No address of the hub is known.
    #[error("no address of the hub is known: give one with the join token or in the settings")]
    NoAddress,
    /// The name cannot be looked up.
    #[error("name `{hub}` could not be resolved")]
    Resolve {
        /// `host:port`.
        hub: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No local socket.
    #[error("UDP socket could not be opened")]
    Bind(#[source] io::Error),
    /// The address cannot be dialled.
    #[error("`{hub}` could not be dialled")]
    Connect {
        /// `host:port`.
        hub: String,
        /// Why not.
        #[source]
        source: quinn::ConnectError,
    },
    /// No answer, or a refused handshake.
    #[error("no connection to `{hub}`{}", hint(*.at, source))]
    Handshake {
        /// `host:port`.
        hub: String,
        /// Time at which certificates were checked.
        at: UnixMs,
        /// Why not.
        #[source]
        source: quinn::ConnectionError,
    },
    /// Nothing in time.
    #[error("`{hub}` did not answer in {ms} ms")]
    TimedOut {
        /// `host:port`.
        hub: String,
        /// How long was waited.
        ms: u64,
    },
    /// The connection broke during an exchange.
    #[error("connection to the hub broke")]
    Broken(#[source] quinn::ConnectionError),
    /// A message could not be sent or read.
    #[error("exchange with the hub failed")]
    Framed(#[source] FramedError),
    /// A message has no valid form.
    #[error("message of the hub is not understood")]
    Frame(#[source] FrameError),
    /// The hub ended the exchange or answered something else.
    #[error("hub did not answer the request")]
    NoAnswer,
    /// The hub said no.
    #[error("hub refused")]
    Refused(#[source] EnrolRefused),
    /// The signing request could not be made.
    #[error("certificate signing request could not be made")]
    Request(#[source] CertificateError),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] TlsError),
    /// The identity could not be read or kept.
    #[error("identity of the node")]
    Identity(#[source] IdentityError),
    /// The store could not be asked.
    #[error("store")]
    Store(#[source] BackendError),
}

/// A wrong clock is the likeliest reason for a certificate that is out of date.
fn hint(at: UnixMs, source: &quinn::ConnectionError) -> String {
    let text = chain(source);
    if text.contains("expired") || text.contains("Expired") || text.contains("NotValidYet") {
        format!(" (certificates were checked at {at}: is this machine's clock right?)")
    } else {
        String::new()
    }
}

/// Opens the edge's socket: for both address families if the machine has both.
pub(super) fn bind(parts: &NetParts) -> Result<Endpoint, DialError> {
    let six = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    bind_edge(six, parts).or_else(|_| bind_edge(four, parts)).map_err(DialError::Bind)
}

/// Moves an endpoint to a new socket. Its connections go on from there.
pub(super) fn rebind(endpoint: &Endpoint) -> io::Result<()> {
    let six = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let socket = UdpSocket::bind(six).or_else(|_| UdpSocket::bind(four))?;
    endpoint.rebind(socket)
}

/// Makes the configuration of a session.
pub(super) fn session_config(
    identity: &Identity,
    key: &SecretKey,
    time: &TimeSource,
    parts: &NetParts,
) -> Result<ClientConfig, DialError> {
    let chain = identity.certificate_chain.iter().cloned().map(CertificateDer::from);
    let chain = chain.collect::<Vec<_>>();
    let trust = HubTrust::Ca(identity.hub_ca.clone());
    let own = TlsIdentity { chain: &chain, key };
    let tls = client_config(trust, Some(own), time).map_err(DialError::Tls)?;
    edge_config(tls, parts).map_err(DialError::Tls)
}

/// Makes the configuration of enrolment and renewal.
pub(super) fn enrol_config(
    trust: HubTrust,
    time: &TimeSource,
    parts: &NetParts,
) -> Result<ClientConfig, DialError> {
    let tls = client_config(trust, None, time).map_err(DialError::Tls)?;
    edge_config(tls, parts).map_err(DialError::Tls)
}

/// Tries every address of every hub in order. Returns the first connection with the hub's name, or
/// the last error.
pub(super) async fn connect(
    endpoint: &Endpoint,
    config: &ClientConfig,
    hubs: &[String],
    time: &TimeSource,
) -> Result<(Connection, String), DialError> {
    let mut last = DialError::NoAddress;
    for hub in hubs {
        match connect_one(endpoint, config, hub, time).await {
            Ok(connection) => return Ok((connection, hub.clone())),
            Err(err) => last = err,
        }
    }
    Err(last)
}

async fn connect_one(
    endpoint: &Endpoint,
    config: &ClientConfig,
    hub: &str,
    time: &TimeSource,
) -> Result<Connection, DialError> {
    let named = || hub.to_owned();
    let resolve = timeout(Duration::from_millis(RESOLVE_MS_MAX), lookup_host(hub)).await;
    let addresses = match resolve {
        Ok(Ok(addresses)) => addresses.take(ADDRESSES_MAX).collect::<Vec<_>>(),
        Ok(Err(source)) => return Err(DialError::Resolve { hub: named(), source }),
        Err(_) => return Err(DialError::TimedOut { hub: named(), ms: RESOLVE_MS_MAX }),
    };
    let mut last = DialError::NoAddress;
    for address in addresses {
        let connecting = match endpoint.connect_with(config.clone(), address, SERVER_NAME) {
            Ok(connecting) => connecting,
            Err(source) => {
                last = DialError::Connect { hub: named(), source };
                continue;
            }
        };
        last = match timeout(Duration::from_millis(CONNECT_MS_MAX), connecting).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(source)) => DialError::Handshake { hub: named(), at: time(), source },
            Err(_) => DialError::TimedOut { hub: named(), ms: CONNECT_MS_MAX },
        };
    }
    Err(last)
}

/// Sends the first question of an exchange and follows it to its end.
pub(super) async fn enrol(
    connection: &Connection,
    ask: EnrolAsk,
) -> Result<EnrolAnswer, DialError> {
    exchange(connection, async |asker| asker.ask(&ask).await).await
}

/// Gets a new certificate for a node that has its key and perhaps nothing else that is valid.
pub(super) async fn renew(
    connection: &Connection,
    node: NodeId,
    key: &SecretKey,
) -> Result<RenewReply, DialError> {
    let csr = make_csr(key).map_err(DialError::Request)?;
    let answer = exchange(connection, async |asker| {
        let nonce = match asker.ask(&EnrolAsk::RenewStart(node)).await? {
            EnrolAnswer::Nonce(nonce) => nonce,
            EnrolAnswer::Refused(refused) => return Err(DialError::Refused(refused)),
            EnrolAnswer::Enrolled(_) | EnrolAnswer::Renewed(_) => return Err(DialError::NoAnswer),
        };
        let signature = key.sign(&renewal_text(node, &nonce, &csr));
        asker.ask(&EnrolAsk::Renew(RenewRequest { node, csr: csr.clone(), signature })).await
    });
    match answer.await? {
        EnrolAnswer::Renewed(reply) => Ok(reply),
        EnrolAnswer::Refused(refused) => Err(DialError::Refused(refused)),
        EnrolAnswer::Enrolled(_) | EnrolAnswer::Nonce(_) => Err(DialError::NoAnswer),
    }
}

struct Asker {
    reader: FramedReader<quinn::RecvStream>,
    writer: FramedWriter<quinn::SendStream>,
}

impl Asker {
    async fn ask(&mut self, ask: &EnrolAsk) -> Result<EnrolAnswer, DialError> {
        let frame = ask.to_frame().map_err(DialError::Frame)?;
        self.writer.send(&frame).await.map_err(DialError::Framed)?;
        let frame = self.reader.next().await.map_err(DialError::Framed)?;
        EnrolAnswer::from_frame(&frame.ok_or(DialError::NoAnswer)?).map_err(DialError::Frame)
    }
}

/// Runs an exchange on a stream of its own, with a time limit, and closes the connection.
async fn exchange(
    connection: &Connection,
    run: impl AsyncFnOnce(&mut Asker) -> Result<EnrolAnswer, DialError>,
) -> Result<EnrolAnswer, DialError> {
    let whole = async {
        let (send, receive) = connection.open_bi().await.map_err(DialError::Broken)?;
        let (reader, writer) = (FramedReader::new(receive), FramedWriter::new(send));
        run(&mut Asker { reader, writer }).await
    };
    let hub = connection.remote_address().to_string();
    let answer = timeout(Duration::from_millis(EXCHANGE_MS_MAX), whole).await;
    connection.close(VarInt::from_u32(0), b"done");
    answer.unwrap_or(Err(DialError::TimedOut { hub, ms: EXCHANGE_MS_MAX }))
}

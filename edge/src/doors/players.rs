//! Asks games how many people play, while somebody looks, and keeps the last answer for a while.
//!
//! The game is a program of the server's owner: it has little time, says little, and is believed in nothing
//! (`mamba_core::players`). It is asked where its players connect, and nowhere that it could choose.

use mamba_core::{
    clock::{BootMs, Entropy, UnixMs, draw},
    error::chain,
    ids::ServerId,
    players::{Asking, DATAGRAM_BYTES_MAX, Next, Players, Query, Transport, Unreadable},
    server::{PortBinding, PortProtocol},
};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    sync::Semaphore,
    time::timeout,
};

/// Time between two askings of one game, however many look: some games note each of them in their log.
const ASK_MS: u64 = 30_000;
/// Time that a game has for all of its answer. It runs on this machine.
const ANSWER_MS_MAX: u64 = 1_000;
/// How long an answer counts: until the next one is surely there.
const KNOWN_MS: u64 = ASK_MS + 10_000;
/// Games that are asked at once; one more keeps its turn. It bounds sockets and memory.
const AT_ONCE_MAX: usize = 16;
/// Bytes that are read at once.
const PART_BYTES: usize = 4_096;

const _: () = assert!(ANSWER_MS_MAX * 4 < KNOWN_MS - ASK_MS);

/// What is known of one game.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// When it was asked last.
    asked: BootMs,
    /// What it said then, and when.
    told: Option<(UnixMs, Players)>,
}

/// Why a game said nothing.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error("game does not answer")]
    Away(#[source] io::Error),
    #[error("game did not answer in {ANSWER_MS_MAX} ms")]
    Slow,
    #[error("game ended its answer early")]
    Ended,
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// Games that are asked.
pub struct Games {
    entropy: Arc<dyn Entropy>,
    heard: Mutex<BTreeMap<ServerId, Heard>>,
    asking: Semaphore,
}

impl Games {
    /// Nothing is known of any.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, heard: Mutex::default(), asking: Semaphore::new(AT_ONCE_MAX) }
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<ServerId, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a game should be asked now. Whoever is told so asks it.
    pub(super) fn takes_turn(&self, server: ServerId, now: BootMs) -> bool {
        let mut heard = self.heard();
        let age = |it: &Heard| now.0.saturating_sub(it.asked.0);
        if heard.get(&server).is_some_and(|it| age(it) < ASK_MS)
            || self.asking.available_permits() == 0
        {
            return false;
        }
        // Those at which nobody looks any more are forgotten, so that no more are kept than run here.
        heard.retain(|_, it| age(it) < KNOWN_MS);
        let told = heard.get(&server).and_then(|it| it.told);
        heard.insert(server, Heard { asked: now, told });
        true
    }

    /// Returns who plays, if the game said so lately and since it came up.
    pub(super) fn known(&self, server: ServerId, up_since: UnixMs, now: UnixMs) -> Option<Players> {
        let (at, players) = self.heard().get(&server)?.told?;
        (at >= up_since && now.since(at) <= KNOWN_MS).then_some(players)
    }

    /// Asks a game and keeps its answer; without one nothing is known. Cancelled, what was known stays
    /// until it is too old.
    pub(super) async fn ask(&self, server: ServerId, query: Query, place: SocketAddr, now: UnixMs) {
        let Ok(_permit) = self.asking.acquire().await else { return };
        let told = match players(query, place, draw(&*self.entropy)).await {
            Ok(players) => Some((now, players)),
            Err(err) => {
                tracing::debug!(%server, %place, error = chain(&err), "players are not known");
                None
            }
        };
        if let Some(heard) = self.heard().get_mut(&server) {
            heard.told = told;
        }
    }
}

/// Returns where a game is asked: its primary port, as it is published on this machine. `None` when it
/// publishes none that the query goes over.
pub(super) fn place(query: Query, primary: Option<&PortBinding>) -> Option<SocketAddr> {
    let PortBinding { ip, port, protocol } = *primary?;
    let fits = match query.transport() {
        Transport::Tcp => protocol != PortProtocol::Udp,
        Transport::Udp => protocol != PortProtocol::Tcp,
    };
    let ip = match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    fits.then_some(SocketAddr::new(ip, port))
}

async fn players(query: Query, place: SocketAddr, nonce: [u8; 4]) -> Result<Players, Silence> {
    let (asking, first) = Asking::begin(query, place.port(), nonce);
    let wait = Duration::from_millis(ANSWER_MS_MAX);
    let talk = async {
        match query.transport() {
            Transport::Tcp => over_tcp(asking, &first, place).await,
            Transport::Udp => over_udp(asking, &first, place).await,
        }
    };
    timeout(wait, talk).await.map_err(|_| Silence::Slow)?
}

async fn over_tcp(mut asking: Asking, first: &[u8], place: SocketAddr) -> Result<Players, Silence> {
    let mut stream = TcpStream::connect(place).await.map_err(Silence::Away)?;
    stream.write_all(first).await.map_err(Silence::Away)?;
    let (mut answer, mut part) = (Vec::new(), [0; PART_BYTES]);
    loop {
        let count = stream.read(&mut part).await.map_err(Silence::Away)?;
        if count == 0 {
            return Err(Silence::Ended);
        }
        answer.extend_from_slice(&part[..count]);
        match asking.read(&answer)? {
            Next::Told(players) => return Ok(players),
            Next::Send(next) => stream.write_all(&next).await.map_err(Silence::Away)?,
            Next::More => {}
        }
    }
}

async fn over_udp(mut asking: Asking, first: &[u8], place: SocketAddr) -> Result<Players, Silence> {
    let own: IpAddr = match place {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((own, 0)).await.map_err(Silence::Away)?;
    // From now on only the game's own datagrams come in.
    socket.connect(place).await.map_err(Silence::Away)?;
    socket.send(first).await.map_err(Silence::Away)?;
    // One byte more than is believed shows that there was more.
    let mut datagram = [0; DATAGRAM_BYTES_MAX + 1];
    loop {
        let count = socket.recv(&mut datagram).await.map_err(Silence::Away)?;
        match asking.read(&datagram[..count])? {
            Next::Told(players) => return Ok(players),
            Next::Send(next) => {
                socket.send(&next).await.map_err(Silence::Away)?;
            }
            Next::More => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::clock::SystemEntropy;
    use tokio::net::TcpListener;

    const SERVER: ServerId = ServerId::from_bytes([1; 16]);
    const NOW: UnixMs = UnixMs(50_000);
    const SOURCE: &[u8] = b"\xff\xff\xff\xffI\x11\0\0\0\0\x00\x00\x03\x10\x01";

    fn games() -> Games {
        Games::new(Arc::new(SystemEntropy))
    }

    fn binding(ip: &str, protocol: PortProtocol) -> PortBinding {
        PortBinding { ip: ip.parse().unwrap(), port: 7, protocol }
    }

    #[test]
    fn a_game_is_asked_where_its_players_connect() {
        for (query, ip, protocol, expected) in [
            (Query::Source, "0.0.0.0", PortProtocol::Both, Some("127.0.0.1:7")),
            (Query::Source, "192.0.2.1", PortProtocol::Udp, Some("192.0.2.1:7")),
            (Query::Source, "::", PortProtocol::Udp, Some("[::1]:7")),
            (Query::Source, "0.0.0.0", PortProtocol::Tcp, None),
            (Query::Minecraft, "0.0.0.0", PortProtocol::Tcp, Some("127.0.0.1:7")),
            (Query::Minecraft, "0.0.0.0", PortProtocol::Udp, None),
        ] {
            let found = place(query, Some(&binding(ip, protocol)));
            assert_eq!(
                found,
                expected.map(|it| it.parse().unwrap()),
                "{query:?} {ip} {protocol:?}"
            );
        }
        assert_eq!(place(Query::Source, None), None);
    }

    #[test]
    fn one_game_is_asked_once_in_half_a_minute() {
        let games = games();
        let asked = |now| games.takes_turn(SERVER, BootMs(now));
        assert_eq!(
            [0, 10, 29_999, 30_000, 30_001, 100_000].map(asked),
            [true, false, false, true, false, true]
        );
        assert!(games.takes_turn(ServerId::from_bytes([2; 16]), BootMs(100_000)), "another");
        assert!(games.takes_turn(ServerId::from_bytes([2; 16]), BootMs(200_000)));
        assert_eq!(games.heard().len(), 1, "what nobody looks at is forgotten");
    }

    /// A game over UDP that gives one answer for ever.
    async fn game(
        answer: &'static [u8],
    ) -> (SocketAddr, tokio::task::AbortHandle, tokio::task::JoinSet<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let place = socket.local_addr().unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        let task = tasks.spawn(async move {
            let mut asked = [0; 2_048];
            while let Ok((_, from)) = socket.recv_from(&mut asked).await {
                socket.send_to(answer, from).await.ok();
            }
        });
        (place, task, tasks)
    }

    #[tokio::test]
    async fn an_answer_counts_until_it_is_old_or_the_game_came_up_anew() {
        let games = games();
        let (place, _task, _tasks) = game(SOURCE).await;
        assert!(games.takes_turn(SERVER, BootMs(0)));
        games.ask(SERVER, Query::Source, place, NOW).await;
        let known = |up_since, now| games.known(SERVER, UnixMs(up_since), UnixMs(now));
        let told = Some(Players { now: 2, max: 16 });
        assert_eq!([known(1, 50_000), known(50_000, 50_000), known(1, 90_000)], [told; 3]);
        assert_eq!([known(50_001, 50_002), known(1, 90_001)], [None; 2]);
        // A game that says something else is not known any more.
        let (place, _task, _tasks) = game(b"\xff\xff\xff\xffI\x11").await;
        games.ask(SERVER, Query::Source, place, NOW).await;
        assert_eq!(games.known(SERVER, UnixMs(1), NOW), None);
    }

    #[tokio::test]
    async fn a_game_that_asks_back_for_ever_is_left() {
        let (place, _task, _tasks) = game(b"\xff\xff\xff\xffA\x01\x02\x03\x04").await;
        let told = players(Query::Source, place, [0; 4]).await;
        assert!(matches!(told, Err(Silence::Unreadable(_))), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_game_that_says_nothing_is_left_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        let told = players(Query::Minecraft, place, [0; 4]).await;
        assert!(matches!(told, Err(Silence::Slow)), "{told:?}");
    }

    #[tokio::test]
    async fn a_game_that_talks_for_ever_over_a_connection_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // A packet of 127 KiB, of which more comes than was told, and never what was asked for.
            let mut said = vec![0x80, 0xf8, 0x07];
            said.resize(1 << 20, 0xff);
            stream.write_all(&said).await.ok();
            std::future::pending::<()>().await;
        });
        let told = players(Query::Minecraft, place, [0; 4]).await;
        assert!(matches!(told, Err(Silence::Unreadable(_))), "{told:?}");
    }
}

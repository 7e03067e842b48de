//! A bad line: a UDP proxy with a rate, a delay and losses that are drawn from a seed, the same in both
//! directions. Kernels without `netem` cannot do this to an interface.

use crate::Outcome;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Bytes of one IPv4 and one UDP header.
const HEADERS_BYTES: u64 = 28;
/// Longest time that a packet waits for the line to be free; routers of homes keep about as much.
const QUEUE_MAX: Duration = Duration::from_millis(300);
/// Packets in the queue of one direction, whatever their size.
const PACKETS_MAX: usize = 4_096;

/// What is wrong with the line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Bits per second in each direction; `None` without a limit.
    pub(crate) rate_bits: Option<u64>,
    /// Packets lost of a hundred.
    pub(crate) loss_percent: u64,
    /// Time in each direction.
    pub(crate) delay: Duration,
}

impl Faults {
    /// A good line.
    pub(crate) const NONE: Self = Self { rate_bits: None, loss_percent: 0, delay: Duration::ZERO };
    /// 1 Mbit/s with 5 % loss and a round trip of 80 ms.
    pub(crate) const BAD: Self =
        Self { rate_bits: Some(1_000_000), loss_percent: 5, delay: Duration::from_millis(40) };
}

/// What both directions share.
struct Line {
    faults: Mutex<Faults>,
    /// Bytes sent into the line, headers included; also of packets that it loses.
    bytes: AtomicU64,
}

/// The way of one direction.
struct Way {
    line: Arc<Line>,
    random: u64,
    free_at: Instant,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
}

impl Way {
    /// Starts the way to a peer.
    fn to(
        tasks: &mut JoinSet<()>,
        line: &Arc<Line>,
        seed: u64,
        socket: Arc<UdpSocket>,
        peer: SocketAddr,
    ) -> Self {
        let (queue, mut packets) = mpsc::channel::<(Instant, Vec<u8>)>(PACKETS_MAX);
        tasks.spawn(async move {
            while let Some((at, packet)) = packets.recv().await {
                sleep_until(at).await;
                // A peer that is away loses it, as on any line.
                socket.send_to(&packet, peer).await.ok();
            }
        });
        Self { line: Arc::clone(line), random: seed, free_at: Instant::now(), queue }
    }

    /// Takes a packet: it arrives later, or never.
    fn carry(&mut self, packet: &[u8]) {
        let bytes = packet.len() as u64 + HEADERS_BYTES;
        self.line.bytes.fetch_add(bytes, Ordering::Relaxed);
        let faults = *self.line.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, is_lost) = (Instant::now(), self.draw() % 100 < faults.loss_percent);
        let from = self.free_at.max(now);
        if is_lost || from - now > QUEUE_MAX {
            return;
        }
        let micros = faults.rate_bits.map_or(0, |rate| bytes * 8_000_000 / rate);
        self.free_at = from + Duration::from_micros(micros);
        self.queue.try_send((self.free_at + faults.delay, packet.to_vec())).ok();
    }

    /// Pure: the next number of splitmix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The proxy; it ends when it is dropped.
pub(crate) struct Proxy {
    /// Where edges connect to.
    pub(crate) at: SocketAddr,
    line: Arc<Line>,
    socket: Arc<UdpSocket>,
    tasks: JoinSet<()>,
}

impl Proxy {
    /// Takes a port of the loopback. Nothing is carried yet.
    pub(crate) async fn bind() -> Outcome<Self> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let faults = Mutex::new(Faults::NONE);
        let line = Arc::new(Line { faults, bytes: AtomicU64::new(0) });
        Ok(Self { at: socket.local_addr()?, line, socket, tasks: JoinSet::new() })
    }

    /// Begins to carry packets to and from a hub.
    pub(crate) fn carry_to(&mut self, hub: SocketAddr, seed: u64) {
        let (line, socket) = (Arc::clone(&self.line), Arc::clone(&self.socket));
        self.tasks.spawn(async move {
            // Without a socket nothing is carried, and the bench says that nobody connects.
            serve(line, socket, hub, seed).await.ok();
        });
    }

    /// Changes the line from now on.
    pub(crate) fn set(&self, faults: Faults) {
        *self.line.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Bytes in both directions so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.line.bytes.load(Ordering::Relaxed)
    }
}

async fn serve(line: Arc<Line>, socket: Arc<UdpSocket>, hub: SocketAddr, seed: u64) -> Outcome {
    let mut tasks = JoinSet::new();
    let mut ways: BTreeMap<SocketAddr, Way> = BTreeMap::new();
    let mut buffer = vec![0; 65_536];
    loop {
        // An answer of the system about a peer that is away is none of ours.
        let Ok((bytes, edge)) = socket.recv_from(&mut buffer).await else { continue };
        if !ways.contains_key(&edge) {
            let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
            let number = ways.len() as u64;
            let up = Way::to(&mut tasks, &line, seed + 2 * number, Arc::clone(&back), hub);
            let seed = seed + 2 * number + 1;
            let mut down = Way::to(&mut tasks, &line, seed, Arc::clone(&socket), edge);
            tasks.spawn(async move {
                let mut buffer = vec![0; 65_536];
                loop {
                    let Ok((bytes, _)) = back.recv_from(&mut buffer).await else { continue };
                    down.carry(&buffer[..bytes]);
                }
            });
            ways.insert(edge, up);
        }
        if let Some(way) = ways.get_mut(&edge) {
            way.carry(&buffer[..bytes]);
        }
    }
}

//! A network in memory for quinn: loses, delays, reorders and doubles packets by a seed.
//!
//! Edges sit behind a NAT each, the hub has a public address. A packet is judged when it is sent and
//! waits in one ordered map until it is due, so that its order depends on nothing but the seed.

use super::chance::{Rng, Trace};
use mamba_wire::net::endpoint::NetParts;
use quinn::{
    AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};
use tokio::{sync::Notify, time::Instant};

pub(super) const HUB: &str = "10.0.0.1:7443";

/// One end of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Hub,
    Edge(usize),
}

/// How good an edge's line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) loss_permille: u64,
    pub(super) double_permille: u64,
    pub(super) delay_ms: u64,
    /// Added at random: packets overtake each other.
    pub(super) jitter_ms: u64,
    pub(super) up_cut: bool,
    pub(super) down_cut: bool,
}

impl Line {
    pub(super) const GOOD: Self = Self {
        loss_permille: 0,
        double_permille: 0,
        delay_ms: 10,
        jitter_ms: 0,
        up_cut: false,
        down_cut: false,
    };
}

pub(super) struct Net {
    state: Mutex<State>,
    sent: Notify,
    trace: Arc<Trace>,
}

struct State {
    rng: Rng,
    waiting: BTreeMap<(Instant, u64), (End, SocketAddr, Vec<u8>)>,
    count: u64,
    lines: Vec<Line>,
    /// Addresses that the hub sees edges at.
    outside: Vec<SocketAddr>,
    /// Sockets that are plugged in.
    sockets: BTreeMap<End, (u64, Inbox)>,
    cids: u64,
    /// Of all packets that were sent, without their UDP and IP headers.
    bytes: u64,
}

#[derive(Default)]
struct Inbox {
    packets: VecDeque<(SocketAddr, Vec<u8>)>,
    waker: Option<Waker>,
}

impl Net {
    /// A network with a line for each edge, and for its clone.
    pub(super) fn new(rng: Rng, edges: usize, trace: Arc<Trace>) -> Arc<Self> {
        let edges = 2 * edges;
        let outside = (0..edges).map(|edge| outside(edge, 1)).collect();
        let state = State {
            rng,
            waiting: BTreeMap::new(),
            count: 0,
            lines: vec![Line::GOOD; edges],
            outside,
            sockets: BTreeMap::new(),
            cids: 0,
            bytes: 0,
        };
        Arc::new(Self { state: Mutex::new(state), sent: Notify::new(), trace })
    }

    /// Delivers packets for ever.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let next = self.state().waiting.first_key_value().map(|((at, _), _)| *at);
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = due => self.deliver(),
                () = self.sent.notified() => {}
            }
        }
    }

    fn deliver(&self) {
        let now = Instant::now();
        let mut state = self.state();
        while let Some(next) = state.waiting.first_entry().filter(|next| next.key().0 <= now) {
            let (to, from, bytes) = next.remove();
            let Some((_, inbox)) = state.sockets.get_mut(&to) else { continue };
            self.trace.packet(&format!("{to:?}"), bytes.len());
            inbox.packets.push_back((from, bytes));
            if let Some(waker) = inbox.waker.take() {
                waker.wake();
            }
        }
    }

    /// Returns the bytes that all ends sent so far.
    pub(super) fn bytes(&self) -> u64 {
        self.state().bytes
    }

    pub(super) fn set_line(&self, edge: usize, line: Line) {
        self.state().lines[edge] = line;
    }

    /// The edge's router gives it another address; what was on its way to the old one is lost.
    pub(super) fn rebind(&self, edge: usize) {
        let mut state = self.state();
        let port = state.outside[edge].port();
        state.outside[edge] = outside(edge, port + 1);
    }

    /// Pulls the plug: what the old socket still sends goes nowhere.
    pub(super) fn unplug(&self, end: End) {
        self.state().sockets.remove(&end);
    }

    /// Plugs a new socket in and returns what an endpoint is made with.
    pub(super) fn plug(self: &Arc<Self>, end: End) -> NetParts {
        let mut state = self.state();
        state.count += 1;
        let number = state.count;
        state.sockets.insert(end, (number, Inbox::default()));
        let seed = state.rng.bytes();
        let key = state.rng.bytes::<32>();
        drop(state);
        let (net, first_net) = (Arc::clone(self), Arc::clone(self));
        NetParts {
            socket: Some(Arc::new(Socket { net: Arc::clone(self), end, number })),
            runtime: Some(Arc::new(quinn::TokioRuntime)),
            rng_seed: Some(seed),
            reset_key: Some(Arc::new(aws_lc_rs::hmac::Key::new(
                aws_lc_rs::hmac::HMAC_SHA256,
                &key,
            ))),
            cid_generator: Some(Arc::new(move || Box::new(Cids(Arc::clone(&net))))),
            first_cid: Some(Arc::new(move || first_net.cid())),
            token_time: Some(Arc::new(Fixed)),
            mtu_discovery: false,
            segmentation_offload: false,
        }
    }

    fn cid(&self) -> ConnectionId {
        let mut state = self.state();
        state.cids += 1;
        let number = state.cids.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ConnectionId::new(&number.to_be_bytes())
    }

    fn send(&self, from: End, number: u64, to: SocketAddr, bytes: &[u8]) {
        let mut state = self.state();
        if state.sockets.get(&from).is_none_or(|(plugged, _)| *plugged != number) {
            return;
        }
        let (edge, to, from) = match from {
            End::Edge(edge) if to == hub_address() => (edge, End::Hub, state.outside[edge]),
            End::Edge(_) => return,
            End::Hub => {
                let Some(edge) = state.outside.iter().position(|it| *it == to) else { return };
                (edge, End::Edge(edge), hub_address())
            }
        };
        let line = state.lines[edge];
        state.bytes += bytes.len() as u64;
        let cut = if to == End::Hub { line.up_cut } else { line.down_cut };
        let copies = 1 + u64::from(state.rng.happens(line.double_permille));
        for _ in 0..copies {
            let is_lost = state.rng.happens(line.loss_permille);
            let delay_ms = line.delay_ms + state.rng.within(0..=line.jitter_ms);
            if cut || is_lost {
                continue;
            }
            state.count += 1;
            let key = (Instant::now() + Duration::from_millis(delay_ms), state.count);
            state.waiting.insert(key, (to, from, bytes.to_vec()));
        }
        drop(state);
        self.sent.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

pub(super) fn hub_address() -> SocketAddr {
    HUB.parse().unwrap()
}

fn outside(edge: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, u8::try_from(edge).unwrap() + 1], 10_000 + port % 10_000))
}

struct Socket {
    net: Arc<Net>,
    end: End,
    number: u64,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket({:?})", self.end)
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.net.send(self.end, self.number, transmit.destination, transmit.contents);
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.state();
        let inbox = match state.sockets.get_mut(&self.end) {
            Some((number, inbox)) if *number == self.number => inbox,
            // Pulled out: nothing comes any more.
            Some(_) | None => return Poll::Pending,
        };
        let Some((from, bytes)) = inbox.packets.pop_front() else {
            inbox.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        buffers[0][..bytes.len()].copy_from_slice(&bytes);
        meta[0] = RecvMeta::default();
        (meta[0].addr, meta[0].len, meta[0].stride) = (from, bytes.len(), bytes.len());
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(match self.end {
            End::Hub => hub_address(),
            End::Edge(edge) => SocketAddr::from(([192, 168, 0, u8::try_from(edge).unwrap()], 1)),
        })
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

struct Cids(Arc<Net>);

impl ConnectionIdGenerator for Cids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.0.cid()
    }
    fn cid_len(&self) -> usize {
        8
    }
    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

struct Fixed;

impl quinn::TimeSource for Fixed {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }
}

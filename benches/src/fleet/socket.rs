//! A node's UDP socket: on an address of its own, counted, and deaf when it is told to be.

use crate::Outcome;
use mamba_wire::net::endpoint::NetParts;
use quinn::{
    AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use std::{
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

/// Bytes of one IPv4 and one UDP header.
const HEADERS_BYTES: u64 = 28;

/// What is counted over all sockets, and what is done to half of them.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Bytes in both directions, headers included.
    bytes: AtomicU64,
    /// Whether sockets of odd numbers lose everything.
    pub(super) half_is_black: AtomicBool,
}

impl Wire {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize, packets: usize) {
        let bytes = bytes as u64 + packets as u64 * HEADERS_BYTES;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Makes the network of a node with this number, on 127.1.0.0 and up: enrolment and handshakes are
/// limited per address, and nodes have addresses of their own.
pub(super) fn plug(wire: &Arc<Wire>, number: u32) -> Outcome<NetParts> {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number);
    let socket = UdpSocket::bind(SocketAddr::from((address, 0)))?;
    let inner = TokioRuntime.wrap_udp_socket(socket)?;
    let socket = Counted { inner, wire: Arc::clone(wire), is_odd: number % 2 == 1 };
    Ok(NetParts { socket: Some(Arc::new(socket)), ..NetParts::default() })
}

#[derive(Debug)]
struct Counted {
    inner: Arc<dyn AsyncUdpSocket>,
    wire: Arc<Wire>,
    is_odd: bool,
}

impl Counted {
    fn is_black(&self) -> bool {
        self.is_odd && self.wire.half_is_black.load(Ordering::Relaxed)
    }
}

impl AsyncUdpSocket for Counted {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.is_black() {
            return Ok(());
        }
        self.inner.try_send(transmit)?;
        let bytes = transmit.contents.len();
        self.wire.count(bytes, transmit.segment_size.map_or(1, |size| bytes.div_ceil(size)));
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let received = match self.inner.poll_recv(context, buffers, meta) {
                Poll::Ready(Ok(received)) => received,
                other => return other,
            };
            if !self.is_black() {
                for meta in &meta[..received] {
                    self.wire.count(meta.len, meta.len.div_ceil(meta.stride.max(1)));
                }
                return Poll::Ready(Ok(received));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

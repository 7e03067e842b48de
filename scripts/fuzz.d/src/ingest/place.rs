//! A hub with two nodes and servers on both, made once, copied for each input.

use mamba_core::{
    clock::{BootId, BootMs, Clock, Entropy, HOUR_MS, UnixMs},
    db::{
        Store, StoreOptions,
        sim::{SimDisk, Survives},
    },
    ids::{InstanceId, NodeId, ServerId, TenantId, UserId},
    scope::{AdminScope, NodeScope, TenantScope},
    server::{Limits, PortProtocol},
    units::{Mib, Millicores},
};
use mamba_hub::{
    Hub, HubParts,
    control::{AllocationWords, NewServer},
    link::backend::Enrolment,
    nodes::NewToken,
    secrets::Vault,
};
use mamba_wire::{
    link::{
        enrol::{Machine, PublicKey},
        token::JoinToken,
        v1::{Hello, NodeState, StateReport, StreamHello, StreamWelcome},
    },
    net::authority::HubSecrets,
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// When the servers were made: the start of a UTC hour.
pub(super) const START: UnixMs = UnixMs(498_713 * HOUR_MS);
/// When each input begins: some of what nodes can tell of lies in the future then.
const BEGIN: UnixMs = UnixMs(START.0 + 6 * HOUR_MS);
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A clock that is set by hand.
#[derive(Debug)]
pub(super) struct Hand(AtomicU64);

impl Hand {
    pub(super) fn at(&self) -> UnixMs {
        UnixMs(self.0.load(Relaxed))
    }

    pub(super) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Relaxed);
    }

    pub(super) fn back(&self, ms: u64) {
        self.0.fetch_sub(ms, Relaxed);
    }
}

impl Clock for Hand {
    fn wall(&self) -> UnixMs {
        self.at()
    }
    fn boot(&self) -> BootMs {
        BootMs(self.at().0)
    }
    fn boot_id(&self) -> BootId {
        BootId([1; 16])
    }
}

/// Counts instead of drawing: each input gives the same every time.
#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        let count = self.0.fetch_add(1, Relaxed).to_be_bytes();
        for (index, byte) in bytes.iter_mut().rev().enumerate() {
            *byte = count[7 - index % 8];
        }
    }
}

/// The hub, and the node that talks to it.
pub(super) struct Place {
    pub(super) hub: Hub,
    pub(super) clock: Arc<Hand>,
    pub(super) node: NodeId,
    pub(super) scope: NodeScope,
    /// Two of the node's servers, one of another node, and one that never was.
    pub(super) servers: [(TenantId, ServerId); 4],
    disk: SimDisk,
    entropy: Arc<Counted>,
}

/// What every input begins with.
struct Base {
    disk: SimDisk,
    node: NodeId,
    servers: [(TenantId, ServerId); 4],
    drawn: u64,
}

impl Place {
    pub(super) async fn open() -> Self {
        static BASE: OnceLock<Base> = OnceLock::new();
        if BASE.get().is_none() {
            // Another thread may be faster: both have made the same.
            BASE.set(Base::make().await).ok();
        }
        let Base { disk, node, servers, drawn } = BASE.get().unwrap();
        let disk = disk.crash_with(Survives::Synced);
        let clock = Arc::new(Hand(AtomicU64::new(BEGIN.0)));
        let entropy = Arc::new(Counted(AtomicU64::new(*drawn)));
        let hub = open(&disk, &clock, &entropy).await;
        let (node, servers, scope) = (*node, *servers, NodeScope::granted(*node));
        Self { hub, clock, node, scope, servers, disk, entropy }
    }

    /// The hub crashes and comes back with what its disk kept.
    pub(super) async fn restart(&mut self, seed: u8) {
        let survives = match seed % 3 {
            0 => Survives::Synced,
            1 => Survives::Written,
            _ => Survives::Torn(seed.into()),
        };
        self.disk = self.disk.crash_with(survives);
        self.hub = open(&self.disk, &self.clock, &self.entropy).await;
    }

    pub(super) async fn greet(&self, stream: StreamHello) -> StreamWelcome {
        let hello = hello(self.node, vec![stream]);
        self.hub.hello(&self.scope, hello, PEER).await.unwrap().remove(0)
    }
}

impl Base {
    async fn make() -> Self {
        let disk = SimDisk::new(0);
        let clock = Arc::new(Hand(AtomicU64::new(START.0)));
        let entropy = Arc::new(Counted::default());
        let hub = open(&disk, &clock, &entropy).await;
        let (node, other) = (enrol(&hub, "a", 1).await, enrol(&hub, "b", 2).await);
        let unknown = (TenantId::from_bytes([1; 16]), ServerId::from_bytes([7; 16]));
        let mut servers = [unknown; 4];
        for (place, (tenant, node)) in servers.iter_mut().zip([(1, node), (2, node), (1, other)]) {
            let tenant = TenantId::from_bytes([tenant; 16]);
            let scope = TenantScope::granted(tenant, UserId::from_bytes([1; 16]));
            let made = hub.create_server(&scope, new_server(node)).await.unwrap();
            *place = (tenant, made.server);
        }
        let drawn = entropy.0.load(Relaxed);
        Self { disk: disk.crash_with(Survives::Synced), node, servers, drawn }
    }
}

async fn open(disk: &SimDisk, clock: &Arc<Hand>, entropy: &Arc<Counted>) -> Hub {
    let store = Store::inline(disk.clone(), StoreOptions::EDGE).unwrap();
    let keys = HubSecrets::create(START, &Counted::default()).unwrap().open().unwrap();
    let vault = Vault::in_memory([7; 32]);
    let parts = HubParts { store, keys, vault, clock: clock.clone(), entropy: entropy.clone() };
    Hub::open(parts).await.unwrap()
}

/// Makes a node that is there, and has room and ports.
async fn enrol(hub: &Hub, name: &str, key: u8) -> NodeId {
    let admin = AdminScope::operator("fuzz".to_owned());
    let new = NewToken { name: name.to_owned(), ..NewToken::default() };
    let made = hub.create_join_token(&admin, new).await.unwrap();
    let token: JoinToken = made.token.parse().unwrap();
    let enrolment = Enrolment {
        secret: token.secret.hash(),
        key: PublicKey([key; 32]),
        name_hint: name.to_owned(),
        machine: Machine::default(),
        peer: PEER,
    };
    let node = hub.enrol(enrolment).await.unwrap();
    let scope = NodeScope::granted(node);
    hub.hello(&scope, hello(node, vec![]), PEER).await.unwrap();
    let state = NodeState {
        cpus: 4,
        memory_bytes: 64 << 30,
        disk_bytes: 1 << 40,
        disk_free_bytes: 1 << 39,
        engine: Some("docker".to_owned()),
        troubles: vec![],
        outbox: vec![],
    };
    let report = StateReport { complete: true, servers: vec![], node: state };
    hub.note_state(&scope, report).await.unwrap();
    let (any, ports) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 30_000..=30_009);
    let words = AllocationWords::default();
    hub.create_allocations(&admin, node, any, ports, PortProtocol::Both, words).await.unwrap();
    node
}

fn hello(node: NodeId, streams: Vec<StreamHello>) -> Hello {
    Hello {
        node,
        instance: InstanceId::from_bytes([1; 16]),
        minors: (0, 0),
        software: "fuzz".to_owned(),
        streams,
        desired: vec![],
        now: START,
    }
}

fn new_server(node: NodeId) -> NewServer {
    let limits = Limits {
        memory_mib: Mib(256),
        swap_mib: Mib(0),
        cpu_millicores: Millicores(500),
        disk_mib: Mib(512),
        pids: 64,
        sharing: mamba_core::server::Sharing::USUAL,
    };
    let new = NewServer::new("world".to_owned(), "teeworlds".to_owned(), limits);
    NewServer { node: Some(node), ..new }
}

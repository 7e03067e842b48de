//! A hub for tests: on a simulated disk, with a clock that is set by hand and counted "randomness".
//!
//! Every change runs twice, as a conflict on a distributed store would make it, so that each test
//! also shows that changes may.

use crate::{
    Hub, HubError, HubParts, control::NewServer, identity::insert_root, link::backend::Enrolment,
    nodes::NewToken, secrets::Vault, store::stream_number,
};
use mamba_core::{
    access::ServerKeys,
    clock::{BootId, BootMs, Clock, Entropy, UnixMs},
    db::{Store, StoreOptions, sim::SimDisk},
    fact::{Activity, ActivityFact, Chain, Stream},
    ids::{EventId, InstanceId, NodeId, ServerId, TenantId, UserId},
    lifecycle::{Actor, Observed, PowerWish, ServerState},
    scope::{AdminScope, NodeScope, TenantScope},
    seq::{Epoch, Seq},
    server::{Limits, PortProtocol},
    units::{Mib, Millicores},
};
use mamba_wire::{
    api::{PageQuery, allocation::AllocationQuery},
    link::{
        enrol::{Machine, PublicKey},
        token::JoinToken,
        v1::{Facts, Hello, NodeState, StateReport, StreamHello},
    },
    net::authority::HubSecrets,
};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Start of every test: 2026-11-22 17:00 UTC.
pub(crate) const START: UnixMs = UnixMs(1_795_366_800_000);

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct Hand(AtomicU64);

impl Hand {
    pub(crate) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn set(&self, at: UnixMs) {
        self.0.store(at.0, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn wall(&self) -> UnixMs {
        UnixMs(self.0.load(Ordering::SeqCst))
    }
    fn boot(&self) -> BootMs {
        BootMs(self.wall().since(START))
    }
    fn boot_id(&self) -> BootId {
        BootId([1; 16])
    }
}

/// Never the same bytes twice, and the same in each run.
#[derive(Debug, Default)]
pub(crate) struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        for (index, byte) in bytes.iter_mut().rev().enumerate() {
            *byte = count[7 - index % 8];
        }
    }
}

pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) clock: Arc<Hand>,
    pub(crate) disk: SimDisk,
    entropy: Arc<Counted>,
    keys: u8,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(|disk, options| Store::inline(disk, options).unwrap()).await
    }

    /// With the store of a real hub, whose writer is a thread of its own: what is asked for at once waits
    /// there together. For tests on more than one thread.
    pub(crate) async fn threaded() -> Self {
        Self::on(|disk, options| Store::start(disk, options).unwrap()).await
    }

    async fn on(store: impl FnOnce(SimDisk, StoreOptions) -> Store) -> Self {
        let disk = SimDisk::default();
        let clock = Arc::new(Hand(AtomicU64::new(START.0)));
        let entropy = Arc::new(Counted::default());
        let hub = open(store(disk.clone(), OPTIONS), &clock, &entropy).await;
        Self { hub, clock, disk, entropy, keys: 0 }
    }

    /// Takes up what is on `disk` as a hub that was started again would.
    pub(crate) async fn reopen(&mut self, disk: SimDisk) {
        let store = Store::inline(disk.clone(), OPTIONS).unwrap();
        self.hub = open(store, &self.clock, &self.entropy).await;
        self.disk = disk;
    }

    /// Makes a node that is connected and has room and ports 30000 to 30009 for TCP and UDP.
    pub(crate) async fn node(&mut self, name: &str) -> NodeId {
        let token = self.token(name).await;
        self.keys += 1;
        let node = self.hub.enrol(enrolment(&token, self.keys)).await.unwrap();
        self.connect(node).await;
        let ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let ports = 30_000..=30_009;
        self.hub
            .create_allocations(&admin(), node, ip, ports, PortProtocol::Both, Default::default())
            .await
            .unwrap();
        node
    }

    pub(crate) async fn connect(&self, node: NodeId) {
        let scope = NodeScope::granted(node);
        let peer = "127.0.0.1:1".parse().unwrap();
        self.hub.hello(&scope, hello(node, vec![]), peer).await.unwrap();
        let report = StateReport { complete: true, servers: vec![], node: machine() };
        self.hub.note_state(&scope, report).await.unwrap();
    }

    /// Makes an account for who has a scope: only of those who may ask is anything handed to a node.
    pub(crate) async fn account(&self, scope: &TenantScope) {
        let Actor::User(user) = *scope.actor() else { panic!("{scope:?}") };
        self.hub.store().write(move |txn| insert_root(txn, user)).await.unwrap();
    }

    /// Sets the clock, and where counted "randomness" goes on: what is done then is the same in
    /// each run.
    pub(crate) fn set(&self, at: UnixMs, entropy: u64) {
        self.clock.0.store(at.0, Ordering::SeqCst);
        self.entropy.0.store(entropy, Ordering::SeqCst);
    }

    pub(crate) async fn token(&self, name: &str) -> JoinToken {
        self.try_token(name).await.unwrap()
    }

    pub(crate) async fn try_token(&self, name: &str) -> Result<JoinToken, HubError> {
        let new = NewToken { name: name.to_owned(), ..NewToken::default() };
        Ok(self.hub.create_join_token(&admin(), new).await?.token.parse().unwrap())
    }

    /// The node tells that it deleted a server, as its tombstone says.
    pub(crate) async fn end_server(&self, node: NodeId, tenant: &TenantScope, server: ServerId) {
        let fact = ActivityFact {
            event: self.hub.new_id(EventId::new),
            at: self.hub.now(),
            about: Some((tenant.tenant(), server)),
            actor: Actor::Edge,
            body: Activity::Deleted,
        };
        let mut outbox = Outbox::new(Stream::Activity, 1);
        outbox.bodies.push(fact.encode().unwrap());
        let scope = NodeScope::granted(node);
        let peer = "127.0.0.1:1".parse().unwrap();
        self.hub.hello(&scope, hello(node, vec![outbox.hello(1)]), peer).await.unwrap();
        self.hub.ingest(&scope, outbox.batch(1, 1)).await.unwrap();
    }

    pub(crate) async fn server(&self, tenant: &TenantScope, node: NodeId) -> ServerId {
        let new = NewServer { node: Some(node), ..new_server() };
        self.hub.create_server(tenant, new).await.unwrap().server
    }
}

/// Each write is run twice, as after a batch that failed.
const OPTIONS: StoreOptions = StoreOptions { runs_twice: true, ..StoreOptions::HUB };

async fn open(store: Store, clock: &Arc<Hand>, entropy: &Arc<Counted>) -> Hub {
    // The same keys at each start, as files would give.
    let keys = HubSecrets::create(START, &Counted::default()).unwrap().open().unwrap();
    let vault = Vault::in_memory([7; 32]);
    let parts = HubParts { store, keys, vault, clock: clock.clone(), entropy: entropy.clone() };
    Hub::open(parts).await.unwrap()
}

pub(crate) fn admin() -> AdminScope {
    AdminScope::operator("root".to_owned())
}

pub(crate) fn tenant(number: u8) -> TenantScope {
    let (tenant, user) = (TenantId::from_bytes([number; 16]), UserId::from_bytes([number; 16]));
    TenantScope::granted(tenant, user).with_keys(ServerKeys::ALL)
}

/// Asks for the ports of a node.
pub(crate) fn ports_of(node: NodeId, page: PageQuery) -> AllocationQuery {
    AllocationQuery { node: Some(node), ..page.into() }
}

pub(crate) fn enrolment(token: &JoinToken, key: u8) -> Enrolment {
    Enrolment {
        secret: token.secret.hash(),
        key: PublicKey([key; 32]),
        name_hint: "machine".to_owned(),
        machine: Machine::default(),
        peer: "127.0.0.1:1".parse().unwrap(),
    }
}

pub(crate) fn new_server() -> NewServer {
    NewServer::new("world".to_owned(), "teeworlds".to_owned(), limits())
}

pub(crate) fn limits() -> Limits {
    Limits {
        memory_mib: Mib(256),
        swap_mib: Mib(0),
        cpu_millicores: Millicores(500),
        disk_mib: Mib(512),
        pids: 64,
        sharing: mamba_core::server::Sharing::USUAL,
    }
}

/// What a node says of a server that runs.
pub(crate) fn observed(server: ServerId) -> Observed {
    Observed {
        server,
        applied: None,
        refused: None,
        state: ServerState::Running,
        since: UnixMs(1),
        not_running: None,
        wish: PowerWish { running: true, by: Actor::Edge, at: UnixMs(1) },
        started_at: None,
        last_exit: None,
        crashes: 0,
        restart_pending: false,
        install: None,
    }
}

pub(crate) fn machine() -> NodeState {
    NodeState {
        cpus: 4,
        memory_bytes: 64 << 30,
        disk_bytes: 1 << 40,
        disk_free_bytes: 1 << 39,
        engine: Some("docker 20.10".to_owned()),
        troubles: vec![],
        outbox: vec![],
    }
}

pub(crate) fn hello(node: NodeId, streams: Vec<StreamHello>) -> Hello {
    Hello {
        node,
        instance: InstanceId::from_bytes([1; 16]),
        minors: (0, 0),
        software: "test".to_owned(),
        streams,
        desired: vec![],
        now: START,
    }
}

/// The sending end of one stream, as an edge has it.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    pub(crate) stream: Stream,
    pub(crate) epoch: Epoch,
    pub(crate) bodies: Vec<Vec<u8>>,
}

impl Outbox {
    pub(crate) fn new(stream: Stream, epoch: u64) -> Self {
        Self { stream, epoch: Epoch(epoch), bodies: vec![] }
    }

    pub(crate) fn chain_at(&self, seq: u64) -> Chain {
        (1..=seq).fold(Chain::default(), |chain, seq| {
            let body = &self.bodies[usize::try_from(seq).unwrap() - 1];
            chain.then(self.epoch, Seq(seq), body)
        })
    }

    pub(crate) fn hello(&self, first_retained: u64) -> StreamHello {
        let next = self.bodies.len() as u64 + 1;
        StreamHello {
            stream: self.stream,
            epoch: self.epoch,
            first_retained: Seq(first_retained),
            next: Seq(next),
            chain_head: self.chain_at(next - 1),
            chain_before_first: self.chain_at(first_retained - 1),
        }
    }

    /// The facts `first..=last`.
    pub(crate) fn batch(&self, first: u64, last: u64) -> Facts {
        let index = |seq: u64| usize::try_from(seq).unwrap();
        Facts {
            stream: self.stream,
            epoch: self.epoch,
            first: Seq(first),
            bodies: self.bodies[index(first) - 1..index(last)].to_vec(),
            chain: self.chain_at(last),
        }
    }

    pub(crate) fn key(&self, node: NodeId) -> (NodeId, u8, Epoch) {
        (node, stream_number(self.stream), self.epoch)
    }
}

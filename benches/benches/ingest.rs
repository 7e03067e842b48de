//! How fast the hub takes facts into its store: batches of 256 usage facts, each one synced commit.

use criterion::{Criterion, Throughput, criterion_group};
use mamba_bench::sample;
use mamba_core::{
    clock::{Clock, SystemClock, SystemEntropy, UnixMs},
    db::{DataDir, Store, StoreOptions},
    fact::{Chain, Stream},
    ids::{InstanceId, NodeId, ServerId, TenantId, UserId},
    scope::{AdminScope, NodeScope, TenantScope},
    seq::{Epoch, Seq},
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
        v1::{BATCH_FACTS_MAX, Facts, Hello, NodeState, StateReport, StreamHello},
    },
    net::authority::HubSecrets,
};
use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::runtime::Builder;

const EPOCH: Epoch = Epoch(7);
/// Length of each span: small, so that many fit between the making of the server and now.
const SPAN_MS: u64 = 1;

/// A hub with one node and one server on it, and what the node has sent.
struct Bench {
    hub: Hub,
    scope: NodeScope,
    server: (TenantId, ServerId),
    from: UnixMs,
    last: Seq,
    chain: Chain,
}

impl Bench {
    async fn new(dir: &std::path::Path) -> Result<Self, Box<dyn Error>> {
        let clock = Arc::new(SystemClock::new()?);
        let data = DataDir::open(dir, mamba_hub::store::KIND)?;
        let store = Store::open(&data, 0, StoreOptions::HUB)?;
        let keys = HubSecrets::create(clock.wall(), &SystemEntropy)?.open()?;
        let entropy = Arc::new(SystemEntropy);
        let vault = Vault::in_memory([7; 32]);
        let hub = Hub::open(HubParts { store, keys, vault, clock: clock.clone(), entropy }).await?;
        let node = enrol(&hub).await?;
        let scope = NodeScope::granted(node);
        connect(&hub, &scope).await?;
        let admin = AdminScope::operator("bench".to_owned());
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        hub.create_allocations(
            &admin,
            node,
            any,
            30_000..=30_009,
            PortProtocol::Both,
            AllocationWords::default(),
        )
        .await?;
        let tenant = TenantId::from_bytes([1; 16]);
        let owner = TenantScope::granted(tenant, UserId::from_bytes([1; 16]));
        let server = hub.create_server(&owner, new_server(node)).await?.server;
        let from = clock.wall();
        let (last, chain) = (Seq(0), Chain::default());
        Ok(Self { hub, scope, server: (tenant, server), from, last, chain })
    }

    /// The next batch. Its spans follow those before; what would lie in the future begins again at
    /// the start and is clipped, as after a fork.
    fn batch(&mut self) -> Facts {
        let count = BATCH_FACTS_MAX as u64;
        let at = self.from.plus(self.last.0 * SPAN_MS % (300_000 - count * SPAN_MS));
        let bodies = (0..count)
            .filter_map(|i| sample::usage(self.server, at.plus(i * SPAN_MS), SPAN_MS).encode().ok())
            .collect::<Vec<_>>();
        let first = self.last.next();
        self.chain = sample::chain_over(EPOCH, (self.last, self.chain), &bodies);
        self.last = Seq(self.last.0 + count);
        Facts { stream: Stream::Usage, epoch: EPOCH, first, bodies, chain: self.chain }
    }
}

async fn enrol(hub: &Hub) -> Result<NodeId, Box<dyn Error>> {
    let admin = AdminScope::operator("bench".to_owned());
    let new = NewToken { name: "node".to_owned(), ..NewToken::default() };
    let token: JoinToken = hub.create_join_token(&admin, new).await?.token.parse()?;
    let enrolment = Enrolment {
        secret: token.secret.hash(),
        key: PublicKey([1; 32]),
        name_hint: "node".to_owned(),
        machine: Machine::default(),
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
    };
    Ok(hub.enrol(enrolment).await?)
}

async fn connect(hub: &Hub, scope: &NodeScope) -> Result<(), Box<dyn Error>> {
    let stream = StreamHello {
        stream: Stream::Usage,
        epoch: EPOCH,
        first_retained: Seq(1),
        next: Seq(1),
        chain_head: Chain::default(),
        chain_before_first: Chain::default(),
    };
    let hello = Hello {
        node: scope.node(),
        instance: InstanceId::from_bytes([1; 16]),
        minors: (0, 0),
        software: "bench".to_owned(),
        streams: vec![stream],
        desired: vec![],
        now: hub.now(),
    };
    hub.hello(scope, hello, SocketAddr::from((Ipv4Addr::LOCALHOST, 1))).await?;
    let node = NodeState {
        cpus: 4,
        memory_bytes: 64 << 30,
        disk_bytes: 1 << 40,
        disk_free_bytes: 1 << 39,
        engine: Some("docker".to_owned()),
        troubles: vec![],
        outbox: vec![],
    };
    Ok(hub.note_state(scope, StateReport { complete: true, servers: vec![], node }).await?)
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

#[expect(clippy::expect_used, reason = "a bench that cannot begin has nothing to measure")]
fn ingest(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("runtime");
    // On the disk of the build, because the usual place may be memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
    let made = runtime.block_on(Bench::new(&dir.path().join("hub")));
    let mut bench = made.expect("a hub with a server");
    let mut group = c.benchmark_group("hub");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    group.throughput(Throughput::Elements(BATCH_FACTS_MAX as u64));
    group.bench_function("take a batch of 256 usage facts", |b| {
        b.iter_custom(|rounds| {
            let batches: Vec<Facts> = (0..rounds).map(|_| bench.batch()).collect();
            let begun = tokio::time::Instant::now();
            for batch in batches {
                let last = Seq(batch.first.0 + BATCH_FACTS_MAX as u64 - 1);
                let ack = runtime.block_on(bench.hub.ingest(&bench.scope, batch)).expect("ack");
                assert_eq!(ack.watermark, last);
            }
            begun.elapsed()
        });
    });
    group.finish();
}

criterion_group!(benches, ingest);

//! Whole nodes: the product's supervisor, meter, store on disk, outbox and link, in the order of the
//! daemon's own composition. Only the container engine is made up, and what its processes use.

use super::{Wire, enrol, servers_on, socket};
use crate::{
    Outcome,
    client::Client,
    hub::Hub,
    process,
    report::{Figure, quantile, say},
};
use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use mamba_core::{
    clock::{Clock, SystemClock, SystemEntropy, draw},
    db::{DataDir, Store, StoreOptions},
    fact::Stream,
    ids::{InstanceId, NodeId, ServerId},
    lifecycle::{Observed, ServerState},
    usage::{integrate::Reading, window::RunKey},
};
use mamba_edge::{
    backend::{NodeBackend, load_heard},
    calendar::{self, Calendar, HubCalendar},
    console::Consoles,
    data::DataDirs,
    desired::Adopter,
    link::{EdgeLink, Identity, IdentityFiles, LinkConfig, LinkHandle, backend::View},
    machine::watch_servers,
    meter::{Meter, MeterConfig, MeterParts, Probe, Seen, SupervisorRoll},
    outbox::{self, Outbox},
    runtime::{
        OutputSource,
        fake::{Act, FakeRuntime, Script},
        subnet::SubnetPool,
    },
    store::{EdgeStore, KIND},
    supervisor::{self, InstallBounds, SupervisorHandle},
};
use mamba_wire::{
    api::{params::ServerPath, server::Power, table},
    net::{endpoint::NetParts, keys::EnvelopeVerifier},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

/// Requests at the same time.
const AT_ONCE: usize = 16;
/// Longest wait for anything that all nodes do.
const ALL_MAX: Duration = Duration::from_secs(300);
/// Time between two looks at an outbox that is not empty.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A node and what is looked at of it.
struct Whole {
    id: NodeId,
    store: Store,
    engine: FakeRuntime,
    link: LinkHandle,
    observed: watch::Receiver<Arc<BTreeMap<ServerId, Observed>>>,
    _stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
    _dir: DataDir,
}

impl Whole {
    async fn start(path: &Path, net: NetParts, clock: &Arc<dyn Clock>) -> Outcome<Self> {
        let dir = DataDir::open(path, KIND)?;
        let identity = IdentityFiles::new(dir.path()).load()?.ok_or("not enrolled")?;
        let store = Store::open(&dir, 0, StoreOptions::EDGE)?;
        store.write(|txn| outbox::init(txn, &SystemEntropy)).await?;
        let entropy = Arc::new(SystemEntropy);
        let calendar = HubCalendar::new(Arc::clone(clock), store.read(calendar::load)?);
        let calendar = Arc::new(calendar);
        let instance = InstanceId::new(calendar.now(), draw(&SystemEntropy));
        let engine = FakeRuntime::new(clock.wall());
        let parts = supervisor::Parts {
            runtime: Arc::new(engine.clone()),
            store: EdgeStore::new(store.clone()),
            consoles: Consoles::in_place(&path.join("console"), Arc::clone(clock))?,
            data: DataDirs::open(path, rustix::process::getuid().as_raw())?,
            clock: Arc::clone(clock),
            calendar: Arc::clone(&calendar) as Arc<dyn Calendar>,
            entropy: entropy.clone(),
        };
        let settings = supervisor::Settings {
            node: identity.node,
            starts_max: 4,
            pool: SubnetPool::default(),
            version: "bench".to_owned(),
            install: InstallBounds::default(),
        };
        let (supervisor, handle) = supervisor::supervisor(parts, settings);
        let (meter, meter_handle) = Meter::load(MeterParts {
            store: store.clone(),
            clock: Arc::clone(clock),
            calendar: Arc::clone(&calendar),
            probe: Busy { clock: Arc::clone(clock) },
            roll: SupervisorRoll::new(handle.census(), handle.observed()),
            config: MeterConfig::default(),
        })?;
        let (view, seen) = watch::channel(Arc::new(super::edge::view()));
        let backend = Arc::new(backend(&store, &identity, calendar, &handle, seen)?);
        let config = LinkConfig {
            data_dir: path.to_owned(),
            hubs: vec![],
            instance,
            software: "bench".to_owned(),
            net,
        };
        let (edge, link) = EdgeLink::new(config, Arc::clone(&backend), Arc::clone(clock), entropy);
        let (stop, stopped) = watch::channel(false);
        let observed = handle.observed();
        let mut tasks = JoinSet::new();
        tasks.spawn(supervisor.run());
        tasks.spawn(async move {
            // Metered as long as somebody could ask.
            let _handle = meter_handle;
            meter.run().await;
        });
        tasks.spawn(watch_servers(handle.observed(), view));
        tasks.spawn(edge.run(Arc::new(super::edge::NoDoor), stopped));
        tasks.spawn(async move { backend.remember().await });
        let id = identity.node;
        Ok(Self { id, store, engine, link, observed, _stop: stop, _tasks: tasks, _dir: dir })
    }

    /// Servers in a state.
    fn count(&self, state: ServerState) -> usize {
        self.observed.borrow().values().filter(|it| it.state == state).count()
    }

    /// Facts of usage that were made, and how many of them the hub has.
    fn usage(&self) -> Outcome<(u64, u64)> {
        let lines = self.store.read(outbox::lines)?;
        let line = lines.iter().find(|line| line.stream == Stream::Usage);
        let line = line.ok_or("no outbox of usage")?;
        Ok((line.next.0 - 1, line.acked.0))
    }

    /// Notes how long each filling of the outbox waits for its ack, in milliseconds, for ever.
    async fn watch_acks(&self, seen: &Mutex<Vec<f64>>) -> Outcome {
        let mut commits = self.store.subscribe();
        loop {
            commits.changed().await?;
            let begun = Instant::now();
            let (made, mut acked) = self.usage()?;
            if made == acked {
                continue;
            }
            while acked < made {
                sleep(LOOK_EVERY).await;
                acked = self.usage()?.1;
            }
            let ms = begun.elapsed().as_secs_f64() * 1_000.0;
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(ms);
        }
    }
}

/// Makes what the link asks.
fn backend(
    store: &Store,
    identity: &Identity,
    calendar: Arc<HubCalendar>,
    supervisor: &SupervisorHandle,
    view: watch::Receiver<Arc<View>>,
) -> Outcome<NodeBackend> {
    let verifier = EnvelopeVerifier::new(identity.envelope_key);
    let entropy = Arc::new(SystemEntropy);
    Ok(NodeBackend {
        store: EdgeStore::new(store.clone()),
        adopter: Adopter {
            store: EdgeStore::new(store.clone()),
            node: identity.node,
            verify: Arc::new(move |signed| verifier.open(signed).is_ok()),
            entropy: entropy.clone(),
        },
        outbox: Outbox::new(store.clone()),
        calendar,
        entropy,
        supervisor: supervisor.clone(),
        view,
        heard: AtomicU64::new(store.read(load_heard)?),
        carried: Mutex::default(),
        unstored: Mutex::default(),
        registries: Default::default(),
    })
}

/// A game that says what those of `super::servers_on` are known to be ready by.
fn game() -> Script {
    let ready = Act::Print(OutputSource::Stdout, "[server]: version 0.7.5".to_owned());
    Script { boot: vec![(50, ready)], ..Script::game() }
}

/// What a process uses: memory and CPU move from look to look, as those of games do.
struct Busy {
    clock: Arc<dyn Clock>,
}

impl Probe for Busy {
    async fn look(&self, runs: Vec<RunKey>) -> Vec<Seen> {
        let ms = self.clock.boot().0;
        let reading = |run: &RunKey| {
            let drawn = mamba_bench::sample::random(ms ^ u64::from(run.pid));
            Seen::Here(Reading {
                // Whole pages.
                memory_bytes: Some((60 << 20) + drawn % 512 * 4_096),
                cpu_us: Some(ms * 10 + drawn % 1_000),
                sent_bytes: Some(ms),
                disk_bytes: None,
            })
        };
        runs.iter().map(reading).collect()
    }

    fn disk(&self, _dir: PathBuf) -> impl Future<Output = Option<u64>> + Send + 'static {
        std::future::ready(Some(100 << 20))
    }
}

/// Measures whole nodes: all servers are started through the hub, then run for `span`.
pub(super) async fn measure(
    programs: &Path,
    out: &Path,
    (nodes, servers): (u32, u16),
    span: Duration,
) -> Outcome<Vec<Figure>> {
    let hub = Hub::new(programs, &out.join("hub"), None).await?;
    let mut admin = hub.admin().await?;
    let dir = tempfile::tempdir_in(out)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new()?);
    let wire = Arc::new(Wire::default());
    say(&format!("{nodes} whole nodes with {servers} servers each"));
    let own = process::usage(std::process::id())?;
    let begun = stream::iter((0..nodes).map(|number| {
        let (clock, wire, admin) = (&clock, &wire, &admin);
        let path = dir.path().join(number.to_string());
        async move {
            enrol(admin, clock, wire, number, &path).await?;
            Whole::start(&path, socket::plug(wire, number)?, clock).await
        }
    }));
    let nodes_up: Vec<Whole> = begun.buffered(AT_ONCE).try_collect().await?;
    all(&nodes_up, "sessions", |it| it.link.status.borrow().up).await?;
    let tenant = super::make_tenant(&mut admin).await?;
    let made = stream::iter(&nodes_up).map(|node| servers_on(&admin, tenant, node.id, servers));
    let made: Vec<Vec<ServerId>> = made.buffered(AT_ONCE).try_collect().await?;
    for (node, servers) in nodes_up.iter().zip(&made) {
        servers.iter().for_each(|server| node.engine.script(*server, [game()]));
    }
    all(&nodes_up, "wishes adopted", |it| it.count(ServerState::Offline) == usize::from(servers))
        .await?;

    say("all servers are started through the hub");
    let starting = Instant::now();
    start_all(&admin, &made).await?;
    all(&nodes_up, "servers running", |it| it.count(ServerState::Running) == usize::from(servers))
        .await?;
    let started = starting.elapsed().as_secs_f64();
    all(&nodes_up, "facts acknowledged", |it| it.usage().is_ok_and(|it| it.0 == it.1)).await?;
    say(&format!("all run for {} s", span.as_secs()));
    let (bytes, facts) = (wire.bytes(), facts(&nodes_up)?);
    let seen = Mutex::new(Vec::new());
    let watching = try_join_all(nodes_up.iter().map(|node| node.watch_acks(&seen)));
    tokio::select! {
        () = sleep(span) => {}
        ended = watching => drop(ended?),
    }
    all(&nodes_up, "facts acknowledged", |it| it.usage().is_ok_and(|it| it.0 == it.1)).await?;
    let (bytes, facts) = ((wire.bytes() - bytes) as f64, self::facts(&nodes_up)? - facts);
    let grown = process::usage(std::process::id())?.resident_kib - own.resident_kib;
    let mut ms = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    ms.sort_by(f64::total_cmp);
    let count = f64::from(nodes) * f64::from(servers);
    let name = |what: &str| format!("{nodes} whole nodes with {servers} servers: {what}");
    Ok(vec![
        Figure::new(&name("starts through the hub"), "servers per s", count / started),
        Figure::new(&name("memory of one, the engine included"), "KiB", grown / f64::from(nodes)),
        Figure::new(&name("facts of usage"), "", facts as f64),
        Figure::new(&name("all bytes on the wire"), "KiB per node-hour", {
            bytes / f64::from(nodes) / span.as_secs_f64() * 3_600.0 / 1_024.0
        }),
        Figure::new(&name("from a fact's commit to its ack, p50"), "ms", quantile(&ms, 0.5)),
        Figure::new(&name("from a fact's commit to its ack, p99"), "ms", quantile(&ms, 0.99))
            .at_most(1_000.0),
    ])
}

async fn start_all(admin: &Client, made: &[Vec<ServerId>]) -> Outcome {
    let asked = stream::iter(made).map(|servers| async move {
        let mut client = admin.again().await?;
        for server in servers {
            let start = mamba_core::lifecycle::PowerAction::Start;
            let power = Power { action: start, expires_in_ms: None };
            let path = ServerPath { server: *server };
            client.call::<table::Power>(&path, &(), &power).await?;
        }
        Outcome::Ok(())
    });
    asked.buffer_unordered(AT_ONCE).try_collect().await
}

fn facts(nodes: &[Whole]) -> Outcome<u64> {
    nodes.iter().map(|node| Ok(node.usage()?.0)).sum()
}

/// Waits until something is so for all nodes.
async fn all(nodes: &[Whole], what: &str, is_so: impl Fn(&Whole) -> bool) -> Outcome {
    let begun = Instant::now();
    while !nodes.iter().all(&is_so) {
        if begun.elapsed() > ALL_MAX {
            let count = nodes.iter().filter(|node| is_so(node)).count();
            return Err(format!("{what}: {count} of {} whole nodes", nodes.len()).into());
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

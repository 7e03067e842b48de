//! A simulated machine with a real edge daemon on it: what survives the daemon, and the daemon.

use super::{
    chance::{Drawn, Rng, SimClock, Trace, millis},
    net::{End, HUB, Net},
    planted::{BentEdge, Bug, WallAsBoot},
};
use mamba_core::{
    clock::{Clock, Entropy, draw},
    db::{Store, StoreOptions, sim::SimDisk},
    desired::Order,
    ids::{InstanceId, NodeId, ServerId},
    lifecycle::Observed,
    usage::{integrate::Reading, window::RunKey},
};
use mamba_edge::{
    backend::{NodeBackend, load_heard},
    calendar::{self, Calendar, HubCalendar},
    console::Consoles,
    data::DataDirs,
    desired::Adopter,
    link::{
        EdgeLink, EnrolConfig, IdentityFiles, LinkConfig, LinkHandle,
        backend::{Dispatcher, View},
    },
    machine::watch_servers,
    meter::{Meter, MeterConfig, MeterHandle, MeterParts, Probe, Seen, SupervisorRoll},
    outbox::{self, Outbox},
    runtime::{ContainerId, fake::FakeRuntime, subnet::SubnetPool},
    store::EdgeStore,
    supervisor::{self, SupervisorHandle},
    transfer::Mover,
};
use mamba_wire::{
    link::{enrol, token::JoinToken, v1::NodeState},
    net::{frames::FrameStream, keys::EnvelopeVerifier},
    node::{Ask, NodeRequest},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicU64},
};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// Bytes of memory and of disk that each process uses.
pub(super) const MEMORY_BYTES: u64 = 100 << 20;
pub(super) const DISK_BYTES: u64 = 50 << 20;
/// Of CPU in microseconds, and of the network in bytes, in each millisecond.
pub(super) const CPU_US: u64 = 250;
pub(super) const SENT_BYTES: u64 = 10;

/// File in the folder of a server that is moved.
const WORLD: &str = "world";

pub(super) struct Machine {
    pub(super) index: usize,
    pub(super) node: NodeId,
    pub(super) disk: SimDisk,
    pub(super) engine: FakeRuntime,
    pub(super) clock: Arc<SimClock>,
    pub(super) daemon: Option<Daemon>,
    pub(super) ranks: Arc<Mutex<Ranks>>,
    pub(super) meter_config: MeterConfig,
    /// Whether its daemon tries to reach the hub.
    pub(super) dials: bool,
    bug: Option<Bug>,
    dir: PathBuf,
    net: Arc<Net>,
    trace: Arc<Trace>,
    rng: Rng,
}

pub(super) struct Daemon {
    pub(super) store: Store,
    pub(super) supervisor: SupervisorHandle,
    pub(super) link: LinkHandle,
    pub(super) up_at: Instant,
    tasks: JoinSet<&'static str>,
}

impl Machine {
    /// A machine that has become a node.
    pub(super) async fn enrol(
        index: usize,
        clock: Arc<SimClock>,
        dir: PathBuf,
        bug: Option<Bug>,
        (net, trace, mut rng): (Arc<Net>, Arc<Trace>, Rng),
        token: &JoinToken,
    ) -> Self {
        std::fs::create_dir_all(&dir).unwrap();
        let config = EnrolConfig {
            data_dir: dir.clone(),
            hubs: vec![HUB.to_owned()],
            name_hint: format!("edge-{index}"),
            machine: enrol::Machine::default(),
            net: net.plug(End::Edge(index)),
        };
        let entropy = Drawn::new(Rng::new(rng.next(), 0));
        let shared: Arc<dyn Clock> = clock.clone();
        let identity =
            mamba_edge::link::enrol(&config, token, &shared, &*entropy).await.expect("enrolment");
        net.unplug(End::Edge(index));
        let engine = FakeRuntime::new(clock.wall());
        let disk = SimDisk::new(0);
        let node = identity.node;
        Self {
            index,
            node,
            disk,
            engine,
            clock,
            daemon: None,
            ranks: Arc::default(),
            meter_config: MeterConfig::default(),
            dials: true,
            bug,
            dir,
            net,
            trace,
            rng,
        }
    }

    /// A second machine that was made from a copy of this one's disk. Its engine is empty.
    pub(super) fn copy(&mut self, index: usize, dir: PathBuf, clock: Arc<SimClock>) -> Self {
        copy_dir(&self.dir, &dir);
        Self {
            index,
            node: self.node,
            disk: self.disk.crash(self.rng.next()),
            engine: FakeRuntime::new(clock.wall()),
            clock,
            daemon: None,
            ranks: Arc::default(),
            meter_config: self.meter_config,
            dials: self.dials,
            bug: self.bug,
            dir,
            net: Arc::clone(&self.net),
            trace: Arc::clone(&self.trace),
            rng: Rng::new(self.rng.next(), 0),
        }
    }

    /// Starts the daemon, as `app.rs` of the edge does.
    #[expect(clippy::too_many_lines, reason = "all parts of a daemon, put together in order")]
    pub(super) async fn start(&mut self) {
        assert!(self.daemon.is_none());
        let identity = IdentityFiles::new(&self.dir).load().unwrap().unwrap();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let entropy: Arc<dyn Entropy> = Drawn::new(Rng::new(self.rng.next(), 0));
        let Some(store) = self.open_store(&entropy).await else { return };
        let remembered = store.read(calendar::load).unwrap();
        let calendar = Arc::new(HubCalendar::new(Arc::clone(&clock), remembered));
        let instance = InstanceId::new(calendar.now(), draw(&*entropy));
        let consoles = Consoles::in_place(&self.dir.join("console"), Arc::clone(&clock)).unwrap();
        let uid = rustix::process::getuid().as_raw();
        let data = DataDirs::open(&self.dir, uid).unwrap();
        let parts = supervisor::Parts {
            runtime: Arc::new(self.engine.clone()),
            store: EdgeStore::new(store.clone()),
            consoles,
            data: data.clone(),
            clock: Arc::clone(&clock),
            calendar: Arc::clone(&calendar) as Arc<dyn Calendar>,
            entropy: Arc::clone(&entropy),
        };
        let (supervisor, handle) = supervisor::supervisor(parts, settings(identity.node));
        let (engine, kept) = (Arc::new(self.engine.clone()), EdgeStore::new(store.clone()));
        let door = Arc::new(MoveDoor(Mover::new(engine, kept, data, handle.clone())));
        let (meter, _meter_handle) = self.meter(&store, &clock, &calendar, &handle);
        let (view, seen) = watch::channel(Arc::new(view()));
        let verifier = EnvelopeVerifier::new(identity.envelope_key);
        let adopter = Adopter {
            store: EdgeStore::new(store.clone()),
            node: identity.node,
            verify: Arc::new(move |signed| verifier.open(signed).is_ok()),
            entropy: Arc::clone(&entropy),
        };
        let backend = Arc::new(NodeBackend {
            store: EdgeStore::new(store.clone()),
            adopter,
            outbox: Outbox::new(store.clone()),
            calendar,
            entropy: Arc::clone(&entropy),
            supervisor: handle.clone(),
            view: seen,
            heard: AtomicU64::new(store.read(load_heard).unwrap()),
            carried: Default::default(),
            unstored: Default::default(),
            registries: Default::default(),
        });
        let dir = self.dir.clone();
        let bent = Arc::new(BentEdge::new(Arc::clone(&backend), self.bug, dir));
        let link_config = self.link_config(instance);
        let (link, link_handle) = EdgeLink::new(link_config, bent, clock, entropy);
        let (mut status, waits) =
            (link_handle.status.clone(), self.bug == Some(Bug::StartWaitsForHub));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(named("supervisor", async move {
            if waits && status.wait_for(|status| status.up).await.is_err() {
                return;
            }
            supervisor.run().await;
        }));
        tasks.spawn(named("meter", async move {
            // Metered as long as the daemon is there.
            let _handle = _meter_handle;
            meter.run().await;
        }));
        tasks.spawn(named(
            "ranks",
            Ranks::watch(Arc::clone(&self.ranks), self.disk.clone(), handle.observed()),
        ));
        tasks.spawn(named("view", watch_servers(handle.observed(), view)));
        let dials = self.dials;
        tasks.spawn(named("link", async move {
            let _stop = stop;
            if !dials {
                return std::future::pending().await;
            }
            link.run(door, stopped).await;
        }));
        tasks.spawn(named("calendar", async move { backend.remember().await }));
        let up_at = Instant::now();
        self.daemon = Some(Daemon { store, supervisor: handle, link: link_handle, up_at, tasks });
        self.trace.say(&format!("edge {}: up", self.index));
    }

    fn meter(
        &self,
        store: &Store,
        clock: &Arc<dyn Clock>,
        calendar: &Arc<HubCalendar>,
        handle: &SupervisorHandle,
    ) -> (Meter<SimProbe, SupervisorRoll>, MeterHandle) {
        Meter::load(MeterParts {
            store: store.clone(),
            clock: match self.bug {
                Some(Bug::WallTimeBilled) => Arc::new(WallAsBoot(Arc::clone(clock))),
                _ => Arc::clone(clock),
            },
            calendar: Arc::clone(calendar),
            probe: SimProbe { engine: self.engine.clone() },
            roll: SupervisorRoll::new(handle.census(), handle.observed()),
            config: self.meter_config,
        })
        .unwrap()
    }

    /// Opens the store and makes its outbox at the first start. `None` on a disk that fails.
    async fn open_store(&self, entropy: &Arc<dyn Entropy>) -> Option<Store> {
        let store = match Store::inline(self.disk.clone(), StoreOptions::EDGE) {
            Ok(store) => store,
            Err(err) => {
                self.trace.say(&format!("edge {}: no store: {err}", self.index));
                return None;
            }
        };
        if store.read(outbox::lines).is_err() {
            let entropy = Arc::clone(entropy);
            if store.write(move |txn| outbox::init(txn, &*entropy)).await.is_err() {
                self.trace.say(&format!("edge {}: no outbox", self.index));
                return None;
            }
        }
        Some(store)
    }

    fn link_config(&self, instance: InstanceId) -> LinkConfig {
        LinkConfig {
            data_dir: self.dir.clone(),
            hubs: vec![],
            instance,
            software: "sim".to_owned(),
            net: self.net.plug(End::Edge(self.index)),
        }
    }

    /// Ends the daemon at once. `image` says what is found on the disk afterwards.
    pub(super) async fn kill(&mut self, image: Image) {
        // The disk is frozen first: closing a database would write to it.
        let disk = match image {
            Image::PowerCut => self.disk.crash(self.rng.next()),
            Image::Of(disk) => disk,
        };
        self.net.unplug(End::Edge(self.index));
        self.disk = disk;
        if let Some(mut daemon) = self.daemon.take() {
            daemon.tasks.shutdown().await;
        }
        self.trace.say(&format!("edge {}: down", self.index));
    }

    /// Takes the power from the whole machine.
    pub(super) fn lose_power(&mut self) {
        self.engine.power_cut();
        self.clock.reboot();
        self.trace.say(&format!("edge {}: machine restarts", self.index));
    }

    /// Returns why a part of the daemon ended, which none should.
    pub(super) fn broken(&mut self) -> Option<String> {
        let ended = self.daemon.as_mut()?.tasks.try_join_next()?;
        Some(match ended {
            Ok(name) => format!("{name} of edge {} ended", self.index),
            Err(err) => format!("a part of edge {} panicked: {err}", self.index),
        })
    }

    /// Whether a server's data is there.
    pub(super) fn has_data(&self, server: ServerId) -> bool {
        self.dir.join("servers").join(server.to_string()).exists()
    }

    /// Puts something into a server's folder that the game would have made.
    pub(super) fn mark(&self, server: ServerId) {
        let folder = self.dir.join("servers").join(server.to_string());
        std::fs::write(folder.join(WORLD), server.to_string().repeat(20_000)).unwrap();
    }

    /// Whether that is there.
    pub(super) fn has_mark(&self, server: ServerId) -> bool {
        let file = self.dir.join("servers").join(server.to_string()).join(WORLD);
        std::fs::read(file).is_ok_and(|it| it == server.to_string().repeat(20_000).into_bytes())
    }

    /// Whether a server's data is in the trash.
    pub(super) fn has_trash(&self, server: ServerId) -> bool {
        let Ok(entries) = std::fs::read_dir(self.dir.join("trash")) else { return false };
        let name = format!("{server}-");
        entries.flatten().any(|it| it.file_name().to_string_lossy().starts_with(&name))
    }

    /// Lets the engine's clock follow the machine's.
    pub(super) fn tick(&self) {
        self.engine.set_clock(self.clock.wall());
    }
}

/// Ranks of the wishes that each server was seen to follow.
#[derive(Default)]
pub(super) struct Ranks {
    newest: BTreeMap<ServerId, Order>,
    /// The first one that fell.
    pub(super) fell: Option<String>,
}

impl Ranks {
    /// Forgets everything: the disk is another.
    pub(super) fn clear(&mut self) {
        self.newest.clear();
    }

    /// Looks at every change, but for those after the power was cut: nobody sees them.
    async fn watch(
        ranks: Arc<Mutex<Self>>,
        disk: SimDisk,
        mut observed: watch::Receiver<Arc<BTreeMap<ServerId, Observed>>>,
    ) {
        loop {
            let servers = Arc::clone(&observed.borrow_and_update());
            for (server, seen) in servers.iter().filter(|_| !disk.is_dead()) {
                let Some(order) = seen.applied else { continue };
                let mut ranks = ranks.lock().unwrap();
                let before = ranks.newest.insert(*server, order);
                if before.is_some_and(|before| before > order) {
                    ranks.fell.get_or_insert(format!("{server}: {before:?} then {order:?}"));
                }
            }
            if observed.changed().await.is_err() {
                return;
            }
        }
    }
}

/// What is found on the disk after the daemon's end.
pub(super) enum Image {
    /// What was synced, and by chance more.
    PowerCut,
    /// Something else.
    Of(SimDisk),
}

fn settings(node: NodeId) -> supervisor::Settings {
    supervisor::Settings {
        node,
        starts_max: 4,
        pool: SubnetPool::default(),
        version: "sim".to_owned(),
        install: supervisor::InstallBounds::default(),
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

/// What is said of the machine, without the real disk's free space.
fn view() -> View {
    let node = NodeState {
        cpus: 8,
        memory_bytes: 1 << 40,
        disk_bytes: 1 << 50,
        disk_free_bytes: 1 << 49,
        engine: Some("fake".to_owned()),
        troubles: vec![],
        outbox: vec![],
    };
    View { servers: BTreeMap::new(), node }
}

/// Nobody asks for anything but moves.
struct MoveDoor(Mover<FakeRuntime>);

impl Dispatcher for MoveDoor {
    async fn serve(&self, ask: Ask, stream: FrameStream) {
        if let NodeRequest::Move { server, transfer, step } = ask.request {
            // A stream that broke is begun again by the hub.
            self.0.serve(server, transfer, step, stream).await.ok();
        }
    }
}

/// Reads what truly runs.
struct SimProbe {
    engine: FakeRuntime,
}

impl Probe for SimProbe {
    async fn look(&self, runs: Vec<RunKey>) -> Vec<Seen> {
        let known = self.engine.runs();
        let seen = |run: &RunKey| {
            let key = (ContainerId(run.container.clone()), run.pid);
            let Some(it) = known.get(&key).filter(|it| it.to.is_none()) else { return Seen::Gone };
            let ms = millis(it.from, Instant::now());
            Seen::Here(Reading {
                memory_bytes: Some(MEMORY_BYTES),
                cpu_us: Some(ms * CPU_US),
                sent_bytes: Some(ms * SENT_BYTES),
                disk_bytes: None,
            })
        };
        runs.iter().map(seen).collect()
    }

    fn disk(&self, _dir: PathBuf) -> impl Future<Output = Option<u64>> + Send + 'static {
        std::future::ready(Some(DISK_BYTES))
    }
}

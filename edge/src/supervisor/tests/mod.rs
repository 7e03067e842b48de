//! The supervisor on a fake engine and a simulated disk, under virtual time.

mod chaos;
mod doors;
mod install;
mod life;
mod outage;

use super::{InstallBounds, Parts, Settings, SupervisorHandle, supervisor};
use crate::{
    calendar::{Calendar, Moment},
    console::Consoles,
    data::DataDirs,
    desired::Adopter,
    outbox,
    runtime::{fake::FakeRuntime, subnet::SubnetPool},
    store::EdgeStore,
};
use mamba_core::{
    clock::{BootId, BootMs, Clock, Entropy, UnixMs},
    db::{Store, StoreOptions, sim::SimDisk},
    desired::{Envelope, Home, Order, SignedEnvelope, Wish},
    fact::{Activity, ActivityFact},
    ids::{NodeId, ServerId, TenantId},
    lifecycle::{Actor, Observed, PowerAction, ServerState},
    seq::{Generation, Incarnation},
    server::{AutoStart, DoneMatch, Entry, Limits, RestartPolicy, ServerSpec, StopMethod},
    units::{Mib, Millicores},
};
use mamba_wire::{link::v1::DesiredOutcome, node::NodeError};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// Wall clock and calendar when a test begins.
const BEGIN: UnixMs = UnixMs(1_800_000_000_000);
/// Longest virtual wait for a state.
const WAIT: Duration = Duration::from_secs(300);

const RESTART: RestartPolicy = RestartPolicy {
    enabled: true,
    exit_zero_is_crash: true,
    delay_ms_min: 1_000,
    delay_ms_max: 8_000,
    crashes_max: 4,
    window_ms: 600_000,
};

/// A machine: what outlives the daemon.
struct Machine {
    fake: FakeRuntime,
    disk: SimDisk,
    dir: tempfile::TempDir,
    clock: Arc<VirtualClock>,
    generation: AtomicU64,
}

/// A daemon on it.
struct Daemon {
    handle: SupervisorHandle,
    store: EdgeStore,
    consoles: Consoles,
    adopter: Adopter,
    tasks: JoinSet<()>,
}

struct VirtualClock {
    begin: Instant,
    /// How far the calendar is ahead of the truth.
    ahead_ms: AtomicU64,
    boots: AtomicU8,
}

impl Clock for VirtualClock {
    fn wall(&self) -> UnixMs {
        BEGIN.plus(self.boot().0)
    }
    fn boot(&self) -> BootMs {
        BootMs(u64::try_from(self.begin.elapsed().as_millis()).unwrap())
    }
    fn boot_id(&self) -> BootId {
        BootId([self.boots.load(Ordering::Relaxed); 16])
    }
}

impl Calendar for VirtualClock {
    fn now(&self) -> UnixMs {
        self.wall().plus(self.ahead_ms.load(Ordering::Relaxed))
    }
    fn certain(&self) -> UnixMs {
        self.wall()
    }
}

/// Counts: ids differ and tests repeat.
#[derive(Default)]
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        bytes.iter_mut().rev().zip(number.iter().rev()).for_each(|(to, from)| *to = *from);
    }
}

fn server(number: u8) -> ServerId {
    ServerId::from_bytes([number; 16])
}

fn tenant() -> TenantId {
    TenantId::from_bytes([9; 16])
}

fn node() -> NodeId {
    NodeId::from_bytes([8; 16])
}

/// A well-behaved game.
pub(crate) fn spec() -> ServerSpec {
    ServerSpec {
        name: "one".into(),
        image: "game:1".into(),
        startup: "./game".into(),
        entry: Entry::Shell,
        environment: BTreeMap::new(),
        done: vec![DoneMatch::Contains("ready".into())],
        stop: StopMethod::Command("stop".into()),
        stop_grace_ms: 5_000,
        limits: Limits {
            memory_mib: Mib(256),
            swap_mib: Mib(0),
            cpu_millicores: Millicores(500),
            disk_mib: Mib(512),
            pids: 64,
            sharing: mamba_core::server::Sharing::USUAL,
        },
        ports: vec![],
        capabilities: vec![],
        auto_start: AutoStart::LastState,
        restart: RESTART,
        config_files: vec![],
        mounts: vec![],
        suspended: false,
        run_until: None,
        install: None,
    }
}

impl Machine {
    fn new() -> Self {
        let clock = VirtualClock {
            begin: Instant::now(),
            ahead_ms: AtomicU64::new(0),
            boots: AtomicU8::new(1),
        };
        Self {
            fake: FakeRuntime::new(BEGIN),
            disk: SimDisk::new(0),
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(clock),
            generation: AtomicU64::new(0),
        }
    }

    /// Starts the daemon.
    async fn daemon(&self) -> Daemon {
        let entropy: Arc<dyn Entropy> =
            Arc::new(Counter(AtomicU64::new(self.clock.boot().0 << 20)));
        let raw = Store::inline(self.disk.clone(), StoreOptions::EDGE).unwrap();
        let made = Arc::clone(&entropy);
        // Fails on a disk that takes no write, where it was made before.
        raw.write(move |txn| outbox::init(txn, &*made)).await.ok();
        let store = EdgeStore::new(raw);
        let clock: Arc<dyn Clock> = self.clock.clone();
        let consoles =
            Consoles::open(&self.dir.path().join("consoles"), Arc::clone(&clock)).unwrap();
        let parts = Parts {
            runtime: Arc::new(self.fake.clone()),
            store: store.clone(),
            consoles: consoles.clone(),
            data: DataDirs::open(self.dir.path(), rustix::process::getuid().as_raw()).unwrap(),
            clock,
            calendar: self.clock.clone(),
            entropy: Arc::clone(&entropy),
        };
        let pool = SubnetPool::default();
        let install = InstallBounds { run_ms_max: 60_000, free_bytes_min: 1 << 20 };
        let version = "test".into();
        let settings = Settings { node: node(), starts_max: 4, pool, version, install };
        let (supervisor, handle) = supervisor(parts, settings);
        let mut tasks = JoinSet::new();
        tasks.spawn(supervisor.run());
        let verify = Arc::new(|signed: &SignedEnvelope| signed.signature == b"good");
        let adopter = Adopter { store: store.clone(), node: node(), verify, entropy };
        Daemon { handle, store, consoles, adopter, tasks }
    }

    /// Kills the daemon; containers stay.
    async fn kill(&self, mut daemon: Daemon) {
        daemon.tasks.shutdown().await;
    }

    /// Cuts the power and brings the machine up again.
    async fn reboot(&self, daemon: Daemon) -> Daemon {
        self.kill(daemon).await;
        self.fake.power_cut();
        self.clock.boots.fetch_add(1, Ordering::Relaxed);
        self.daemon().await
    }

    fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// An envelope with the next generation.
    fn envelope(&self, server: ServerId, body: Wish) -> Envelope {
        let generation = Generation(self.generation.fetch_add(1, Ordering::Relaxed) + 1);
        Envelope {
            tenant: tenant(),
            node: node(),
            server,
            order: Order { incarnation: Incarnation(1), generation },
            home: Home::default(),
            not_before: UnixMs(0),
            force: false,
            body,
        }
    }

    /// Makes a wish and waits until it is stored.
    async fn wish(&self, daemon: &Daemon, server: ServerId, spec: ServerSpec) -> DesiredOutcome {
        let envelope = self.envelope(server, Wish::Exist(Box::new(spec)));
        daemon.adopt(&envelope, self.now()).await
    }

    /// A daemon with one server that runs.
    async fn with_running(&self, spec: ServerSpec) -> Daemon {
        let daemon = self.daemon().await;
        assert_eq!(self.wish(&daemon, server(1), spec).await, DesiredOutcome::Adopted);
        daemon.power(PowerAction::Start).await.unwrap();
        daemon.wait(server(1), |it| it.state == ServerState::Running).await;
        daemon
    }

    /// How many processes run.
    fn processes(&self) -> usize {
        let is_running = |it: &&crate::runtime::Container| {
            matches!(it.status, crate::runtime::ContainerStatus::Running { .. })
        };
        self.fake.containers().iter().filter(is_running).count()
    }
}

impl Daemon {
    async fn adopt(&self, envelope: &Envelope, now: UnixMs) -> DesiredOutcome {
        let signed =
            SignedEnvelope { bytes: envelope.encode().unwrap(), signature: b"good".to_vec() };
        let results = self.adopter.adopt_all(vec![signed], Moment { now, certain: now }).await;
        self.handle.desired_changed().await;
        results.into_iter().next().unwrap().outcome
    }

    /// Asks something of the first server.
    async fn power(&self, action: PowerAction) -> Result<(), NodeError> {
        self.handle.power(server(1), action, Actor::Operator("me".into())).await
    }

    /// Waits for a state and returns it; says what was seen last when it does not come.
    async fn wait(&self, server: ServerId, is_it: impl Fn(&Observed) -> bool) -> Observed {
        let mut observed = self.handle.observed();
        let reached = observed.wait_for(|all| all.get(&server).is_some_and(&is_it));
        match tokio::time::timeout(WAIT, reached).await {
            Ok(Ok(all)) => all[&server].clone(),
            _ => {
                panic!("not reached; last seen {:#?}", self.handle.observed().borrow().get(&server))
            }
        }
    }

    fn seen(&self, server: ServerId) -> Observed {
        self.handle.observed().borrow()[&server].clone()
    }

    /// Stored facts, oldest first.
    fn facts(&self) -> Vec<Activity> {
        let read: Result<Vec<ActivityFact>, outbox::OutboxError> =
            self.store.raw().read(|txn| outbox::activity(txn, None, 500));
        read.unwrap().into_iter().rev().map(|fact| fact.body).collect()
    }

    fn count(&self, is_it: impl Fn(&Activity) -> bool) -> usize {
        self.facts().iter().filter(|fact| is_it(fact)).count()
    }
}

/// Lets virtual time pass.
async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

//! The composition root: the only place that builds tasks, channels and real adapters.

use crate::{
    backend::{NodeBackend, load_heard},
    calendar::{self, Calendar, HubCalendar},
    cli::{self, Outcome},
    config::Config,
    console::{ConsoleError, Consoles},
    data::{DataDirs, DataError},
    desired::Adopter,
    doors::{Doors, Games, Pace, local},
    link::{
        EdgeLink, EnrolConfig, Identity, IdentityError, IdentityFiles, LinkConfig, LinkHandle,
        backend::View,
    },
    machine::{self, Machine},
    meter::{Meter, MeterConfig, MeterHandle, MeterParts, SupervisorRoll, SystemProbe},
    outbox::{self, Outbox},
    registries::HubRegistries,
    runtime::docker::DockerRuntime,
    store::{EdgeStore, KIND},
    supervisor::{self, Supervisor, SupervisorHandle},
    transfer::Mover,
};
use mamba_core::{
    clock::{Clock, Entropy, SystemClock, SystemEntropy, draw},
    db::{DataDir, DirError, Fault, FileDisk, Store, StoreOptions, TxnError},
    error::chain,
    ids::{InstanceId, NodeId},
    settings::LogFormat,
};
use mamba_wire::{
    link::{enrol, token::TokenError},
    net::{endpoint::NetParts, keys::EnvelopeVerifier},
};
use std::{
    io::IsTerminal as _,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::{AbortHandle, JoinSet},
};
use tracing_subscriber::EnvFilter;

/// Version of the program.
const SOFTWARE: &str = env!("CARGO_PKG_VERSION");
/// Longest time from the stop signal to the end. systemd kills at 30 s in our unit.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Tries the node with a wrong wall clock, in milliseconds; see the README. For tests.
const WALL_OFFSET_VARIABLE: &str = "MAMBA_TEST_WALL_OFFSET_MS";

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The store can be neither read nor made.
    #[error("store in `{}` cannot be opened", dir.display())]
    Store {
        /// The data directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: Fault,
    },
    /// The store cannot be read.
    #[error("store cannot be read")]
    Read(#[from] TxnError),
    /// The outbox cannot be made or read.
    #[error("outbox cannot be opened")]
    Outbox(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This machine is not a node yet.
    #[error("not enrolled: get a token with `mamba-hub node token`, then `mamba-edge enrol TOKEN`")]
    NotEnrolled,
    /// The identity cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Consoles cannot be opened.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// Servers' data cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The local socket cannot be made.
    #[error(transparent)]
    Socket(#[from] local::SocketError),
    /// The kernel does not say what is needed.
    #[error("{step} failed")]
    System {
        /// What was asked.
        step: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A part of the daemon ended by itself.
    #[error("a part of the daemon ended by itself: {0}")]
    PartEnded(String),
    /// Enrolment did not work.
    #[error("enrolment failed")]
    Enrol(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The machine is a node already.
    #[error("this machine is node {0} already; remove `{dir}` to make it another", dir = _1.display())]
    AlreadyEnrolled(NodeId, PathBuf),
}

impl AppError {
    /// Returns what the process's exit code says.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Dir(_) | Self::NotEnrolled | Self::AlreadyEnrolled(..) => Outcome::Refused,
            Self::Store { .. }
            | Self::Read(_)
            | Self::Outbox(_)
            | Self::Identity(_)
            | Self::Console(_)
            | Self::Data(_)
            | Self::Socket(_)
            | Self::System { .. }
            | Self::PartEnded(_)
            | Self::Enrol(_) => Outcome::Failed,
        }
    }
}

/// Runs the daemon until SIGTERM or SIGINT. Game servers go on running afterwards.
///
/// # Errors
/// When it cannot start, or a part of it ended by itself.
pub async fn run(config: &Config) -> Result<(), AppError> {
    init_log(config);
    let stop = stop_signal()?;
    // Opened first, closed last.
    let dir = DataDir::open(&config.data_dir, KIND)?;
    let identity = IdentityFiles::new(dir.path()).load()?.ok_or(AppError::NotEnrolled)?;
    let (store, notices) = open_store(&dir)?;
    let edge = Edge::build(Base::new(config, identity, store.clone())?, notices).await?;
    let ended = edge.run(stop).await;
    store.close().await;
    tracing::info!("stopped; game servers go on");
    drop(dir);
    ended
}

/// Makes this machine a node.
///
/// # Errors
/// When the token is wrong, the hub cannot be reached or refuses, or a daemon runs here.
pub async fn enrol(
    config: &Config,
    token: &str,
    hub: Option<&str>,
    name: Option<&str>,
) -> Result<(), AppError> {
    let failed = |err: Box<dyn std::error::Error + Send + Sync>| AppError::Enrol(err);
    let token = token.parse().map_err(|err: TokenError| failed(err.into()))?;
    let clock: Arc<dyn Clock> = Arc::new(system_clock()?);
    let dir = DataDir::open(&config.data_dir, KIND)?;
    if let Some(identity) = IdentityFiles::new(dir.path()).load()? {
        return Err(AppError::AlreadyEnrolled(identity.node, dir.path().join("identity")));
    }
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let enrol_config = EnrolConfig {
        data_dir: config.data_dir.clone(),
        hubs: hub.map(str::to_owned).into_iter().chain(config.hub.iter().cloned()).collect(),
        name_hint: name.map_or_else(|| text(system.nodename()), str::to_owned),
        machine: enrol::Machine {
            software: SOFTWARE.to_owned(),
            system: format!("{} {}", text(system.sysname()), text(system.release())),
            cpus: std::thread::available_parallelism()
                .map_or(0, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
            memory_bytes: system_memory(),
        },
        net: NetParts::default(),
    };
    let identity = crate::link::enrol(&enrol_config, &token, &clock, &SystemEntropy)
        .await
        .map_err(|err| failed(err.into()))?;
    // Enrolled it is, even when nobody reads it.
    cli::tell(&format!("enrolled as node {}", identity.node)).ok();
    Ok(())
}

/// What every part of the daemon stands on, and how the parts are made from it.
struct Base<'a> {
    config: &'a Config,
    identity: Identity,
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    calendar: Arc<HubCalendar>,
    instance: InstanceId,
    registries: HubRegistries,
}

impl<'a> Base<'a> {
    fn new(config: &'a Config, identity: Identity, store: Store) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(system_clock()?);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let placed = store.read(calendar::load)?;
        let calendar = Arc::new(HubCalendar::new(Arc::clone(&clock), placed));
        let instance = InstanceId::new(calendar.now(), draw(&*entropy));
        let registries = store.read(HubRegistries::load)?;
        Ok(Self { config, identity, store, clock, entropy, calendar, instance, registries })
    }

    fn supervisor(
        &self,
        runtime: &Arc<DockerRuntime>,
        consoles: &Consoles,
        data: DataDirs,
    ) -> Result<(Supervisor<DockerRuntime>, SupervisorHandle), AppError> {
        let parts = supervisor::Parts {
            runtime: Arc::clone(runtime),
            store: EdgeStore::new(self.store.clone()),
            consoles: consoles.clone(),
            data,
            clock: Arc::clone(&self.clock),
            calendar: Arc::clone(&self.calendar) as Arc<dyn Calendar>,
            entropy: Arc::clone(&self.entropy),
        };
        let settings = supervisor::Settings {
            node: self.identity.node,
            starts_max: self.config.starts_at_once,
            pool: self.config.network_pool,
            version: SOFTWARE.to_owned(),
            install: supervisor::InstallBounds::default(),
        };
        Ok(supervisor::supervisor(parts, settings))
    }

    fn meter(
        &self,
        supervisor: &SupervisorHandle,
    ) -> Result<(Meter<SystemProbe, SupervisorRoll>, MeterHandle), AppError> {
        Ok(Meter::load(MeterParts {
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            calendar: Arc::clone(&self.calendar),
            probe: SystemProbe::default(),
            roll: SupervisorRoll::new(supervisor.census(), supervisor.observed()),
            config: MeterConfig { sample: self.config.sample_every, ..MeterConfig::default() },
        })?)
    }

    fn backend(
        &self,
        supervisor: &SupervisorHandle,
        view: watch::Receiver<Arc<View>>,
    ) -> Result<NodeBackend, AppError> {
        let store = EdgeStore::new(self.store.clone());
        let verifier = EnvelopeVerifier::new(self.identity.envelope_key);
        Ok(NodeBackend {
            store: store.clone(),
            adopter: Adopter {
                store,
                node: self.identity.node,
                verify: Arc::new(move |signed| verifier.open(signed).is_ok()),
                entropy: Arc::clone(&self.entropy),
            },
            outbox: Outbox::new(self.store.clone()),
            calendar: Arc::clone(&self.calendar),
            entropy: Arc::clone(&self.entropy),
            supervisor: supervisor.clone(),
            view,
            heard: AtomicU64::new(self.store.read(load_heard)?),
            carried: Mutex::default(),
            unstored: Mutex::default(),
            registries: self.registries.clone(),
        })
    }

    fn link(&self, backend: &Arc<NodeBackend>) -> (EdgeLink<NodeBackend>, LinkHandle) {
        let link_config = LinkConfig {
            data_dir: self.config.data_dir.clone(),
            hubs: self.config.hub.clone(),
            instance: self.instance,
            software: SOFTWARE.to_owned(),
            net: NetParts::default(),
        };
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        EdgeLink::new(link_config, Arc::clone(backend), clock, entropy)
    }
}

/// The daemon's parts, connected and not yet running.
struct Edge {
    supervisor: Supervisor<DockerRuntime>,
    handle: SupervisorHandle,
    meter: Meter<SystemProbe, SupervisorRoll>,
    meter_handle: MeterHandle,
    consoles: Consoles,
    backend: Arc<NodeBackend>,
    doors: Arc<Doors<DockerRuntime>>,
    link: EdgeLink<NodeBackend>,
    machine: Machine<DockerRuntime>,
    view: watch::Sender<Arc<View>>,
    socket: (Option<UnixListener>, PathBuf),
}

impl Edge {
    async fn build(base: Base<'_>, notices: Vec<String>) -> Result<Self, AppError> {
        init_outbox(&base.store, &base.entropy).await?;
        let data_dir = &base.config.data_dir;
        let consoles = Consoles::open(&data_dir.join("console"), Arc::clone(&base.clock))?;
        let runtime = DockerRuntime::new(&base.config.docker_socket)
            .with_registries(base.config.registries.clone())
            .with_old_runc(base.config.allow_old_runc)
            .with_hub_registries(base.registries.clone());
        let runtime = Arc::new(runtime);
        let data = DataDirs::open(data_dir, base.config.game_uid)?
            .with_mounts(base.config.allowed_mounts.clone());
        let (supervisor, handle) = base.supervisor(&runtime, &consoles, data.clone())?;
        let (meter, meter_handle) = base.meter(&handle)?;
        let mover = Mover::new(
            Arc::clone(&runtime),
            EdgeStore::new(base.store.clone()),
            data.clone(),
            handle.clone(),
        );
        let (view, seen) = watch::channel(Arc::new(machine::unseen()));
        let backend = Arc::new(base.backend(&handle, seen)?);
        let machine = Machine {
            runtime,
            store: base.store.clone(),
            data_dir: data_dir.clone(),
            calendar: Arc::clone(&base.calendar),
            meter: meter_handle.clone(),
            clock: Arc::clone(&base.clock),
            notices,
        };
        let (link, link_handle) = base.link(&backend);
        let path = base.config.socket();
        let socket = (local::open(&path)?, path);
        let doors = Arc::new(Doors {
            config: base.config.clone(),
            instance: base.instance,
            started_at: base.calendar.now(),
            node: base.identity.node,
            clock: base.clock,
            games: Games::new(Arc::clone(&base.entropy)),
            entropy: base.entropy,
            calendar: base.calendar,
            machine: machine.clone(),
            supervisor: handle.clone(),
            consoles: consoles.clone(),
            data,
            mover,
            link: link_handle,
            pace: Pace::default(),
        });
        Ok(Self {
            supervisor,
            handle,
            meter,
            meter_handle,
            consoles,
            backend,
            doors,
            link,
            machine,
            view,
            socket,
        })
    }

    /// Runs every part until `stop` ends, then ends them in order.
    async fn run(self, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let observed = self.handle.observed();
        // The servers first: nothing of them waits for what comes after.
        let supervisor = tasks.spawn(named("supervisor", self.supervisor.run()));
        let meter = tasks.spawn(named("meter", self.meter.run()));
        let mut seen = self.view.subscribe();
        let machine = tasks.spawn(named("machine", self.machine.watch(observed, self.view)));
        let link = self.link.run(Arc::clone(&self.doors), stopped);
        let link = tasks.spawn(named("link", async move {
            // The hub takes the first word for the truth, and it is also about what waits for it.
            // Without a machine that is looked at there is no view and soon no daemon either.
            seen.changed().await.ok();
            link.await;
        }));
        let (socket, path) = self.socket;
        let door = tasks.spawn(named("local socket", local::serve(path, socket, self.doors)));
        let remember = tasks.spawn(named("calendar", async move { self.backend.remember().await }));
        tracing::info!(version = SOFTWARE, "running");
        let ended = tokio::select! {
            () = stop => Ok(()),
            Some(ended) = tasks.join_next() => Err(AppError::PartEnded(match ended {
                Ok(name) => name.to_owned(),
                Err(err) => chain(&err),
            })),
        };
        let in_order = async {
            // No new orders from outside, then finish what is in hand, then let go of the rest.
            door.abort();
            stopping.send_replace(true);
            join(&mut tasks, &link).await;
            self.handle.stop().await;
            join(&mut tasks, &supervisor).await;
            if !self.meter_handle.flush().await {
                tracing::warn!("the last usage is not stored; it is bridged at the next start");
            }
            meter.abort();
            machine.abort();
            remember.abort();
            if let Err(err) = self.consoles.flush().await {
                tracing::warn!(error = chain(&err), "last console lines are not written");
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, in_order).await.is_err() {
            tracing::warn!("stopping took longer than {STOP_TIMEOUT:?}; the rest is cut off");
        }
        ended
    }
}

/// Runs a part and returns its name, so that whoever waits knows which one ended.
async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

/// Waits for one task among others.
async fn join(tasks: &mut JoinSet<&'static str>, task: &AbortHandle) {
    while !task.is_finished() {
        match tasks.join_next().await {
            Some(Ok(_)) => {}
            Some(Err(err)) if err.is_cancelled() => {}
            Some(Err(err)) => tracing::error!(error = chain(&err), "a part broke off"),
            None => return,
        }
    }
}

/// Opens the store; one that is damaged is set aside, and an empty one takes its place: the hub
/// sends what it wants again, and running containers are adopted.
fn open_store(dir: &DataDir) -> Result<(Store, Vec<String>), AppError> {
    let failed = |source| AppError::Store { dir: dir.path().to_owned(), source };
    let open = || Store::open(dir, FileDisk::EDGE_BALLAST_BYTES, StoreOptions::EDGE);
    match open() {
        Ok(store) => Ok((store, Vec::new())),
        Err(fault @ Fault::Corrupt { .. }) => {
            let aside = dir.set_store_aside()?;
            let notice = format!(
                "{}; it is kept as `{}`, and the node is rebuilt from the hub and its containers",
                chain(&fault),
                aside.display()
            );
            tracing::error!("{notice}");
            Ok((open().map_err(failed)?, vec![notice]))
        }
        Err(fault) => Err(failed(fault)),
    }
}

/// Makes the outbox on the first start. Later starts only look, so that they work on a full disk.
async fn init_outbox(store: &Store, entropy: &Arc<dyn Entropy>) -> Result<(), AppError> {
    if store.read(outbox::lines).is_ok() {
        return Ok(());
    }
    let entropy = Arc::clone(entropy);
    let made = store.write(move |txn| outbox::init(txn, &*entropy)).await;
    made.map_err(|err| AppError::Outbox(Box::new(err)))
}

fn system_memory() -> u64 {
    let it = rustix::system::sysinfo();
    it.totalram * u64::from(it.mem_unit)
}

fn init_log(config: &Config) {
    let filter = EnvFilter::new(&config.log);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match config.log_format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    // Already set when several daemons run in one test.
    set.ok();
}

/// Ends when the process is asked to stop.
fn stop_signal() -> Result<impl Future<Output = ()>, AppError> {
    let failed = |source| AppError::System { step: "waiting for signals", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn system_clock() -> Result<SystemClock, AppError> {
    let clock = SystemClock::new()
        .map_err(|source| AppError::System { step: "reading the boot id", source })?;
    match std::env::var(WALL_OFFSET_VARIABLE).ok().and_then(|text| text.parse().ok()) {
        Some(offset_ms) => {
            tracing::warn!(offset_ms, "the wall clock is wrong on purpose");
            Ok(clock.with_wall_offset(offset_ms))
        }
        None => Ok(clock),
    }
}

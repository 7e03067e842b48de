//! The container engine as a trait: what the supervisor needs of it, and nothing more.
//!
//! Adapters: the real Docker Engine (`docker`) and a fake that can be told to fail (`fake`). Both
//! pass one contract suite. Nothing here decides: every call does one thing and says how it went.
//! Every call has a deadline of its own; a dropped call may still have had its effect, so callers
//! look again (`list`, `inspect`) before they act again.

pub mod docker;
#[cfg(feature = "test-support")]
pub mod fake;
pub mod subnet;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use mamba_core::{
    clock::UnixMs,
    desired::Order,
    ids::{NodeId, ServerId, TenantId},
    seq::Generation,
    server::{Capability, Entry, Limits, PortBinding, Signal},
    units::{Mib, Millicores},
};
use std::{collections::BTreeMap, future::Future, path::PathBuf};
use tokio::sync::mpsc;

pub use subnet::Subnet;

/// Engine's name of a container: its full id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ContainerId(pub String);

/// A folder of the node in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where it is on the node, without symbolic links.
    pub source: PathBuf,
    /// Where the game finds it.
    pub target: String,
    /// Whether the game may only read it.
    pub read_only: bool,
}

/// Everything that a container is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Node that makes it: containers of another node on the same engine are not ours.
    pub node: NodeId,
    /// Owner; decides the network.
    pub tenant: TenantId,
    /// The server.
    pub server: ServerId,
    /// The wish that it is made from, kept as a label.
    pub generation: Generation,
    /// Image, already present.
    pub image: String,
    /// Shell line that starts the game.
    pub startup: String,
    /// Whether `/bin/sh -c` runs it, or the image's entrypoint, which finds it in `STARTUP`.
    pub entry: Entry,
    /// Whole environment.
    pub environment: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// What is published.
    pub ports: Vec<PortBinding>,
    /// Capabilities kept; all others are dropped.
    pub capabilities: Vec<Capability>,
    /// The server's data directory on the node, mounted at `/home/container`, owned by `uid`.
    pub data_dir: PathBuf,
    /// Folders of the node besides.
    pub mounts: Vec<Bind>,
    /// User and group the game runs as; never 0.
    pub uid: u32,
    /// Time between stop and kill for the engine's own stop, in milliseconds.
    pub stop_grace_ms: u32,
}

/// Everything that the container of an install script is made from. It runs as root, for package
/// managers need that, with few capabilities and nothing mounted but the server's folder and the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallerSpec {
    /// Node that makes it.
    pub node: NodeId,
    /// Owner; decides the network.
    pub tenant: TenantId,
    /// The server.
    pub server: ServerId,
    /// Which run it is, kept as a label.
    pub asked: Order,
    /// Image, already present.
    pub image: String,
    /// Program that runs the script, with arguments.
    pub entrypoint: String,
    /// Whole environment.
    pub environment: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// The server's data directory on the node, mounted at `/mnt/server`.
    pub data_dir: PathBuf,
    /// Directory with `install.sh`, mounted at `/mnt/install`.
    pub script_dir: PathBuf,
}

/// The container of an install script as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installer {
    /// Engine's id.
    pub id: ContainerId,
    /// Which run it is, by label.
    pub asked: Order,
    /// Whether it has a process.
    pub status: ContainerStatus,
}

/// A container of ours as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Engine's id.
    pub id: ContainerId,
    /// Owner by label.
    pub tenant: TenantId,
    /// Server by label.
    pub server: ServerId,
    /// Wish by label.
    pub generation: Generation,
    /// What is billed as allocated, as it is set now. `None` when the engine does not tell.
    pub allocated: Option<Allocated>,
    /// Whether it has a process.
    pub status: ContainerStatus,
}

/// Limits of a container that count in bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// Memory.
    pub memory_mib: Mib,
    /// CPU time.
    pub cpu_millicores: Millicores,
}

impl Allocated {
    /// Returns `limits` with these in them.
    #[must_use]
    pub fn within(self, limits: Limits) -> Limits {
        let Self { memory_mib, cpu_millicores } = self;
        Limits { memory_mib, cpu_millicores, ..limits }
    }
}

/// Whether a container has a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerStatus {
    /// Made and never started.
    Created,
    /// Has a process.
    Running {
        /// Start of the process by the engine's clock: together with the id it names one run.
        started_at: UnixMs,
        /// Process id on the machine.
        pid: u32,
    },
    /// Its process ended.
    Exited {
        /// Exit code; 128 plus the signal's number when a signal ended it.
        code: i64,
        /// Whether the kernel ended it over its memory limit.
        oom_killed: bool,
        /// When, by the engine's clock.
        at: UnixMs,
    },
}

/// Something happened to a container of ours; look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// The container of this server changed.
    Changed(ServerId),
    /// Events may have been missed; look at everything.
    Rescan,
}

/// Where output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The three streams of a running container.
pub struct Attached {
    /// Output as it comes; ends when the process ends or the engine goes away. Must be read without
    /// pause: a full pipe stops the game.
    pub output: BoxStream<'static, Result<(OutputSource, Bytes), RuntimeError>>,
    /// Input, whole lines with their line end; on its way only while the output is read. Closing it
    /// does not close the game's input.
    pub input: mpsc::Sender<Bytes>,
}

/// What the engine says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// Name and version, for people.
    pub version: String,
    /// Version of runc, which starts the containers; `None` when the engine does not tell.
    pub runc: Option<String>,
    /// Processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// What of a server's limits it cannot hold it to.
    pub lacks: Vec<&'static str>,
}

/// Why the engine did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// It does not answer: socket missing, refused, connection lost.
    #[error("container engine is unreachable: {0}")]
    Unreachable(String),
    /// It did not answer in time; it may still do it.
    #[error("container engine did not finish `{step}` in {ms} ms")]
    TimedOut {
        /// Which call.
        step: &'static str,
        /// How long was waited.
        ms: u64,
    },
    /// The image is neither here nor to be had.
    #[error("image `{image}` could not be pulled: {error}")]
    ImageMissing {
        /// Which.
        image: String,
        /// In the engine's words.
        error: String,
    },
    /// A port is taken by something else on the machine.
    #[error("port is already taken: {0}")]
    PortTaken(String),
    /// Another network on the machine uses these addresses: assign others and try again.
    #[error("subnet is taken: {0}")]
    SubnetTaken(String),
    /// No such container.
    #[error("container does not exist")]
    NoSuchContainer,
    /// The container is not running.
    #[error("container is not running")]
    NotRunning,
    /// No room on the disk of the engine.
    #[error("disk of the container engine is full: {0}")]
    DiskFull(String),
    /// It refused, and why.
    #[error("container engine refused `{step}`: {error}")]
    Refused {
        /// Which call.
        step: &'static str,
        /// In the engine's words.
        error: String,
    },
}

/// Progress of getting an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullProgress {
    /// Bytes here.
    pub done: u64,
    /// Bytes in all, as far as known.
    pub total: u64,
}

/// A container engine.
pub trait Runtime: Send + Sync + 'static {
    /// Asks who it is. The cheapest sign of life.
    fn info(&self) -> impl Future<Output = Result<EngineInfo, RuntimeError>> + Send;

    /// Makes sure that an image is here: returns at once when it is, pulls it otherwise, telling
    /// how far it is; full progress channels are skipped. Cancelling stops the pull.
    fn ensure_image(
        &self,
        image: &str,
        progress: mpsc::Sender<PullProgress>,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Makes sure that the tenant's network exists and lets no traffic through to other tenants.
    /// Harmless when it does, with whatever addresses: those of a network in use cannot be changed.
    /// `SubnetTaken` when another network has these addresses.
    fn ensure_network(
        &self,
        node: NodeId,
        tenant: TenantId,
        subnet: Subnet,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Removes the tenant's network. Harmless when it is gone, refused while containers are in it.
    fn remove_network(
        &self,
        node: NodeId,
        tenant: TenantId,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Returns every network of the engine, also those of others, so that a subnet can be chosen
    /// that clashes with none.
    fn networks(&self) -> impl Future<Output = Result<Vec<Network>, RuntimeError>> + Send;

    /// Makes a container and starts nothing. A leftover container of the same server that does not
    /// run is gone with that; one that runs is an error.
    fn create(
        &self,
        spec: &ContainerSpec,
    ) -> impl Future<Output = Result<ContainerId, RuntimeError>> + Send;

    /// Makes the container of an install script and starts nothing. One that the server has already is
    /// removed first, also when it runs.
    fn create_installer(
        &self,
        spec: &InstallerSpec,
    ) -> impl Future<Output = Result<ContainerId, RuntimeError>> + Send;

    /// Looks for the container of a server's install script. It is in no list of containers, and
    /// `inspect` does not know it; start, signal, log and removal are those of any container.
    fn installer(
        &self,
        node: NodeId,
        server: ServerId,
    ) -> impl Future<Output = Result<Option<Installer>, RuntimeError>> + Send;

    /// Attaches to a container, before or after its start. Output begins at the attach.
    fn attach(
        &self,
        id: &ContainerId,
    ) -> impl Future<Output = Result<Attached, RuntimeError>> + Send;

    /// Returns what a container printed at or after a time, as far as the engine kept it: the newest
    /// `lines_max` lines, oldest first, each with its time.
    fn logs_since(
        &self,
        id: &ContainerId,
        since: UnixMs,
        lines_max: u32,
    ) -> impl Future<Output = Result<Vec<LogLine>, RuntimeError>> + Send;

    /// Starts the process of a created container. Harmless when it runs. `PortTaken` when something
    /// else listens on one of its ports; the container is removed then.
    fn start(&self, id: &ContainerId) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Sends a signal to the first process. `NotRunning` when there is none.
    fn signal(
        &self,
        id: &ContainerId,
        signal: Signal,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Sends the image's own stop signal and returns without waiting for the end.
    fn stop_signal(
        &self,
        id: &ContainerId,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Changes limits of a running container in place.
    fn update(
        &self,
        id: &ContainerId,
        limits: Limits,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Removes a container, killing it when it runs. Harmless when it is gone.
    fn remove(&self, id: &ContainerId) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Looks at one container. `None` when it is gone.
    fn inspect(
        &self,
        id: &ContainerId,
    ) -> impl Future<Output = Result<Option<Container>, RuntimeError>> + Send;

    /// Returns all games' containers with this node's label, in the order of their server ids.
    fn list(
        &self,
        node: NodeId,
    ) -> impl Future<Output = Result<Vec<Container>, RuntimeError>> + Send;

    /// Returns events from now on. Never ends: while the engine is away it tries again with a
    /// growing wait. `Rescan` comes first, and again whenever events may have been missed.
    fn events(&self, node: NodeId) -> BoxStream<'static, RuntimeEvent>;
}

/// A network of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Whose it is, when it is one of ours.
    pub owner: Option<(NodeId, TenantId)>,
    /// Its IPv4 addresses.
    pub subnets: Vec<Subnet>,
}

/// One line that the engine kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was printed, by the engine's clock.
    pub at: UnixMs,
    /// Where it came from.
    pub source: OutputSource,
    /// Text without line end.
    pub text: Bytes,
}

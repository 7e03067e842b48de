//! The Docker Engine, 20.10 or newer, over its unix socket.
//!
//! The deadline of every call covers the whole of it and is written here. The engine goes on with
//! a call that was given up; callers look before they act again.

mod aside;
mod attach;
mod config;
mod error;
mod events;
mod image;
mod installer;
mod lacks;
mod networks;
mod oom;
mod registry;
pub(crate) mod runc;
mod state;
mod time;

use super::{
    Attached, Container, ContainerId, ContainerSpec, ContainerStatus, EngineInfo, Installer,
    InstallerSpec, LogLine, Network, PullProgress, Runtime, RuntimeError, RuntimeEvent, Subnet,
};
use crate::registries::HubRegistries;
use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error,
    models::ContainerCreateBody,
    query_parameters::{
        AttachContainerOptions, CreateContainerOptions, InspectContainerOptions,
        KillContainerOptions, ListContainersOptions, ListNetworksOptions, LogsOptions,
        RemoveContainerOptions, StartContainerOptions,
    },
};
use error::translate;
use futures_util::{StreamExt, stream::BoxStream};
use mamba_core::{
    clock::UnixMs,
    ids::{NodeId, ServerId, TenantId},
    server::{Limits, Signal},
};
use oom::KernelLog;
use registry::spell_login;
pub use registry::{Registries, RegistryLogin};
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};

/// Deadline for a sign of life and for reading who the engine is.
const INFO_MS: u64 = 5_000;
/// Deadline for looking at one thing; takes 2 ms on a healthy machine.
const LOOK_MS: u64 = 10_000;
/// Deadline for looking at everything.
const LIST_MS: u64 = 30_000;
/// Deadline for making a network: firewall rules take a second when there are hundreds.
const NETWORK_MS: u64 = 30_000;
/// Deadline for making a container: layers are mounted, on a busy disk in seconds.
const CREATE_MS: u64 = 60_000;
/// Deadline for a start; half a second on a healthy machine.
const START_MS: u64 = 60_000;
/// Deadline for a signal.
const SIGNAL_MS: u64 = 10_000;
/// Deadline for a change of limits.
const UPDATE_MS: u64 = 20_000;
/// Deadline for a removal: the engine kills, waits 10 s and unmounts.
const REMOVE_MS: u64 = 60_000;
/// Deadline for reading the engine's log.
const LOGS_MS: u64 = 15_000;
/// Time between looks at a container that somebody else is removing.
const REMOVING_WAIT: Duration = Duration::from_millis(100);
/// Containers inspected at the same time.
const INSPECT_AT_ONCE: usize = 8;
/// bollard's own limit for the time to an answer's head. Longer than any of ours, which hold for
/// the answer's body too.
const CLIENT_TIMEOUT_S: u64 = 20 * 60;
/// Oldest interface version: the one of Engine 20.10.
const API_MINOR_MIN: usize = 41;

/// The real container engine. Clones share one connection state.
#[derive(Clone, Debug)]
pub struct DockerRuntime {
    socket: Arc<Path>,
    session: Arc<Mutex<Option<Session>>>,
    kernel_log: Arc<KernelLog>,
    /// One at a time makes or removes networks.
    networks: Arc<Semaphore>,
    registries: Arc<Registries>,
    allow_old_runc: Option<bool>,
    sweeper: Arc<aside::Sweeper>,
    hub_registries: HubRegistries,
}

/// An engine that has answered, with the version agreed on.
#[derive(Clone, Debug)]
struct Session {
    docker: Docker,
    info: EngineInfo,
    system_time: Option<String>,
}

impl DockerRuntime {
    /// Uses the engine behind a socket, usually `/var/run/docker.sock`. Connects with the first
    /// call and again after a loss.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.into(),
            session: Arc::default(),
            kernel_log: Arc::default(),
            networks: Arc::new(Semaphore::new(1)),
            registries: Arc::default(),
            allow_old_runc: None,
            sweeper: Arc::default(),
            hub_registries: HubRegistries::default(),
        }
    }

    /// Pulls images with these logins.
    #[must_use]
    pub fn with_registries(self, registries: Registries) -> Self {
        Self { registries: Arc::new(registries), ..self }
    }

    /// Starts containers by a runc with known ways out of them, or does not; when nothing is said, only
    /// by one that a distribution may have mended.
    #[must_use]
    pub fn with_old_runc(self, allow_old_runc: Option<bool>) -> Self {
        Self { allow_old_runc, ..self }
    }

    /// Pulls also with the logins that the hub told, where the node's own settings name none for a host.
    #[must_use]
    pub fn with_hub_registries(self, hub_registries: HubRegistries) -> Self {
        Self { hub_registries, ..self }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the agreed session, or agrees on one.
    async fn session(&self) -> Result<Session, RuntimeError> {
        let kept = self.kept().clone();
        match kept {
            Some(session) => Ok(session),
            None => self.connect().await,
        }
    }

    /// Asks the engine who it is and which version it speaks.
    async fn connect(&self) -> Result<Session, RuntimeError> {
        let socket = self.socket.to_str().ok_or_else(|| {
            RuntimeError::Unreachable(format!("socket path {} is not text", self.socket.display()))
        })?;
        let connect = async {
            let docker = Docker::connect_with_unix(socket, CLIENT_TIMEOUT_S, API_DEFAULT_VERSION)?;
            let docker = docker.negotiate_version().await?.with_request_modifier(spell_login);
            let (info, version) = (docker.info().await?, docker.version().await?);
            Ok((docker, info, version))
        };
        let (docker, info, version) = within("connect", INFO_MS, connect).await?;
        let api = docker.client_version();
        if (api.major_version, api.minor_version) < (1, API_MINOR_MIN) {
            let error =
                format!("Docker Engine 20.10 or newer is needed, this one speaks API {api}");
            return Err(RuntimeError::Refused { step: "connect", error });
        }
        let lacks = lacks::lacks(&info, Path::new(lacks::CGROUPS));
        let info_text = format!("Docker {}", info.server_version.unwrap_or_default());
        let session = Session {
            docker,
            info: EngineInfo {
                version: info_text,
                runc: version.components.and_then(|all| {
                    all.into_iter().find(|it| it.name == "runc").map(|it| it.version)
                }),
                cpus: info.ncpu.and_then(|it| u32::try_from(it).ok()).unwrap_or(0),
                memory_bytes: info.mem_total.and_then(|it| u64::try_from(it).ok()).unwrap_or(0),
                lacks,
            },
            system_time: info.system_time,
        };
        *self.kept() = Some(session.clone());
        Ok(session)
    }

    /// Makes one call within its deadline.
    async fn call<T, F>(
        &self,
        step: &'static str,
        ms: u64,
        work: impl FnOnce(Docker) -> F,
    ) -> Result<T, RuntimeError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let docker = self.session().await?.docker;
        let done = within(step, ms, work(docker)).await;
        if let Err(RuntimeError::Unreachable(_)) = done {
            // Another version may answer next time.
            *self.kept() = None;
        }
        done
    }

    async fn look(
        &self,
        node: Option<NodeId>,
        name: &str,
    ) -> Result<Option<Container>, RuntimeError> {
        let found = self.inspect_raw(name).await?;
        let found = found.and_then(|found| state::container(node, &found));
        Ok(found.map(|found| self.with_oom(found)))
    }

    /// Adds what the kernel says to what the engine says about the end of a process.
    fn with_oom(&self, mut container: Container) -> Container {
        self.add_oom(&container.id, &mut container.status);
        container
    }

    fn add_oom(&self, id: &ContainerId, status: &mut ContainerStatus) {
        if let ContainerStatus::Exited { code, oom_killed, .. } = status
            && *code != 0
            && !*oom_killed
        {
            *oom_killed = self.kernel_log.has_killed_in(&id.0);
        }
    }

    /// Makes a container by its name.
    async fn make(
        &self,
        server: ServerId,
        name: String,
        body: ContainerCreateBody,
    ) -> Result<ContainerId, RuntimeError> {
        let image = body.image.clone().unwrap_or_default();
        let options =
            CreateContainerOptions { name: Some(name), ..CreateContainerOptions::default() };
        let made = self.call("create", CREATE_MS, |docker| async move {
            docker.create_container(Some(options), body).await
        });
        let made = made.await.map_err(|err| match err {
            RuntimeError::Refused { error, .. } if error.contains("No such image") => {
                RuntimeError::ImageMissing { image, error }
            }
            err => err,
        })?;
        for warning in made.warnings {
            tracing::warn!(%server, warning, "container engine warns");
        }
        Ok(ContainerId(made.id))
    }

    async fn kill(&self, id: &ContainerId, signal: String) -> Result<(), RuntimeError> {
        self.call("signal", SIGNAL_MS, |docker| async move {
            docker.kill_container(&id.0, Some(KillContainerOptions { signal })).await
        })
        .await
    }

    /// Waits until a container that is being removed is gone.
    async fn wait_removed(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let gone = async {
            while self.exists(id).await? {
                tokio::time::sleep(REMOVING_WAIT).await;
            }
            Ok(())
        };
        let late = RuntimeError::TimedOut { step: "remove", ms: REMOVE_MS };
        tokio::time::timeout(Duration::from_millis(REMOVE_MS), gone).await.map_err(|_| late)?
    }

    async fn exists(&self, id: &ContainerId) -> Result<bool, RuntimeError> {
        self.call("inspect", LOOK_MS, |docker| async move {
            match docker.inspect_container(&id.0, None::<InspectContainerOptions>).await {
                Ok(_) => Ok(true),
                Err(err) if is_status(&err, 404) => Ok(false),
                Err(err) => Err(err),
            }
        })
        .await
    }
}

/// Waits for a call, not longer than its deadline.
async fn within<T>(
    step: &'static str,
    ms: u64,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, RuntimeError> {
    match tokio::time::timeout(Duration::from_millis(ms), work).await {
        Ok(done) => done.map_err(|err| translate(step, err)),
        Err(_) => Err(RuntimeError::TimedOut { step, ms }),
    }
}

fn is_status(err: &Error, status: u16) -> bool {
    matches!(err, Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}

impl Runtime for DockerRuntime {
    async fn info(&self) -> Result<EngineInfo, RuntimeError> {
        let info = self.session().await?.info;
        // The engine's own information starts processes; a ping does not.
        self.call("ping", INFO_MS, |docker| async move { docker.ping().await }).await?;
        Ok(info)
    }

    async fn ensure_image(
        &self,
        image: &str,
        progress: mpsc::Sender<PullProgress>,
    ) -> Result<(), RuntimeError> {
        self.have_image(image, &progress).await
    }

    async fn ensure_network(
        &self,
        node: NodeId,
        tenant: TenantId,
        subnet: Subnet,
    ) -> Result<(), RuntimeError> {
        let name = &config::network_name(node, tenant);
        let _turn = self.network_turn().await?;
        if self.one_network(name).await? {
            return Ok(());
        }
        let request = config::network(node, tenant, subnet);
        let made = self.call("make network", NETWORK_MS, |docker| async move {
            docker.create_network(request).await
        });
        match made.await {
            Ok(_) => Ok(()),
            // A call that was given up may have made it meanwhile.
            Err(RuntimeError::SubnetTaken(_)) if self.one_network(name).await? => Ok(()),
            Err(err) => Err(err),
        }
    }

    async fn remove_network(&self, node: NodeId, tenant: TenantId) -> Result<(), RuntimeError> {
        let name = &config::network_name(node, tenant);
        let _turn = self.network_turn().await?;
        for id in self.networks_named(name).await? {
            self.remove_network_by_id(&id).await?;
        }
        Ok(())
    }

    async fn networks(&self) -> Result<Vec<Network>, RuntimeError> {
        let listed = self.call("list networks", LIST_MS, |docker| async move {
            docker.list_networks(None::<ListNetworksOptions>).await
        });
        Ok(listed.await?.into_iter().map(state::network).collect())
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, RuntimeError> {
        let body = config::container(spec)?;
        // What the engine tells of a container is large.
        Box::pin(self.make_room(spec)).await?;
        let name = config::container_name(spec.server);
        // The request is large, and most futures that wait for this are not.
        Box::pin(self.make(spec.server, name, body)).await
    }

    async fn create_installer(&self, spec: &InstallerSpec) -> Result<ContainerId, RuntimeError> {
        let body = installer::container(spec)?;
        if let Some(old) = self.installer(spec.node, spec.server).await? {
            self.remove(&old.id).await?;
        }
        Box::pin(self.make(spec.server, installer::name(spec.server), body)).await
    }

    async fn installer(
        &self,
        node: NodeId,
        server: ServerId,
    ) -> Result<Option<Installer>, RuntimeError> {
        let name = installer::name(server);
        let found = self.call("inspect", LOOK_MS, |docker| async move {
            docker.inspect_container(&name, None::<InspectContainerOptions>).await
        });
        match found.await {
            Ok(found) => Ok(installer::read(node, server, found).map(|mut found| {
                self.add_oom(&found.id, &mut found.status);
                found
            })),
            Err(RuntimeError::NoSuchContainer) => Ok(None),
            Err(err) => Err(err),
        }
    }

    async fn attach(&self, id: &ContainerId) -> Result<Attached, RuntimeError> {
        let options = AttachContainerOptions {
            detach_keys: None,
            logs: false,
            stream: true,
            stdin: true,
            stdout: true,
            stderr: true,
        };
        let results = self.call("attach", LOOK_MS, |docker| async move {
            docker.attach_container(&id.0, Some(options)).await
        });
        Ok(attach::attached(results.await?))
    }

    async fn logs_since(
        &self,
        id: &ContainerId,
        since: UnixMs,
        lines_max: u32,
    ) -> Result<Vec<LogLine>, RuntimeError> {
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            timestamps: true,
            // Whole seconds, rounded down; what is too early is left out below.
            since: i32::try_from(since.0 / 1_000).unwrap_or(i32::MAX),
            tail: lines_max.to_string(),
            ..LogsOptions::default()
        };
        let lines = self.call("read log", LOGS_MS, |docker| async move {
            let mut frames = docker.logs(&id.0, Some(options)).boxed();
            let mut lines = state::LogLines::default();
            while let Some(frame) = frames.next().await {
                let (source, bytes) = attach::split(frame?);
                lines.add(source, &bytes);
            }
            Ok(lines)
        });
        Ok(lines.await?.since(since))
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        // What the engine tells of itself is large.
        Box::pin(self.check_runc()).await?;
        let started = self.call("start", START_MS, |docker| async move {
            docker.start_container(&id.0, None::<StartContainerOptions>).await
        });
        let started = started.await;
        if let Err(RuntimeError::PortTaken(_)) = started
            && let Err(err) = self.remove(id).await
        {
            tracing::warn!(%err, "container whose port is taken is left over");
        }
        started
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        self.kill(id, signal.name().to_owned()).await
    }

    async fn stop_signal(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let found = self.call("inspect", LOOK_MS, |docker| async move {
            docker.inspect_container(&id.0, None::<InspectContainerOptions>).await
        });
        let signal = found.await?.config.and_then(|config| config.stop_signal);
        self.kill(id, signal.filter(|it| !it.is_empty()).unwrap_or("SIGTERM".to_owned())).await
    }

    async fn update(&self, id: &ContainerId, limits: Limits) -> Result<(), RuntimeError> {
        self.call("update limits", UPDATE_MS, |docker| async move {
            docker.update_container(&id.0, config::update(limits)).await
        })
        .await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        let removed = self.call("remove", REMOVE_MS, |docker| async move {
            docker.remove_container(&id.0, Some(options)).await
        });
        match removed.await {
            Err(RuntimeError::NoSuchContainer) => Ok(()),
            Err(RuntimeError::Refused { error, .. }) if error.contains("already in progress") => {
                self.wait_removed(id).await
            }
            other => other,
        }
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, RuntimeError> {
        self.look(None, &id.0).await
    }

    async fn list(&self, node: NodeId) -> Result<Vec<Container>, RuntimeError> {
        let label = vec![format!("{}={node}", config::LABEL_NODE)];
        let options = ListContainersOptions {
            all: true,
            filters: Some([("label".to_owned(), label)].into()),
            ..ListContainersOptions::default()
        };
        let listed = self.call("list", LIST_MS, |docker| async move {
            docker.list_containers(Some(options)).await
        });
        let listed = listed.await?;
        self.sweep(&listed);
        let ids = listed.into_iter().filter_map(|container| container.id);
        // The list lacks exit codes and times; one that goes meanwhile is left out.
        let looks = ids.map(|id| async move { self.look(Some(node), &id).await });
        let found: Vec<_> =
            futures_util::stream::iter(looks).buffer_unordered(INSPECT_AT_ONCE).collect().await;
        let mut containers = Vec::with_capacity(found.len());
        for found in found {
            match found {
                Ok(container) => containers.extend(container),
                // One broken container must not hide all others; whoever misses it looks at it.
                Err(RuntimeError::Refused { step, error }) => {
                    tracing::warn!(step, error, "container is left out of the list");
                }
                Err(err) => return Err(err),
            }
        }
        containers.sort_by_key(|container| container.server);
        Ok(containers)
    }

    fn events(&self, node: NodeId) -> BoxStream<'static, RuntimeEvent> {
        events::subscribe(self.clone(), node)
    }
}

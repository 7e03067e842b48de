//! A container engine in memory for tests: processes follow scripts, calls fail on command.
//!
//! Time is tokio's, so that a paused clock makes everything deterministic; nothing runs between
//! calls: what a process did since is worked out when somebody looks. Clones share the engine, so
//! that containers survive a restart of the daemon under test.

mod engine;
mod script;

pub use engine::FakeRun;
pub use script::{Act, Script};

use super::{
    Attached, Container, ContainerId, ContainerSpec, EngineInfo, Installer, InstallerSpec, LogLine,
    Network, OutputSource, PullProgress, Runtime, RuntimeError, RuntimeEvent, Subnet,
};
use bytes::Bytes;
use engine::Engine;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use mamba_core::{
    clock::UnixMs,
    ids::{NodeId, ServerId, TenantId},
    server::{Limits, Signal},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// Places in the input of a fake process; as many as of a real one.
const INPUT_LINES: usize = 64;

/// One call of [`Runtime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named like the calls")]
pub enum Call {
    Info,
    EnsureImage,
    EnsureNetwork,
    RemoveNetwork,
    Networks,
    Create,
    CreateInstaller,
    Installer,
    Attach,
    LogsSince,
    Start,
    Signal,
    StopSignal,
    Update,
    Remove,
    Inspect,
    List,
}

/// Whether a trouble comes before or after the call has had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing was done.
    Before,
    /// It was done and the caller does not learn of it.
    After,
}

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It fails.
    Fail(RuntimeError),
    /// It takes so many milliseconds longer.
    Slow(u64),
}

/// The fake engine.
#[derive(Clone)]
pub struct FakeRuntime {
    engine: Arc<Mutex<Engine>>,
    faults: Arc<Mutex<Faults>>,
    /// Counts changes; wakes streams.
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct Faults {
    troubles: BTreeMap<Call, VecDeque<(When, Trouble)>>,
    calls: BTreeMap<Call, u32>,
    is_down: bool,
}

impl FakeRuntime {
    /// An engine without containers, whose clock shows `now`.
    #[must_use]
    pub fn new(now: UnixMs) -> Self {
        Self {
            engine: Arc::new(Mutex::new(Engine::new(now, Instant::now()))),
            faults: Arc::default(),
            changes: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Puts trouble on the next calls of this kind that have none yet, one call each.
    pub fn trouble(&self, call: Call, when: When, trouble: Trouble) {
        self.faults().troubles.entry(call).or_default().push_back((when, trouble));
    }

    /// Returns how often a call was made.
    #[must_use]
    pub fn calls(&self, call: Call) -> u32 {
        self.faults().calls.get(&call).copied().unwrap_or(0)
    }

    /// Takes the engine away or brings it back. While away every call fails as unreachable and
    /// attachments break; processes go on.
    pub fn set_down(&self, is_down: bool) {
        self.faults().is_down = is_down;
        self.wake();
    }

    /// Sets what a server's processes do: each start takes the next script, the last one stays.
    pub fn script(&self, server: ServerId, scripts: impl IntoIterator<Item = Script>) {
        self.engine().scripts.insert(server, scripts.into_iter().collect());
    }

    /// Sets what a server's install scripts do: each run takes the next one, the last one stays. Without
    /// any they end well after a second.
    pub fn script_install(&self, server: ServerId, scripts: impl IntoIterator<Item = Script>) {
        self.engine().install_scripts.insert(server, scripts.into_iter().collect());
    }

    /// Returns what the container of a server's install script was made from.
    #[must_use]
    pub fn installer_spec(&self, server: ServerId) -> Option<InstallerSpec> {
        self.engine().installer_spec(server)
    }

    /// Makes an image that cannot be had. All others are here.
    pub fn miss_image(&self, image: &str) {
        self.engine().missing_images.insert(image.to_owned());
    }

    /// Lets something else on the machine listen on a port, or free it.
    pub fn occupy(&self, port: u16, is_taken: bool) {
        let mut engine = self.engine();
        if is_taken {
            engine.occupied.insert(port);
        } else {
            engine.occupied.remove(&port);
        }
    }

    /// Adds a network that is not ours.
    pub fn foreign_network(&self, subnet: Subnet) {
        self.engine().foreign.push(subnet);
    }

    /// Lets a process of a server do something now.
    pub fn act(&self, server: ServerId, act: Act) {
        self.engine().act(server, act);
        self.wake();
    }

    /// Ends every process at once, as a loss of power does. Containers stay.
    pub fn power_cut(&self) {
        self.engine().power_cut();
        self.wake();
    }

    /// Returns the containers of all nodes as the engine sees them.
    #[must_use]
    pub fn containers(&self) -> Vec<Container> {
        self.engine().containers(None)
    }

    /// Returns every process there ever was, by container and process id.
    #[must_use]
    pub fn runs(&self) -> BTreeMap<(ContainerId, u32), FakeRun> {
        self.engine().runs.clone()
    }

    /// Sets the machine's wall clock. What was started before keeps the time of then.
    pub fn set_clock(&self, time: UnixMs) {
        self.engine().set_clock(time);
    }

    /// Returns what a server's container was made from and its present limits.
    #[must_use]
    pub fn spec(&self, server: ServerId) -> Option<ContainerSpec> {
        self.engine().spec(server)
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.settle(Instant::now());
        engine
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Makes a call: its trouble, its effect, and waking those who look.
    async fn call<T: Send>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut Engine) -> Result<T, RuntimeError> + Send,
    ) -> Result<T, RuntimeError> {
        let trouble = {
            let mut faults = self.faults();
            *faults.calls.entry(call).or_default() += 1;
            faults.troubles.get_mut(&call).and_then(VecDeque::pop_front)
        };
        suffer(&trouble, When::Before).await?;
        if self.faults().is_down {
            return Err(down());
        }
        let done = effect(&mut self.engine());
        self.wake();
        suffer(&trouble, When::After).await?;
        done
    }

    /// The three streams of a process. Reads input while its output is read.
    fn attached(&self, id: ContainerId, from: usize) -> Attached {
        let (input, lines) = mpsc::channel::<Bytes>(INPUT_LINES);
        let follow = Follow {
            fake: self.clone(),
            id,
            at: from,
            lines,
            changes: self.changes.subscribe(),
            has_ended: false,
        };
        let output = stream::unfold(follow, |mut follow| async move {
            follow.next().await.map(|chunk| (chunk, follow))
        });
        Attached { output: output.boxed(), input }
    }
}

/// State of one attachment.
struct Follow {
    fake: FakeRuntime,
    id: ContainerId,
    /// Chunks told.
    at: usize,
    lines: mpsc::Receiver<Bytes>,
    changes: watch::Receiver<u64>,
    has_ended: bool,
}

impl Follow {
    async fn next(&mut self) -> Option<Result<(OutputSource, Bytes), RuntimeError>> {
        let mut has_input = true;
        loop {
            self.changes.borrow_and_update();
            if self.has_ended {
                return None;
            }
            if self.fake.faults().is_down {
                self.has_ended = true;
                return Some(Err(down()));
            }
            let next_act = {
                let engine = self.fake.engine();
                let (chunk, is_running) = engine.output(&self.id, self.at)?;
                if let Some(chunk) = chunk {
                    self.at += 1;
                    return Some(Ok(chunk));
                }
                if !is_running {
                    return None;
                }
                engine.next_act()
            };
            tokio::select! {
                biased;
                line = self.lines.recv(), if has_input => match line {
                    Some(line) => {
                        self.fake.engine().typed(&self.id, &line);
                        self.fake.wake();
                    }
                    None => has_input = false,
                },
                _ = self.changes.changed() => {}
                () = until(next_act) => {}
            }
        }
    }
}

fn down() -> RuntimeError {
    RuntimeError::Unreachable("the fake engine is down".to_owned())
}

async fn suffer(trouble: &Option<(When, Trouble)>, now: When) -> Result<(), RuntimeError> {
    match trouble {
        Some((when, Trouble::Fail(err))) if *when == now => Err(err.clone()),
        Some((when, Trouble::Slow(ms))) if *when == now => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Runtime for FakeRuntime {
    async fn info(&self) -> Result<EngineInfo, RuntimeError> {
        let info = EngineInfo {
            version: "fake 1".to_owned(),
            runc: None,
            cpus: 4,
            memory_bytes: 8 << 30,
            lacks: Vec::new(),
        };
        self.call(Call::Info, |_| Ok(info)).await
    }

    async fn ensure_image(
        &self,
        image: &str,
        progress: mpsc::Sender<PullProgress>,
    ) -> Result<(), RuntimeError> {
        // A full or closed channel is skipped, as the trait says.
        drop(progress.try_send(PullProgress { done: 1, total: 1 }));
        self.call(Call::EnsureImage, |engine| engine.ensure_image(image)).await
    }

    async fn ensure_network(
        &self,
        node: NodeId,
        tenant: TenantId,
        subnet: Subnet,
    ) -> Result<(), RuntimeError> {
        self.call(Call::EnsureNetwork, |engine| engine.ensure_network(node, tenant, subnet)).await
    }

    async fn remove_network(&self, node: NodeId, tenant: TenantId) -> Result<(), RuntimeError> {
        self.call(Call::RemoveNetwork, |engine| engine.remove_network(node, tenant)).await
    }

    async fn networks(&self) -> Result<Vec<Network>, RuntimeError> {
        self.call(Call::Networks, |engine| Ok(engine.networks())).await
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, RuntimeError> {
        self.call(Call::Create, |engine| engine.create(spec)).await
    }

    async fn create_installer(&self, spec: &InstallerSpec) -> Result<ContainerId, RuntimeError> {
        self.call(Call::CreateInstaller, |engine| engine.create_installer(spec)).await
    }

    async fn installer(
        &self,
        node: NodeId,
        server: ServerId,
    ) -> Result<Option<Installer>, RuntimeError> {
        self.call(Call::Installer, |engine| Ok(engine.installer(node, server))).await
    }

    async fn attach(&self, id: &ContainerId) -> Result<Attached, RuntimeError> {
        let from = self.call(Call::Attach, |engine| engine.attach(id)).await?;
        Ok(self.attached(id.clone(), from))
    }

    async fn logs_since(
        &self,
        id: &ContainerId,
        since: UnixMs,
        lines_max: u32,
    ) -> Result<Vec<LogLine>, RuntimeError> {
        self.call(Call::LogsSince, |engine| engine.logs_since(id, since, lines_max)).await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.call(Call::Start, |engine| engine.start(id)).await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        self.call(Call::Signal, |engine| engine.signal(id, signal)).await
    }

    async fn stop_signal(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.call(Call::StopSignal, |engine| engine.signal(id, Signal::Term)).await
    }

    async fn update(&self, id: &ContainerId, limits: Limits) -> Result<(), RuntimeError> {
        self.call(Call::Update, |engine| engine.update(id, limits)).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.call(Call::Remove, |engine| {
            engine.remove(id);
            Ok(())
        })
        .await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, RuntimeError> {
        self.call(Call::Inspect, |engine| Ok(engine.inspect(id))).await
    }

    async fn list(&self, node: NodeId) -> Result<Vec<Container>, RuntimeError> {
        self.call(Call::List, |engine| Ok(engine.containers(Some(node)))).await
    }

    fn events(&self, node: NodeId) -> BoxStream<'static, RuntimeEvent> {
        let watch = Watch { fake: self.clone(), node, at: None, changes: self.changes.subscribe() };
        let events = stream::unfold(watch, |mut watch| async move {
            let event = watch.next().await;
            Some((event, watch))
        });
        events.boxed()
    }
}

/// State of one subscription.
struct Watch {
    fake: FakeRuntime,
    node: NodeId,
    /// Events told, `None` before the first and after the engine went away.
    at: Option<usize>,
    changes: watch::Receiver<u64>,
}

impl Watch {
    async fn next(&mut self) -> RuntimeEvent {
        loop {
            self.changes.borrow_and_update();
            let is_down = self.fake.faults().is_down;
            let next_act = {
                let engine = self.fake.engine();
                match self.at {
                    _ if is_down => self.at = None,
                    None => {
                        self.at = Some(engine.events.len());
                        return RuntimeEvent::Rescan;
                    }
                    Some(mut at) => {
                        let found = engine.events[at..].iter().find(|(node, _)| {
                            at += 1;
                            *node == self.node
                        });
                        self.at = Some(at);
                        if let Some((_, server)) = found {
                            return RuntimeEvent::Changed(*server);
                        }
                    }
                }
                engine.next_act()
            };
            tokio::select! {
                biased;
                _ = self.changes.changed() => {}
                () = until(next_act) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;

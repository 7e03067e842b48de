//! State of the fake engine. Every call works on it as it is at that moment.

use super::script::{Act, Script};
use crate::runtime::{
    Allocated, Container, ContainerId, ContainerSpec, ContainerStatus, Installer, InstallerSpec,
    LogLine, Network, OutputSource, RuntimeError, Subnet,
};
use bytes::Bytes;
use mamba_core::{
    clock::UnixMs,
    ids::{NodeId, ServerId, TenantId},
    server::{Entry, Limits, Signal},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Exit code of a process that was killed.
const KILLED: i64 = 137;

pub(super) struct Engine {
    epoch: (UnixMs, Instant),
    now: Instant,
    containers: BTreeMap<ContainerId, Box<Fake>>,
    networks: BTreeMap<(NodeId, TenantId), Subnet>,
    made: u32,
    pub(super) foreign: Vec<Subnet>,
    pub(super) scripts: BTreeMap<ServerId, VecDeque<Script>>,
    pub(super) install_scripts: BTreeMap<ServerId, VecDeque<Script>>,
    pub(super) missing_images: BTreeSet<String>,
    pub(super) occupied: BTreeSet<u16>,
    /// Every change that a subscriber is told of, since the beginning.
    pub(super) events: Vec<(NodeId, ServerId)>,
    /// Every process there ever was, by container and process id.
    pub(super) runs: BTreeMap<(ContainerId, u32), FakeRun>,
}

/// One process, as it truly was: what was measured can be held against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeRun {
    /// Whose server's.
    pub tenant: TenantId,
    /// Which server's.
    pub server: ServerId,
    /// When it was started.
    pub from: Instant,
    /// When it ended. `None` while it runs.
    pub to: Option<Instant>,
    /// Limits that were set on it, and when; the first at its start.
    pub limits: Vec<(Instant, Limits)>,
}

/// One container.
struct Fake {
    spec: ContainerSpec,
    /// Set for the container of an install script.
    installer: Option<InstallerSpec>,
    status: ContainerStatus,
    script: Script,
    /// What the process will do, in order of time and then of cause.
    plan: BTreeMap<(Instant, u64), Act>,
    planned: u64,
    printed: Vec<LogLine>,
}

impl Engine {
    pub(super) fn new(time: UnixMs, now: Instant) -> Self {
        Self {
            epoch: (time, now),
            now,
            containers: BTreeMap::new(),
            networks: BTreeMap::new(),
            made: 0,
            foreign: vec![],
            scripts: BTreeMap::new(),
            install_scripts: BTreeMap::new(),
            missing_images: BTreeSet::new(),
            occupied: BTreeSet::new(),
            events: vec![],
            runs: BTreeMap::new(),
        }
    }

    /// Lets every process do what it did until now, in the order of time.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some((at, id)) = self.next().filter(|(at, _)| *at <= now) {
            self.now = at;
            let time = self.time();
            let Some(fake) = self.containers.get_mut(&id) else { break };
            let Some((_, act)) = fake.plan.pop_first() else { break };
            let pid = fake.pid();
            if fake.run(time, act) {
                self.events.push((fake.spec.node, fake.spec.server));
                self.ended(&id, pid);
            }
        }
        self.now = now;
    }

    /// When a process does something next.
    pub(super) fn next_act(&self) -> Option<Instant> {
        self.next().map(|(at, _)| at)
    }

    fn next(&self) -> Option<(Instant, ContainerId)> {
        let planned = self.containers.iter().filter_map(|(id, fake)| {
            fake.plan.first_key_value().map(|((at, _), _)| (*at, id.clone()))
        });
        planned.min()
    }

    /// The time on the engine's clock.
    fn time(&self) -> UnixMs {
        let (time, at) = self.epoch;
        let elapsed = self.now.saturating_duration_since(at).as_millis();
        time.plus(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn fake(&mut self, id: &ContainerId) -> Result<&mut Box<Fake>, RuntimeError> {
        self.containers.get_mut(id).ok_or(RuntimeError::NoSuchContainer)
    }

    pub(super) fn ensure_image(&self, image: &str) -> Result<(), RuntimeError> {
        if self.missing_images.contains(image) {
            let error = "manifest unknown".to_owned();
            return Err(RuntimeError::ImageMissing { image: image.to_owned(), error });
        }
        Ok(())
    }

    pub(super) fn ensure_network(
        &mut self,
        node: NodeId,
        tenant: TenantId,
        subnet: Subnet,
    ) -> Result<(), RuntimeError> {
        if self.networks.contains_key(&(node, tenant)) {
            return Ok(());
        }
        let taken = self.foreign.iter().chain(self.networks.values());
        if let Some(other) = taken.into_iter().find(|other| other.overlaps(subnet)) {
            return Err(RuntimeError::SubnetTaken(other.to_string()));
        }
        self.networks.insert((node, tenant), subnet);
        Ok(())
    }

    pub(super) fn remove_network(
        &mut self,
        node: NodeId,
        tenant: TenantId,
    ) -> Result<(), RuntimeError> {
        let is_used = self
            .containers
            .values()
            .any(|fake| (fake.spec.node, fake.spec.tenant) == (node, tenant) && fake.is_running());
        if is_used {
            let error = "network has active endpoints".to_owned();
            return Err(RuntimeError::Refused { step: "remove network", error });
        }
        self.networks.remove(&(node, tenant));
        Ok(())
    }

    pub(super) fn networks(&self) -> Vec<Network> {
        let ours = self.networks.iter().map(|(owner, subnet)| (Some(*owner), *subnet));
        let others = self.foreign.iter().map(|subnet| (None, *subnet));
        others.chain(ours).map(|(owner, subnet)| Network { owner, subnets: vec![subnet] }).collect()
    }

    pub(super) fn create(&mut self, spec: &ContainerSpec) -> Result<ContainerId, RuntimeError> {
        let refused =
            |error: &str| Err(RuntimeError::Refused { step: "create", error: error.to_owned() });
        if self.missing_images.contains(&spec.image) {
            let error = "no such image".to_owned();
            return Err(RuntimeError::ImageMissing { image: spec.image.clone(), error });
        }
        if !self.networks.contains_key(&(spec.node, spec.tenant)) {
            return refused("network of the tenant does not exist");
        }
        let old = self.containers.iter().find(|(_, fake)| fake.is_of(spec.server));
        if let Some((id, fake)) = old {
            if fake.is_running() {
                return refused("a container of this server is running");
            }
            let id = id.clone();
            self.remove(&id);
        }
        let script = next_script(self.scripts.get_mut(&spec.server));
        Ok(self.make(spec.clone(), None, script.unwrap_or_else(Script::game)))
    }

    fn make(
        &mut self,
        spec: ContainerSpec,
        installer: Option<InstallerSpec>,
        script: Script,
    ) -> ContainerId {
        self.made += 1;
        let id = ContainerId(format!("fake-{:08}", self.made));
        let fake = Fake {
            spec,
            installer,
            status: ContainerStatus::Created,
            script,
            plan: BTreeMap::new(),
            planned: 0,
            printed: vec![],
        };
        self.containers.insert(id.clone(), Box::new(fake));
        id
    }

    pub(super) fn create_installer(
        &mut self,
        spec: &InstallerSpec,
    ) -> Result<ContainerId, RuntimeError> {
        if self.missing_images.contains(&spec.image) {
            let error = "no such image".to_owned();
            return Err(RuntimeError::ImageMissing { image: spec.image.clone(), error });
        }
        if !self.networks.contains_key(&(spec.node, spec.tenant)) {
            let error = "network of the tenant does not exist".to_owned();
            return Err(RuntimeError::Refused { step: "create", error });
        }
        let of = |fake: &Fake| fake.installer.is_some() && fake.spec.server == spec.server;
        let old = self.containers.iter().find(|(_, fake)| of(fake)).map(|(id, _)| id.clone());
        if let Some(old) = old {
            self.remove(&old);
        }
        let script = next_script(self.install_scripts.get_mut(&spec.server));
        let script = script.unwrap_or_else(|| Script::install(1_000, 0));
        Ok(self.make(as_container(spec), Some(spec.clone()), script))
    }

    pub(super) fn installer(&self, node: NodeId, server: ServerId) -> Option<Installer> {
        self.containers.iter().find_map(|(id, fake)| {
            let spec = fake.installer.as_ref()?;
            ((spec.node, spec.server) == (node, server)).then(|| Installer {
                id: id.clone(),
                asked: spec.asked,
                status: fake.status.clone(),
            })
        })
    }

    pub(super) fn installer_spec(&self, server: ServerId) -> Option<InstallerSpec> {
        let mut all = self.containers.values().filter_map(|fake| fake.installer.clone());
        all.find(|spec| spec.server == server)
    }

    /// Returns how much was printed so far: output begins there.
    pub(super) fn attach(&mut self, id: &ContainerId) -> Result<usize, RuntimeError> {
        Ok(self.fake(id)?.printed.len())
    }

    /// Returns the chunk at this place, and whether more can come. `None` when the container is
    /// gone.
    pub(super) fn output(
        &self,
        id: &ContainerId,
        at: usize,
    ) -> Option<(Option<(OutputSource, Bytes)>, bool)> {
        let fake = self.containers.get(id)?;
        let chunk = fake.printed.get(at).map(|line| {
            let bytes = [line.text.as_ref(), b"\n"].concat();
            (line.source, Bytes::from(bytes))
        });
        Some((chunk, !matches!(fake.status, ContainerStatus::Exited { .. })))
    }

    pub(super) fn logs_since(
        &mut self,
        id: &ContainerId,
        since: UnixMs,
        lines_max: u32,
    ) -> Result<Vec<LogLine>, RuntimeError> {
        let printed = &self.fake(id)?.printed;
        let first = printed.partition_point(|line| line.at < since);
        let max = usize::try_from(lines_max).unwrap_or(usize::MAX);
        Ok(printed[first.max(printed.len().saturating_sub(max))..].to_vec())
    }

    pub(super) fn start(&mut self, id: &ContainerId) -> Result<(), RuntimeError> {
        let (now, time) = (self.now, self.time());
        let fake = self.fake(id)?;
        if fake.is_running() {
            return Ok(());
        }
        let wanted = fake.spec.ports.clone();
        let taken = |port: &&mamba_core::server::PortBinding| {
            let is_ours = self.containers.values().filter(|it| it.is_running()).any(|other| {
                let clashes = |it: &mamba_core::server::PortBinding| {
                    (it.ip, it.port) == (port.ip, port.port) && it.protocol.overlaps(port.protocol)
                };
                other.spec.ports.iter().any(clashes)
            });
            self.occupied.contains(&port.port) || is_ours
        };
        if let Some(port) = wanted.iter().find(taken) {
            let text = format!("{}:{}", port.ip, port.port);
            self.remove(id);
            return Err(RuntimeError::PortTaken(text));
        }
        self.made += 1;
        let pid = 100 + self.made;
        let fake = self.fake(id)?;
        fake.status = ContainerStatus::Running { started_at: time, pid };
        fake.printed.clear();
        fake.plan(now, &fake.script.boot.clone());
        let event = (fake.spec.node, fake.spec.server);
        let (tenant, server, limits) = (fake.spec.tenant, fake.spec.server, fake.spec.limits);
        // Games are metered, install scripts are not.
        if fake.installer.is_none() {
            let run = FakeRun { tenant, server, from: now, to: None, limits: vec![(now, limits)] };
            self.runs.insert((id.clone(), pid), run);
        }
        self.events.push(event);
        Ok(())
    }

    fn ended(&mut self, id: &ContainerId, pid: Option<u32>) {
        let now = self.now;
        if let Some(run) = pid.and_then(|pid| self.runs.get_mut(&(id.clone(), pid))) {
            run.to.get_or_insert(now);
        }
    }

    /// Sets the machine's wall clock, which the engine reads.
    pub(super) fn set_clock(&mut self, time: UnixMs) {
        self.epoch = (time, self.now);
    }

    pub(super) fn signal(&mut self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let now = self.now;
        let fake = self.fake(id)?;
        if !fake.is_running() {
            return Err(RuntimeError::NotRunning);
        }
        if signal == Signal::Kill {
            fake.plan(now, &[(0, Act::Exit(KILLED))]);
        } else {
            let acts = fake.script.signals.iter().find(|(each, _)| *each == signal);
            let acts = acts.map(|(_, acts)| acts.clone()).unwrap_or_default();
            fake.plan(now, &acts);
        }
        self.settle(now);
        Ok(())
    }

    pub(super) fn typed(&mut self, id: &ContainerId, line: &[u8]) {
        let now = self.now;
        let Ok(fake) = self.fake(id) else { return };
        let line = String::from_utf8_lossy(line).trim_end_matches('\n').to_owned();
        let acts = fake.script.answers.iter().find(|(text, _)| *text == line);
        let acts = acts.map(|(_, acts)| acts.clone()).unwrap_or_default();
        if fake.is_running() {
            fake.plan(now, &acts);
        }
    }

    pub(super) fn update(&mut self, id: &ContainerId, limits: Limits) -> Result<(), RuntimeError> {
        let now = self.now;
        let fake = self.fake(id)?;
        fake.spec.limits = limits;
        let pid = fake.pid();
        if let Some(run) = pid.and_then(|pid| self.runs.get_mut(&(id.clone(), pid))) {
            run.limits.push((now, limits));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: &ContainerId) {
        if let Some(fake) = self.containers.remove(id) {
            self.ended(id, fake.pid());
            self.events.push((fake.spec.node, fake.spec.server));
        }
    }

    pub(super) fn inspect(&self, id: &ContainerId) -> Option<Container> {
        let fake = self.containers.get(id).filter(|fake| fake.installer.is_none())?;
        Some(Container {
            id: id.clone(),
            tenant: fake.spec.tenant,
            server: fake.spec.server,
            generation: fake.spec.generation,
            allocated: Some(Allocated {
                memory_mib: fake.spec.limits.memory_mib,
                cpu_millicores: fake.spec.limits.cpu_millicores,
            }),
            status: fake.status.clone(),
        })
    }

    /// Containers of one node or of all, by server.
    pub(super) fn containers(&self, node: Option<NodeId>) -> Vec<Container> {
        let is_asked = |fake: &Fake| node.is_none_or(|node| fake.spec.node == node);
        let asked = self.containers.iter().filter(|(_, fake)| is_asked(fake));
        let mut found: Vec<_> = asked.filter_map(|(id, _)| self.inspect(id)).collect();
        found.sort_by_key(|container| container.server);
        found
    }

    pub(super) fn spec(&self, server: ServerId) -> Option<ContainerSpec> {
        let mut all = self.containers.values();
        all.find(|fake| fake.is_of(server)).map(|fake| fake.spec.clone())
    }

    pub(super) fn act(&mut self, server: ServerId, act: Act) {
        let now = self.now;
        for fake in self.containers.values_mut() {
            if fake.is_of(server) && fake.is_running() {
                fake.plan(now, &[(0, act.clone())]);
            }
        }
        self.settle(now);
    }

    pub(super) fn power_cut(&mut self) {
        let (time, now) = (self.time(), self.now);
        for fake in self.containers.values_mut().filter(|fake| fake.is_running()) {
            fake.run(time, Act::Exit(KILLED));
            self.events.push((fake.spec.node, fake.spec.server));
        }
        for run in self.runs.values_mut() {
            run.to.get_or_insert(now);
        }
    }
}

/// Takes the next script, and leaves the last one.
fn next_script(scripts: Option<&mut VecDeque<Script>>) -> Option<Script> {
    let scripts = scripts?;
    if scripts.len() > 1 { scripts.pop_front() } else { scripts.front().cloned() }
}

/// What the container of an install script has in common with a game's.
fn as_container(spec: &InstallerSpec) -> ContainerSpec {
    ContainerSpec {
        node: spec.node,
        tenant: spec.tenant,
        server: spec.server,
        generation: spec.asked.generation,
        image: spec.image.clone(),
        startup: spec.entrypoint.clone(),
        entry: Entry::Shell,
        environment: spec.environment.clone(),
        limits: spec.limits,
        ports: vec![],
        capabilities: vec![],
        data_dir: spec.data_dir.clone(),
        mounts: vec![],
        uid: 0,
        stop_grace_ms: 0,
    }
}

impl Fake {
    /// Whether it is the game of a server.
    fn is_of(&self, server: ServerId) -> bool {
        self.spec.server == server && self.installer.is_none()
    }

    fn is_running(&self) -> bool {
        matches!(self.status, ContainerStatus::Running { .. })
    }

    fn pid(&self) -> Option<u32> {
        match self.status {
            ContainerStatus::Running { pid, .. } => Some(pid),
            _ => None,
        }
    }

    fn plan(&mut self, now: Instant, acts: &[(u64, Act)]) {
        for (after_ms, act) in acts {
            self.planned += 1;
            self.plan.insert((now + Duration::from_millis(*after_ms), self.planned), act.clone());
        }
    }

    /// Does one thing. Returns whether a subscriber is told.
    fn run(&mut self, at: UnixMs, act: Act) -> bool {
        let (code, oom_killed) = match act {
            Act::Print(source, text) => {
                self.printed.push(LogLine { at, source, text: Bytes::from(text) });
                return false;
            }
            Act::Exit(code) => (code, false),
            Act::Oom => (KILLED, true),
        };
        self.plan.clear();
        self.status = ContainerStatus::Exited { code, oom_killed, at };
        true
    }
}

//! Plays one plan: starts everything, makes happen what the plan says, heals, waits for rest, and
//! checks all along.

use super::{
    centre::Centre,
    chance::{Rng, SimClock, Trace, millis},
    check::{Broken, Truth},
    machine::{Image, Machine},
    net::{Line, Net},
    plan::{Act, Event, Fault, Plan},
};
use mamba_core::{
    clock::UnixMs,
    db::sim::SimDisk,
    ids::{ServerId, TenantId, UserId},
    lifecycle::PowerAction,
    scope::{AdminScope, TenantScope},
    server::{AutoStart, Limits, PortProtocol, RestartPolicy},
    units::{Mib, Millicores},
};
use mamba_edge::runtime::{
    RuntimeError,
    fake::{Act as Deed, Trouble},
};
use mamba_hub::{
    HubError,
    control::{Deleting, NewServer, ServerChange},
    nodes::NewToken,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// 2026-11-22 16:40 UTC: runs cross an hour.
const BEGIN: UnixMs = UnixMs(1_795_365_600_000);
/// Between two looks at machines that lost their power.
const TICK_MS: u64 = 500;
/// Ticks between two checks.
const CHECK_TICKS: u64 = 10;
/// L1: everything has to be settled so soon after the last fault.
const REST_MS_MAX: u64 = 120_000;

pub(super) struct World {
    pub(super) begin: Instant,
    pub(super) plan: Plan,
    pub(super) centre: Centre,
    pub(super) machines: Vec<Machine>,
    pub(super) servers: Vec<Placed>,
    pub(super) trace: Arc<Trace>,
    net: Arc<Net>,
    agenda: BTreeMap<(Instant, u64), Todo>,
    /// What becomes of a machine whose power is cut at a write.
    armed: BTreeMap<usize, (u64, bool)>,
    hub_armed: Option<u64>,
    count: u64,
    pub(super) is_healed: bool,
    _net: JoinSet<()>,
    _dir: tempfile::TempDir,
}

/// A server that a tenant made.
pub(super) struct Placed {
    pub(super) id: ServerId,
    pub(super) tenant: TenantId,
    pub(super) edge: usize,
    pub(super) is_deleted: bool,
}

/// Something that ends later.
enum Todo {
    Heal(usize),
    StartEdge(usize),
    StartHub,
    Space(usize),
    EngineUp(usize),
    Revert(usize, SimDisk),
}

/// How a run that held everything ended.
pub(super) struct Played {
    pub(super) virtual_ms: u64,
    pub(super) facts: u64,
    pub(super) digest: (String, u64),
}

/// Plays a plan in a runtime of its own.
pub(super) fn play(plan: &Plan, is_shown: bool) -> Result<Played, Broken> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(plan.clone(), is_shown).await;
        let mut truth = Truth::default();
        let ended = world.run(&mut truth).await;
        if let Err(broken) = &ended {
            world.trace.say(&format!("BROKEN {broken}"));
        }
        ended.map(|()| Played {
            virtual_ms: millis(world.begin, Instant::now()),
            facts: truth.facts(),
            digest: world.trace.digest(),
        })
    })
}

impl World {
    async fn new(plan: Plan, is_shown: bool) -> Self {
        let begin = Instant::now();
        let dir = tempfile::Builder::new().prefix("mamba-sim-").tempdir_in(scratch()).unwrap();
        let trace = Trace::new(begin, is_shown);
        let seed = plan.seed;
        let net = Net::new(Rng::new(seed, 2), plan.servers.len(), Arc::clone(&trace));
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&net).run());
        let parts = |part| (Arc::clone(&net), Arc::clone(&trace), Rng::new(seed, part));
        let clock = SimClock::new(begin, BEGIN, 0);
        let mut centre = Centre::new(clock, dir.path().to_owned(), plan.bug, parts(3));
        centre.start().await;
        let mut world = Self {
            begin,
            centre,
            machines: vec![],
            servers: vec![],
            trace: Arc::clone(&trace),
            net: Arc::clone(&net),
            agenda: BTreeMap::new(),
            armed: BTreeMap::new(),
            hub_armed: None,
            count: 0,
            is_healed: false,
            plan,
            _net: tasks,
            _dir: dir,
        };
        for index in 0..world.plan.servers.len() {
            let new = NewToken { name: format!("edge-{index}"), ..NewToken::default() };
            let hub = &world.centre.running.as_ref().unwrap().hub;
            let token = hub.create_join_token(&admin(), new).await.unwrap().token.parse().unwrap();
            let clock = SimClock::new(begin, BEGIN, u8::try_from(index).unwrap() + 1);
            let dir = world._dir.path().join(format!("edge-{index}"));
            let parts = parts(10 + index as u64);
            let mut machine =
                Machine::enrol(index, clock, dir, world.plan.bug, parts, &token).await;
            machine.start().await;
            world.machines.push(machine);
        }
        // The hub places servers on nodes that it has heard.
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.fill().await;
        world
    }

    /// Makes all servers and starts them.
    async fn fill(&mut self) {
        let hub = self.centre.running.as_ref().unwrap().hub.clone();
        let ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        for (edge, count) in self.plan.servers.clone().into_iter().enumerate() {
            let node = self.machines[edge].node;
            let udp = PortProtocol::Udp;
            hub.create_allocations(&admin(), node, ip, 30_000..=30_039, udp, Default::default())
                .await
                .unwrap();
            for _ in 0..count {
                let number = u8::try_from(self.servers.len() % 3).unwrap() + 1;
                let scope = scope(number);
                let new = NewServer { node: Some(node), ..new_server() };
                let made = hub.create_server(&scope, new).await.unwrap();
                hub.power(&scope, made.server, PowerAction::Start, None).await.unwrap();
                let tenant = scope.tenant();
                self.servers.push(Placed { id: made.server, tenant, edge, is_deleted: false });
            }
        }
        self.trace.say(&format!("{} servers on {:?}", self.servers.len(), self.plan.servers));
    }

    async fn run(&mut self, truth: &mut Truth) -> Result<(), Broken> {
        let events = std::mem::take(&mut self.plan.events);
        let mut next = events.iter().peekable();
        let last = self.begin + Duration::from_millis(self.plan.lasts_ms);
        let mut ticks = 0;
        let mut rest_by = None;
        loop {
            tokio::time::sleep(Duration::from_millis(TICK_MS)).await;
            let now = Instant::now();
            let at = millis(self.begin, now);
            while let Some((_, event)) = next.next_if(|(due, _)| *due <= at) {
                // Before a backup lets edges prune them, or a fault takes them away.
                truth.read_facts(self);
                match event {
                    Event::Act(act) => self.act(act).await,
                    Event::Fault(fault) => self.strike(fault, truth).await,
                }
            }
            self.due(now, truth).await;
            self.power(truth).await;
            ticks += 1;
            if ticks % CHECK_TICKS == 0 {
                self.panics()?;
                truth.check(self)?;
            }
            if now < last {
                continue;
            }
            let rest_by = *rest_by.get_or_insert(now + Duration::from_millis(REST_MS_MAX));
            if !self.is_healed {
                self.heal(truth).await;
                self.plan.events.clone_from(&events);
            }
            if ticks % CHECK_TICKS != 0 {
                continue;
            }
            match truth.is_at_rest(self) {
                Ok(()) => {
                    let took = millis(last, now);
                    self.trace.say(&format!("at rest after {took} ms"));
                    return truth.check_at_rest(self);
                }
                Err(why) if now > rest_by => return Err(Broken::new("L1", why)),
                Err(_) => {}
            }
        }
    }

    fn panics(&mut self) -> Result<(), Broken> {
        let broken = self.machines.iter_mut().find_map(Machine::broken);
        match broken.or_else(|| self.centre.broken()) {
            Some(text) => Err(Broken::new("product assertion", text)),
            None => Ok(()),
        }
    }

    async fn act(&mut self, act: &Act) {
        let Some(hub) = self.centre.running.as_ref().map(|it| it.hub.clone()) else { return };
        let done = match act {
            Act::Backup => {
                self.centre.back_up();
                return;
            }
            Act::Power(server, action) => {
                let placed = &self.servers[*server];
                hub.power(&scope_of(placed), placed.id, *action, None).await.map(|_| ())
            }
            Act::Memory(server, mib) => {
                let memory_mib = Mib(u32::try_from(*mib).unwrap());
                let change = Limits { memory_mib, ..limits() };
                let change = ServerChange { limits: Some(change), ..ServerChange::default() };
                self.change(&hub, *server, change).await
            }
            Act::Suspend(server, suspended) => {
                let suspended = Some(*suspended);
                let change = ServerChange { suspended, force: true, ..ServerChange::default() };
                self.change(&hub, *server, change).await
            }
            Act::Delete(server) => {
                let placed = &mut self.servers[*server];
                // Before asking: an answer may be lost and the deletion recorded.
                placed.is_deleted = true;
                // Kept for long: a purge waits for the consoles' thread, whose time is real.
                let deleting = Deleting { after_ms: 20_000, retain_ms: 604_800_000, force: true };
                let scope = scope_of(placed);
                hub.delete_server(&scope, placed.id, deleting).await.map(|_| ())
            }
        };
        let word = if done.is_ok() { "done" } else { "refused" };
        self.trace.say(&format!("tenant: {act:?}: {word}"));
    }

    async fn change(
        &self,
        hub: &mamba_hub::Hub,
        server: usize,
        change: ServerChange,
    ) -> Result<(), HubError> {
        let placed = &self.servers[server];
        hub.change_server(&scope_of(placed), placed.id, change).await.map(|_| ())
    }

    async fn strike(&mut self, fault: &Fault, truth: &mut Truth) {
        self.trace.say(&format!("fault: {fault:?}"));
        match fault {
            Fault::Line { edge, line, ms } => {
                self.net.set_line(*edge, *line);
                self.later(*ms, Todo::Heal(*edge));
            }
            Fault::Rebind { edge } => self.net.rebind(*edge),
            Fault::EdgeCrash { edge, change, down_ms, machine } => {
                self.arm_edge(*edge, *change, (*down_ms, *machine), truth).await;
            }
            Fault::HubCrash { change, down_ms } => self.arm_hub(*change, *down_ms).await,
            Fault::HubRestore { down_ms } => {
                if self.centre.running.is_some() && self.centre.backup.is_some() {
                    self.hub_armed = Some(*down_ms);
                    self.crash_hub().await;
                    self.centre.restore();
                    truth.hub_restored(self);
                }
            }
            Fault::DiskFull { edge, ms } => {
                let disk = &self.machines[*edge].disk;
                disk.set_capacity(Some(disk.used_bytes()));
                self.later(*ms, Todo::Space(*edge));
            }
            Fault::DiskLoss { edge, down_ms } => {
                if self.machines[*edge].daemon.is_some() {
                    truth.disk_gone(self, *edge);
                    self.machines[*edge].kill(Image::Of(SimDisk::new(0))).await;
                    self.later(*down_ms, Todo::StartEdge(*edge));
                }
            }
            Fault::Revert { edge, after_ms } => {
                let snapshot = self.machines[*edge].disk.crash(self.plan.seed);
                self.later(*after_ms, Todo::Revert(*edge, snapshot));
            }
            Fault::Clock { edge, wrong_by_ms } => {
                let machine = &self.machines[*edge];
                machine.clock.set_wrong(*wrong_by_ms);
                machine.engine.set_clock(mamba_core::clock::Clock::wall(&*machine.clock));
            }
            Fault::EngineFails { edge, call, when } => {
                truth.engine_troubled(*edge);
                let text = "the fake engine fails".to_owned();
                let err = RuntimeError::Refused { step: "anything", error: text };
                self.machines[*edge].engine.trouble(*call, *when, Trouble::Fail(err));
            }
            Fault::EngineDown { edge, ms } => {
                truth.engine_troubled(*edge);
                self.machines[*edge].engine.set_down(true);
                self.later(*ms, Todo::EngineUp(*edge));
            }
            Fault::ProcessEnds { server } => {
                let placed = &self.servers[*server];
                self.machines[placed.edge].engine.act(placed.id, Deed::Exit(1));
            }
        }
    }

    /// Crashes an edge at a change of its disk that is still to come, or now.
    async fn arm_edge(
        &mut self,
        edge: usize,
        change: Option<u64>,
        crash: (u64, bool),
        truth: &mut Truth,
    ) {
        if self.machines[edge].daemon.is_none() {
            return;
        }
        self.armed.insert(edge, crash);
        self.machines[edge].disk.cut_power(change.unwrap_or(1));
        if change.is_none() {
            self.crash_edge(edge, truth).await;
        }
    }

    /// Crashes the hub at a change of its disk that is still to come, or now.
    async fn arm_hub(&mut self, change: Option<u64>, down_ms: u64) {
        if self.centre.running.is_none() {
            return;
        }
        self.hub_armed = Some(down_ms);
        self.centre.disk.cut_power(change.unwrap_or(1));
        if change.is_none() {
            self.crash_hub().await;
        }
    }

    fn later(&mut self, ms: u64, todo: Todo) {
        self.count += 1;
        self.agenda.insert((Instant::now() + Duration::from_millis(ms), self.count), todo);
    }

    async fn due(&mut self, now: Instant, truth: &mut Truth) {
        while let Some(next) = self.agenda.first_entry().filter(|it| it.key().0 <= now) {
            let todo = next.remove();
            self.end(todo, truth).await;
        }
    }

    async fn end(&mut self, todo: Todo, truth: &mut Truth) {
        match todo {
            Todo::Heal(edge) => self.net.set_line(edge, Line::GOOD),
            Todo::StartEdge(edge) => {
                if self.machines[edge].daemon.is_none() {
                    self.machines[edge].start().await;
                    // Before the hub tells what it has: that may be pruned at once.
                    truth.read_facts(self);
                    if self.machines[edge].daemon.is_none() {
                        self.later(10_000, Todo::StartEdge(edge));
                    }
                }
            }
            Todo::StartHub => {
                if self.centre.running.is_none() {
                    self.centre.start().await;
                }
            }
            Todo::Space(edge) => self.machines[edge].disk.set_capacity(None),
            Todo::EngineUp(edge) => {
                truth.engine_troubled(edge);
                self.machines[edge].engine.set_down(false);
            }
            Todo::Revert(edge, snapshot) => {
                if self.machines[edge].daemon.is_some() {
                    truth.disk_gone(self, edge);
                    self.machines[edge].kill(Image::Of(snapshot)).await;
                    self.machines[edge].start().await;
                }
            }
        }
    }

    /// Crashes what lost its power at a write.
    async fn power(&mut self, truth: &mut Truth) {
        for edge in 0..self.machines.len() {
            if self.machines[edge].disk.is_dead() {
                self.crash_edge(edge, truth).await;
            }
        }
        if self.centre.disk.is_dead() {
            self.crash_hub().await;
        }
    }

    async fn crash_edge(&mut self, edge: usize, truth: &mut Truth) {
        let (down_ms, machine) = self.armed.remove(&edge).unwrap_or((1_000, false));
        truth.edge_down(edge);
        self.machines[edge].kill(Image::PowerCut).await;
        if machine {
            self.machines[edge].lose_power();
        }
        self.later(down_ms, Todo::StartEdge(edge));
    }

    async fn crash_hub(&mut self) {
        let down_ms = self.hub_armed.take().unwrap_or(1_000);
        self.centre.kill().await;
        self.later(down_ms, Todo::StartHub);
    }

    /// Ends all faults: from now on everything works.
    async fn heal(&mut self, truth: &mut Truth) {
        self.trace.say("all faults end");
        for edge in self.armed.keys().copied().collect::<Vec<_>>() {
            self.crash_edge(edge, truth).await;
        }
        if self.hub_armed.is_some() {
            self.crash_hub().await;
        }
        for todo in std::mem::take(&mut self.agenda).into_values() {
            self.end(todo, truth).await;
        }
        for edge in 0..self.machines.len() {
            self.net.set_line(edge, Line::GOOD);
            self.machines[edge].disk.set_capacity(None);
            self.machines[edge].engine.set_down(false);
        }
        self.is_healed = true;
    }
}

fn scratch() -> std::path::PathBuf {
    // Nothing here needs to survive; a memory disk spares the machine's real one.
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

fn admin() -> AdminScope {
    AdminScope::operator("root".to_owned())
}

fn scope(number: u8) -> TenantScope {
    TenantScope::granted(TenantId::from_bytes([number; 16]), UserId::from_bytes([number; 16]))
}

fn scope_of(placed: &Placed) -> TenantScope {
    scope(placed.tenant.to_bytes()[0])
}

fn limits() -> Limits {
    Limits {
        memory_mib: Mib(256),
        swap_mib: Mib(0),
        cpu_millicores: Millicores(500),
        disk_mib: Mib(512),
        pids: 64,
    }
}

fn new_server() -> NewServer {
    NewServer {
        name: "world".to_owned(),
        node: None,
        blueprint: "teeworlds".to_owned(),
        image: None,
        variables: BTreeMap::new(),
        limits: limits(),
        allocations: vec![],
        auto_start: AutoStart::LastState,
        restart: RestartPolicy::default(),
        placing: Default::default(),
        description: None,
        external_id: None,
        allocation_limit: 0,
    }
}

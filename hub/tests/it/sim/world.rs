//! Plays one plan: starts everything, makes happen what the plan says, heals, waits for rest, and
//! checks all along.

use super::{
    centre::Centre,
    chance::{Rng, SimClock, Trace, millis},
    check::{Broken, Truth},
    machine::Machine,
    net::{Line, Net},
    panics::Panics,
    plan::{Act, Event, Plan},
};
use mamba_core::{
    access::ServerKeys,
    clock::{Entropy, UnixMs},
    db::{Snapshot as _, TxnError, sim::SimDisk},
    ids::{ServerId, TenantId, UserId},
    lifecycle::PowerAction,
    scope::{AdminScope, TenantScope},
    server::{Limits, PortProtocol},
    units::{Mib, Millicores},
};
use mamba_edge::runtime::fake::FakeRuntime;
use mamba_hub::{
    HubError,
    control::{Deleting, NewServer, ServerChange, transfer::NewTransfer},
    identity::{NewAccount, create_admin},
    nodes::NewToken,
    store::SERVER_TENANTS,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// 2026-11-22 16:40 UTC: runs cross an hour.
pub(super) const BEGIN: UnixMs = UnixMs(1_795_365_600_000);
/// Between two looks at machines that lost their power.
const TICK_MS: u64 = 500;
/// So long a node that was barred waits before it tries again.
const BARRED_MS: u64 = 60_000;
/// Tenants, numbered from 1.
pub(super) const TENANTS: u8 = 3;
/// Ticks between two checks.
const CHECK_TICKS: u64 = 10;
/// L1: everything has to be settled so soon after the last fault.
const REST_MS_MAX: u64 = 120_000;

pub(super) struct World {
    pub(super) begin: Instant,
    pub(super) plan: Plan,
    pub(super) centre: Centre,
    pub(super) machines: Vec<Machine>,
    /// Machines with an identity that another has too, by that one's index.
    pub(super) clones: BTreeMap<usize, Machine>,
    /// Engines of clones, also of those that are gone.
    pub(super) clone_engines: Vec<FakeRuntime>,
    pub(super) servers: Vec<Placed>,
    pub(super) trace: Arc<Trace>,
    pub(super) net: Arc<Net>,
    pub(super) agenda: BTreeMap<(Instant, u64), Todo>,
    /// What becomes of a machine whose power is cut at a write.
    pub(super) armed: BTreeMap<usize, (u64, bool)>,
    pub(super) hub_armed: Option<u64>,
    pub(super) count: u64,
    pub(super) is_healed: bool,
    _net: JoinSet<()>,
    pub(super) dir: tempfile::TempDir,
}

/// A server that a tenant made.
pub(super) struct Placed {
    pub(super) id: ServerId,
    pub(super) tenant: TenantId,
    pub(super) edge: usize,
    pub(super) is_deleted: bool,
    /// Tenants that somebody wanted to give it to.
    pub(super) given_to: Vec<TenantId>,
    /// Edges that somebody wanted to move it to.
    pub(super) wanted_on: Vec<usize>,
    /// Whether there is something in its folder that must go with it.
    pub(super) is_marked: bool,
    /// When it was asked to start.
    pub(super) starts: Vec<UnixMs>,
    pub(super) made_at: Instant,
}

/// Something that ends later.
pub(super) enum Todo {
    Heal(usize),
    StartEdge(usize),
    StartHub,
    Space(usize),
    EngineUp(usize),
    Revert(usize, SimDisk),
    Flap(usize, Line, u64, Instant),
    DiskFast(Option<usize>),
    CloneGone(usize),
}

/// How a run that held everything ended.
pub(super) struct Played {
    pub(super) virtual_ms: u64,
    pub(super) facts: u64,
    pub(super) digest: (String, u64),
}

/// Plays a plan in a runtime of its own.
pub(super) fn play(plan: &Plan, is_shown: bool) -> Result<Played, Broken> {
    let panics = Panics::watch();
    runtime().block_on(async {
        let mut world = World::new(plan.clone(), is_shown).await;
        let mut truth = Truth::default();
        let ended = world.run(&mut truth, &panics).await;
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

/// One thread with virtual time.
pub(super) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

impl Placed {
    /// Whether it may be, or have been, a tenant's, as far as anybody wanted.
    pub(super) fn may_be_of(&self, tenant: TenantId) -> bool {
        self.tenant == tenant || self.given_to.contains(&tenant)
    }

    /// Whose it is, as far as the hub knows.
    pub(super) fn owner(&self, hub: &mamba_hub::Hub) -> TenantId {
        let owner: Result<_, TxnError> = hub.store().read(|txn| txn.get(SERVER_TENANTS, &self.id));
        owner.ok().flatten().map_or(self.tenant, |owner| owner.0)
    }

    /// Whether it may be on an edge, as far as anybody wanted.
    pub(super) fn may_be_on(&self, edge: usize) -> bool {
        self.edge == edge || self.wanted_on.contains(&edge)
    }
}

impl World {
    pub(super) async fn new(plan: Plan, is_shown: bool) -> Self {
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
        let owner = NewAccount {
            email: "owner@example.org".to_owned(),
            password: "correct horse battery".to_owned().into(),
        };
        let store = centre.running.as_ref().unwrap().hub.store();
        assert_eq!(create_admin(store, BEGIN, &Still, owner).await.unwrap(), owner_of_all());
        let mut world = Self {
            begin,
            centre,
            machines: vec![],
            clones: BTreeMap::new(),
            clone_engines: vec![],
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
            dir,
        };
        for index in 0..world.plan.servers.len() {
            let new = NewToken { name: format!("edge-{index}"), ..NewToken::default() };
            let hub = &world.centre.running.as_ref().unwrap().hub;
            let token = hub.create_join_token(&admin(), new).await.unwrap().token.parse().unwrap();
            let clock = SimClock::new(begin, BEGIN, u8::try_from(index).unwrap() + 1);
            let dir = world.dir.path().join(format!("edge-{index}"));
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
            hub.create_allocations(&admin(), node, ip, 30_000..=30_099, udp, Default::default())
                .await
                .unwrap();
            for _ in 0..count {
                let number = u8::try_from(self.servers.len() % usize::from(TENANTS)).unwrap() + 1;
                let scope = scope(number);
                let new = NewServer { node: Some(node), ..new_server() };
                let made = hub.create_server(&scope, new).await.unwrap();
                hub.power(&scope, made.server, PowerAction::Start, None).await.unwrap();
                self.servers.push(Placed {
                    id: made.server,
                    tenant: scope.tenant(),
                    edge,
                    is_deleted: false,
                    given_to: vec![],
                    wanted_on: vec![],
                    is_marked: false,
                    starts: vec![self.centre.clock.true_now()],
                    made_at: Instant::now(),
                });
            }
        }
        self.trace.say(&format!("{} servers on {:?}", self.servers.len(), self.plan.servers));
    }

    async fn run(&mut self, truth: &mut Truth, panics: &Panics) -> Result<(), Broken> {
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
            self.machines.iter().chain(self.clones.values()).for_each(Machine::tick);
            ticks += 1;
            if ticks % CHECK_TICKS == 0 {
                self.broken_parts(panics)?;
                truth.check(self)?;
            }
            if now < last {
                continue;
            }
            rest_by.get_or_insert(now + Duration::from_millis(REST_MS_MAX));
            if !self.is_healed {
                self.heal(truth).await;
                self.plan.events.clone_from(&events);
            }
            if ticks % CHECK_TICKS != 0 {
                continue;
            }
            if self.approve().await {
                rest_by = Some(now + Duration::from_millis(BARRED_MS + REST_MS_MAX));
            }
            match truth.is_at_rest(self) {
                Ok(()) => {
                    let took = millis(last, now);
                    self.trace.say(&format!("at rest after {took} ms"));
                    return truth.check_at_rest(self);
                }
                Err(why) if rest_by.is_some_and(|by| now > by) => {
                    return Err(Broken::new("L1", why));
                }
                Err(_) => {}
            }
        }
    }

    fn broken_parts(&mut self, panics: &Panics) -> Result<(), Broken> {
        let mut machines = self.machines.iter_mut().chain(self.clones.values_mut());
        let broken = panics.first().or_else(|| machines.find_map(Machine::broken));
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
                let now = self.centre.clock.true_now();
                let placed = &mut self.servers[*server];
                if matches!(action, PowerAction::Start | PowerAction::Restart) {
                    placed.starts.push(now);
                }
                hub.power(&scope_of(&hub, placed), placed.id, *action, None).await.map(|_| ())
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
            Act::Move(server, edge) => {
                let node = self.machines[*edge].node;
                let placed = &mut self.servers[*server];
                if placed.wanted_on.is_empty() && self.machines[placed.edge].has_data(placed.id) {
                    self.machines[placed.edge].mark(placed.id);
                    // A clone that the hub takes for the node is what is copied.
                    if let Some(clone) = self.clones.get(&placed.edge)
                        && clone.has_data(placed.id)
                    {
                        clone.mark(placed.id);
                    }
                    placed.is_marked = true;
                }
                // Before asking: an answer may be lost and the move recorded.
                placed.wanted_on.push(*edge);
                let new = NewTransfer { node: Some(node), ..NewTransfer::default() };
                hub.start_transfer(&scope_of(&hub, placed), placed.id, new).await.map(|_| ())
            }
            Act::CancelMove(server) => {
                let placed = &self.servers[*server];
                hub.cancel_transfer(&scope_of(&hub, placed), placed.id).await.map(|_| ())
            }
            Act::Give(server, number) => {
                let placed = &mut self.servers[*server];
                // Before asking: an answer may be lost and the change recorded.
                placed.given_to.push(scope(*number).tenant());
                hub.give_server(&scope_of(&hub, placed), &scope(*number), placed.id)
                    .await
                    .map(|_| ())
            }
            Act::Delete(server) => {
                let placed = &mut self.servers[*server];
                // Before asking: an answer may be lost and the deletion recorded.
                placed.is_deleted = true;
                let deleting = Deleting { after_ms: 20_000, retain_ms: 120_000, force: true };
                let scope = scope_of(&hub, placed);
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
        hub.change_server(&scope_of(hub, placed), placed.id, change).await.map(|_| ())
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
}

fn scratch() -> std::path::PathBuf {
    // Nothing here needs to survive; a memory disk spares the machine's real one.
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

pub(super) fn admin() -> AdminScope {
    AdminScope::operator("root".to_owned())
}

pub(super) fn scope(number: u8) -> TenantScope {
    let tenant = TenantId::from_bytes([number; 16]);
    TenantScope::granted(tenant, owner_of_all()).with_keys(ServerKeys::ALL)
}

/// Who asks for everything.
fn owner_of_all() -> UserId {
    UserId::new(BEGIN, [0; 10])
}

/// Randomness that is none, for an id that is known.
#[derive(Debug)]
struct Still;

impl Entropy for Still {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fn scope_of(hub: &mamba_hub::Hub, placed: &Placed) -> TenantScope {
    scope(placed.owner(hub).to_bytes()[0])
}

pub(super) fn limits() -> Limits {
    Limits {
        memory_mib: Mib(256),
        swap_mib: Mib(0),
        cpu_millicores: Millicores(500),
        disk_mib: Mib(512),
        pids: 64,
        sharing: mamba_core::server::Sharing::USUAL,
    }
}

fn new_server() -> NewServer {
    NewServer::new("world".to_owned(), "teeworlds".to_owned(), limits())
}

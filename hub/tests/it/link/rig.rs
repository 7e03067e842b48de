//! A hub and edges on the loopback interface, and waiting for what they do.

use super::fakes::{Echo, FakeEdge, FakeHub};
use mamba_core::{
    clock::{BootId, BootMs, Clock, SystemClock, SystemEntropy, UnixMs, draw},
    ids::InstanceId,
};
use mamba_edge::link::{DialError, EdgeLink, EnrolConfig, Identity, LinkHandle};
use mamba_hub::link::{HubLink, LinkConfig, Links};
use mamba_wire::{
    link::{
        enrol::Machine,
        token::{CaHash, JoinSecret, JoinToken},
    },
    net::{
        authority::{HubKeys, HubSecrets},
        endpoint::NetParts,
    },
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};

/// Longest wait for anything here.
const WITHIN: Duration = Duration::from_secs(30);

/// The machine's clock, wrong by as much as a test wants.
pub(super) struct TestClock {
    real: SystemClock,
    pub(super) wrong_by_ms: AtomicI64,
}

impl TestClock {
    pub(super) fn new() -> Arc<Self> {
        let wrong_by_ms = AtomicI64::new(0);
        Arc::new(Self { real: SystemClock::new().unwrap(), wrong_by_ms })
    }

    pub(super) fn set(&self, wall: UnixMs) {
        let real = i64::try_from(self.real.wall().0).unwrap();
        self.wrong_by_ms.store(i64::try_from(wall.0).unwrap() - real, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn wall(&self) -> UnixMs {
        let wrong_by_ms = self.wrong_by_ms.load(Ordering::SeqCst);
        UnixMs(self.real.wall().0.saturating_add_signed(wrong_by_ms))
    }
    fn boot(&self) -> BootMs {
        self.real.boot()
    }
    fn boot_id(&self) -> BootId {
        self.real.boot_id()
    }
}

/// A hub that listens.
pub(super) struct HubRig {
    pub(super) store: Arc<FakeHub>,
    pub(super) keys: Arc<HubKeys>,
    pub(super) clock: Arc<TestClock>,
    pub(super) links: Links,
    pub(super) address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl HubRig {
    pub(super) fn start() -> Self {
        let clock = TestClock::new();
        let secrets = HubSecrets::create(clock.wall(), &SystemEntropy).unwrap();
        let store = Arc::new(FakeHub::default());
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::serve(store, Arc::new(secrets.open().unwrap()), clock, listen)
    }

    fn serve(
        store: Arc<FakeHub>,
        keys: Arc<HubKeys>,
        clock: Arc<TestClock>,
        listen: SocketAddr,
    ) -> Self {
        let config = LinkConfig { listen, software: "test".to_owned(), net: NetParts::default() };
        let (link, links) = HubLink::bind(
            config,
            Arc::clone(&keys),
            Arc::clone(&store),
            clock.clone(),
            Arc::new(SystemEntropy),
        )
        .unwrap();
        let address = link.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(link.run(stopped));
        Self { store, keys, clock, links, address, stop, tasks }
    }

    /// Stops it as a signal would.
    pub(super) async fn stop(&mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }

    /// Starts it again with what it had, on the same port.
    pub(super) fn again(self) -> Self {
        Self::serve(self.store, self.keys, self.clock, self.address)
    }

    pub(super) fn token(&self) -> JoinToken {
        let secret = JoinSecret(draw(&SystemEntropy));
        self.store.with(|state| state.tokens.insert(secret.hash(), None));
        JoinToken {
            secret,
            hub_ca: CaHash::of(self.keys.hub_ca.certificate()),
            address: Some(self.address.to_string()),
        }
    }
}

/// Makes a folder's machine a node.
pub(super) async fn enrol(
    data_dir: &Path,
    token: &JoinToken,
    clock: &Arc<TestClock>,
) -> Result<Identity, DialError> {
    let config = EnrolConfig {
        data_dir: data_dir.to_owned(),
        hubs: vec![],
        name_hint: "machine".to_owned(),
        machine: Machine::default(),
        net: NetParts::default(),
    };
    let clock: Arc<dyn Clock> = clock.clone();
    mamba_edge::link::enrol(&config, token, &clock, &SystemEntropy).await
}

/// An edge that dials.
pub(super) struct EdgeRig {
    pub(super) store: Arc<FakeEdge>,
    pub(super) handle: LinkHandle,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl EdgeRig {
    pub(super) fn start(data_dir: &Path, clock: &Arc<TestClock>, instance: u8) -> Self {
        Self::with_store(data_dir, clock, instance, Arc::new(FakeEdge::new()))
    }

    pub(super) fn with_store(
        data_dir: &Path,
        clock: &Arc<TestClock>,
        instance: u8,
        store: Arc<FakeEdge>,
    ) -> Self {
        let config = mamba_edge::link::LinkConfig {
            data_dir: data_dir.to_owned(),
            hubs: vec![],
            instance: InstanceId::from_bytes([instance; 16]),
            software: "test".to_owned(),
            net: NetParts::default(),
        };
        let (link, handle) =
            EdgeLink::new(config, Arc::clone(&store), clock.clone(), Arc::new(SystemEntropy));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(link.run(Arc::new(Echo), stopped));
        Self { store, handle, stop, tasks }
    }

    pub(super) async fn stop(&mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }

    pub(super) async fn wait_up(&mut self) {
        let up = self.handle.status.wait_for(|status| status.up);
        let waited = tokio::time::timeout(WITHIN, up).await.map(|_| ());
        assert!(waited.is_ok(), "not up: {:?}", *self.handle.status.borrow());
    }

    /// Waits until the link is down for a reason that contains `text`.
    pub(super) async fn wait_down(&mut self, text: &str) {
        let told = |status: &mamba_wire::node::LinkStatus| {
            !status.up && status.last_error.as_ref().is_some_and(|err| err.contains(text))
        };
        let waited = self.handle.status.wait_for(told);
        let waited = tokio::time::timeout(WITHIN, waited).await.map(|_| ());
        assert!(waited.is_ok(), "not down by {text}: {:?}", *self.handle.status.borrow());
    }
}

/// Waits for a state, and says what it waits for when it gives up.
pub(super) async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(WITHIN, wait).await.is_ok(), "never: {what}");
}

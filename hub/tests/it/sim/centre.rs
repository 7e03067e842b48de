//! The simulated hub: a real hub on a simulated disk, its backups, and a restore from one.

use super::{
    chance::{Drawn, Rng, SimClock, Trace},
    net::{End, Net, hub_address},
    planted::{BentHub, Bug},
};
use mamba_core::{
    clock::{Clock, Entropy},
    db::{Snapshot, Span, Store, StoreOptions, TxnError, sim::SimDisk},
    seq::Seq,
};
use mamba_hub::{
    Hub, HubParts, backup,
    control::transfer,
    link::{HubLink, LinkConfig},
    store::{STREAMS, StreamKey},
};
use mamba_wire::net::authority::HubSecrets;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// Name of the store in a data directory.
const STORE_FILE: &str = "store.redb";

/// The name of each stream's epoch, and how far it was in the last backup.
pub(super) type Reached = BTreeMap<StreamKey, Seq>;

pub(super) struct Centre {
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<SimClock>,
    pub(super) running: Option<Running>,
    /// The newest backup.
    pub(super) backup: Option<(PathBuf, Reached)>,
    /// Until then changes may take virtual time.
    pub(super) slow_until: Instant,
    /// Facts that came in, each as often as it came.
    pub(super) came: Arc<AtomicU64>,
    secrets: HubSecrets,
    bug: Option<Bug>,
    dir: PathBuf,
    net: Arc<Net>,
    trace: Arc<Trace>,
    rng: Rng,
    files: u64,
}

pub(super) struct Running {
    pub(super) hub: Hub,
    tasks: JoinSet<()>,
    _stop: watch::Sender<bool>,
}

impl Centre {
    pub(super) fn new(
        clock: Arc<SimClock>,
        dir: PathBuf,
        bug: Option<Bug>,
        (net, trace, mut rng): (Arc<Net>, Arc<Trace>, Rng),
    ) -> Self {
        let secrets = HubSecrets::create(clock.wall(), &*Drawn::new(Rng::new(rng.next(), 0)));
        let secrets = secrets.unwrap();
        let disk = SimDisk::new(0);
        Self {
            disk,
            clock,
            running: None,
            backup: None,
            slow_until: Instant::now(),
            came: Arc::default(),
            secrets,
            bug,
            dir,
            net,
            trace,
            rng,
            files: 0,
        }
    }

    pub(super) async fn start(&mut self) {
        assert!(self.running.is_none());
        let clock: Arc<dyn Clock> = self.clock.clone();
        let entropy: Arc<dyn Entropy> = Drawn::new(Rng::new(self.rng.next(), 0));
        let options = StoreOptions { cache_bytes: 16 << 20, ..StoreOptions::HUB };
        let store = match Store::inline(self.disk.clone(), options) {
            Ok(store) => store,
            Err(err) => return self.trace.say(&format!("hub: no store: {err}")),
        };
        let keys = self.secrets.open().unwrap();
        let vault = mamba_hub::secrets::Vault::in_memory([7; 32]);
        let parts = HubParts { store, keys, vault, clock: clock.clone(), entropy: entropy.clone() };
        let hub = match Hub::open(parts).await {
            Ok(hub) => hub,
            Err(err) => return self.trace.say(&format!("hub: does not start: {err}")),
        };
        let config = LinkConfig {
            listen: hub_address(),
            software: "sim".to_owned(),
            net: self.net.plug(End::Hub),
        };
        let keys = Arc::new(self.secrets.open().unwrap());
        let (held, came) = (std::sync::Mutex::default(), Arc::clone(&self.came));
        let bent = Arc::new(BentHub { hub: hub.clone(), bug: self.bug, held, came });
        let (link, links) = HubLink::bind(config, keys, bent, clock, entropy).unwrap();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(link.run(stopped.clone()));
        tasks.spawn(transfer::keep(hub.clone(), Arc::new(links), stopped));
        self.running = Some(Running { hub, tasks, _stop: stop });
        self.trace.say("hub: up");
    }

    /// Ends the hub at once, as a power cut does.
    pub(super) async fn kill(&mut self) {
        let disk = self.disk.crash(self.rng.next());
        self.net.unplug(End::Hub);
        self.disk = disk;
        if let Some(mut running) = self.running.take() {
            running.tasks.shutdown().await;
        }
        self.trace.say("hub: down");
    }

    pub(super) fn broken(&mut self) -> Option<String> {
        let ended = self.running.as_mut()?.tasks.try_join_next()?;
        Some(match ended {
            Ok(()) => "the hub's link ended".to_owned(),
            Err(err) => format!("the hub's link panicked: {err}"),
        })
    }

    /// Makes a backup and tells the nodes. In a thread that is waited for, with virtual time
    /// standing still: the copy uses threads of its own, whose order would be chance.
    pub(super) fn back_up(&mut self) {
        let Some(running) = &self.running else { return };
        if Instant::now() < self.slow_until {
            return self.trace.say("hub: too slow for a backup");
        }
        self.files += 1;
        let path = self.dir.join(format!("{}.backup", self.files));
        let (hub, target) = (running.hub.clone(), path.clone());
        let made = apart(async move { hub.back_up(target).await.map_err(|err| err.to_string()) });
        match made {
            Ok(_) => {
                let reached = reached(&running.hub);
                self.trace.say(&format!("hub: backup {}", self.files));
                self.backup = Some((path, reached));
            }
            Err(err) => self.trace.say(&format!("hub: no backup: {err}")),
        }
    }

    /// Puts the newest backup in the place of the store. The hub must be down.
    pub(super) fn restore(&mut self) {
        let Some((path, _)) = self.backup.clone() else { return };
        self.files += 1;
        let target = self.dir.join(format!("restored-{}", self.files));
        let (now, dir) = (self.clock.wall(), target.clone());
        apart(async move { backup::restore(&path, &dir, now).await.map(|_| ()) }).unwrap();
        self.disk = SimDisk::holding(std::fs::read(target.join(STORE_FILE)).unwrap());
        self.trace.say("hub: restored from its backup");
    }
}

/// Runs something to its end on another thread while the simulation stands still.
pub(super) fn apart<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
        scope.spawn(run).join().unwrap()
    })
}

/// Returns the watermark of each epoch of each stream.
pub(super) fn reached(hub: &Hub) -> Reached {
    let all = hub.store().read(|txn| txn.range(STREAMS, Span::all(), 10_000));
    let all: Result<Vec<_>, TxnError> = all;
    all.unwrap_or_default().into_iter().map(|(key, record)| (key, record.watermark)).collect()
}

//! Install scripts on the real Docker Engine, by the whole supervisor: the walls seen from inside, and
//! runs that end well, badly, late, by a cancel and over a restart of the daemon.

use crate::bench::{Bench, on_docker};
use mamba_core::{
    clock::{Clock, SystemClock, SystemEntropy, UnixMs, draw},
    db::{Store, StoreOptions, sim::SimDisk},
    desired::{Envelope, Home, Order, SignedEnvelope, Wish},
    fact::{Activity, ActivityFact},
    ids::{NodeId, ServerId, TenantId},
    lifecycle::{
        Actor, Observed,
        install::{InstallEnd, InstallOutcome},
    },
    seq::{Generation, Incarnation},
    server::{
        AutoStart, Entry, Install, InstallFiles, Limits, RestartPolicy, ServerSpec, StopMethod,
    },
    units::{Mib, Millicores},
};
use mamba_edge::{
    calendar::{Calendar, HubCalendar, Moment},
    console::Consoles,
    data::DataDirs,
    desired::Adopter,
    outbox,
    runtime::{Runtime, docker::DockerRuntime, subnet::SubnetPool},
    store::EdgeStore,
    supervisor::{InstallBounds, Parts, Settings, SupervisorHandle, supervisor},
};
use std::{os::unix::fs::MetadataExt, path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinSet;

const IMAGE: &str = "mamba/probe:1";
const UID: u32 = 988;
const WAIT: Duration = Duration::from_secs(60);

/// What outlives the daemon.
struct Node {
    runtime: DockerRuntime,
    node: NodeId,
    disk: SimDisk,
    dir: tempfile::TempDir,
    server: ServerId,
    tenant: TenantId,
    run_ms_max: u64,
}

struct Daemon {
    handle: SupervisorHandle,
    store: EdgeStore,
    adopter: Adopter,
    tasks: JoinSet<()>,
}

impl Node {
    fn new(bench: &Bench<DockerRuntime>, run_ms_max: u64) -> Self {
        Self {
            runtime: bench.runtime.clone(),
            node: bench.node,
            disk: SimDisk::new(0),
            dir: tempfile::tempdir().unwrap(),
            server: ServerId::new(UnixMs(3), draw(&SystemEntropy)),
            tenant: TenantId::new(UnixMs(2), draw(&SystemEntropy)),
            run_ms_max,
        }
    }

    async fn daemon(&self) -> Daemon {
        let raw = Store::inline(self.disk.clone(), StoreOptions::EDGE).unwrap();
        raw.write(move |txn| outbox::init(txn, &SystemEntropy)).await.unwrap();
        let store = EdgeStore::new(raw);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new().unwrap());
        let calendar: Arc<dyn Calendar> = Arc::new(HubCalendar::new(Arc::clone(&clock), None));
        let consoles =
            Consoles::open(&self.dir.path().join("console"), Arc::clone(&clock)).unwrap();
        let parts = Parts {
            runtime: Arc::new(self.runtime.clone()),
            store: store.clone(),
            consoles,
            data: self.data(),
            clock,
            calendar,
            entropy: Arc::new(SystemEntropy),
        };
        let settings = Settings {
            node: self.node,
            starts_max: 4,
            pool: SubnetPool::default(),
            version: "test".to_owned(),
            install: InstallBounds { run_ms_max: self.run_ms_max, free_bytes_min: 1 << 20 },
        };
        let (supervisor, handle) = supervisor(parts, settings);
        let mut tasks = JoinSet::new();
        tasks.spawn(supervisor.run());
        let verify = Arc::new(|_: &SignedEnvelope| true);
        let entropy = Arc::new(SystemEntropy);
        let adopter = Adopter { store: store.clone(), node: self.node, verify, entropy };
        Daemon { handle, store, adopter, tasks }
    }

    fn data(&self) -> DataDirs {
        DataDirs::open(self.dir.path(), UID).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.data().of(self.server)
    }

    async fn wish(&self, daemon: &Daemon, generation: u64, script: &str) {
        let order = order(generation);
        let install = Install {
            asked: order,
            image: IMAGE.to_owned(),
            entrypoint: "sh -u".to_owned(),
            script: script.to_owned(),
            files: InstallFiles::Keep,
            secrets: ["TOKEN".to_owned()].into(),
            cancelled: false,
        };
        let spec = ServerSpec {
            name: "one".into(),
            image: IMAGE.to_owned(),
            startup: "sleep 600".into(),
            entry: Entry::Shell,
            environment: [("TOKEN".to_owned(), "hunter2".to_owned())].into(),
            done: vec![],
            stop: StopMethod::Runtime,
            stop_grace_ms: 1_000,
            limits: Limits {
                memory_mib: Mib(64),
                swap_mib: Mib(0),
                cpu_millicores: Millicores(500),
                disk_mib: Mib(64),
                pids: 32,
                sharing: mamba_core::server::Sharing::USUAL,
            },
            ports: vec![],
            capabilities: vec![],
            auto_start: AutoStart::LastState,
            restart: RestartPolicy::default(),
            config_files: vec![],
            mounts: vec![],
            suspended: false,
            run_until: None,
            install: Some(install),
        };
        let envelope = Envelope {
            tenant: self.tenant,
            node: self.node,
            server: self.server,
            order,
            home: Home::default(),
            not_before: UnixMs(0),
            force: false,
            body: Wish::Exist(Box::new(spec)),
        };
        let signed = SignedEnvelope { bytes: envelope.encode().unwrap(), signature: vec![] };
        let now = SystemClock::new().unwrap().wall();
        daemon.adopter.adopt_all(vec![signed], Moment { now, certain: now }).await;
        daemon.handle.desired_changed().await;
    }

    async fn wait(&self, daemon: &Daemon, is_it: impl Fn(&Observed) -> bool) -> Observed {
        let mut observed = daemon.handle.observed();
        let reached = observed.wait_for(|all| all.get(&self.server).is_some_and(&is_it));
        match tokio::time::timeout(WAIT, reached).await {
            Ok(all) => all.unwrap()[&self.server].clone(),
            Err(_) => panic!("not reached: {:#?}", daemon.handle.observed().borrow()),
        }
    }

    /// Waits for the end of a run.
    async fn end(&self, daemon: &Daemon, generation: u64) -> InstallOutcome {
        let end_of = |it: &Observed| -> Option<InstallEnd> {
            it.install.clone().filter(|run| run.asked == order(generation))?.end
        };
        let seen = self.wait(daemon, |it| end_of(it).is_some()).await;
        end_of(&seen).unwrap().outcome
    }

    /// Waits until the script has made a file.
    async fn file(&self, name: &str) {
        let path = self.folder().join(name);
        let made = async {
            while !path.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(WAIT, made).await.expect(name);
    }

    fn log(&self, generation: u64) -> Vec<String> {
        let lines = self.data().install_log(self.server, order(generation)).lines().unwrap();
        lines.into_iter().map(|line| line.text).collect()
    }

    async fn has_container(&self) -> bool {
        self.runtime.installer(self.node, self.server).await.unwrap().is_some()
    }
}

impl Daemon {
    /// What the hub is told of ends.
    fn told(&self) -> Vec<Activity> {
        let read: Result<Vec<ActivityFact>, outbox::OutboxError> =
            self.store.raw().read(|txn| outbox::activity(txn, None, 500));
        let is_end = |it: &Activity| {
            matches!(
                it,
                Activity::Installed { .. }
                    | Activity::InstallFailed { .. }
                    | Activity::InstallCancelled { .. }
            )
        };
        read.unwrap().into_iter().rev().map(|fact| fact.body).filter(is_end).collect()
    }
}

fn order(generation: u64) -> Order {
    Order { incarnation: Incarnation(1), generation: Generation(generation) }
}

#[tokio::test]
async fn a_script_installs_within_its_walls() {
    on_docker(async |bench| {
        let node = Node::new(&bench, 60_000);
        let daemon = node.daemon().await;
        let script = "id -u\n\
            grep -E '^(CapEff|NoNewPrivs|Seccomp)' /proc/self/status\n\
            echo token $TOKEN >&2\n\
            mkdir -p /mnt/server/mods && echo game > /mnt/server/mods/game.jar\n\
            chown 1000:1000 /mnt/server/mods && touch /etc/written && echo can write\n\
            mount -t tmpfs x /mnt 2>/dev/null || echo cannot mount\n\
            ls /mnt /mnt/install\n";
        node.wish(&daemon, 1, script).await;
        assert_eq!(node.end(&daemon, 1).await, InstallOutcome::Installed);
        let log = node.log(1);
        let has = |text: &str| assert!(log.iter().any(|line| line == text), "{text}: {log:#?}");
        for text in ["0", "token ***", "can write", "cannot mount", "install.sh"] {
            has(text);
        }
        has("NoNewPrivs:\t1");
        has("Seccomp:\t2");
        // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, SETGID 6, SETUID 7.
        has("CapEff:\t00000000000000cb");
        assert!(!log.iter().any(|line| line.contains("hunter2")), "{log:#?}");
        let meta = std::fs::metadata(node.folder().join("mods/game.jar")).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (UID, UID), "given to the game");
        assert!(!node.has_container().await);
        assert!(matches!(daemon.told().as_slice(), [Activity::Installed { .. }]));
    })
    .await;
}

#[tokio::test]
async fn runs_that_fail_hang_or_are_cancelled_are_told_once() {
    on_docker(async |bench| {
        let node = Node::new(&bench, 3_000);
        let daemon = node.daemon().await;
        node.wish(&daemon, 1, "echo broken >&2; exit 7").await;
        let InstallOutcome::Failed { code, error } = node.end(&daemon, 1).await else { panic!() };
        assert_eq!((code, error.as_str()), (Some(7), "script ended with code 7"));
        node.wish(&daemon, 2, "echo begun; sleep 600").await;
        let InstallOutcome::Failed { code, error } = node.end(&daemon, 2).await else { panic!() };
        assert_eq!((code, error.as_str()), (None, "script was not over after 3 s"));
        assert!(!node.has_container().await);
        node.wish(&daemon, 3, "touch /mnt/server/begun; sleep 600").await;
        node.file("begun").await;
        let by = Actor::Operator("me".to_owned());
        daemon.handle.cancel_install(node.server, by).await.unwrap();
        assert_eq!(node.end(&daemon, 3).await, InstallOutcome::Cancelled);
        assert!(!node.has_container().await);
        let told = daemon.told();
        let [Activity::InstallFailed { lines, .. }, _, Activity::InstallCancelled { .. }] =
            told.as_slice()
        else {
            panic!("{told:#?}")
        };
        assert_eq!(lines, &["broken"]);
    })
    .await;
}

#[tokio::test]
async fn a_run_goes_on_while_the_daemon_is_away() {
    on_docker(async |bench| {
        let node = Node::new(&bench, 60_000);
        let script = "echo one; touch /mnt/server/one; sleep 1; echo two; \
                      echo x >> /mnt/server/count; touch /mnt/server/two; sleep 1; echo three";
        // Killed while it runs, and killed where it has ended meanwhile.
        for (generation, file, away_ms) in [(1, "one", 0), (2, "two", 2_500)] {
            for file in ["one", "two", "count"] {
                std::fs::remove_file(node.folder().join(file)).ok();
            }
            let mut daemon = node.daemon().await;
            node.wish(&daemon, generation, script).await;
            node.file(file).await;
            daemon.tasks.shutdown().await;
            drop(daemon);
            tokio::time::sleep(Duration::from_millis(away_ms)).await;
            let mut daemon = node.daemon().await;
            assert_eq!(node.end(&daemon, generation).await, InstallOutcome::Installed);
            let log = node.log(generation);
            let said = |text: &str| log.iter().filter(|line| *line == text).count();
            assert_eq!(["one", "two", "three"].map(said), [1; 3], "{log:#?}");
            let runs = std::fs::read_to_string(node.folder().join("count")).unwrap();
            assert_eq!(runs.lines().count(), 1);
            assert_eq!(daemon.told().len(), usize::try_from(generation).unwrap());
            assert!(!node.has_container().await);
            daemon.tasks.shutdown().await;
        }
    })
    .await;
}

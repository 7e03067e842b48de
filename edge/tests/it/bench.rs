//! What the contract of container engines is run on: the fake and the real Docker Engine.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use mamba_core::{
    clock::{Entropy, SystemEntropy, UnixMs, draw},
    ids::{NodeId, ServerId, TenantId},
    seq::Generation,
    server::{Entry, Limits, PortBinding, PortProtocol, Signal},
    units::{Mib, Millicores},
};
use mamba_edge::runtime::{
    Attached, Container, ContainerId, ContainerSpec, ContainerStatus, OutputSource, Runtime,
    Subnet,
    docker::DockerRuntime,
    fake::{Act, FakeRuntime, Script},
};
use std::{
    future::Future, os::unix::fs::PermissionsExt, panic::AssertUnwindSafe, path::Path,
    time::Duration,
};

/// Set to run on a real engine; then its absence is a failure.
const ASK: &str = "MAMBA_TEST_DOCKER";
const SOCKET: &str = "/var/run/docker.sock";
pub(crate) const IMAGE: &str = "mamba/probe:1";
/// Longest wait for anything here; an engine on a busy machine takes seconds to start a container.
const WAIT: Duration = Duration::from_secs(60);

/// The game of these tests, told to the shell. Says `ready` and, on standard error, `warned`;
/// answers `ping`; ends with 7 at `leave`, with 5 at SIGINT, takes more than its memory at `eat`.
const GAME: &str = r#"
trap 'echo saving; exit 5' INT
echo ready
echo warned >&2
while read -r line; do
    case $line in
    ping) echo pong ;;
    leave) exit 7 ;;
    eat) tail /dev/zero; exit $? ;;
    *) eval "$line" ;;
    esac
done
"#;

/// One engine with one node on it.
pub(crate) struct Bench<R> {
    pub(crate) runtime: R,
    pub(crate) node: NodeId,
    fake: Option<FakeRuntime>,
    data: tempfile::TempDir,
}

/// Runs a test on the fake engine.
pub(crate) async fn on_fake<F: Future<Output = ()>>(test: impl FnOnce(Bench<FakeRuntime>) -> F) {
    let fake = FakeRuntime::new(UnixMs(1_700_000_000_000));
    let node = NodeId::new(UnixMs(1), draw(&SystemEntropy));
    let data = tempfile::tempdir().unwrap();
    test(Bench { runtime: fake.clone(), node, fake: Some(fake), data }).await;
}

/// Runs a test on the real engine, if asked to, and removes what it left.
pub(crate) async fn on_docker<F: Future<Output = ()>>(
    test: impl FnOnce(Bench<DockerRuntime>) -> F,
) {
    if std::env::var(ASK).is_err() {
        println!("skipped: set {ASK}=1 to run on the Docker Engine at {SOCKET}");
        return;
    }
    let runtime = DockerRuntime::new(Path::new(SOCKET));
    runtime.info().await.unwrap();
    let node = NodeId::new(UnixMs(1), draw(&SystemEntropy));
    let data = tempfile::tempdir().unwrap();
    let bench = Bench { runtime: runtime.clone(), node, fake: None, data };
    let done = AssertUnwindSafe(test(bench)).catch_unwind().await;
    for container in runtime.list(node).await.unwrap() {
        runtime.remove(&container.id).await.unwrap();
    }
    // Together with what was set aside, which the list began to remove.
    let begun = tokio::time::Instant::now();
    while kept(node) > 0 {
        assert!(begun.elapsed() < WAIT, "{} containers are left", kept(node));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for network in runtime.networks().await.unwrap() {
        if let Some((owner, tenant)) = network.owner
            && owner == node
        {
            runtime.remove_network(node, tenant).await.unwrap();
        }
    }
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

/// Containers of a node that the engine has, also those that were set aside.
pub(crate) fn kept(node: NodeId) -> usize {
    let filter = format!("label=mamba.node={node}");
    let args = ["ps", "--all", "--quiet", "--filter", &filter];
    let output = std::process::Command::new("docker").args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()
}

impl<R: Runtime> Bench<R> {
    /// The fake engine, when it is one.
    pub(crate) fn fake(&self) -> Option<&FakeRuntime> {
        self.fake.as_ref()
    }

    /// A game of a tenant of its own, not yet made, whose network exists.
    pub(crate) async fn game(&self) -> ContainerSpec {
        self.game_of(TenantId::new(UnixMs(2), draw(&SystemEntropy))).await
    }

    /// A game of this tenant.
    pub(crate) async fn game_of(&self, tenant: TenantId) -> ContainerSpec {
        self.add_network(tenant).await;
        let server = ServerId::new(UnixMs(3), draw(&SystemEntropy));
        let data_dir = self.data.path().join(server.to_string());
        std::fs::create_dir(&data_dir).unwrap();
        std::fs::set_permissions(&data_dir, PermissionsExt::from_mode(0o777)).unwrap();
        std::fs::set_permissions(self.data.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(data_dir.join("game.sh"), GAME).unwrap();
        if let Some(fake) = &self.fake {
            fake.script(server, [script()]);
        }
        ContainerSpec {
            node: self.node,
            tenant,
            server,
            generation: Generation(3),
            image: IMAGE.to_owned(),
            startup: "sh ./game.sh".to_owned(),
            entry: Entry::Shell,
            environment: [("GREETING".to_owned(), "hello".to_owned())].into(),
            limits: limits(),
            ports: vec![],
            capabilities: vec![],
            data_dir,
            mounts: vec![],
            uid: 988,
            stop_grace_ms: 5_000,
        }
    }

    /// Makes a network with addresses that nobody uses; others may make theirs at the same time.
    pub(crate) async fn add_network(&self, tenant: TenantId) {
        for _ in 0..100 {
            let [a, b] = draw(&SystemEntropy);
            let subnet = Subnet { address: [10, 214, a, b & 0xF0].into(), prefix: 28 };
            match self.runtime.ensure_network(self.node, tenant, subnet).await {
                Ok(()) => return,
                Err(mamba_edge::runtime::RuntimeError::SubnetTaken(_)) => {}
                Err(err) => panic!("{err}"),
            }
        }
        panic!("no free subnet");
    }

    /// Makes, attaches and starts a game and waits until it is ready.
    pub(crate) async fn run(&self, spec: &ContainerSpec) -> (ContainerId, Heard) {
        let id = self.runtime.create(spec).await.unwrap();
        let mut heard = Heard::new(self.runtime.attach(&id).await.unwrap());
        self.runtime.start(&id).await.unwrap();
        heard.wait(OutputSource::Stdout, "ready").await;
        (id, heard)
    }

    pub(crate) async fn status(&self, id: &ContainerId) -> Option<ContainerStatus> {
        self.runtime.inspect(id).await.unwrap().map(|container| container.status)
    }

    /// Waits until a container has ended and returns its code and whether it was out of memory.
    pub(crate) async fn ended(&self, id: &ContainerId) -> (i64, bool) {
        let wait = async {
            loop {
                match self.status(id).await {
                    Some(ContainerStatus::Exited { code, oom_killed, .. }) => {
                        return (code, oom_killed);
                    }
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::time::timeout(WAIT, wait).await.expect("it ends")
    }
}

/// What the fake does as [`GAME`].
fn script() -> Script {
    let print = |source, text: &str| Act::Print(source, text.to_owned());
    Script {
        boot: vec![
            (5, print(OutputSource::Stdout, "ready")),
            (5, print(OutputSource::Stderr, "warned")),
        ],
        answers: vec![
            ("ping".to_owned(), vec![(1, print(OutputSource::Stdout, "pong"))]),
            ("leave".to_owned(), vec![(1, Act::Exit(7))]),
            ("eat".to_owned(), vec![(1, Act::Oom)]),
        ],
        signals: vec![(
            Signal::Int,
            vec![(1, print(OutputSource::Stdout, "saving")), (2, Act::Exit(5))],
        )],
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        memory_mib: Mib(64),
        swap_mib: Mib(0),
        cpu_millicores: Millicores(1_000),
        disk_mib: Mib(64),
        pids: 32,
        sharing: mamba_core::server::Sharing::USUAL,
    }
}

/// A port on the loopback address that was free a moment ago.
pub(crate) fn free_port() -> PortBinding {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    PortBinding { ip: [127, 0, 0, 1].into(), port, protocol: PortProtocol::Tcp }
}

/// Names the servers of containers.
pub(crate) fn servers(containers: &[Container]) -> Vec<ServerId> {
    containers.iter().map(|container| container.server).collect()
}

/// An attachment and what was heard on it.
pub(crate) struct Heard {
    attached: Attached,
    pub(crate) text: [String; 2],
    has_ended: bool,
}

impl Heard {
    pub(crate) fn new(attached: Attached) -> Self {
        Self { attached, text: Default::default(), has_ended: false }
    }

    /// Types a line.
    pub(crate) async fn type_line(&self, line: &str) {
        self.attached.input.send(Bytes::from(format!("{line}\n"))).await.unwrap();
    }

    /// Listens until a stream has said a line.
    pub(crate) async fn wait(&mut self, source: OutputSource, line: &str) {
        let place = usize::from(source == OutputSource::Stderr);
        let wait = async {
            while !self.text[place].lines().any(|said| said == line) && !self.has_ended {
                self.listen().await;
            }
        };
        let is_late = tokio::time::timeout(WAIT, wait).await.is_err();
        let said = self.text[place].lines().any(|said| said == line);
        assert!(said, "no `{line}` (late: {is_late}) in {:?}", self.text);
    }

    /// Types a line and returns what comes on standard output until its mark.
    pub(crate) async fn ask(&mut self, line: &str) -> String {
        let before = self.text[0].len();
        self.type_line(&format!("{line}; echo =$((40+2))=")).await;
        self.text[0].truncate(before);
        self.wait(OutputSource::Stdout, "=42=").await;
        let answer = self.text[0][before..].trim_end().trim_end_matches("=42=").to_owned();
        self.text[0].clear();
        answer.trim().to_owned()
    }

    /// Listens until the process has ended.
    pub(crate) async fn read_to_end(&mut self) {
        let wait = async {
            while !self.has_ended {
                self.listen().await;
            }
        };
        tokio::time::timeout(WAIT, wait).await.expect("output ends");
    }

    async fn listen(&mut self) {
        match self.attached.output.next().await {
            Some(Ok((source, bytes))) => {
                let place = usize::from(source == OutputSource::Stderr);
                self.text[place].push_str(&String::from_utf8_lossy(&bytes));
            }
            Some(Err(err)) => panic!("{err}"),
            None => self.has_ended = true,
        }
    }
}

/// Draws a number for a name.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

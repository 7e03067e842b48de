//! A served hub, a client, and a node's end of consoles.

use mamba_core::{
    access::{Rights, ServerKey, ServerKeys},
    clock::{BootId, BootMs, Clock, SystemEntropy, UnixMs},
    db::{DataDir, Store, StoreOptions},
    ids::{NodeId, ServerId, TenantId},
    quota::Quota,
    scope::AdminScope,
    server::{Limits, PortProtocol},
    units::{Mib, Millicores},
};
use mamba_hub::{
    Hub, HubParts,
    api::{Api, ApiParts, ConnectionLimits, RequestLimits, serve},
    config::ConsoleLimits,
    identity::{AccessKey, Identity, IdentityParts, NewAccount, Settings, create_admin},
    legal::{Legal, LegalWords},
    link::backend::Enrolment,
    nodes::NewToken,
    relay::{Boxed, DoorError, NodeDoor, Sockets},
    secrets::{self, Vault},
    store::KIND,
};
use mamba_wire::{
    api::{
        ENDPOINTS, Endpoint, Page, Permission, Problem, RequestBody, Row, account, allocation,
        auth, member, params, problem, server, table, target, tenant,
    },
    link::{
        enrol::{Machine, PublicKey},
        token::JoinToken,
    },
    net::frames::FrameStream,
    node::{Ask, Asker},
};
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, client::IntoClientRequest, http::HeaderValue},
};

/// A WebSocket's client.
pub(super) type Socket = WebSocketStream<TcpStream>;

pub(super) const PASSWORD: &str = "correct horse battery";

/// A clock that is set by hand.
pub(super) struct TestClock(AtomicU64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Clock for TestClock {
    fn wall(&self) -> UnixMs {
        UnixMs(1_800_000_000_000 + self.0.load(Ordering::Relaxed))
    }
    fn boot(&self) -> BootMs {
        BootMs(1_000_000 + self.0.load(Ordering::Relaxed))
    }
    fn boot_id(&self) -> BootId {
        BootId([0; 16])
    }
}

impl TestClock {
    pub(super) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

/// Gives the far ends of consoles to the test; without one prepared the node is offline.
#[derive(Default)]
pub(super) struct FakeDoor {
    ready: Mutex<VecDeque<DuplexStream>>,
    pub(super) asked: Mutex<Vec<Ask>>,
}

impl FakeDoor {
    /// Prepares one console; returns the node's end.
    pub(super) fn expect(&self, pipe_bytes: usize) -> FrameStream {
        let (near, far) = tokio::io::duplex(pipe_bytes);
        self.ready.lock().unwrap().push_back(near);
        let (read, write) = tokio::io::split(far);
        FrameStream::new(read, write)
    }
}

impl NodeDoor for FakeDoor {
    fn open(&self, _node: NodeId, ask: Ask) -> Boxed<'_, Result<FrameStream, DoorError>> {
        self.asked.lock().unwrap().push(ask);
        let near = self.ready.lock().unwrap().pop_front().ok_or(DoorError::Offline);
        Box::pin(async move {
            let (read, write) = tokio::io::split(near?);
            Ok(FrameStream::new(read, write))
        })
    }
}

/// Makes an initialised store.
pub(super) async fn new_store(data: &DataDir, now: UnixMs) -> Store {
    let store = Store::open(data, 0, StoreOptions::EDGE).unwrap();
    secrets::create(&store, now, &SystemEntropy).await.unwrap();
    let admin =
        NewAccount { email: "admin@example.org".to_owned(), password: PASSWORD.to_owned().into() };
    create_admin(&store, now, &SystemEntropy, admin).await.unwrap();
    store
}

/// A hub that is served.
pub(super) struct World {
    pub(super) clock: Arc<TestClock>,
    pub(super) hub: Hub,
    pub(super) identity: Identity,
    pub(super) door: Arc<FakeDoor>,
    pub(super) consoles: Arc<Sockets>,
    pub(super) feeds: Arc<Sockets>,
    pub(super) address: SocketAddr,
    pub(super) admin: String,
    _stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
    pub(super) dir: tempfile::TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    /// Makes a hub where accounts are as somebody decided.
    pub(super) async fn with(settings: Settings) -> Self {
        // The clock stands: what is taken of these never comes back.
        let limits = RequestLimits { per_address: 2_000, per_account: 1_000 };
        Self::made(limits, settings).await
    }

    pub(super) async fn limited(request_limits: RequestLimits) -> Self {
        Self::made(request_limits, Settings::default()).await
    }

    async fn made(request_limits: RequestLimits, settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("hub"), KIND).unwrap();
        let clock = Arc::new(TestClock::default());
        let store = new_store(&data, clock.wall()).await;
        let keys = secrets::load(&store).unwrap();
        let key = AccessKey::open(data.path(), &SystemEntropy).unwrap();
        let entropy = Arc::new(SystemEntropy);
        let vault = Vault::in_memory([7; 32]);
        let identity = Identity::new(IdentityParts {
            store: store.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            key,
            vault: vault.clone(),
            settings,
        });
        let parts = HubParts { store, keys, vault, clock: clock.clone(), entropy };
        let hub = Hub::open(parts).await.unwrap();
        let door = Arc::new(FakeDoor::default());
        let consoles = Sockets::new(ConsoleLimits { all_max: 4, user_max: 2 });
        let feeds = Sockets::new(ConsoleLimits { all_max: 4, user_max: 2 });
        let api = Arc::new(Api::new(ApiParts {
            hub: hub.clone(),
            identity: identity.clone(),
            links: door.clone(),
            consoles: consoles.clone(),
            feeds: feeds.clone(),
            public_link_address: "hub.example.org:7443".to_owned(),
            link_listen: "127.0.0.1:7443".parse().unwrap(),
            trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
            connections: ConnectionLimits::default(),
            request_limits,
            legal: Legal::load(&dir.path().join("legal"), &LegalWords::default()).unwrap(),
            settings: Vec::new(),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, mut stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(api, listener, None, async move {
            drop(stopping.wait_for(|stop| *stop).await);
        }));
        let admin = String::new();
        let mut world = Self {
            clock,
            hub,
            identity,
            door,
            consoles,
            feeds,
            address,
            admin,
            _stop: stop,
            _tasks: tasks,
            dir,
        };
        world.admin = world.login("admin@example.org").await.access_token;
        world
    }

    pub(super) async fn login(&self, email: &str) -> auth::Tokens {
        // Sessions of one millisecond have no order, in which the oldest makes room.
        self.clock.advance(1);
        let body = auth::Login { email: email.to_owned(), password: PASSWORD.to_owned() };
        self.call::<table::Login>(None, &(), &(), &body).await.unwrap().tokens().unwrap()
    }

    /// Makes a tenant and returns it with its owner's token.
    pub(super) async fn tenant(&self, name: &str) -> (TenantId, String) {
        let email = format!("{name}@example.org");
        let owner = tenant::NewOwner { email: email.clone(), password: PASSWORD.to_owned() };
        let (name, quota) = (name.to_owned(), Quota::default());
        let body = tenant::CreateTenant { name, quota, owner, external_id: None };
        let made = self.admin::<table::CreateTenant>(&(), &(), &body).await;
        (made.tenant, self.login(&email).await.access_token)
    }

    /// Shares a server with `friend`, and returns their token.
    pub(super) async fn friend(
        &self,
        owner: &str,
        server: ServerId,
        keys: impl IntoIterator<Item = ServerKey>,
    ) -> String {
        let (_, friend) = self.tenant("friend").await;
        let path = params::ServerPath { server };
        let email = "friend@example.org".to_owned();
        let body = member::InviteSubUser { email, keys: keys.into_iter().collect() };
        let made = self.call::<table::InviteSubUser>(Some(owner), &path, &(), &body).await;
        let answer = member::AnswerInvitation { token: made.unwrap().token };
        self.call::<table::AcceptInvitation>(Some(&friend), &(), &(), &answer).await.unwrap();
        friend
    }

    /// Makes a node as an edge would.
    pub(super) async fn node(&self, name: &str, key: u8) -> NodeId {
        let admin = AdminScope::operator("test".to_owned());
        let new = NewToken { name: name.to_owned(), ..NewToken::default() };
        let token = self.hub.create_join_token(&admin, new).await.unwrap();
        let machine = Machine {
            software: "test".to_owned(),
            system: "test".to_owned(),
            cpus: 4,
            memory_bytes: 8 << 30,
        };
        let enrolment = Enrolment {
            secret: token.token.parse::<JoinToken>().unwrap().secret.hash(),
            key: PublicKey([key; 32]),
            name_hint: name.to_owned(),
            machine,
            peer: self.address,
        };
        self.hub.enrol(enrolment).await.unwrap()
    }

    pub(super) async fn allocate(&self, node: NodeId, port: u16) -> Vec<allocation::Allocation> {
        let body = allocation::CreateAllocations {
            node,
            ip: "0.0.0.0".parse().unwrap(),
            port,
            port_last: None,
            protocol: PortProtocol::Udp,
            alias: None,
            note: None,
        };
        self.admin::<table::CreateAllocations>(&(), &(), &body).await.items
    }

    /// Makes a server with a port of its own.
    pub(super) async fn server(&self, node: NodeId, tenant: TenantId, port: u16) -> ServerId {
        self.allocate(node, port).await;
        // Ids made in one millisecond have no order.
        self.clock.advance(1);
        let body = new_server(node, tenant);
        self.admin::<table::CreateServer>(&(), &(), &body).await.server.server
    }

    /// Calls an endpoint as the administrator; it must work.
    pub(super) async fn admin<E: Endpoint>(
        &self,
        path: &E::Path,
        query: &E::Query,
        body: &E::Body,
    ) -> E::Out {
        self.call::<E>(Some(&self.admin), path, query, body).await.unwrap()
    }

    /// Calls an endpoint.
    pub(super) async fn call<E: Endpoint>(
        &self,
        token: Option<&str>,
        path: &E::Path,
        query: &E::Query,
        body: &E::Body,
    ) -> Result<E::Out, Problem> {
        let body = E::Body::EXPECTED.then(|| serde_json::to_string(body).unwrap());
        let mut headers = vec![];
        let bearer = token.map(|token| format!("Bearer {token}"));
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let target = target::<E>(path, query);
        let reply = self.send(E::METHOD.name(), &target, &headers, body.as_deref()).await;
        if reply.status == E::STATUS {
            let empty = E::STATUS == 204;
            assert_eq!(reply.body.is_empty(), empty, "{}", reply.body);
            return Ok(if empty { from("null") } else { from(&reply.body) });
        }
        Err(reply.problem())
    }

    /// Opens a WebSocket, as a page of `origin` when there is one.
    pub(super) async fn socket(
        &self,
        target: &str,
        origin: Option<&'static str>,
    ) -> Result<Socket, u16> {
        let mut request = format!("ws://hub{target}").into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", HeaderValue::from_static(origin));
        }
        let tcp = TcpStream::connect(self.address).await.unwrap();
        match client_async(request, tcp).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(reply)) => Err(reply.status().as_u16()),
            Err(err) => panic!("{err}"),
        }
    }

    /// Sends one request on a connection of its own.
    pub(super) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Reply {
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| *name == "content-type") {
                request.push_str("content-type: application/json\r\n");
            }
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body.unwrap_or_default());
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        // The hub may answer and close before it has read all of a body that is too large.
        socket.write_all(request.as_bytes()).await.ok();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await.ok();
        let reply = Reply::parse(&String::from_utf8(bytes).unwrap());
        check_reply(method, target, &reply);
        reply
    }
}

/// Checks an answer against the contract: its status is the row's, or that of a code of the row.
#[track_caller]
fn check_reply(method: &str, target: &str, reply: &Reply) {
    let wanted = if method == "HEAD" { "GET" } else { method };
    let path = target.split('?').next().unwrap();
    let fits = |row: &&Row| row.method.name() == wanted && is_path_of(row.path, path);
    let Some(row) = ENDPOINTS.iter().find(fits) else { return };
    if reply.headers.get("content-type").is_none_or(|kind| kind != problem::CONTENT_TYPE) {
        let also = if row.permission == Permission::Public { 503 } else { row.status };
        let is_told = [row.status, also, 304].contains(&reply.status);
        assert!(is_told, "{}: {reply:?}", row.name);
    } else if method != "HEAD" {
        let problem = reply.problem();
        assert!(row.codes().contains(&problem.code), "{}: {problem:?}", row.name);
    }
}

/// Whether a path is one of a row's. Fixed parts win over names: no row has both at one place.
fn is_path_of(pattern: &str, path: &str) -> bool {
    let (mut parts, mut wanted) = (path.split('/'), pattern.split('/'));
    loop {
        match (parts.next(), wanted.next()) {
            (None, None) => return true,
            (Some(part), Some(want)) if want.starts_with('{') || part == want => {}
            _ => return false,
        }
    }
}

/// An API key over everything of its owner but the installation.
pub(super) fn api_key(name: &str) -> account::CreateApiKey {
    account::CreateApiKey {
        name: name.to_owned(),
        admin: [].into(),
        rights: Rights::all(),
        tenant: None,
        networks: vec![],
        until: None,
    }
}

pub(super) fn new_server(node: NodeId, tenant: TenantId) -> server::CreateServer {
    server::CreateServer {
        name: "arena".to_owned(),
        tenant,
        node: Some(node),
        blueprint: "teeworlds".to_owned(),
        limits: limits(128),
        image: None,
        variables: BTreeMap::new(),
        allocations: vec![],
        auto_start: None,
        restart: None,
        region: None,
        tags: BTreeSet::new(),
        description: None,
        external_id: None,
        allocation_limit: 0,
        backup_limit: 0,
        skip_scripts: false,
    }
}

pub(super) fn limits(memory_mib: u32) -> Limits {
    Limits {
        memory_mib: Mib(memory_mib),
        swap_mib: Mib(0),
        cpu_millicores: Millicores(500),
        disk_mib: Mib(256),
        pids: 64,
        sharing: mamba_core::server::Sharing::USUAL,
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Self { status, headers: headers.collect(), body: body.to_owned() }
    }

    #[track_caller]
    pub(super) fn problem(&self) -> Problem {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem: Problem = from(&self.body);
        assert_eq!(problem.status, self.status);
        assert_eq!(problem.request_id, self.headers["x-request-id"]);
        problem
    }
}

#[track_caller]
pub(super) fn from<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|err| panic!("{err}: {text}"))
}

/// The ids of a page.
pub(super) fn ids<T, K>(page: &Page<T>, id: impl Fn(&T) -> K) -> Vec<K> {
    page.items.iter().map(id).collect()
}

/// Names in a path, filled with ids of nothing.
pub(super) fn path_of_nothing(path: &str) -> String {
    path.split('/')
        .map(
            |part| {
                if part.starts_with('{') { "01890a5d-ac96-774b-bcce-b302099a8057" } else { part }
            },
        )
        .collect::<Vec<_>>()
        .join("/")
}

/// All servers, in the order of their making.
pub(super) const ALL_SERVERS: server::ServerQuery = server::ServerQuery::ALL;

/// The first page.
pub(super) const NO_PAGE: mamba_wire::api::PageQuery = mamba_wire::api::PageQuery::FIRST;

/// A world with a node, and a server of a tenant on it.
pub(super) struct Open {
    pub(super) world: World,
    /// Token of the server's owner.
    pub(super) owner: String,
    pub(super) node: NodeId,
    pub(super) server: ServerId,
}

pub(super) async fn open_world() -> Open {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let server = world.server(node, acme, 30_001).await;
    Open { world, owner, node, server }
}

impl Open {
    /// Says whom a node is told of, when the account behind a token asks and holds these keys.
    pub(super) async fn asker(&self, token: &str, keys: ServerKeys) -> Asker {
        let me = self.world.call::<table::WhoAmI>(Some(token), &(), &(), &()).await.unwrap();
        Asker::User { user: me.user, keys }
    }
}

//! The composition root: the one place that opens the store, binds sockets and starts tasks.
//!
//! Order of the start: data directory, store, keys, hub, link, API, local socket, backups. The stop
//! is the reverse as far as it matters: no new requests; consoles and requests end; nodes are told
//! goodbye; backups stop; the store is closed last, so that everybody could still write.

use crate::{
    Hub, HubError, HubParts,
    api::{self, Api, ApiParts, Certificates, TlsError},
    audit, backup,
    cli::{self, AdminContext, SocketError},
    config::{BackupConfig, Config, MetricsConfig, TlsConfig},
    control::transfer,
    feed,
    identity::{AccessKey, Identity, IdentityParts, KeyError},
    ingest::requeue,
    legal::{Legal, LegalError},
    link::{HubLink, LinkConfig, LinkError, Links, RequestError},
    mail::{Mailer, SmtpError},
    metrics::{self, MetricsError, Token},
    relay::{Boxed, DoorError, NodeDoor, Sockets},
    secrets::{self, SecretsError, Vault, VaultError},
    status,
    store::KIND,
};
use mamba_core::{
    clock::{Clock, Entropy, SystemClock, SystemEntropy},
    db::{DataDir, DirError, Fault, Store, StoreOptions},
    error::chain,
    ids::NodeId,
    settings::LogFormat,
};
use mamba_wire::{
    net::{endpoint::NetParts, frames::FrameStream},
    node::Ask,
};
use std::{
    io::IsTerminal as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// Space kept for a full disk: enough for the store to go on while somebody makes room.
pub const BALLAST_BYTES: u64 = 16 << 20;
/// Longest time between the signal and the exit; service managers kill after 30 s or more.
const STOP_MS_MAX: u64 = 20_000;

/// Why the hub does not run, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data directory cannot be used.
    #[error("hub cannot use its data directory")]
    Dir(#[source] DirError),
    /// The data directory was never initialised.
    #[error("data directory `{}` is not a hub's: `mamba-hub init` makes it", path.display())]
    NotInitialised {
        /// The directory.
        path: PathBuf,
    },
    /// The store cannot be opened.
    #[error("store cannot be opened")]
    Store(#[source] Fault),
    /// The keys cannot be had.
    #[error("hub has no keys")]
    Secrets(#[source] SecretsError),
    /// The master key cannot be had.
    #[error("hub cannot open its secrets")]
    Vault(#[source] VaultError),
    /// The key of access tokens cannot be had.
    #[error("hub cannot sign access tokens")]
    AccessKey(#[source] KeyError),
    /// Mail cannot be sent.
    #[error("`smtp`: mail cannot be sent")]
    Mail(#[source] SmtpError),
    /// Legal pages cannot be shown.
    #[error("`[legal]`: legal pages cannot be shown")]
    Legal(#[source] LegalError),
    /// The hub's records cannot be read.
    #[error("hub cannot take up its store")]
    Hub(#[source] HubError),
    /// The API's address cannot be bound.
    #[error("`http_listen`: TCP address `{address}` could not be bound")]
    Http {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// There is no certificate.
    #[error("`[tls]`: the API has no certificate")]
    Tls(#[source] TlsError),
    /// Numbers cannot be served.
    #[error(transparent)]
    Metrics(MetricsError),
    /// The address for numbers cannot be bound.
    #[error("`metrics.listen`: TCP address `{address}` could not be bound")]
    MetricsAddress {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The link cannot listen.
    #[error("`link_listen`: nodes cannot be served")]
    Link(#[source] LinkError),
    /// The local socket cannot be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The operating system refuses something basic.
    #[error("{step} failed")]
    System {
        /// What.
        step: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A part ended although nobody asked it to.
    #[error("{0} ended by itself")]
    TaskEnded(&'static str),
}

/// A hub that runs.
pub struct App {
    /// Where the API listens.
    pub http: SocketAddr,
    /// Where edges connect.
    pub link: SocketAddr,
    /// The hub.
    pub hub: Hub,
    /// Accounts and sessions.
    pub identity: Identity,
    consoles: Arc<Sockets>,
    feeds: Arc<Sockets>,
    /// API and local socket.
    doors: Part,
    links: Part,
    /// Backups and the look at quarantine.
    backups: Part,
}

/// Tasks that are stopped together.
struct Part {
    tasks: JoinSet<&'static str>,
    stop: watch::Sender<bool>,
}

impl Part {
    fn new() -> Self {
        Self { tasks: JoinSet::new(), stop: watch::Sender::new(false) }
    }

    fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Starts a task. What it is called is told when it ends too early.
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            task.await;
            name
        });
    }

    /// Waits for a task to end, for ever when there is none.
    async fn ended(&mut self) -> &'static str {
        match self.tasks.join_next().await {
            Some(Ok(name)) => name,
            Some(Err(_)) => "a task that panicked",
            None => std::future::pending().await,
        }
    }

    async fn stop(&mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl App {
    /// Starts a hub on an initialised data directory.
    ///
    /// # Errors
    /// See [`AppError`]; what was started is stopped again.
    pub async fn start(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, AppError> {
        let (dir, store) = open_store(&config)?;
        let started = Self::start_on(config, &dir, store.clone(), clock, entropy).await;
        if started.is_err() {
            store.close().await;
        }
        started
    }

    async fn start_on(
        config: Config,
        dir: &DataDir,
        store: Store,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, AppError> {
        let access = AccessKey::open(dir.path(), &*entropy).map_err(AppError::AccessKey)?;
        let keys = secrets::load(&store).map_err(AppError::Secrets)?;
        let link_keys = Arc::new(secrets::load(&store).map_err(AppError::Secrets)?);
        let vault = Vault::open(dir.path(), &*entropy).map_err(AppError::Vault)?;
        let legal = Legal::load(&config.legal.dir, &config.legal.words).map_err(AppError::Legal)?;
        let mailer = Mailer::new(store.clone(), clock.clone(), config.smtp.as_ref());
        let mailer = mailer.map_err(AppError::Mail)?;
        let identity = Identity::new(IdentityParts {
            store: store.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            key: access,
            vault: vault.clone(),
            settings: config.accounts.clone(),
        });
        let parts = HubParts { store, keys, vault, clock: clock.clone(), entropy: entropy.clone() };
        let hub = Hub::open(parts).await.map_err(AppError::Hub)?;

        let link_config = LinkConfig {
            listen: config.link_listen,
            software: format!("mamba-hub {}", env!("CARGO_PKG_VERSION")),
            net: NetParts::default(),
        };
        let backend = Arc::new(hub.clone());
        let made = HubLink::bind(link_config, link_keys, backend, clock, entropy);
        let (hub_link, ways) = made.map_err(AppError::Link)?;
        let bound = |source| AppError::System { step: "asking for the bound address", source };
        let link = hub_link.local_addr().map_err(bound)?;
        let address = config.http_listen;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| AppError::Http { address, source })?;
        let http = listener.local_addr().map_err(bound)?;
        let certificates = certificates(&config, dir.path()).map_err(AppError::Tls)?;
        let numbers = bind_metrics(config.metrics.as_ref()).await?;
        let socket = cli::listen(dir.path())?;

        let (consoles, feeds) = (Sockets::new(config.consoles), Sockets::new(feed::LIMITS));
        let (settings, door): (_, Arc<dyn NodeDoor>) = (config.shown(), Arc::new(ways));
        let api = Arc::new(Api::new(ApiParts {
            hub: hub.clone(),
            identity: identity.clone(),
            links: Arc::clone(&door),
            consoles: consoles.clone(),
            feeds: feeds.clone(),
            public_link_address: config.public_link_address.clone(),
            link_listen: link,
            trusted_proxies: config.trusted_proxies,
            connections: config.connections,
            request_limits: config.requests,
            legal,
            settings,
        }));
        let (mut doors, mut links, mut backups) = (Part::new(), Part::new(), Part::new());
        links.spawn("the link", hub_link.run(links.stopping()));
        let tls =
            certificates.map(|certificates| keep_tls(&mut doors, certificates)).transpose()?;
        doors.spawn("the API", api::serve(api, listener, tls, stopped(doors.stopping())));
        if let Some((listener, token)) = numbers {
            let (hub, started) = (hub.clone(), hub.clock().boot());
            let serving = metrics::serve(hub, started, listener, token, doors.stopping());
            doors.spawn("the numbers", serving);
        }
        let address = Some(config.public_link_address);
        let admin = AdminContext { hub: hub.clone(), public_link_address: address };
        doors.spawn("the local socket", cli::serve_socket(socket, admin, doors.stopping()));
        backups.spawn("the mails", mailer.run(backups.stopping()));
        backups.spawn("the attempts", identity.clone().keep_flushed(backups.stopping()));
        links.spawn("the moves", transfer::keep(hub.clone(), door, links.stopping()));
        keep_store(&mut backups, &hub, config.backup, config.audit_retain_ms);
        Ok(Self { http, link, hub, identity, consoles, feeds, doors, links, backups })
    }

    /// Waits until a part ends by itself, which none should. Cancelled, nothing is lost.
    pub async fn ended(&mut self) -> &'static str {
        tokio::select! {
            name = self.doors.ended() => name,
            name = self.links.ended() => name,
            name = self.backups.ended() => name,
        }
    }

    /// Stops everything in order and closes the store. What takes longer than 20 s is cut off.
    pub async fn stop(mut self) {
        let store = self.hub.store().clone();
        let ordered = async {
            // Open sockets are upgraded connections, which the API no longer knows.
            tokio::join!(self.doors.stop(), self.consoles.close(), self.feeds.close());
            self.links.stop().await;
            self.backups.stop().await;
        };
        if timeout(Duration::from_millis(STOP_MS_MAX), ordered).await.is_err() {
            tracing::warn!("some parts did not stop within {STOP_MS_MAX} ms");
        }
        store.close().await;
    }
}

/// Runs a hub until SIGTERM or SIGINT.
///
/// # Errors
/// See [`AppError`].
pub async fn run_until_signal(config: Config) -> Result<(), AppError> {
    let system = |step| move |source| AppError::System { step, source };
    let filter = tracing_subscriber::EnvFilter::new(&config.log);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    let clock = Arc::new(SystemClock::new().map_err(system("reading the clock"))?);
    // Listening before starting, so that a signal during the start is not lost.
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listening for signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listening for signals"))?;
    // With a certificate it means to read that again; without one it must not end the hub.
    let _hangup = signal(SignalKind::hangup()).map_err(system("listening for signals"))?;
    let mut app = App::start(config, clock, Arc::new(SystemEntropy)).await?;
    tracing::info!(http = %app.http, link = %app.link, "hub is ready");
    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        name = app.ended() => Some(name),
    };
    tracing::info!("hub stops");
    app.stop().await;
    ended.map_or(Ok(()), |name| Err(AppError::TaskEnded(name)))
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Reads or makes the certificate of the API.
fn certificates(config: &Config, data: &Path) -> Result<Option<Arc<Certificates>>, TlsError> {
    match &config.tls {
        None => Ok(None),
        Some(TlsConfig::Given(files)) => Certificates::load(files.clone()).map(Some),
        Some(TlsConfig::SelfMade) => {
            let address = &config.public_link_address;
            let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            names.extend((!names.iter().any(|it| it == host)).then(|| host.to_owned()));
            Certificates::self_made(&data.join("tls"), names).map(Some)
        }
    }
}

/// Serves TLS with certificates that are looked after.
fn keep_tls(doors: &mut Part, certificates: Arc<Certificates>) -> Result<TlsAcceptor, AppError> {
    let acceptor = certificates.acceptor().map_err(AppError::Tls)?;
    let keeping = certificates.keep(doors.stopping());
    doors.spawn("the look at certificates", async move {
        if let Err(err) = keeping.await {
            tracing::error!(cause = chain(&err), "certificates are not looked after");
        }
    });
    Ok(acceptor)
}

/// Starts what goes through the store from time to time.
fn keep_store(backups: &mut Part, hub: &Hub, config: BackupConfig, audit_retain_ms: u64) {
    let BackupConfig { dir, every, keep } = config;
    let keeping = backup::keep_backups(hub.clone(), dir, every, keep, backups.stopping());
    backups.spawn("the backups", keeping);
    let requeueing = requeue::keep_requeued(hub.clone(), backups.stopping());
    backups.spawn("the look at quarantine", requeueing);
    let auditing = audit::keep_audit(hub.clone(), audit_retain_ms, backups.stopping());
    backups.spawn("the audit", auditing);
    backups.spawn("the status", status::keep_status(hub.clone(), backups.stopping()));
}

async fn bind_metrics(
    config: Option<&MetricsConfig>,
) -> Result<Option<(TcpListener, Option<Token>)>, AppError> {
    let Some(config) = config else { return Ok(None) };
    let token = config.token_file.as_deref().map(Token::read).transpose();
    let token = token.map_err(AppError::Metrics)?;
    let address = config.listen;
    let bound = TcpListener::bind(address).await;
    Ok(Some((bound.map_err(|source| AppError::MetricsAddress { address, source })?, token)))
}

fn open_store(config: &Config) -> Result<(DataDir, Store), AppError> {
    let path = &config.data_dir;
    // Looking first: opening would make what is missing.
    match DataDir::peek(path, KIND) {
        Ok(dir) if dir.has_store() => {}
        Ok(_) | Err(DirError::Missing { .. }) => {
            return Err(AppError::NotInitialised { path: path.clone() });
        }
        Err(err) => return Err(AppError::Dir(err)),
    }
    let dir = DataDir::open(path, KIND).map_err(AppError::Dir)?;
    let options = StoreOptions { cache_bytes: config.store_cache_bytes, ..StoreOptions::HUB };
    let store = Store::open(&dir, BALLAST_BYTES, options).map_err(AppError::Store)?;
    Ok((dir, store))
}

/// Consoles and gauges go over the sessions of their nodes.
impl NodeDoor for Links {
    fn open(&self, node: NodeId, ask: Ask) -> Boxed<'_, Result<FrameStream, DoorError>> {
        Box::pin(async move {
            self.request(node, &ask).await.map_err(|err| match err {
                RequestError::NotConnected(_) | RequestError::Broken(_) => DoorError::Offline,
                RequestError::Busy(_) | RequestError::Send(_) | RequestError::Encode(_) => {
                    DoorError::Failed(chain(&err))
                }
            })
        })
    }
}

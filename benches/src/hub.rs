//! A real hub in a process of its own, on the loopback.

use crate::{
    Outcome,
    client::Client,
    daemon::{self, Daemon},
    process::Usage,
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Account of the administrator of a hub that lives for minutes on the loopback.
pub(crate) const ADMIN: &str = "admin@hub.example";
pub(crate) const PASSWORD: &str = "correct horse battery";
/// Longest start: a year of facts is read in it.
const START_MAX: Duration = Duration::from_secs(120);

/// A hub that runs; killed when it is dropped.
pub(crate) struct Hub {
    program: PathBuf,
    dir: PathBuf,
    pub(crate) http: SocketAddr,
    /// Where edges connect.
    pub(crate) link: SocketAddr,
    daemon: Option<Daemon>,
}

impl Hub {
    /// Makes a new hub in an empty directory and starts it. Edges are told to connect to `public`
    /// where that is not the hub itself.
    pub(crate) async fn new(
        programs: &Path,
        dir: &Path,
        public: Option<SocketAddr>,
    ) -> Outcome<Self> {
        let dir = daemon::fresh_dir(dir)?;
        let program = programs.join("mamba-hub");
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, free_tcp_port()?));
        let link = SocketAddr::from((Ipv4Addr::LOCALHOST, free_udp_port()?));
        let (data, public) = (dir.join("data"), public.unwrap_or(link));
        // All requests come from one address and by one account here, so that both limits have to
        // be out of the way of what is measured.
        fs::write(
            dir.join("hub.toml"),
            format!(
                "data_dir = \"{}\"\nhttp_listen = \"{http}\"\nlink_listen = \"{link}\"\n\
                 public_link_address = \"{public}\"\npublic_url = \"http://{http}\"\nlog = \"warn\"\n\
                 [limits]\nrequests_per_minute_per_address = 1000000\n\
                 requests_per_minute_per_account = 1000000\n",
                data.display()
            ),
        )?;
        let password = dir.join("password");
        fs::write(&password, PASSWORD)?;
        let (data, password) = (data.to_string_lossy(), password.to_string_lossy());
        let init = ["init", "--data", &data, "--admin", ADMIN, "--password-file", &password];
        daemon::run(&program, &init).await?;
        let mut hub = Self { program, dir, http, link, daemon: None };
        hub.start().await?;
        Ok(hub)
    }

    /// Starts it and waits until it serves; returns how long that took.
    pub(crate) async fn start(&mut self) -> Outcome<Duration> {
        let begun = Instant::now();
        let (config, log) = (self.dir.join("hub.toml"), self.dir.join("hub.log"));
        let args = ["serve", "--config", &config.to_string_lossy()];
        let daemon = self.daemon.insert(Daemon::start(&self.program, &args, &log)?);
        while begun.elapsed() < START_MAX {
            daemon.ensure_running().map_err(|err| format!("{err}; see {}", log.display()))?;
            if let Ok(mut client) = Client::connect(self.http).await
                && client.raw("GET", "/healthz", None).await.is_ok_and(|answer| answer.0 == 200)
            {
                return Ok(begun.elapsed());
            }
            sleep(Duration::from_millis(5)).await;
        }
        Err(format!("hub does not serve; see {}", log.display()).into())
    }

    /// Ends it in order.
    pub(crate) async fn stop(&mut self) -> Outcome {
        match self.daemon.take() {
            Some(daemon) => daemon.stop().await,
            None => Ok(()),
        }
    }

    /// What it has used since its start.
    pub(crate) fn usage(&self) -> Outcome<Usage> {
        self.daemon.as_ref().ok_or("hub does not run")?.usage()
    }

    /// Bytes that its database takes on disk.
    pub(crate) fn database_bytes(&self) -> Outcome<u64> {
        let mut bytes = 0;
        for file in fs::read_dir(self.dir.join("data"))? {
            let file = file?;
            if file.path().extension().is_some_and(|it| it == "redb") {
                bytes += file.metadata()?.blocks() * 512;
            }
        }
        Ok(bytes)
    }

    /// A client that is signed in as the administrator.
    pub(crate) async fn admin(&self) -> Outcome<Client> {
        let mut client = Client::connect(self.http).await?;
        client.login(ADMIN, PASSWORD).await?;
        Ok(client)
    }
}

/// A port that nobody used a moment ago.
fn free_tcp_port() -> Outcome<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A port that nobody used a moment ago.
pub(crate) fn free_udp_port() -> Outcome<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

//! One hub: its settings, its daemon and its command line.

use crate::{
    api::Api,
    command::{self, Ended},
    daemon::{Daemon, Launch},
    http::{self, Request},
    report::{Played, seconds, until},
    stage::Stage,
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Address of the hub's first account.
pub(crate) const ADMIN: &str = "admin@hub.example";

/// File in the data directory with the key that seals the store's secrets.
const MASTER_KEY: &str = "master.key";

/// A hub that may run or not.
pub(crate) struct Hub {
    program: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) link_port: u16,
    pub(crate) password: String,
    data: PathBuf,
    daemon: Option<Daemon>,
}

/// Ports of a hub on the loopback.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HubPorts {
    pub(crate) http: u16,
    pub(crate) link: u16,
}

/// Where a hub keeps its data and is found, and what else its settings say.
#[derive(Clone, Debug, Default)]
pub(crate) struct HubPlace {
    /// Its data directory; below its own directory without.
    pub(crate) data: Option<PathBuf>,
    /// Address of the link; the loopback without.
    pub(crate) link_ip: Option<Ipv4Addr>,
    /// Minutes between two backups by itself; the product's default without.
    pub(crate) backup_minutes: Option<u32>,
}

impl Hub {
    /// Describes a hub below the stage's directory and writes its settings; its data may be there.
    pub(crate) fn prepare(
        stage: &Stage,
        name: &str,
        ports: HubPorts,
        password: &str,
    ) -> Played<Self> {
        Self::prepare_at(stage, name, ports, password, HubPlace::default())
    }

    /// Like [`Hub::prepare`], at a place of its own.
    pub(crate) fn prepare_at(
        stage: &Stage,
        name: &str,
        ports: HubPorts,
        password: &str,
        place: HubPlace,
    ) -> Played<Self> {
        let dir = stage.path(name);
        fs::create_dir_all(&dir)?;
        let hub = Self {
            program: stage.programs().hub.clone(),
            config: dir.join("hub.toml"),
            log: dir.join("hub.log"),
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, ports.http)),
            link_port: ports.link,
            password: password.to_owned(),
            data: place.data.unwrap_or_else(|| dir.join("data")),
            dir,
            daemon: None,
        };
        let link = SocketAddr::from((place.link_ip.unwrap_or(Ipv4Addr::LOCALHOST), ports.link));
        let mut text = format!(
            "data_dir = \"{}\"\nhttp_listen = \"{}\"\nlink_listen = \"{link}\"\n\
             public_link_address = \"{link}\"\npublic_url = \"http://{}\"\n",
            hub.data().display(),
            hub.http,
            hub.http,
        );
        if let Some(minutes) = place.backup_minutes {
            text.push_str(&format!("[backup]\nevery_minutes = {minutes}\n"));
        }
        fs::write(&hub.config, text)?;
        Ok(hub)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// Loses the disk of a hub that does not run, and restores a copy of its store. The master key is
    /// not in the copy; whoever runs a hub keeps it apart.
    pub(crate) async fn restore(&self, file: &Path) -> Played<String> {
        let key = fs::read(self.data.join(MASTER_KEY))?;
        fs::remove_dir_all(&self.data)?;
        let said = self.cli(&["restore", &file.to_string_lossy()]).await?;
        fs::write(self.data.join(MASTER_KEY), key)?;
        fs::set_permissions(self.data.join(MASTER_KEY), fs::Permissions::from_mode(0o600))?;
        Ok(said)
    }

    /// Makes keys and the first account.
    pub(crate) async fn init(&self) -> Played {
        let file = self.dir.join("password");
        fs::write(&file, &self.password)?;
        let (data, file) = (self.data(), file.to_string_lossy().into_owned());
        let args =
            ["init", "--data", &data.to_string_lossy(), "--admin", ADMIN, "--password-file", &file]
                .map(str::to_owned);
        command::output(&self.program.to_string_lossy(), &args).await.map(drop)
    }

    /// Starts the daemon and waits until it serves.
    pub(crate) async fn start(&mut self) -> Played {
        self.spawn()?;
        self.serves(seconds(20)).await
    }

    /// Starts the daemon.
    pub(crate) fn spawn(&mut self) -> Played {
        self.daemon = Some(Daemon::start(&self.launch())?);
        Ok(())
    }

    /// Whether a daemon was started and has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(|daemon| daemon.ensure_running().is_ok())
    }

    /// Waits until the daemon serves.
    pub(crate) async fn serves(&mut self, within: Duration) -> Played {
        let (http, daemon) = (self.http, &mut self.daemon);
        until(within, async || {
            daemon.as_mut().map_or(Ok(()), Daemon::ensure_running)?;
            let request = Request { method: "GET", target: "/healthz", token: None, body: None };
            match http::send(http, &request).await?.status {
                200 => Ok(()),
                status => Err(format!("/healthz answers {status}").into()),
            }
        })
        .await
    }

    /// How the daemon is started.
    pub(crate) fn launch(&self) -> Launch {
        let config = self.config.to_string_lossy().into_owned();
        Launch {
            program: self.program.clone(),
            args: vec!["serve".to_owned(), "--config".to_owned(), config],
            env: Vec::new(),
            log: self.log.clone(),
        }
    }

    /// Ends the daemon with SIGKILL.
    pub(crate) async fn kill(&mut self) -> Played {
        self.daemon.take().ok_or("hub does not run")?.kill().await
    }

    /// Ends the daemon in order.
    pub(crate) async fn stop(&mut self) -> Played {
        let Some(daemon) = self.daemon.take() else { return Ok(()) };
        match daemon.terminate().await? {
            Some(0) => Ok(()),
            code => Err(format!("hub ended with {code:?} after SIGTERM").into()),
        }
    }

    /// Signs the administrator in.
    pub(crate) async fn admin(&self) -> Played<Api> {
        Api::login(self.http, ADMIN, &self.password).await
    }

    /// Runs a command on its data, which has to succeed, and returns what it printed.
    pub(crate) async fn cli(&self, args: &[&str]) -> Played<String> {
        let data = self.data();
        let data = data.to_string_lossy();
        let args = [["--data", data.as_ref()].as_slice(), args].concat();
        let printed = command::output(&self.program.to_string_lossy(), &args).await?;
        Ok(printed.trim().to_owned())
    }

    /// Starts another daemon with this settings file, which has to refuse; returns what it says.
    pub(crate) async fn refused(&self, config: &Path) -> Played<Ended> {
        let mut command = tokio::process::Command::new(&self.program);
        command.arg("serve").arg("--config").arg(config);
        refuses(command::run_prepared(command, REFUSE_MAX).await?)
    }
}

/// Longest time in which a daemon has to notice that it cannot run.
pub(crate) const REFUSE_MAX: Duration = Duration::from_secs(15);

/// Passes on how a program ended that had to fail with words.
pub(crate) fn refuses(ended: Ended) -> Played<Ended> {
    if ended.code == Some(0) || ended.stderr.trim().is_empty() {
        return Err(format!("was not refused with words: {ended:?}").into());
    }
    Ok(ended)
}

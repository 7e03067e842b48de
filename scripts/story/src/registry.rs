//! A real image registry (Debian's docker-registry) that lets nobody in without a login.

use crate::{
    command::{output, output_now},
    daemon::{Daemon, Launch},
    http::{self, Request},
    report::{Played, ensure, seconds, until},
    stage::Stage,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// The one account that it knows.
pub(crate) const USER: &str = "bot";
pub(crate) const PASSWORD: &str = "c4nary?~word>";
/// How it answers who shows no login.
const UNAUTHORIZED: u16 = 401;

/// A registry that may run or not. Dropping it makes the engine forget the names of its images.
pub(crate) struct Registry {
    /// Where `need_registry` of `scripts/lib/peers.sh` laid program and settings.
    folder: PathBuf,
    dir: PathBuf,
    at: SocketAddr,
    images: Vec<String>,
    daemon: Option<Daemon>,
}

impl Registry {
    /// Starts an empty one.
    pub(crate) async fn open(stage: &mut Stage, name: &str, folder: &Path) -> Played<Self> {
        let mut registry = Self {
            folder: folder.to_owned(),
            dir: stage.fresh_dir(name)?,
            at: SocketAddr::from((Ipv4Addr::LOCALHOST, stage.port()?)),
            images: Vec::new(),
            daemon: None,
        };
        registry.start().await?;
        Ok(registry)
    }

    /// Starts it on what it holds.
    pub(crate) async fn start(&mut self) -> Played {
        let variable = |name: &str, value: String| (format!("REGISTRY_{name}"), value);
        let images = self.dir.join("images");
        self.daemon = Some(Daemon::start(&Launch {
            program: self.folder.join("docker-registry"),
            args: vec![
                "serve".to_owned(),
                self.folder.join("config.yml").to_string_lossy().into_owned(),
            ],
            env: vec![
                variable("HTTP_ADDR", self.at.to_string()),
                variable("STORAGE_FILESYSTEM_ROOTDIRECTORY", images.to_string_lossy().into_owned()),
            ],
            log: self.dir.join("log"),
        })?);
        until(seconds(20), async || {
            let request = Request { method: "GET", target: "/v2/", token: None, body: None };
            let status = http::send(self.at, &request).await?.status;
            ensure(status == UNAUTHORIZED, || format!("the registry answers {status}"))
        })
        .await
    }

    /// Ends it with SIGKILL.
    pub(crate) async fn kill(&mut self) -> Played {
        self.daemon.take().ok_or("registry does not run")?.kill().await
    }

    /// The host that its images name.
    pub(crate) fn host(&self) -> String {
        self.at.to_string()
    }

    /// Gives it a copy of a local image and returns that one's name. The engine then knows nothing of
    /// it but the layers.
    pub(crate) async fn hold(&mut self, image: &str) -> Played<String> {
        let host = self.host();
        let held = format!("{host}/held/{image}");
        self.images.push(held.clone());
        output("docker", &["tag", image, &held]).await?;
        let config = self.dir.join("docker").to_string_lossy().into_owned();
        let login = ["login", "--username", USER, "--password", PASSWORD, &host];
        output("docker", &[["--config", &config].as_slice(), &login].concat()).await?;
        output("docker", &["--config", &config, "push", &held]).await?;
        forget(&held).await?;
        Ok(held)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for image in &self.images {
            // There is none when nobody pulled it.
            output_now("docker", &["image", "rm", "--force", image]);
        }
    }
}

/// Makes the engine forget an image by this name.
pub(crate) async fn forget(image: &str) -> Played {
    output("docker", &["image", "rm", "--force", image]).await.map(drop)
}

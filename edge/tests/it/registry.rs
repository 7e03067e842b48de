//! Pulls out of a real registry (Debian's docker-registry) that lets nobody in without a login.

use crate::{
    bench::{IMAGE, on_docker},
    peers::peer,
};
use mamba_core::registry::Login;
use mamba_edge::{
    registries::HubRegistries,
    runtime::{Runtime, RuntimeError, docker::DockerRuntime},
};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::sync::mpsc;

/// The one account that the registry knows.
const USER: &str = "bot";
const PASSWORD: &str = "c4nary?~word>";
/// Longest wait for the registry to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);

/// A registry that runs, with what it holds.
struct Registry {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Registry {
    /// Starts an empty one.
    async fn start(folder: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let child = Command::new(folder.join("docker-registry"))
            .arg("serve")
            .arg(folder.join("config.yml"))
            .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0")
            .env("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", dir.path().join("images"))
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut registry = Self { child, dir, port: 0 };
        let listens = async {
            loop {
                let said = fs::read_to_string(&log).unwrap();
                let address = said.split_once("listening on 127.0.0.1:");
                if let Some((port, _)) = address.and_then(|(_, rest)| rest.split_once('"')) {
                    return port.parse().unwrap();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let port = tokio::time::timeout(LISTENS_WITHIN, listens).await;
        registry.port = port.unwrap_or_else(|_| panic!("{:?}", fs::read_to_string(&log)));
        registry
    }

    /// Gives it a copy of a local image, of which the engine then knows nothing but the layers.
    fn hold(&self, image: &str) -> Held {
        let host = format!("127.0.0.1:{}", self.port);
        let held = Held(format!("{host}/games/probe:1"));
        docker(&["tag", image, &held.0], "");
        let config = self.dir.path().join("docker");
        let config = config.to_str().unwrap();
        let login = ["--config", config, "login", "--username", USER, "--password-stdin", &host];
        docker(&login, PASSWORD);
        docker(&["--config", config, "push", &held.0], "");
        docker(&["image", "rm", &held.0], "");
        held
    }
}

/// Name of an image in a registry; the engine forgets it with this.
struct Held(String);

impl Drop for Held {
    fn drop(&mut self) {
        // There is none when it was not pulled.
        Command::new("docker").args(["image", "rm", "--force", &self.0]).output().ok();
    }
}

/// Runs the engine's command line, which has to succeed, and returns what it printed.
fn docker(args: &[&str], input: &str) -> String {
    let mut command = Command::new("docker");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns where the registry's program is.
fn folder() -> Option<PathBuf> {
    peer("MAMBA_TEST_REGISTRY").map(PathBuf::from)
}

fn login(host: &str, password: &str) -> Login {
    Login { host: host.to_owned(), user: USER.to_owned(), password: password.to_owned() }
}

/// Has the engine get an image with the logins that a hub told.
async fn pull(
    runtime: &DockerRuntime,
    image: &str,
    logins: Vec<Login>,
) -> Result<(), RuntimeError> {
    let told = HubRegistries::default();
    told.set(logins);
    let (progress, _told) = mpsc::channel(1);
    runtime.clone().with_hub_registries(told).ensure_image(image, progress).await
}

#[tokio::test]
async fn a_registry_gives_an_image_for_the_login_of_its_exact_host_and_no_other() {
    let Some(folder) = folder() else { return };
    on_docker(async |bench| {
        let registry = Registry::start(&folder).await;
        let held = registry.hold(IMAGE);
        let (image, port) = (held.0.clone(), registry.port);
        let host = format!("127.0.0.1:{port}");
        let none = format!("no login is set for registry `{host}`: ");
        let refused = format!("registry `{host}` refused the login that the hub told: ");
        // The same registry by its other name, and what other hosts could be taken for it.
        let others = [format!("localhost:{port}"), "127.0.0.1".to_owned(), format!("{host}0")];
        for (logins, expected) in [
            (vec![], &none),
            (others.iter().map(|host| login(host, PASSWORD)).collect(), &none),
            (vec![login(&host, "c4nary-wrong")], &refused),
            (vec![Login { user: "nobody".to_owned(), ..login(&host, PASSWORD) }], &refused),
        ] {
            let err = pull(&bench.runtime, &image, logins).await.unwrap_err();
            assert!(matches!(err, RuntimeError::ImageMissing { .. }), "{err:?}");
            let said = format!("{err} {err:?}");
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains("c4nary") && !said.contains(USER), "{said}");
        }
        let logins = vec![login(&host, PASSWORD)];
        pull(&bench.runtime, &image, logins.clone()).await.unwrap();
        let mut spec = bench.game().await;
        spec.image.clone_from(&image);
        let (container, mut heard) = bench.run(&spec).await;
        assert_eq!(heard.ask("echo $GREETING").await, "hello");
        let shown = docker(&["inspect", &container.0, &image], "");
        assert!(shown.contains(&image) && !shown.contains("c4nary"), "{shown}");

        drop(registry);
        // What is here needs neither the registry nor a login.
        pull(&bench.runtime, &image, vec![]).await.unwrap();
        bench.runtime.remove(&container).await.unwrap();
        docker(&["image", "rm", &image], "");
        let err = pull(&bench.runtime, &image, logins).await.unwrap_err().to_string();
        let expected = format!("image `{image}` could not be pulled: ");
        assert!(err.starts_with(&expected) && err.contains("connection refused"), "{err}");
    })
    .await;
}

//! The Docker Engine itself: what no panel can be faster than.

use crate::{Outcome, client::Client};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout},
};

const SOCKET: &str = "/var/run/docker.sock";
/// Label of what the bench itself makes.
const LABEL: &str = "mamba.test";
/// Longest wait for a line.
const LINE_MAX: Duration = Duration::from_secs(120);

/// Runs the engine's command line.
pub(crate) async fn docker(args: &[&str]) -> Outcome<String> {
    Ok(crate::daemon::run(Path::new("docker"), args).await?.trim().to_owned())
}

/// Removes all containers and networks with a label, now; also while unwinding.
pub(crate) fn remove_all(filter: &str) {
    let output = |args: &[&str]| {
        let done = std::process::Command::new("docker").args(args).stdin(Stdio::null()).output();
        done.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default()
    };
    for (list, remove) in [
        (["ps", "--all", "--quiet"].as_slice(), ["rm", "--force", "--volumes"].as_slice()),
        (["network", "ls", "--quiet"].as_slice(), ["network", "rm"].as_slice()),
    ] {
        let found = output(&[list, &["--filter", filter]].concat());
        let ids: Vec<&str> = found.split_whitespace().collect();
        if !ids.is_empty() {
            // What cannot be removed was removed meanwhile, or the engine is gone.
            output(&[remove, &ids].concat());
        }
    }
}

/// Id of the container of a server, of whatever state; not of those that are set aside and go.
pub(crate) async fn container_of(server: &str) -> Outcome<String> {
    let filter = format!("name=^/mamba-{server}$");
    docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]).await
}

/// A container made again and again as the edge makes it, by the engine alone.
pub(crate) struct Floor {
    client: Client,
    body: Vec<u8>,
}

impl Floor {
    /// Takes over everything that the engine was told of a container, but whose it is.
    pub(crate) async fn like(container: &str) -> Outcome<Self> {
        let inspected: Value = serde_json::from_str(&docker(&["inspect", container]).await?)?;
        let mut body = inspected[0]["Config"].clone();
        body["HostConfig"] = inspected[0]["HostConfig"].clone();
        body["Labels"] = json!({ LABEL: "bench" });
        if let Some(body) = body.as_object_mut() {
            body.remove("Hostname");
        }
        let client = Client::connect_unix(Path::new(SOCKET)).await?;
        Ok(Self { client, body: serde_json::to_vec(&body)? })
    }

    /// The same on a connection of its own.
    pub(crate) async fn again(&self) -> Outcome<Self> {
        let client = Client::connect_unix(Path::new(SOCKET)).await?;
        Ok(Self { client, body: self.body.clone() })
    }

    /// Creates and starts one; returns its id and the time of both in milliseconds.
    pub(crate) async fn start(&mut self) -> Outcome<(String, f64)> {
        let begun = Instant::now();
        let id = self.create().await?;
        self.post(&format!("/containers/{id}/start")).await?;
        Ok((id, begun.elapsed().as_secs_f64() * 1_000.0))
    }

    async fn create(&mut self) -> Outcome<String> {
        let (status, body) =
            self.client.raw("POST", "/containers/create", Some(&self.body)).await?;
        let answer: Value = serde_json::from_slice(body)?;
        let id = answer["Id"].as_str().ok_or_else(|| format!("create: {status} {answer}"))?;
        Ok(id.to_owned())
    }

    async fn post(&mut self, target: &str) -> Outcome {
        let (status, body) = self.client.raw("POST", target, None).await?;
        if status >= 300 {
            let text = String::from_utf8_lossy(body);
            return Err(format!("{target}: {status} {text}").into());
        }
        Ok(())
    }
}

/// Removes a container of the bench.
pub(crate) async fn remove(id: &str) -> Outcome {
    docker(&["rm", "--force", id]).await.map(drop)
}

/// A game run by the engine's own command line, which is nothing but a pipe to the engine.
pub(crate) struct Piped {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Piped {
    /// Runs a shell line in a container that is removed with the pipe.
    pub(crate) async fn run(image: &str, line: &str) -> Outcome<Self> {
        let label = format!("{LABEL}=bench");
        let mut command = Command::new("docker");
        command.args(["run", "--interactive", "--rm", "--init", "--log-driver", "local"]);
        command.args(["--label", &label, image, "/bin/sh", "-c", line]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let input = child.stdin.take().ok_or("no pipe")?;
        let output = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        let mut piped = Self { _child: child, input, output };
        piped.read_to("ready").await?;
        Ok(piped)
    }

    /// Types a line.
    pub(crate) async fn type_line(&mut self, line: &str) -> Outcome {
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(self.input.flush().await?)
    }

    /// Reads up to this line; returns how many there were.
    pub(crate) async fn read_to(&mut self, last: &str) -> Outcome<u64> {
        let read = async {
            let mut count = 0;
            while let Some(line) = self.output.next_line().await? {
                count += 1;
                if line == last {
                    return Outcome::Ok(count);
                }
            }
            Err(format!("pipe ended without a line `{last}`").into())
        };
        timeout(LINE_MAX, read).await.map_err(|_| format!("no line `{last}`"))?
    }
}

/// Removes what a bench made at the engine itself.
pub(crate) fn remove_own() {
    remove_all(&format!("label={LABEL}=bench"));
}

//! Looks at containers from outside, and ends them as a crash or power cut would.

use crate::{
    command::{self, output, output_now},
    report::Played,
};
use std::{fs, path::Path};

/// Socket of the machine's engine.
pub(crate) const SOCKET: &str = "/var/run/docker.sock";
/// Label with the node's id on everything that an edge makes.
const NODE_LABEL: &str = "mamba.node";

/// Label with the server's id on each container of one.
const SERVER_LABEL: &str = "mamba.server";

/// A container as the engine describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    /// Start of its process as the engine writes it.
    pub(crate) started_at: String,
    pub(crate) is_running: bool,
    pub(crate) pid: u32,
    pub(crate) name: String,
}

/// What the kernel counted for a container since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    pub(crate) cpu_us: u64,
    pub(crate) sent_bytes: u64,
}

/// Looks at one container of the machine's engine.
pub(crate) async fn inspect(id: &str) -> Played<Container> {
    inspect_at(Path::new(SOCKET), id).await
}

/// Looks at one container of the engine behind a socket.
pub(crate) async fn inspect_at(socket: &Path, id: &str) -> Played<Container> {
    let format = "{{.Id}} {{.State.StartedAt}} {{.State.Running}} {{.State.Pid}} {{.Name}}";
    let text = engine(socket, &["inspect", "--format", format, id]).await?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[id, started_at, is_running, pid, name] = words.as_slice() else {
        return Err(format!("docker inspect printed `{text}`").into());
    };
    Ok(Container {
        id: id.to_owned(),
        started_at: started_at.to_owned(),
        is_running: is_running == "true",
        pid: pid.parse()?,
        name: name.trim_start_matches('/').to_owned(),
    })
}

/// Kills processes of containers as a crash does.
pub(crate) async fn kill(ids: &[String]) -> Played {
    let mut args = vec!["kill", "--signal", "KILL"];
    args.extend(ids.iter().map(String::as_str));
    output("docker", &args).await.map(drop)
}

/// Returns the ids of all containers of a node.
pub(crate) async fn of_node(node: &str) -> Played<Vec<String>> {
    let filter = format!("label={NODE_LABEL}={node}");
    let list = ["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter];
    Ok(output("docker", &list).await?.split_whitespace().map(str::to_owned).collect())
}

/// Returns server and whether its process runs, for each container of a node; not for what is left of
/// earlier runs, which is set aside under another name until it is removed.
pub(crate) async fn servers_of_node(socket: &Path, node: &str) -> Played<Vec<(String, bool)>> {
    let filter = format!("label={NODE_LABEL}={node}");
    let format = format!("{{{{.Label \"{SERVER_LABEL}\"}}}} {{{{.State}}}}");
    let is_named = "name=^/mamba-[0-9]";
    let list = ["ps", "--all", "--filter", &filter, "--filter", is_named, "--format", &format];
    let text = engine(socket, &list).await?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    Ok(lines.map(|(server, state)| (server.to_owned(), state == "running")).collect())
}

/// Kills the processes of a node that run now, as a power cut does.
pub(crate) async fn kill_running(node: &str) -> Played {
    let filter = format!("label={NODE_LABEL}={node}");
    let list = ["ps", "--quiet", "--no-trunc", "--filter", &filter];
    let ids = output("docker", &list).await?;
    let mut args = vec!["kill", "--signal", "KILL"];
    args.extend(ids.split_whitespace());
    // One that ended meanwhile cannot be killed, the others are.
    if args.len() > 3 { command::run("docker", &args).await.map(drop) } else { Ok(()) }
}

/// Runs the engine's command line against the engine behind a socket.
pub(crate) async fn engine(socket: &Path, args: &[&str]) -> Played<String> {
    let host = format!("unix://{}", socket.display());
    output("docker", &[["--host", &host].as_slice(), args].concat()).await
}

/// Asks all games of a node to end, and waits until they have.
pub(crate) async fn stop_all(node: &str) -> Played {
    let ids = of_node(node).await?;
    if ids.is_empty() {
        return Ok(());
    }
    let mut args = vec!["stop", "--time", "10"];
    args.extend(ids.iter().map(String::as_str));
    output("docker", &args).await.map(drop)
}

/// Removes all containers and networks of a node, now, whatever their state.
pub(crate) fn remove_all_now(node: &str) {
    let filter = format!("label={NODE_LABEL}={node}");
    for (list, remove) in [
        (["ps", "--all", "--quiet"].as_slice(), ["rm", "--force", "--volumes"].as_slice()),
        (["network", "ls", "--quiet"].as_slice(), ["network", "rm"].as_slice()),
    ] {
        let found = output_now("docker", &[list, &["--filter", &filter]].concat());
        let found = found.unwrap_or_default();
        let ids: Vec<&str> = found.split_whitespace().collect();
        if !ids.is_empty() {
            // What cannot be removed was removed meanwhile, or the engine is gone.
            output_now("docker", &[remove, &ids].concat());
        }
    }
}

/// Reads the kernel's own counters of a running container.
pub(crate) fn counters(container: &Container) -> Played<Counters> {
    let pid = container.pid;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let traffic = fs::read_to_string(format!("/proc/{pid}/net/dev"))?;
    Ok(Counters { cpu_us: cpu_us(&groups)?, sent_bytes: sent_bytes(&traffic)? })
}

/// Reads the CPU time of the group that a line of `/proc/PID/cgroup` names, version 1 or 2.
fn cpu_us(groups: &str) -> Played<u64> {
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = path.trim_start_matches('/');
        if controllers.split(',').any(|it| it == "cpuacct") {
            let file = Path::new("/sys/fs/cgroup/cpuacct").join(path).join("cpuacct.usage");
            return Ok(fs::read_to_string(file)?.trim().parse::<u64>()? / 1_000);
        }
        let file = Path::new("/sys/fs/cgroup").join(path).join("cpu.stat");
        if controllers.is_empty()
            && let Ok(text) = fs::read_to_string(file)
        {
            let found = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
            return Ok(found.ok_or("cpu.stat has no usage_usec")?.trim().parse()?);
        }
    }
    Err(format!("no group counts CPU time in `{groups}`").into())
}

/// Sums the bytes sent over all devices but the loop.
fn sent_bytes(traffic: &str) -> Played<u64> {
    /// Field of the bytes sent, counted behind the colon.
    const SENT: usize = 8;
    let mut sum = 0;
    for line in traffic.lines() {
        let Some((device, fields)) = line.split_once(':') else { continue };
        if device.trim() != "lo" {
            let sent = fields.split_whitespace().nth(SENT).ok_or("net/dev is cut short")?;
            sum += sent.parse::<u64>()?;
        }
    }
    Ok(sum)
}

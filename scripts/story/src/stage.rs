//! Where the story is played: one directory, free ports, and everything that must be gone at the end.

use crate::{command::output_now, docker, engine, report::Played};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
};

/// Ports are looked for from here: below the range that the kernel gives to clients.
const PORT_FIRST: u16 = 21_000;
/// Up to here.
const PORT_LAST: u16 = 31_999;
/// Most stages that play at the same time. Each has ports of its own, so that none takes a port that
/// another has just looked for, or that a game of another has just given back.
const STAGES: u16 = 10;
const PORTS_PER_STAGE: u16 = (PORT_LAST - PORT_FIRST) / STAGES;
/// Most bytes of the directory's name in a rule's comment; the firewall takes 255 in all.
const RULE_COMMENT_BYTES_MAX: usize = 200;
/// Nodes whose containers are to be removed, one id a line; survives this program.
const NODES_FILE: &str = "nodes";

/// The programs that are played with.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) hub: PathBuf,
    pub(crate) edge: PathBuf,
}

/// The directory and what belongs to it. Dropping it removes containers and networks of its nodes,
/// mounts and firewall rules; daemons end before, with their own guards.
pub(crate) struct Stage {
    dir: PathBuf,
    programs: Programs,
    port_next: u16,
    /// First of its ports; who listens there has all of them.
    _ports: TcpListener,
    /// Locked as long as it is open: two runs would remove each other's containers.
    _lock: File,
}

impl Stage {
    /// Takes the directory, and clears what an earlier run left that was killed.
    pub(crate) fn open(dir: &Path, programs: Programs) -> Played<Self> {
        fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        for program in [&programs.hub, &programs.edge] {
            if !program.is_file() {
                return Err(format!("`{}` is not there; build it first", program.display()).into());
            }
        }
        let path = dir.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("another run uses `{}`", dir.display()).into());
            }
            Err(TryLockError::Error(err)) => return Err(err.into()),
        }
        let (port, ports) = take_ports(hash(&dir))?;
        let stage = Self { dir, programs, port_next: port + 1, _ports: ports, _lock: lock };
        stage.clear();
        Ok(stage)
    }

    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Returns a path below the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Comment on the firewall rules of this stage: a run on another one must not take them away.
    pub(crate) fn rule_comment(&self) -> String {
        let dir = self.dir.to_string_lossy().replace(|it: char| !it.is_ascii_graphic(), "_");
        let from = dir.len().saturating_sub(RULE_COMMENT_BYTES_MAX);
        format!("mamba-story:{}", &dir[from..])
    }

    /// Name for a network namespace and other things of the machine that belong to this stage.
    pub(crate) fn machine_name(&self) -> String {
        format!("mt{:04x}", hash(&self.dir))
    }

    /// Makes an empty directory below, whatever was there.
    pub(crate) fn fresh_dir(&self, name: &str) -> Played<PathBuf> {
        let path = self.path(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Returns a port that nobody uses, over TCP and UDP, and that was not returned before.
    pub(crate) fn port(&mut self) -> Played<u16> {
        while self.port_next <= PORT_LAST {
            let port = self.port_next;
            self.port_next += 1;
            if is_free(port) {
                return Ok(port);
            }
        }
        Err(format!("no free port is left from {PORT_FIRST} to {PORT_LAST}").into())
    }

    /// Notes a node, so that its containers are removed at the end or by the next run.
    pub(crate) fn note_node(&self, node: &str) -> Played {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(NODES_FILE))?;
        Ok(writeln!(file, "{node}")?)
    }

    /// Removes containers and networks of all noted nodes, mounts and firewall rules.
    fn clear(&self) {
        let nodes = fs::read_to_string(self.path(NODES_FILE)).unwrap_or_default();
        nodes.lines().for_each(docker::remove_all_now);
        // Without the file nothing is left to remove.
        fs::remove_file(self.path(NODES_FILE)).ok();
        let name = self.machine_name();
        engine::sweep_now(self);
        remove_mounts_now(&engine::run_dir(&name));
        fs::remove_dir_all(engine::run_dir(&name)).ok();
        remove_mounts_now(&self.dir);
        // Its end of a pair of devices takes the other one with it.
        output_now("ip", &["netns", "delete", &name]);
        remove_rules_now(&self.rule_comment());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Returns a number of a directory's name (FNV-1a, folded).
fn hash(dir: &Path) -> u16 {
    let bytes = dir.as_os_str().as_encoded_bytes();
    let hash = bytes
        .iter()
        .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_be_bytes();
    u16::from_be_bytes([a ^ c, b ^ d])
}

/// Takes ports that no other stage has, and returns the first of them. The search begins at a place of
/// one's own, so that a run meets the ports of the run before, and not those of a neighbour.
fn take_ports(hash: u16) -> Played<(u16, TcpListener)> {
    for turn in 0..STAGES {
        let first = PORT_FIRST + (hash % STAGES + turn) % STAGES * PORTS_PER_STAGE;
        if let Ok(guard) = TcpListener::bind((Ipv4Addr::LOCALHOST, first)) {
            return Ok((first, guard));
        }
    }
    Err(format!("{STAGES} other runs have the ports from {PORT_FIRST} to {PORT_LAST}").into())
}

/// Whether nobody listens on a port, on any address.
pub(crate) fn is_free(port: u16) -> bool {
    let any = (Ipv4Addr::UNSPECIFIED, port);
    TcpListener::bind(any).is_ok() && UdpSocket::bind(any).is_ok()
}

/// Takes away what is mounted below a directory, newest first.
fn remove_mounts_now(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    let mut ours: Vec<&Path> = points.filter(|point| point.starts_with(dir)).collect();
    ours.reverse();
    for point in ours {
        output_now("umount", &["--lazy", &point.to_string_lossy()]);
    }
}

/// Takes away firewall rules with this comment.
pub(crate) fn remove_rules_now(comment: &str) {
    let rules = output_now("iptables", &["--wait", "--list-rules", "INPUT"]).unwrap_or_default();
    for rule in rules.lines() {
        let rule = rule.replace('"', "");
        let words: Vec<&str> = rule.split_whitespace().skip(1).collect();
        if words.contains(&comment) {
            output_now("iptables", &[["--wait", "--delete"].as_slice(), &words].concat());
        }
    }
}

/// A cut of the way between an edge and its hub: the firewall drops everything, as a dead line does,
/// without telling either side. Dropping it mends the line.
pub(crate) struct Cut {
    comment: String,
}

impl Cut {
    /// Drops all packets from and to the hub's UDP port.
    pub(crate) async fn of_udp_port(port: u16, comment: String) -> Played<Self> {
        // Made first: it takes away the first rule when the second one fails.
        let cut = Self { comment };
        for side in ["--dport", "--sport"] {
            let port = port.to_string();
            let rule = [
                "--wait",
                "--insert",
                "INPUT",
                "--protocol",
                "udp",
                side,
                &port,
                "--match",
                "comment",
                "--comment",
                &cut.comment,
                "--jump",
                "DROP",
            ];
            crate::command::output("iptables", &rule).await?;
        }
        Ok(cut)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        remove_rules_now(&self.comment);
    }
}

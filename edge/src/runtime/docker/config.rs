//! Pure: what the engine is told to make, field by field.
//!
//! Everything that keeps a game inside its container is here and nowhere else: no capability but
//! those asked for, no way to gain privileges, a read-only root, a user that is not root, nothing
//! mounted but the server's own folder and what the operator allows, and a bound on everything that can grow.

use crate::runtime::{ContainerSpec, RuntimeError, Subnet};
use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, HostConfig, HostConfigLogConfig, Ipam, IpamConfig,
    Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType, NetworkCreateRequest,
    PortBinding as PublishedPort, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use mamba_core::{
    ids::{NodeId, ServerId, TenantId},
    server::{Entry, Limits, PortProtocol},
};
use std::path::Path;

pub(super) const LABEL_NODE: &str = "mamba.node";
pub(super) const LABEL_TENANT: &str = "mamba.tenant";
pub(super) const LABEL_SERVER: &str = "mamba.server";
pub(super) const LABEL_GENERATION: &str = "mamba.generation";
/// Only on the container of an install script: the rank of the wish that asked for it.
pub(super) const LABEL_INSTALL: &str = "mamba.install";

/// Where a game finds its files.
const HOME: &str = "/home/container";
/// The one place to write outside of [`HOME`]; counts as the server's memory. Executable, because
/// Java unpacks libraries there.
const TMP: (&str, &str) = ("/tmp", "rw,exec,nosuid,nodev,size=100m,mode=1777");
/// Size of `/dev/shm`; counts as the server's memory.
const SHM_BYTES: i64 = 64 << 20;
/// Open files: enough for a game with a thousand players, too few to hurt the machine, and below
/// the hard limit of an engine that runs without privileges to raise its own: more is refused.
const FILES_MAX: i64 = 16_384;
/// Length of a CPU period; the quota is the share of it.
pub(super) const CPU_PERIOD_US: i64 = 100_000;
/// Makes games better victims than the daemon when the machine runs out of memory.
const OOM_SCORE: i64 = 500;

/// Runs before the server's start line, in the same shell. `docker-init` sends signals to the whole
/// process group (see the environment), so that they reach the game behind any shell. Without this
/// line that shell could end first, and the end of the first process kills the game while it saves.
/// With it the shell waits for the game and ends with its exit code.
const TRAP: &str = "trap 'exit $?' HUP INT QUIT ABRT USR1 USR2 TERM";
/// Tells `docker-init` (tini) to signal the process group.
const SIGNAL_GROUP: &str = "TINI_KILL_PROCESS_GROUP=1";

/// Name of a server's container.
pub(super) fn container_name(server: ServerId) -> String {
    format!("mamba-{server}")
}

/// Name of a tenant's network. The node is in it because nodes may share an engine.
pub(super) fn network_name(node: NodeId, tenant: TenantId) -> String {
    format!("mamba-{tenant}-{node}")
}

/// Builds the request for a container.
///
/// # Errors
/// `Refused` for a spec that would break the walls: root as user, a data folder that is not an
/// absolute path or not text.
pub(super) fn container(spec: &ContainerSpec) -> Result<ContainerCreateBody, RuntimeError> {
    let refused = |error: &str| RuntimeError::Refused { step: "create", error: error.to_owned() };
    if spec.uid == 0 {
        return Err(refused("a game must not run as root"));
    }
    let source = |path: &'_ Path| {
        let text = path.to_str().filter(|_| path.is_absolute()).map(str::to_owned);
        text.ok_or_else(|| refused("folders that are mounted must be absolute UTF-8 paths"))
    };
    let mut mounts = vec![mount(&source(&spec.data_dir)?, HOME)];
    for bind in &spec.mounts {
        let found = mount(&source(&bind.source)?, &bind.target);
        mounts.push(Mount { read_only: Some(bind.read_only), ..found });
    }
    let mut env: Vec<String> =
        spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !spec.environment.contains_key("HOME") {
        env.push(format!("HOME={HOME}"));
    }
    let (entrypoint, cmd) = match spec.entry {
        // An entrypoint of the image would come between the init and the shell.
        Entry::Shell => {
            let line = format!("{TRAP}\n{}", spec.startup);
            (Some(vec![]), Some(vec!["/bin/sh".into(), "-c".into(), line]))
        }
        // What images for Pterodactyl read besides the variables that every server has.
        Entry::Image => {
            env.push(format!("STARTUP={}", spec.startup));
            env.push(format!("P_SERVER_UUID={}", spec.server));
            (None, None)
        }
    };
    // Last, so that no variable of the server can take it back.
    env.push(SIGNAL_GROUP.to_owned());
    let labels = [
        (LABEL_NODE, spec.node.to_string()),
        (LABEL_TENANT, spec.tenant.to_string()),
        (LABEL_SERVER, spec.server.to_string()),
        (LABEL_GENERATION, spec.generation.to_string()),
    ];
    Ok(ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint,
        cmd,
        env: Some(env),
        user: Some(format!("{0}:{0}", spec.uid)),
        working_dir: Some(HOME.into()),
        hostname: Some(spec.server.to_string()),
        labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
        tty: Some(false),
        open_stdin: Some(true),
        stdin_once: Some(false),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: Some(ports(spec).into_keys().collect()),
        stop_timeout: Some(i64::from(spec.stop_grace_ms.div_ceil(1_000))),
        host_config: Some(host_config(spec, mounts)),
        ..ContainerCreateBody::default()
    })
}

fn host_config(spec: &ContainerSpec, mounts: Vec<Mount>) -> HostConfig {
    let mut capabilities: Vec<_> = spec.capabilities.iter().map(|it| it.name()).collect();
    capabilities.sort_unstable();
    capabilities.dedup();
    HostConfig {
        readonly_rootfs: Some(true),
        cap_add: Some(capabilities.into_iter().map(str::to_owned).collect()),
        mounts: Some(mounts),
        port_bindings: Some(
            ports(spec).into_iter().map(|(name, hosts)| (name, Some(hosts))).collect(),
        ),
        ..walls(spec.limits, network_name(spec.node, spec.tenant))
    }
}

/// Mounts a folder of the node, for reading and writing.
pub(super) fn mount(source: &str, target: &str) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(false),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    }
}

/// What keeps every container of ours inside, whatever runs in it.
pub(super) fn walls(limits: Limits, network: String) -> HostConfig {
    let amounts = amounts(limits);
    let ulimit = |name: &str, max| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(max),
        hard: Some(max),
    };
    // A core dump of a game is as large as its memory, in its data folder.
    let ulimits = vec![ulimit("core", 0), ulimit("nofile", FILES_MAX)];
    HostConfig {
        memory: Some(amounts.memory),
        memory_swap: Some(amounts.memory_swap),
        cpu_period: Some(CPU_PERIOD_US),
        cpu_quota: Some(amounts.cpu_quota),
        pids_limit: Some(amounts.pids),
        cpuset_cpus: limits.sharing.threads.map(|it| it.to_string()),
        blkio_weight: limits.sharing.io_weight,
        oom_kill_disable: limits.sharing.oom_disabled.then_some(true),
        ulimits: Some(ulimits),
        oom_score_adj: Some(OOM_SCORE),
        init: Some(true),
        privileged: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        ipc_mode: Some("private".to_owned()),
        shm_size: Some(SHM_BYTES),
        tmpfs: Some([(TMP.0.to_owned(), TMP.1.to_owned())].into()),
        network_mode: Some(network),
        // No search domains of the machine, which would leak names of the host's network.
        dns_search: Some(vec![".".to_owned()]),
        publish_all_ports: Some(false),
        log_config: Some(log_config()),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        auto_remove: Some(false),
        ..HostConfig::default()
    }
}

/// The engine's own log bridges the time in which the daemon is away. Two files, because with one
/// everything is gone at the moment it is full; a game never waits for it.
fn log_config() -> HostConfigLogConfig {
    let options = [
        ("max-size", "5m"),
        ("max-file", "2"),
        ("compress", "false"),
        ("mode", "non-blocking"),
        ("max-buffer-size", "4m"),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    HostConfigLogConfig { typ: Some("local".to_owned()), config: Some(options.into()) }
}

/// Ports in the container with where they are published, each port and protocol once.
fn ports(spec: &ContainerSpec) -> std::collections::BTreeMap<String, Vec<PublishedPort>> {
    let mut ports = std::collections::BTreeMap::<String, Vec<PublishedPort>>::new();
    for binding in &spec.ports {
        let protocols: &[&str] = match binding.protocol {
            PortProtocol::Tcp => &["tcp"],
            PortProtocol::Udp => &["udp"],
            PortProtocol::Both => &["tcp", "udp"],
        };
        for protocol in protocols {
            let host = PublishedPort {
                host_ip: Some(binding.ip.to_string()),
                host_port: Some(binding.port.to_string()),
            };
            ports.entry(format!("{}/{protocol}", binding.port)).or_default().push(host);
        }
    }
    ports
}

/// Limits in the engine's units.
struct Amounts {
    memory: i64,
    /// Memory and swap together.
    memory_swap: i64,
    cpu_quota: i64,
    pids: i64,
}

/// A quota and not `NanoCpus`: that refuses more processors than the machine has, and a plan may
/// be larger than the node that it runs on.
fn amounts(limits: Limits) -> Amounts {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    Amounts {
        memory: bytes(limits.memory_mib.bytes()),
        memory_swap: bytes(limits.memory_mib.bytes() + limits.swap_mib.bytes()),
        cpu_quota: i64::from(limits.cpu_millicores.0) * CPU_PERIOD_US / 1_000,
        pids: i64::from(limits.pids),
    }
}

/// Builds the request that changes limits in place. How a server shares its node is not among them: the
/// engine cannot take a binding to processors back, nor change what happens when memory is full. Memory and swap go together: the engine
/// refuses one that would pass the other.
pub(super) fn update(limits: Limits) -> ContainerUpdateBody {
    let amounts = amounts(limits);
    ContainerUpdateBody {
        memory: Some(amounts.memory),
        memory_swap: Some(amounts.memory_swap),
        cpu_period: Some(CPU_PERIOD_US),
        cpu_quota: Some(amounts.cpu_quota),
        pids_limit: Some(amounts.pids),
        ..ContainerUpdateBody::default()
    }
}

/// Builds the request for a tenant's network. The engine lets nothing through between bridges;
/// servers of one tenant reach each other, as a proxy and its game servers must.
pub(super) fn network(node: NodeId, tenant: TenantId, subnet: Subnet) -> NetworkCreateRequest {
    let labels = [(LABEL_NODE, node.to_string()), (LABEL_TENANT, tenant.to_string())];
    let options = [
        ("com.docker.network.bridge.enable_icc", "true"),
        ("com.docker.network.bridge.enable_ip_masquerade", "true"),
    ];
    let addresses = IpamConfig {
        subnet: Some(subnet.to_string()),
        gateway: Some(subnet.gateway().to_string()),
        ..IpamConfig::default()
    };
    NetworkCreateRequest {
        name: network_name(node, tenant),
        driver: Some("bridge".to_owned()),
        internal: Some(false),
        attachable: Some(false),
        enable_ipv6: Some(false),
        ipam: Some(Ipam {
            driver: Some("default".to_owned()),
            config: Some(vec![addresses]),
            options: None,
        }),
        options: Some(options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
        labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
        ..NetworkCreateRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::{
        clock::UnixMs,
        seq::Generation,
        server::{Capability, PortBinding},
        units::{Mib, Millicores},
    };
    use serde_json::json;

    fn limits() -> Limits {
        Limits {
            memory_mib: Mib(512),
            swap_mib: Mib(128),
            cpu_millicores: Millicores(1_500),
            disk_mib: Mib(1_024),
            pids: 200,
            sharing: mamba_core::server::Sharing::USUAL,
        }
    }

    fn spec() -> ContainerSpec {
        let port = |port, protocol| PortBinding { ip: [127, 0, 0, 1].into(), port, protocol };
        ContainerSpec {
            node: NodeId::new(UnixMs(1), [1; 10]),
            tenant: TenantId::new(UnixMs(2), [2; 10]),
            server: ServerId::new(UnixMs(3), [3; 10]),
            generation: Generation(4),
            image: "mamba/probe:1".to_owned(),
            startup: "./game --port $PORT".to_owned(),
            entry: Entry::Shell,
            environment: [("PORT".to_owned(), "4000".to_owned())].into(),
            limits: limits(),
            ports: vec![port(4000, PortProtocol::Both), port(4001, PortProtocol::Udp)],
            capabilities: vec![Capability::Setuid, Capability::Chown, Capability::Chown],
            data_dir: "/var/lib/mamba/servers/x".into(),
            mounts: vec![],
            uid: 988,
            stop_grace_ms: 9_500,
        }
    }

    #[test]
    fn a_port_may_be_published_on_addresses_of_both_versions() {
        let at = |ip: &str, port| PortBinding {
            ip: ip.parse().unwrap(),
            port,
            protocol: PortProtocol::Tcp,
        };
        let ports = vec![at("127.0.0.1", 4_000), at("0:0::1", 4_000), at("2001:DB8::5", 4_001)];
        let found = serde_json::to_value(super::ports(&ContainerSpec { ports, ..spec() })).unwrap();
        let host = |ip: &str, port: &str| json!({ "HostIp": ip, "HostPort": port });
        let expected = json!({
            "4000/tcp": [host("127.0.0.1", "4000"), host("::1", "4000")],
            "4001/tcp": [host("2001:db8::5", "4001")],
        });
        assert_eq!(found, expected);
    }

    /// Rows of the advisories: CVE-2021-32699 (no pids limit: fork bomb; pids, memory and swap,
    /// cpu, ulimits, log and tmpfs sizes must be set) and CVE-2023-32080 (container with more
    /// rights than planned; the whole host config must be as written here).
    #[test]
    fn the_whole_host_config_is_as_planned() {
        let body = container(&spec()).unwrap();
        let host = |port: &str| json!([{ "HostIp": "127.0.0.1", "HostPort": port }]);
        let expected = json!({
            "Memory": 536_870_912,
            "MemorySwap": 671_088_640,
            "CpuPeriod": 100_000,
            "CpuQuota": 150_000,
            "PidsLimit": 200,
            "Ulimits": [
                { "Name": "core", "Soft": 0, "Hard": 0 },
                { "Name": "nofile", "Soft": 16_384, "Hard": 16_384 },
            ],
            "OomScoreAdj": 500,
            "Init": true,
            "Privileged": false,
            "ReadonlyRootfs": true,
            "CapDrop": ["ALL"],
            "CapAdd": ["CHOWN", "SETUID"],
            "SecurityOpt": ["no-new-privileges"],
            "IpcMode": "private",
            "ShmSize": 67_108_864,
            "Tmpfs": { "/tmp": "rw,exec,nosuid,nodev,size=100m,mode=1777" },
            "Mounts": [{
                "Type": "bind",
                "Source": "/var/lib/mamba/servers/x",
                "Target": "/home/container",
                "ReadOnly": false,
                "BindOptions": { "Propagation": "rprivate" },
            }],
            "NetworkMode": "mamba-00000000-0002-7202-8202-020202020202-\
                            00000000-0001-7101-8101-010101010101",
            "DnsSearch": ["."],
            "PublishAllPorts": false,
            "PortBindings": {
                "4000/tcp": host("4000"),
                "4000/udp": host("4000"),
                "4001/udp": host("4001"),
            },
            "LogConfig": {
                "Type": "local",
                "Config": {
                    "max-size": "5m",
                    "max-file": "2",
                    "compress": "false",
                    "mode": "non-blocking",
                    "max-buffer-size": "4m",
                },
            },
            "RestartPolicy": { "Name": "no" },
            "AutoRemove": false,
        });
        assert_eq!(serde_json::to_value(body.host_config.unwrap()).unwrap(), expected);
    }

    #[test]
    fn the_container_runs_the_start_line_as_its_user() {
        let mut body = container(&spec()).unwrap();
        body.host_config = None;
        let expected = json!({
            "Image": "mamba/probe:1",
            "Entrypoint": [],
            "Cmd": [
                "/bin/sh", "-c",
                "trap 'exit $?' HUP INT QUIT ABRT USR1 USR2 TERM\n./game --port $PORT",
            ],
            "Env": ["PORT=4000", "HOME=/home/container", "TINI_KILL_PROCESS_GROUP=1"],
            "User": "988:988",
            "WorkingDir": "/home/container",
            "Hostname": "00000000-0003-7303-8303-030303030303",
            "Labels": {
                "mamba.node": "00000000-0001-7101-8101-010101010101",
                "mamba.tenant": "00000000-0002-7202-8202-020202020202",
                "mamba.server": "00000000-0003-7303-8303-030303030303",
                "mamba.generation": "4",
            },
            "Tty": false,
            "OpenStdin": true,
            "StdinOnce": false,
            "AttachStdin": true,
            "AttachStdout": true,
            "AttachStderr": true,
            "ExposedPorts": { "4000/tcp": {}, "4000/udp": {}, "4001/udp": {} },
            "StopTimeout": 10,
        });
        assert_eq!(serde_json::to_value(body).unwrap(), expected);
    }

    #[test]
    fn an_image_with_an_entrypoint_of_its_own_finds_the_line_in_its_environment() {
        let spec = ContainerSpec { entry: Entry::Image, ..spec() };
        let body = container(&spec).unwrap();
        assert_eq!((body.entrypoint, body.cmd), (None, None));
        let env = body.env.unwrap();
        assert!(env.contains(&"STARTUP=./game --port $PORT".to_owned()), "{env:?}");
        assert!(env.contains(&format!("P_SERVER_UUID={}", spec.server)), "{env:?}");
        assert_eq!(env.last().unwrap(), "TINI_KILL_PROCESS_GROUP=1");
        let shell = container(&self::spec()).unwrap();
        let shell = serde_json::to_value(shell.host_config).unwrap();
        assert_eq!(serde_json::to_value(body.host_config).unwrap(), shell, "the same walls");
    }

    #[test]
    fn what_would_break_the_walls_is_refused() {
        let check = |change: fn(&mut ContainerSpec), expected: &str| {
            let mut spec = spec();
            change(&mut spec);
            let error = container(&spec).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(|spec| spec.uid = 0, "must not run as root");
        check(|spec| spec.data_dir = "servers/x".into(), "must be absolute UTF-8 paths");
    }

    #[test]
    fn limits_change_together() {
        let expected = json!({
            "Memory": 536_870_912,
            "MemorySwap": 671_088_640,
            "CpuPeriod": 100_000,
            "CpuQuota": 150_000,
            "PidsLimit": 200,
        });
        assert_eq!(serde_json::to_value(update(limits())).unwrap(), expected);
    }
}

//! Pure: the container of an install script: what the engine is told to make, and what it says of it.
//!
//! The walls are those of a game, with what installers need: root inside, a root that can be written,
//! and the few capabilities that package managers use to change owners and users.

use super::{
    config::{
        LABEL_GENERATION, LABEL_INSTALL, LABEL_NODE, LABEL_SERVER, LABEL_TENANT, mount,
        network_name, walls,
    },
    state,
};
use crate::runtime::{ContainerId, Installer, InstallerSpec, RuntimeError};
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, HostConfig};
use mamba_core::{
    desired::Order,
    ids::{NodeId, ServerId},
    seq::{Generation, Incarnation},
};
use std::path::Path;

/// Where an install script finds the server's files.
const SERVER: &str = "/mnt/server";
/// Where it is itself.
const INSTALL: &str = "/mnt/install";
/// What `apt`, `tar` and `chown` need as root.
const CAPABILITIES: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];

/// Name of the container of a server's install script.
pub(super) fn name(server: ServerId) -> String {
    format!("mamba-install-{server}")
}

/// Builds the request for the container.
///
/// # Errors
/// `Refused` for a folder that is not an absolute path or not text.
pub(super) fn container(spec: &InstallerSpec) -> Result<ContainerCreateBody, RuntimeError> {
    let source = |path: &Path| {
        let text = path.to_str().filter(|_| path.is_absolute()).map(str::to_owned);
        text.ok_or_else(|| RuntimeError::Refused {
            step: "create",
            error: "the folders of an install script must be absolute UTF-8 paths".to_owned(),
        })
    };
    let (data, script) = (source(&spec.data_dir)?, source(&spec.script_dir)?);
    let env = spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut words: Vec<String> = spec.entrypoint.split_whitespace().map(str::to_owned).collect();
    words.push(format!("{INSTALL}/install.sh"));
    let labels = [
        (LABEL_NODE, spec.node.to_string()),
        (LABEL_TENANT, spec.tenant.to_string()),
        (LABEL_SERVER, spec.server.to_string()),
        (LABEL_GENERATION, spec.asked.generation.to_string()),
        (LABEL_INSTALL, rank(spec.asked)),
    ];
    Ok(ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: Some(vec![]),
        cmd: Some(words),
        env: Some(env),
        user: Some("0:0".to_owned()),
        hostname: Some("installer".to_owned()),
        labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
        tty: Some(false),
        open_stdin: Some(false),
        attach_stdin: Some(false),
        attach_stdout: Some(false),
        attach_stderr: Some(false),
        host_config: Some(HostConfig {
            readonly_rootfs: Some(false),
            cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
            mounts: Some(vec![mount(&data, SERVER), mount(&script, INSTALL)]),
            ..walls(spec.limits, network_name(spec.node, spec.tenant))
        }),
        ..ContainerCreateBody::default()
    })
}

/// Reads the container. `None` for one of another node or server, or that is going away.
pub(super) fn read(
    node: NodeId,
    server: ServerId,
    inspected: ContainerInspectResponse,
) -> Option<Installer> {
    let labels = inspected.config?.labels?;
    let owner: NodeId = labels.get(LABEL_NODE)?.parse().ok()?;
    let about: ServerId = labels.get(LABEL_SERVER)?.parse().ok()?;
    if (owner, about) != (node, server) {
        return None;
    }
    Some(Installer {
        id: ContainerId(inspected.id?),
        asked: parse_rank(labels.get(LABEL_INSTALL)?)?,
        status: state::status(&inspected.state?)?,
    })
}

fn rank(order: Order) -> String {
    format!("{}.{}", order.incarnation.0, order.generation.0)
}

fn parse_rank(text: &str) -> Option<Order> {
    let (incarnation, generation) = text.split_once('.')?;
    Some(Order {
        incarnation: Incarnation(incarnation.parse().ok()?),
        generation: Generation(generation.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::{
        clock::UnixMs,
        ids::TenantId,
        server::Limits,
        units::{Mib, Millicores},
    };
    use serde_json::json;

    fn spec() -> InstallerSpec {
        InstallerSpec {
            node: NodeId::new(UnixMs(1), [1; 10]),
            tenant: TenantId::new(UnixMs(2), [2; 10]),
            server: ServerId::new(UnixMs(3), [3; 10]),
            asked: Order { incarnation: Incarnation(2), generation: Generation(7) },
            image: "debian:12".to_owned(),
            entrypoint: "bash -e".to_owned(),
            environment: [("VERSION".to_owned(), "1".to_owned())].into(),
            limits: Limits {
                memory_mib: Mib(1_024),
                swap_mib: Mib(0),
                cpu_millicores: Millicores(1_000),
                disk_mib: Mib(1_024),
                pids: 256,
                sharing: mamba_core::server::Sharing::USUAL,
            },
            data_dir: "/data/servers/x".into(),
            script_dir: "/data/installs/x/script".into(),
        }
    }

    /// CVE-2023-32080: the installation container was a way to the host. Only what installers need is
    /// wider than for a game.
    #[test]
    fn the_walls_are_those_of_a_game_but_for_what_installers_need() {
        let mut host = container(&spec()).unwrap().host_config.unwrap();
        let limits = spec().limits;
        let mut game = walls(limits, network_name(spec().node, spec().tenant));
        game.readonly_rootfs = Some(false);
        game.cap_add = host.cap_add.take();
        let mounts = host.mounts.take().unwrap();
        host.cap_add.clone_from(&game.cap_add);
        assert_eq!(host, game);
        assert_eq!(game.cap_add.unwrap(), CAPABILITIES);
        assert_eq!((host.cap_drop.unwrap(), host.pids_limit), (vec!["ALL".to_owned()], Some(256)));
        let mounts: Vec<_> =
            mounts.into_iter().map(|it| (it.source.unwrap(), it.target.unwrap())).collect();
        let expected = [
            ("/data/servers/x".to_owned(), "/mnt/server".to_owned()),
            ("/data/installs/x/script".to_owned(), "/mnt/install".to_owned()),
        ];
        assert_eq!(mounts, expected);
    }

    #[test]
    fn the_script_is_run_by_the_entrypoint_and_found_by_its_labels() {
        let mut body = container(&spec()).unwrap();
        body.host_config = None;
        let expected = json!({
            "Image": "debian:12",
            "Entrypoint": [],
            "Cmd": ["bash", "-e", "/mnt/install/install.sh"],
            "Env": ["VERSION=1"],
            "User": "0:0",
            "Hostname": "installer",
            "Labels": {
                "mamba.node": "00000000-0001-7101-8101-010101010101",
                "mamba.tenant": "00000000-0002-7202-8202-020202020202",
                "mamba.server": "00000000-0003-7303-8303-030303030303",
                "mamba.generation": "7",
                "mamba.install": "2.7",
            },
            "Tty": false,
            "OpenStdin": false,
            "AttachStdin": false,
            "AttachStdout": false,
            "AttachStderr": false,
        });
        assert_eq!(serde_json::to_value(body).unwrap(), expected);
        assert_eq!(parse_rank(&rank(spec().asked)), Some(spec().asked));
        let wrong = InstallerSpec { script_dir: "x".into(), ..spec() };
        let error = container(&wrong).unwrap_err().to_string();
        assert!(error.contains("absolute UTF-8 paths"), "{error}");
    }
}

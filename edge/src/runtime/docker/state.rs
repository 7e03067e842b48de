//! Pure: reads what the engine says about containers, networks and logs.

use super::{aside::is_aside, config, time};
use crate::runtime::{
    Allocated, Container, ContainerId, ContainerStatus, LogLine, Network, OutputSource, Subnet,
};
use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, HostConfig,
};
use bytes::{Bytes, BytesMut};
use mamba_core::{
    clock::UnixMs,
    ids::NodeId,
    seq::Generation,
    units::{Mib, Millicores},
};

/// Reads an inspected container of this node. `None` for one that is not ours or is going away.
pub(super) fn container(
    node: Option<NodeId>,
    inspected: &ContainerInspectResponse,
) -> Option<Container> {
    // What was set aside is gone for whoever looks.
    if inspected.name.as_deref().is_some_and(is_aside) {
        return None;
    }
    let allocated = inspected.host_config.as_ref().and_then(allocated);
    let labels = inspected.config.as_ref()?.labels.as_ref()?;
    let label = |name: &str| labels.get(name);
    // The container of an install script is not the server's.
    if label(config::LABEL_INSTALL).is_some() {
        return None;
    }
    let owner: NodeId = label(config::LABEL_NODE)?.parse().ok()?;
    if node.is_some_and(|node| node != owner) {
        return None;
    }
    Some(Container {
        id: ContainerId(inspected.id.clone()?),
        tenant: label(config::LABEL_TENANT)?.parse().ok()?,
        server: label(config::LABEL_SERVER)?.parse().ok()?,
        generation: Generation(label(config::LABEL_GENERATION)?.parse().ok()?),
        allocated,
        status: status(inspected.state.as_ref()?)?,
    })
}

/// Reads the limits that count in bills. An engine whose kernel lacks one of them drops it and tells
/// zero, which says nothing.
fn allocated(host: &HostConfig) -> Option<Allocated> {
    let memory_bytes = u64::try_from(host.memory?).ok().filter(|bytes| *bytes > 0)?;
    let quota_us = host.cpu_quota.filter(|quota| *quota > 0)?;
    let millicores = u32::try_from(quota_us.checked_mul(1_000)? / config::CPU_PERIOD_US).ok()?;
    let memory_mib = Mib(u32::try_from(memory_bytes >> 20).ok()?);
    Some(Allocated { memory_mib, cpu_millicores: Millicores(millicores) })
}

/// Reads the state of a container's process. `None` while it is being removed.
pub(super) fn status(state: &ContainerState) -> Option<ContainerStatus> {
    let at = |text: &Option<String>| text.as_deref().and_then(time::parse).unwrap_or(UnixMs(0));
    // Before the status: a paused container has a process too.
    if state.running == Some(true) {
        let pid = state.pid.and_then(|pid| u32::try_from(pid).ok())?;
        return Some(ContainerStatus::Running { started_at: at(&state.started_at), pid });
    }
    match state.status? {
        ContainerStateStatusEnum::CREATED => Some(ContainerStatus::Created),
        ContainerStateStatusEnum::REMOVING => None,
        _ => Some(ContainerStatus::Exited {
            code: state.exit_code.unwrap_or(-1),
            oom_killed: state.oom_killed.unwrap_or(false),
            at: at(&state.finished_at),
        }),
    }
}

/// Reads a network; those without an IPv4 subnet have none in the result.
pub(super) fn network(network: bollard::models::Network) -> Network {
    let labels = network.labels.unwrap_or_default();
    let owner = || {
        let node = labels.get(config::LABEL_NODE)?.parse().ok()?;
        Some((node, labels.get(config::LABEL_TENANT)?.parse().ok()?))
    };
    let subnets = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let subnets = subnets.into_iter().filter_map(|it| it.subnet?.parse::<Subnet>().ok());
    Network { owner: owner(), subnets: subnets.collect() }
}

/// Puts frames of the engine's log together to lines: each frame begins with a time, and one
/// without line end goes on in the next one of its stream.
#[derive(Default)]
pub(super) struct LogLines {
    lines: Vec<LogLine>,
    open: [Option<(UnixMs, BytesMut)>; 2],
}

impl LogLines {
    pub(super) fn add(&mut self, source: OutputSource, frame: &Bytes) {
        let space = frame.iter().position(|byte| *byte == b' ').unwrap_or(frame.len());
        let (stamp, text) = frame.split_at(space);
        let Some(at) = std::str::from_utf8(stamp).ok().and_then(time::parse) else { return };
        let text = text.strip_prefix(b" ").unwrap_or(text);
        let place = &mut self.open[usize::from(source == OutputSource::Stderr)];
        let (_, open) = place.get_or_insert_with(|| (at, BytesMut::new()));
        let Some(text) = text.strip_suffix(b"\n") else {
            open.extend_from_slice(text);
            return;
        };
        open.extend_from_slice(text);
        if let Some((at, text)) = place.take() {
            self.lines.push(LogLine { at, source, text: text.freeze() });
        }
    }

    /// Returns the lines at or after a time. An unfinished last line is left out: its end comes.
    pub(super) fn since(self, since: UnixMs) -> Vec<LogLine> {
        self.lines.into_iter().filter(|line| line.at >= since).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read() {
        let check = |state: ContainerState, expected: Option<ContainerStatus>| {
            assert_eq!(status(&state), expected, "{state:?}");
        };
        let state = |status| ContainerState {
            status: Some(status),
            running: Some(false),
            started_at: Some("2026-11-22T17:19:21.972314275Z".to_owned()),
            finished_at: Some("2026-11-22T17:19:22Z".to_owned()),
            exit_code: Some(137),
            oom_killed: Some(true),
            pid: Some(42),
            ..ContainerState::default()
        };
        let started_at = UnixMs(1_795_367_961_972);
        check(state(ContainerStateStatusEnum::CREATED), Some(ContainerStatus::Created));
        check(state(ContainerStateStatusEnum::REMOVING), None);
        let at = UnixMs(1_795_367_962_000);
        let exited = ContainerStatus::Exited { code: 137, oom_killed: true, at };
        check(state(ContainerStateStatusEnum::EXITED), Some(exited.clone()));
        check(state(ContainerStateStatusEnum::DEAD), Some(exited));
        for status in [ContainerStateStatusEnum::RUNNING, ContainerStateStatusEnum::PAUSED] {
            let running = ContainerState { running: Some(true), ..state(status) };
            check(running, Some(ContainerStatus::Running { started_at, pid: 42 }));
        }
        check(ContainerState::default(), None);
    }

    #[test]
    fn limits_are_read_when_both_are_told() {
        let check = |memory, cpu_quota, expected: Option<(u32, u32)>| {
            let host = HostConfig { memory, cpu_quota, ..HostConfig::default() };
            let read = allocated(&host).map(|it| (it.memory_mib.0, it.cpu_millicores.0));
            assert_eq!(read, expected, "{memory:?} {cpu_quota:?}");
        };
        check(Some(256 << 20), Some(50_000), Some((256, 500)));
        check(Some((256 << 20) - 1), Some(99_999), Some((255, 999)));
        check(Some(0), Some(50_000), None);
        check(Some(256 << 20), Some(0), None);
        check(None, Some(50_000), None);
        check(Some(256 << 20), Some(i64::MAX), None);
        check(Some(-1), Some(-1), None);
    }

    #[test]
    fn log_frames_become_lines() {
        let mut lines = LogLines::default();
        let frames: [(OutputSource, &[u8]); 6] = [
            (OutputSource::Stdout, b"2026-11-22T17:19:21.000000001Z old\n"),
            (OutputSource::Stdout, b"2026-11-22T17:19:22.5Z long "),
            (OutputSource::Stderr, b"2026-11-22T17:19:22.6Z other\n"),
            (OutputSource::Stdout, b"2026-11-22T17:19:22.7Z line\n"),
            (OutputSource::Stdout, b"2026-11-22T17:19:23Z \n"),
            (OutputSource::Stdout, b"2026-11-22T17:19:23Z unfinished"),
        ];
        for (source, frame) in frames {
            lines.add(source, &Bytes::from_static(frame));
        }
        let at = |ms: u64| UnixMs(1_795_367_960_000 + ms);
        let line = |ms, source, text: &'static str| LogLine {
            at: at(ms),
            source,
            text: Bytes::from_static(text.as_bytes()),
        };
        let expected = [
            line(2_600, OutputSource::Stderr, "other"),
            line(2_500, OutputSource::Stdout, "long line"),
            line(3_000, OutputSource::Stdout, ""),
        ];
        assert_eq!(lines.since(at(2_000)), expected);
    }
}

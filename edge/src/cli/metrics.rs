//! Numbers for Prometheus.
//!
//! The daemon opens no port for them. A timer writes what `mamba-edge metrics` prints to a file with
//! the ending `.prom`, in the directory of text files of Prometheus' node exporter.
//!
//! | name | kind | what |
//! |---|---|---|
//! | `mamba_edge_info` | gauge | 1, with the `version` and the `node` |
//! | `mamba_edge_uptime_seconds` | gauge | time since the daemon came up |
//! | `mamba_edge_link_up` | gauge | 1 when the hub is connected |
//! | `mamba_edge_link_failures` | gauge | dials in a row that failed |
//! | `mamba_edge_link_heard_timestamp_seconds` | gauge | when the hub was heard last, 0 for never |
//! | `mamba_edge_certificate_expiry_timestamp_seconds` | gauge | end of the node's certificate, 0 without one |
//! | `mamba_edge_engine_up` | gauge | 1 when the container engine answers |
//! | `mamba_edge_troubles` | gauge | things that are wrong with the node now |
//! | `mamba_edge_memory_bytes` | gauge | memory of the machine |
//! | `mamba_edge_disk_bytes` | gauge | size of the file system with the servers' data |
//! | `mamba_edge_disk_free_bytes` | gauge | room left on it |
//! | `mamba_edge_servers` | gauge | servers by `state` |
//! | `mamba_edge_outbox_facts` | gauge | facts that wait for the hub, by `stream` |
//! | `mamba_edge_outbox_bytes` | gauge | what the stream takes on disk |
//! | `mamba_edge_outbox_oldest_timestamp_seconds` | gauge | when the oldest of them was made, 0 without any |
//! | `mamba_edge_facts_total` | counter | facts made in the stream's present epoch |
//!
//! Names and labels are part of the contract: new ones are added, none is renamed.

use super::{Cli, CliError, Outcome, show};
use mamba_core::{
    clock::UnixMs,
    fact::Stream,
    metrics::{Family, Kind, render},
};
use mamba_wire::node::{Answer, NodeRequest, OutboxLine, ServerLine, Status};
use std::collections::BTreeMap;

/// Asks the daemon and prints.
pub(super) async fn print(cli: &Cli<'_>) -> Result<Outcome, CliError> {
    let status = cli.status().await?;
    let Answer::Servers(servers) = cli.client.ask(NodeRequest::Servers).await? else {
        return Err(CliError::OtherAnswer);
    };
    let Answer::Outbox(outbox) = cli.client.ask(NodeRequest::Outbox).await? else {
        return Err(CliError::OtherAnswer);
    };
    cli.print(&render(&families(&status, &servers, &outbox)))?;
    Ok(Outcome::Done)
}

fn families(status: &Status, servers: &[ServerLine], outbox: &[OutboxLine]) -> Vec<Family> {
    let seconds = |at: Option<UnixMs>| at.map_or(0, |at| at.0 / 1_000);
    let (link, machine) = (&status.link, &status.state);
    let info = vec![
        ("version", status.software.clone()),
        ("node", status.node.map(|it| it.to_string()).unwrap_or_default()),
    ];
    let uptime = status.now.since(status.started_at) / 1_000;
    let troubles = u64::try_from(machine.troubles.len()).unwrap_or(u64::MAX);
    let mut families = vec![
        Family::gauge("mamba_edge_info", "The program.", vec![(info, 1)]),
        Family::one("mamba_edge_uptime_seconds", "Time since the daemon came up.", uptime),
        Family::one("mamba_edge_link_up", "Whether the hub is connected.", u64::from(link.up)),
        Family::one(
            "mamba_edge_link_failures",
            "Dials in a row that failed.",
            u64::from(link.failures),
        ),
        Family::one(
            "mamba_edge_link_heard_timestamp_seconds",
            "When the hub was heard last.",
            seconds(link.last_heard),
        ),
        Family::one(
            "mamba_edge_certificate_expiry_timestamp_seconds",
            "End of the node's certificate.",
            seconds(link.certificate_until),
        ),
        Family::one(
            "mamba_edge_engine_up",
            "Whether the container engine answers.",
            u64::from(machine.engine.is_some()),
        ),
        Family::one("mamba_edge_troubles", "Things that are wrong with the node now.", troubles),
        Family::one("mamba_edge_memory_bytes", "Memory of the machine.", machine.memory_bytes),
        Family::one(
            "mamba_edge_disk_bytes",
            "Size of the file system with the servers' data.",
            machine.disk_bytes,
        ),
        Family::one("mamba_edge_disk_free_bytes", "Room left on it.", machine.disk_free_bytes),
        by_state(servers),
    ];
    families.extend(streams(outbox));
    families
}

fn by_state(servers: &[ServerLine]) -> Family {
    let mut counts = BTreeMap::<&'static str, u64>::new();
    for line in servers {
        *counts.entry(show::state(line.observed.state)).or_default() += 1;
    }
    let samples =
        counts.into_iter().map(|(state, count)| (vec![("state", state.to_owned())], count));
    Family::gauge("mamba_edge_servers", "Servers by state.", samples.collect())
}

fn streams(outbox: &[OutboxLine]) -> [Family; 4] {
    let samples = |number: fn(&OutboxLine) -> u64| {
        let sample = |line| (vec![("stream", name(line).to_owned())], number(line));
        outbox.iter().map(sample).collect::<Vec<_>>()
    };
    let made = |line: &OutboxLine| line.next.0.saturating_sub(1);
    [
        Family::gauge(
            "mamba_edge_outbox_facts",
            "Facts that wait for the hub.",
            samples(|line| line.next.0.saturating_sub(1).saturating_sub(line.acked.0)),
        ),
        Family::gauge(
            "mamba_edge_outbox_bytes",
            "What the stream takes on disk.",
            samples(|line| line.bytes),
        ),
        Family::gauge(
            "mamba_edge_outbox_oldest_timestamp_seconds",
            "When the oldest waiting fact was made.",
            samples(|line| line.oldest_unacked_at.map_or(0, |at| at.0 / 1_000)),
        ),
        Family {
            kind: Kind::Counter,
            ..Family::gauge(
                "mamba_edge_facts_total",
                "Facts made in the stream's present epoch.",
                samples(made),
            )
        },
    ]
}

fn name(line: &OutboxLine) -> &'static str {
    match line.stream {
        Stream::Usage => "usage",
        Stream::Activity => "activity",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::{
        fact::Chain,
        ids::InstanceId,
        seq::{Epoch, Seq},
    };
    use mamba_wire::{link::v1::NodeState, node::LinkStatus};
    use std::collections::BTreeSet;

    #[test]
    fn every_documented_name_is_printed_and_no_other() {
        let status = Status {
            software: "0.1.0".to_owned(),
            node: None,
            instance: InstanceId::from_bytes([1; 16]),
            started_at: UnixMs(1_000),
            now: UnixMs(61_000),
            state: NodeState {
                cpus: 2,
                memory_bytes: 1_024,
                disk_bytes: 4_096,
                disk_free_bytes: 2_048,
                engine: None,
                troubles: vec!["engine: does not answer".to_owned()],
                outbox: Vec::new(),
            },
            link: LinkStatus { certificate_until: Some(UnixMs(9_000)), ..LinkStatus::default() },
            servers: 0,
            running: 0,
        };
        let line = OutboxLine {
            stream: Stream::Usage,
            epoch: Epoch(1),
            first_retained: Seq(1),
            next: Seq(8),
            acked: Seq(3),
            backed_up: Seq(0),
            bytes: 640,
            oldest_unacked_at: Some(UnixMs(5_500)),
            chain_head: Chain([0; 32]),
        };
        let families = families(&status, &[], &[line]);
        let printed: BTreeSet<&str> = families.iter().map(|it| it.name).collect();
        let documented: BTreeSet<&str> = include_str!("metrics.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `")?.split('`').next())
            .collect();
        assert_eq!(printed, documented);
        let text = render(&families);
        for line in [
            "mamba_edge_uptime_seconds 60",
            "mamba_edge_engine_up 0",
            "mamba_edge_troubles 1",
            "mamba_edge_certificate_expiry_timestamp_seconds 9",
            "mamba_edge_outbox_facts{stream=\"usage\"} 4",
            "mamba_edge_outbox_oldest_timestamp_seconds{stream=\"usage\"} 5",
            "mamba_edge_facts_total{stream=\"usage\"} 7",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }
}

//! A bad line between edge and hub: the edge lives in a network namespace of its own, and the pair of
//! devices between it and the hub loses, slows down and drops what it carries.

use super::{
    checks::{self, Recovery},
    ledger::Ledger,
    scene::{self, READY_MAX, Set},
};
use crate::{
    acts::cast,
    command::output,
    edge::EdgeSettings,
    games::Game,
    hub::HubPlace,
    report::{Played, Report, Stopped, ensure, seconds, until},
    stage::{Stage, remove_rules_now},
};
use mamba_wire::api::LinkState;
use std::{fs, net::Ipv4Addr, time::Duration};

/// Network between the two ends; of 198.18.0.0/15, which nobody uses but for such tests.
const HUB_IP: Ipv4Addr = Ipv4Addr::new(198, 19, 213, 1);
/// Addresses of the edge: the first one, and the one that it has later.
const EDGE_IPS: [&str; 2] = ["198.19.213.2", "198.19.213.3"];
const PREFIX: &str = "/24";
/// Share of packets that are lost in each direction.
const LOSS: &str = "0.15";
/// Speed of the slow line.
const RATE: &str = "128kbit";
/// How long a line stays cut: longer than a session survives silence.
const CUT: Duration = seconds(25);
/// Longest time until the hub shows that a node is gone.
const GONE_MAX: Duration = seconds(90);

/// The line. The stage takes away what is made of it.
struct Wire {
    namespace: String,
    hub_end: String,
    edge_end: String,
    comment: String,
}

/// Which way is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToHub,
    ToEdge,
}

impl Wire {
    async fn lay(stage: &Stage) -> Played<Self> {
        let namespace = stage.machine_name();
        let (hub_end, edge_end) = (format!("{namespace}h"), format!("{namespace}e"));
        let wire = Self { namespace, hub_end, edge_end, comment: stage.rule_comment() };
        let (hub, edge, space) = (&wire.hub_end, &wire.edge_end, &wire.namespace);
        output("ip", &["netns", "add", space]).await?;
        let pair = ["link", "add", hub, "type", "veth", "peer", "name", edge, "netns", space];
        output("ip", &pair).await?;
        output("ip", &["address", "add", &format!("{HUB_IP}{PREFIX}"), "dev", hub]).await?;
        output("ip", &["link", "set", hub, "up"]).await?;
        wire.at_edge(&["ip", "link", "set", "lo", "up"]).await?;
        wire.at_edge(&["ip", "link", "set", edge, "up"]).await?;
        wire.address("add", EDGE_IPS[0]).await?;
        Ok(wire)
    }

    /// Runs a command in the edge's namespace.
    async fn at_edge(&self, command: &[&str]) -> Played {
        let network = format!("--net=/run/netns/{}", self.namespace);
        output("nsenter", &[[network.as_str()].as_slice(), command].concat()).await.map(drop)
    }

    async fn address(&self, change: &str, ip: &str) -> Played {
        let ip = format!("{ip}{PREFIX}");
        self.at_edge(&["ip", "address", change, &ip, "dev", &self.edge_end]).await
    }

    /// Drops what arrives at one end, all or a share of it.
    async fn drop_packets(&self, way: Way, share: Option<&str>) -> Played {
        let device = match way {
            Way::ToHub => &self.hub_end,
            Way::ToEdge => &self.edge_end,
        };
        let mut rule = vec!["iptables", "--wait", "--insert", "INPUT", "--in-interface", device];
        if let Some(share) = share {
            rule.extend(["--match", "statistic", "--mode", "random", "--probability", share]);
        }
        rule.extend(["--match", "comment", "--comment", &self.comment, "--jump", "DROP"]);
        match way {
            Way::ToHub => output("iptables", &rule[1..]).await.map(drop),
            Way::ToEdge => self.at_edge(&rule).await,
        }
    }

    /// Makes both directions slow.
    async fn slow_down(&self) -> Played {
        let rule = |device| {
            ["qdisc", "add", "dev", device, "root", "tbf", "rate", RATE, "burst", "4kb"]
                .into_iter()
                .chain(["latency", "400ms"])
                .collect::<Vec<&str>>()
        };
        output("tc", &rule(&self.hub_end)).await?;
        let at_edge = [vec!["tc"], rule(&self.edge_end)].concat();
        self.at_edge(&at_edge).await
    }

    async fn speed_up(&self) -> Played {
        output("tc", &["qdisc", "del", "dev", &self.hub_end, "root"]).await?;
        self.at_edge(&["tc", "qdisc", "del", "dev", &self.edge_end, "root"]).await
    }

    /// Takes all rules away.
    async fn mend(&self) -> Played {
        remove_rules_now(&self.comment);
        self.at_edge(&["iptables", "--wait", "--flush", "INPUT"]).await
    }

    /// Bytes that the edge sent and got, as the devices count.
    fn bytes(&self) -> Played<(u64, u64)> {
        let count = |name: &str| -> Played<u64> {
            let file = format!("/sys/class/net/{}/statistics/{name}", self.hub_end);
            Ok(fs::read_to_string(file)?.trim().parse()?)
        };
        Ok((count("rx_bytes")?, count("tx_bytes")?))
    }
}

struct Stand {
    set: Set,
    wire: Wire,
    ledger: Ledger,
}

/// Plays all of it.
pub(super) async fn play(report: &mut Report, stage: &mut Stage) -> Result<(), Stopped> {
    report.act("a bad line", Vec::new());
    let assembled = async { Ok((assemble(stage).await?, String::new())) };
    let mut stand = report.step("an edge in a network namespace", assembled).await?;
    report.act("a bad line", stand.set.cast.logs());
    let lossy = async { Ok(((), lossy(&mut stand).await?)) };
    report.step("15 % of the packets are lost each way", lossy).await?;
    let slow = async { Ok(((), slow(&mut stand).await?)) };
    report.step("the line carries 128 kbit/s", slow).await?;
    for (name, ways) in [
        ("the edge hears nothing", [Way::ToEdge].as_slice()),
        ("the hub hears nothing", &[Way::ToHub]),
        ("nobody hears anything", &[Way::ToHub, Way::ToEdge]),
    ] {
        let cut = async { Ok(((), cut(&mut stand, ways).await?)) };
        report.step(name, cut).await?;
    }
    let moved = async { Ok(((), moved(&mut stand).await?)) };
    report.step("the edge gets another address", moved).await?;
    let (sent, got) = stand.wire.bytes().unwrap_or_default();
    report.say(&format!("       the edge sent {} KiB, got {} KiB", sent / 1_024, got / 1_024));
    stand.set.cast.leave(report).await
}

async fn assemble(stage: &mut Stage) -> Played<Stand> {
    let wire = Wire::lay(stage).await?;
    let place = HubPlace { link_ip: Some(HUB_IP), ..HubPlace::default() };
    let edge = EdgeSettings {
        net_namespace: Some(wire.namespace.clone()),
        ..EdgeSettings::plain("network-edge", "10.213.0.0/17")
    };
    let games = [Game::Openttd, Game::Teeworlds];
    let set = scene::assemble(stage, "network", place, edge, &games).await?;
    set.cast.all_answer(READY_MAX).await?;
    checks::recovered(&set.cast, set.node).await?;
    let mut ledger = Ledger::default();
    ledger.agrees(&set.cast).await?;
    Ok(Stand { set, wire, ledger })
}

impl Stand {
    /// Things happen on the node.
    async fn busy(&self) -> Played {
        let edge = self.set.cast.edges.first().ok_or("no edge")?;
        for role in &self.set.cast.roles {
            edge.must(&["power", &role.name, "restart", "--wait", "50"]).await?;
            cast::answers(role, seconds(60)).await?;
        }
        Ok(())
    }

    async fn is_well(&mut self) -> Played<String> {
        let Recovery { converged, .. } = checks::recovered(&self.set.cast, self.set.node).await?;
        let figures = self.ledger.agrees(&self.set.cast).await?;
        let events = self.ledger.same_events(&self.set.cast).await?;
        let (after, custody) = (converged.as_secs_f64(), figures.custody);
        Ok(format!("agreed after {after:.1} s, {custody} facts and {events} events once"))
    }
}

async fn lossy(stand: &mut Stand) -> Played<String> {
    for way in [Way::ToHub, Way::ToEdge] {
        stand.wire.drop_packets(way, Some(LOSS)).await?;
    }
    let used = async {
        stand.busy().await?;
        cast::talk(&stand.set.cast.owner, stand.set.cast.roles.first().ok_or("no server")?).await?;
        stand.is_well().await
    };
    let used = used.await;
    stand.wire.mend().await?;
    used
}

async fn slow(stand: &mut Stand) -> Played<String> {
    stand.wire.slow_down().await?;
    let used = async {
        stand.busy().await?;
        cast::talk(&stand.set.cast.owner, stand.set.cast.roles.first().ok_or("no server")?).await?;
        stand.is_well().await
    };
    let used = used.await;
    stand.wire.speed_up().await?;
    used
}

async fn cut(stand: &mut Stand, ways: &[Way]) -> Played<String> {
    for &way in ways {
        stand.wire.drop_packets(way, None).await?;
    }
    let alone = async {
        stand.busy().await?;
        tokio::time::sleep(CUT).await;
        until(GONE_MAX, async || {
            let nodes = stand.set.cast.admin.nodes().await?;
            let node = nodes.first().ok_or("no node")?;
            ensure(node.freshness.link != LinkState::Live, || "the hub shows it live".to_owned())
        })
        .await
    };
    let alone = alone.await;
    stand.wire.mend().await?;
    alone?;
    stand.is_well().await
}

async fn moved(stand: &mut Stand) -> Played<String> {
    stand.wire.address("add", EDGE_IPS[1]).await?;
    stand.wire.address("del", EDGE_IPS[0]).await?;
    // Taking the first address of a network away takes the others with it on most kernels.
    stand.wire.address("replace", EDGE_IPS[1]).await?;
    stand.busy().await?;
    stand.is_well().await
}

//! Requests on the HTTP API of a hub with a connected fleet.

use crate::{
    Outcome,
    client::Client,
    fleet::Fleet,
    report::{Figure, quantile, say},
};
use futures_util::future::try_join_all;
use mamba_core::ids::ServerId;
use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::time::{Instant, interval_at};

/// Connections that ask at the same time.
const CLIENTS: u32 = 8;
/// Requests per second at which the latency of what is read is measured.
const LIST_PACE: u32 = 500;
/// The same of power actions: a node takes so many at a time.
const POWER_PACE: u32 = 50;
const LIST: &str = "/api/v1/servers?limit=50";

/// One kind of request.
struct Ask {
    name: &'static str,
    method: &'static str,
    /// Asked in turn.
    targets: Vec<String>,
    body: Option<Vec<u8>>,
}

impl Ask {
    fn list() -> Self {
        let targets = vec![LIST.to_owned()];
        Self { name: "list of 50 servers", method: "GET", targets, body: None }
    }

    fn one(servers: &[ServerId]) -> Self {
        let targets = servers.iter().map(|it| format!("/api/v1/servers/{it}")).collect();
        Self { name: "one server", method: "GET", targets, body: None }
    }

    /// Of all servers in turn: a node takes so many actions at a time.
    fn power(servers: &[ServerId]) -> Outcome<Self> {
        let targets = servers.iter().map(|it| format!("/api/v1/servers/{it}/power")).collect();
        let body = Some(serde_json::to_vec(&serde_json::json!({ "action": "start" }))?);
        Ok(Self { name: "power", method: "POST", targets, body })
    }
}

/// Measures the API.
pub(crate) async fn run(
    programs: &Path,
    out: &Path,
    size: (u32, u16),
    is_quick: bool,
) -> Outcome<Vec<Figure>> {
    let mut fleet = Fleet::assemble(programs, out, size).await?;
    fleet.admin = fleet.hub.admin().await?;
    let span = Duration::from_secs(if is_quick { 2 } else { 15 });
    let (list, one) = (Ask::list(), Ask::one(&fleet.servers));
    let power = Ask::power(&fleet.servers)?;
    let mut figures = Vec::new();
    let lists = rate(&fleet, &list, span).await?;
    let fast = |ask: &Ask| format!("{}, as fast as it goes", ask.name);
    figures
        .push(Figure::new(&fast(&list), "requests per s", lists).at_least(6_000.0).beside(2_300.0));
    figures.push(Figure::new(&fast(&one), "requests per s", rate(&fleet, &one, span).await?));
    figures.push(Figure::new(&fast(&power), "requests per s", rate(&fleet, &power, span).await?));
    let paces = [(&list, LIST_PACE), (&one, LIST_PACE), (&power, POWER_PACE)];
    let mut calm = Vec::new();
    for (ask, pace) in paces {
        let (p50, p99) = paced(&fleet, ask, pace, span).await?;
        let name = format!("{} at {pace} per s", ask.name);
        figures.push(Figure::new(&format!("{name}, p50"), "ms", p50));
        let figure = Figure::new(&format!("{name}, p99"), "ms", p99);
        figures.push(if ask.name == list.name { figure.at_most(5.0) } else { figure });
        calm.push(p99);
    }
    figures.push(Figure::new("login, median", "ms", login(&fleet, is_quick).await?));
    say("half of the nodes lose every packet");
    fleet.black_hole(true);
    for ((ask, pace), calm) in paces.into_iter().zip(calm) {
        let (_, p99) = paced(&fleet, ask, pace, span).await?;
        let name = format!("{} at {pace} per s with half of the nodes black-holed, p99", ask.name);
        let figure = Figure::new(&name, "ms", p99).beside(calm);
        figures.push(if ask.name == list.name { figure.at_most(5.0) } else { figure });
    }
    let dark = rate(&fleet, &list, span).await?;
    let name = format!("{} with half of the nodes black-holed", list.name);
    figures.push(Figure::new(&name, "requests per s", dark).at_least(6_000.0).beside(lists));
    Ok(figures)
}

/// Asks on several connections without pause; returns answers per second. A refusal is a failure.
async fn rate(fleet: &Fleet, ask: &Ask, span: Duration) -> Outcome<f64> {
    say(ask.name);
    let begun = Instant::now();
    let turn = AtomicUsize::new(0);
    let asked = try_join_all((0..CLIENTS).map(|_| async {
        let mut client = fleet.admin.again().await?;
        let mut count = 0_u32;
        while begun.elapsed() < span {
            send(&mut client, ask, turn.fetch_add(1, Ordering::Relaxed)).await?;
            count += 1;
        }
        Outcome::Ok(count)
    }));
    let count: u32 = asked.await?.iter().sum();
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

/// Asks at a fixed pace; returns median and p99 in ms, from the time at which a request was due, so
/// that a stall counts for every request that it delays.
async fn paced(fleet: &Fleet, ask: &Ask, pace: u32, span: Duration) -> Outcome<(f64, f64)> {
    let turn = &AtomicUsize::new(0);
    let asked = try_join_all((0..CLIENTS).map(|number| async move {
        let mut client = fleet.admin.again().await?;
        // One after the other, not all at the same moment.
        let apart = Duration::from_secs(1) / pace;
        let mut tick = interval_at(Instant::now() + apart * number, apart * CLIENTS);
        let (begun, mut ms) = (Instant::now(), Vec::new());
        while begun.elapsed() < span {
            let due = tick.tick().await;
            send(&mut client, ask, turn.fetch_add(1, Ordering::Relaxed)).await?;
            ms.push(due.elapsed().as_secs_f64() * 1_000.0);
        }
        Outcome::Ok(ms)
    }));
    let mut ms: Vec<f64> = asked.await?.into_iter().flatten().collect();
    ms.sort_by(f64::total_cmp);
    Ok((quantile(&ms, 0.5), quantile(&ms, 0.99)))
}

/// Signs in a few times, each with the full cost of the password; returns the median in ms.
async fn login(fleet: &Fleet, is_quick: bool) -> Outcome<f64> {
    let mut ms = Vec::new();
    for _ in 0..if is_quick { 3 } else { 10 } {
        let begun = Instant::now();
        fleet.hub.admin().await?;
        ms.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    ms.sort_by(f64::total_cmp);
    Ok(quantile(&ms, 0.5))
}

async fn send(client: &mut Client, ask: &Ask, turn: usize) -> Outcome {
    let target = ask.targets.get(turn % ask.targets.len().max(1)).ok_or("nothing to ask")?;
    let (status, body) = client.raw(ask.method, target, ask.body.as_deref()).await?;
    if !(200..300).contains(&status) {
        let text = String::from_utf8_lossy(body);
        return Err(format!("{} {target}: {status} {text}", ask.method).into());
    }
    Ok(())
}

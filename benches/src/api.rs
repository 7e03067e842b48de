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
/// The pace at which latency is measured, in requests per second.
const PACE: u32 = 500;
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
    let power = Ask::power(&fleet.servers)?;
    let mut figures = Vec::new();
    let list = rate(&fleet, &Ask::list(), span).await?;
    figures.push(
        Figure::new("list of 50 servers, as fast as it goes", "requests per s", list)
            .at_least(6_000.0)
            .beside(2_300.0),
    );
    figures.push(Figure::new(
        "one server, as fast as it goes",
        "requests per s",
        rate(&fleet, &Ask::one(&fleet.servers), span).await?,
    ));
    figures.push(Figure::new(
        "power, as fast as it goes",
        "requests per s",
        rate(&fleet, &power, span).await?,
    ));
    let (p50, p99) = paced(&fleet.admin, span).await?;
    figures.push(Figure::new("list of 50 servers at 500 per s, p50", "ms", p50));
    figures.push(Figure::new("list of 50 servers at 500 per s, p99", "ms", p99).at_most(5.0));
    figures.push(Figure::new("login, median", "ms", login(&fleet, is_quick).await?));
    say("half of the nodes lose every packet");
    fleet.black_hole(true);
    let (_, dark) = paced(&fleet.admin, span).await?;
    figures.push(
        Figure::new("the same with half of the nodes black-holed, p99", "ms", dark)
            .at_most(5.0)
            .beside(p99),
    );
    let dark = rate(&fleet, &Ask::list(), span).await?;
    figures.push(
        Figure::new("list of 50 servers with half black-holed", "requests per s", dark)
            .beside(list),
    );
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

/// Asks for the list at a fixed pace; returns median and p99 in ms, from the time at which a request
/// was due, so that a stall counts for every request that it delays.
async fn paced(admin: &Client, span: Duration) -> Outcome<(f64, f64)> {
    let list = Ask::list();
    let list = &list;
    let asked = try_join_all((0..CLIENTS).map(|number| async move {
        let mut client = admin.again().await?;
        // One after the other, not all at the same moment.
        let apart = Duration::from_secs(1) / PACE;
        let mut tick = interval_at(Instant::now() + apart * number, apart * CLIENTS);
        let (begun, mut ms) = (Instant::now(), Vec::new());
        while begun.elapsed() < span {
            let due = tick.tick().await;
            send(&mut client, list, 0).await?;
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

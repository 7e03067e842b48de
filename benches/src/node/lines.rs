//! Consoles: how long a line takes there and back, how many get through, and what that costs.

use super::{Amount, Scene, all};
use crate::{
    Outcome,
    console::Console,
    engine::Piped,
    game::{self, HUM_LINES, PACE_STEP_LINES},
    process::Usage,
    report::{Figure, quantile, say},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Pause between two typed lines, as a fast typist never makes it.
const TYPE_EVERY: Duration = Duration::from_millis(10);
/// Lines of a burst that has to arrive whole.
const BURST_LINES: u64 = 200_000;
/// Lines per second that a viewer has to get.
const RELAYED_PER_S: f64 = 50_000.0;

/// Measures consoles of running servers.
pub(super) async fn measure(scene: &Scene, amount: Amount) -> Outcome<Vec<Figure>> {
    let mut figures = echoes(scene, amount.echoes).await?;
    figures.extend(floods(scene, amount).await?);
    figures.extend(hum(scene, amount).await?);
    Ok(figures)
}

/// Types lines that the game repeats.
async fn echoes(scene: &Scene, count: usize) -> Outcome<Vec<Figure>> {
    say("typing into consoles");
    let server = scene.first()?;
    let mut engine = Vec::new();
    let mut piped = Piped::run(game::IMAGE, game::STARTUP).await?;
    for number in 0..count {
        let line = format!("typed-{number}");
        let begun = Instant::now();
        piped.type_line(&line).await?;
        piped.read_to(&line).await?;
        engine.push(begun.elapsed().as_secs_f64() * 1_000.0);
        sleep(TYPE_EVERY).await;
    }
    drop(piped);
    let engine = sorted(engine);
    let hub = sorted(echo(Console::through_hub(&scene.admin, server).await?, count).await?);
    let node = sorted(echo(Console::at_node(&scene.edge, server).await?, count).await?);
    let floor = |part| quantile(&engine, part);
    let figure = |name: &str, of: &[f64], part| Figure::new(name, "ms", quantile(of, part));
    Ok(vec![
        figure("echo at the engine's own pipe, p50", &engine, 0.5),
        figure("echo at the engine's own pipe, p99", &engine, 0.99),
        figure("console echo through the hub, p50", &hub, 0.5).at_most(3.0).beside(33.0),
        figure("console echo through the hub, p99", &hub, 0.99).at_most(8.0).beside(42.0),
        figure("console echo at the node, p50", &node, 0.5).beside(floor(0.5)),
        figure("console echo at the node, p99", &node, 0.99).beside(floor(0.99)),
    ])
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// Times of typed lines in milliseconds.
pub(crate) async fn echo(mut console: Console, count: usize) -> Outcome<Vec<f64>> {
    let mut ms = Vec::new();
    for number in 0..count {
        let line = format!("typed-{number}-times");
        let begun = Instant::now();
        console.type_line(&line).await?;
        console.read_to(&line).await?;
        ms.push(begun.elapsed().as_secs_f64() * 1_000.0);
        sleep(TYPE_EVERY).await;
    }
    Ok(ms)
}

/// One server writes as fast as it goes, then in a burst, then at a pace that a viewer has to keep.
async fn floods(scene: &Scene, amount: Amount) -> Outcome<Vec<Figure>> {
    let server = scene.first()?;
    say("a flood of lines");
    let mut piped = Piped::run(game::IMAGE, game::STARTUP).await?;
    let begun = Instant::now();
    piped.type_line(&format!("flood {}", amount.flood)).await?;
    piped.read_to(&format!("done {}", amount.flood)).await?;
    let engine_per_s = per_s(amount.flood, begun);
    drop(piped);

    let before = scene.edge.usage()?;
    let first = last_line(scene).await?;
    let begun = Instant::now();
    type_alone(scene, &format!("flood {}", amount.flood)).await?;
    // The lines, the last word, and the line that was typed.
    let whole = first + amount.flood + 2;
    while last_line(scene).await? < whole {
        if begun.elapsed() > Duration::from_secs(300) {
            let missing = whole - last_line(scene).await?;
            return Err(format!("{missing} lines of a flood did not come").into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    let ring_per_s = per_s(amount.flood, begun);
    let ring_cpu_s = scene.edge.usage()?.cpu_s - before.cpu_s;

    say("a burst, and lines at a pace");
    let burst = amount.flood.min(BURST_LINES);
    let mut console = Console::through_hub(&scene.admin, server).await?;
    console.type_line(&format!("flood {burst}")).await?;
    let seen = console.read_to(&format!("done {burst}")).await?;
    let missing = (burst + 1).saturating_sub(seen.lines) as f64;

    let steps = amount.flood / PACE_STEP_LINES;
    let paced = steps * PACE_STEP_LINES;
    let (edge, hub) = (scene.edge.usage()?, scene.hub.usage()?);
    let begun = Instant::now();
    console.type_line(&format!("pace {steps}")).await?;
    let seen = console.read_to(&format!("done {steps}")).await?;
    let relayed_per_s = per_s(seen.lines, begun);
    let lost = (paced + 1).saturating_sub(seen.lines) as f64;
    let million = |after: Usage, before: Usage| (after.cpu_s - before.cpu_s) / paced as f64 * 1e6;
    let (edge, hub) = (million(scene.edge.usage()?, edge), million(scene.hub.usage()?, hub));
    let cpu = "s of CPU per million lines";
    Ok(vec![
        Figure::new("the engine's own pipe, one server", "lines per s", engine_per_s),
        Figure::new("into the ring, one server, none lost", "lines per s", ring_per_s)
            .at_least(200_000.0)
            .beside(engine_per_s),
        Figure::new("edge for a flood into the ring", cpu, ring_cpu_s / amount.flood as f64 * 1e6),
        Figure::new("missing of a burst of 200,000 at a viewer", "lines", missing).at_most(0.0),
        Figure::new("relayed to a viewer at the game's pace", "lines per s", relayed_per_s)
            .at_least(RELAYED_PER_S)
            .beside(20_000.0),
        Figure::new("missing of these", "lines", lost).at_most(0.0),
        Figure::new("edge and hub for relayed lines", cpu, edge + hub).at_most(4.0).beside(7.0),
        Figure::new("of it the edge", cpu, edge),
        Figure::new("of it the hub", cpu, hub),
    ])
}

/// Types a line where nobody reads.
async fn type_alone(scene: &Scene, line: &str) -> Outcome {
    let mut console = Console::at_node(&scene.edge, scene.first()?).await?;
    console.type_line(line).await?;
    // Its own line comes back when it is typed.
    sleep(Duration::from_millis(50)).await;
    Ok(())
}

/// Number of the newest line in the ring.
async fn last_line(scene: &Scene) -> Outcome<u64> {
    use mamba_wire::node::{Answer, NodeRequest};
    match scene.edge.ask(&NodeRequest::Server(scene.first()?)).await? {
        Answer::Server(detail) => Ok(detail.last_line.0),
        other => Err(format!("`Server` was answered with {other:?}").into()),
    }
}

fn per_s(count: u64, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

/// All servers write a little, and nobody reads.
async fn hum(scene: &Scene, amount: Amount) -> Outcome<Vec<Figure>> {
    let (count, seconds) = (scene.servers.len(), amount.span.as_secs());
    say(&format!("{count} servers with {HUM_LINES} lines per second each"));
    let line = format!("hum {}", seconds + 5);
    all(scene, async |server| {
        Console::at_node(&scene.edge, server).await?.type_line(&line).await?;
        Ok(())
    })
    .await?;
    sleep(Duration::from_secs(2)).await;
    let before = scene.edge.usage()?;
    sleep(amount.span).await;
    let after = scene.edge.usage()?;
    let percent = (after.cpu_s - before.cpu_s) / amount.span.as_secs_f64() * 100.0;
    let name = |what: &str| format!("{what}, {count} running with {HUM_LINES} lines per s each");
    sleep(Duration::from_secs(5)).await;
    Ok(vec![
        Figure::new(&name("edge memory"), "MiB", after.resident_kib / 1_024.0),
        Figure::new(&name("edge CPU"), "% of a core", percent),
    ])
}

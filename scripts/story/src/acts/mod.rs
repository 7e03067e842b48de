//! The acts of the story, and the order in which they are played.

mod bad_input;
pub(crate) mod cast;
pub(crate) mod faults;
pub(crate) mod numbers;
pub(crate) mod outage;
mod registry;
mod restore;
pub(crate) mod reunion;

use crate::{
    acts::cast::{Cast, Scene},
    report::{Report, Stopped},
    stage::Stage,
};
use std::path::PathBuf;

/// What is to be played, and with what.
pub(crate) struct Choice {
    /// Everything without.
    pub(crate) only: Option<Part>,
    /// The scene of the fleet.
    pub(crate) large: Scene,
    /// Where a registry's program and settings are.
    pub(crate) registry: PathBuf,
}

/// Plays it; what failed is in the report.
pub(crate) async fn play(report: &mut Report, stage: &mut Stage, choice: &Choice) {
    let small = Scene { name: "solo", edges: 1, servers: 1 };
    for part in Part::ALL {
        if choice.only.is_some_and(|only| only != part) {
            continue;
        }
        let played = match part {
            Part::Story => story(report, stage, small).await,
            Part::Fleet => story(report, stage, choice.large).await,
            Part::BadInput => bad_input::play(report, stage).await,
            Part::Registry => registry::play(report, stage, &choice.registry).await,
            Part::Faults => faults::play(report, stage).await,
        };
        if let Err(Stopped) = played {
            report.say("       the rest of this part was not played");
        }
    }
}

/// The parts of the whole, which stand each on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// One hub, one edge, one game server.
    Story,
    /// The same with more edges and servers.
    Fleet,
    /// Everything that has to be refused.
    BadInput,
    /// An image that is only had with a login.
    Registry,
    /// Everything that breaks around an edge.
    Faults,
}

impl Part {
    const ALL: [Self; 5] = [Self::Story, Self::Fleet, Self::BadInput, Self::Registry, Self::Faults];
}

/// Plays the main story: servers outlive the hub, then a cut line, and every fact arrives once.
async fn story(report: &mut Report, stage: &mut Stage, scene: Scene) -> Result<(), Stopped> {
    let mut cast = Cast::assemble(report, stage, scene).await?;
    cast.play_consoles(report).await?;

    report.act(&format!("{}: the hub is killed", scene.name), cast.logs());
    report.step("kill -9 the hub", async { cast.hub.kill().await.map(plain) }).await?;
    outage::crash(report, &mut cast).await?;
    outage::power_by_cli(report, &mut cast).await?;
    outage::edge_restart(report, &mut cast).await?;
    outage::power_cut(report, &mut cast).await?;
    reunion::hub_back(report, &mut cast).await?;

    report.act(&format!("{}: the line is cut", scene.name), cast.logs());
    let cut = outage::cut(report, stage, &cast).await?;
    outage::crash(report, &mut cast).await?;
    outage::power_by_cli(report, &mut cast).await?;
    let asked = reunion::ask_meanwhile(report, &mut cast).await?;
    outage::edge_restart(report, &mut cast).await?;
    outage::power_cut(report, &mut cast).await?;
    reunion::mend(report, &mut cast, cut, asked).await?;

    report.act(&format!("{}: each fact once", scene.name), cast.logs());
    numbers::compare(report, &mut cast).await?;
    restore::play(report, &mut cast).await?;
    reunion::delete(report, &mut cast).await?;
    cast.leave(report).await
}

/// A step that gives nothing and says nothing more than its name.
fn plain((): ()) -> ((), String) {
    ((), String::new())
}

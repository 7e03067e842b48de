//! Torture: daemons that are killed, disks that fill up, lines that fail, an engine that restarts, and
//! what is lost and restored, each with what must hold afterwards.

mod dice;
mod ledger;
mod checks;
mod scene;
mod load;
mod kill;
mod disk;
mod network;
mod engine;
mod resync;
mod transfer;

use crate::{
    report::{Report, Stopped},
    stage::Stage,
};

/// What is played, and how hard.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TortureArgs {
    /// Times that daemons are killed
    #[arg(long, default_value_t = 5)]
    cycles: u32,
    /// Draws the moments and the load
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Play only this act; may be given more than once
    #[arg(long)]
    only: Vec<Act>,
}

/// The acts, which stand each on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Act {
    /// SIGKILL at random moments under load.
    Kill,
    /// A node that lost its disk, and a hub restored from a backup.
    Resync,
    /// Full disks under edge and hub.
    Disk,
    /// A bad line between edge and hub.
    Network,
    /// A Docker Engine that restarts under the edge.
    Engine,
    /// A server that moves to another node while hub and edges are killed.
    Transfer,
}

impl Act {
    const ALL: [Self; 6] =
        [Self::Kill, Self::Resync, Self::Disk, Self::Network, Self::Engine, Self::Transfer];
}

/// Plays the acts; what failed is in the report.
pub(crate) async fn play(report: &mut Report, stage: &mut Stage, args: &TortureArgs) {
    for act in Act::ALL {
        if !args.only.is_empty() && !args.only.contains(&act) {
            continue;
        }
        let played = match act {
            Act::Kill => kill::play(report, stage, args.cycles, args.seed).await,
            Act::Resync => resync::play(report, stage).await,
            Act::Disk => disk::play(report, stage).await,
            Act::Network => network::play(report, stage).await,
            Act::Engine => engine::play(report, stage).await,
            Act::Transfer => transfer::play(report, stage).await,
        };
        if let Err(Stopped) = played {
            report.say("       the rest of this act was not played");
        }
    }
}

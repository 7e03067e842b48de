//! Plays the product's whole story on real parts, or sets it up for a person to look at.

mod report;
mod command;
mod http;
mod docker;
mod engine;
mod stage;
mod daemon;
mod api;
mod console;
mod games;
mod hub;
mod edge;
mod registry;
mod acts;
mod torture;
mod units;
mod demo;

use acts::{Choice, Part, cast::Scene};
use clap::{Parser, Subcommand};
use games::Game;
use report::{Failure, Played, Report};
use stage::{Programs, Stage};
use std::{path::PathBuf, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

/// Plays the whole story on real parts. `scripts/demo` builds everything and calls this.
#[derive(Debug, Parser)]
#[command(name = "mamba-story")]
struct Args {
    /// Directory of mamba-hub and mamba-edge [default: the one of this program]
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Directory for data and logs
    #[arg(long, default_value = "target/story")]
    dir: PathBuf,
    /// What to do
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a hub, an edge and a game server until Ctrl-C
    Demo(demo::DemoArgs),
    /// Play everything without a person; ends with `N passed, M failed`
    Smoke {
        /// Edges of the larger story
        #[arg(long, default_value_t = 2)]
        edges: usize,
        /// Game servers of the larger story
        #[arg(long, default_value_t = 20)]
        servers: usize,
        /// Play only this part
        #[arg(long)]
        only: Option<Part>,
        /// Folder with an image registry's program and settings, which scripts/demo prepares
        #[arg(long)]
        registry: PathBuf,
    },
    /// Kill, fill up, cut and restore; ends with `N passed, M failed`
    Torture(torture::TortureArgs),
    /// Play with both daemons as systemd runs them, on a machine of its own; ends with `N passed, M failed`
    Units(units::UnitsArgs),
    /// Ask a game server on the loopback for its name, over the game's own protocol
    Query {
        /// Which game
        game: Game,
        /// Its port
        port: u16,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            complain(&failure);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "this is where the program says what went wrong")]
fn complain(failure: &Failure) {
    eprintln!("mamba-story: {}", mamba_core::error::chain(failure.as_ref()));
}

/// Returns whether everything passed. Whatever was started ends when the stage is dropped, also when
/// a signal or a panic ends the play.
async fn run(args: Args) -> Played<bool> {
    let mut report = Report::new();
    if let Command::Query { game, port } = args.command {
        let name = game.query(port).await?;
        report.say(&name.unwrap_or_else(|| "it answers, and tells no name".to_owned()));
        return Ok(true);
    }
    let programs = match args.programs {
        Some(dir) => dir,
        None => std::env::current_exe()?.parent().ok_or("this program has no directory")?.into(),
    };
    let programs = Programs { hub: programs.join("mamba-hub"), edge: programs.join("mamba-edge") };
    let mut stage = Stage::open(&args.dir, programs)?;
    match args.command {
        Command::Demo(demo) => {
            demo::play(&mut report, &mut stage, &demo, stopped()).await?;
            Ok(true)
        }
        Command::Query { .. } => Ok(true),
        Command::Torture(torture) => {
            tokio::select! {
                () = torture::play(&mut report, &mut stage, &torture) => Ok(report.finish()),
                name = stopped() => Err(format!("ended by {}", name?).into()),
            }
        }
        Command::Units(units) => {
            tokio::select! {
                () = units::play(&mut report, &mut stage, &units) => Ok(report.finish()),
                name = stopped() => Err(format!("ended by {}", name?).into()),
            }
        }
        Command::Smoke { edges, servers, only, registry } => {
            if edges == 0 || servers == 0 {
                return Err("at least one edge and one server are needed".into());
            }
            let large = Scene { name: "fleet", edges, servers };
            let choice = Choice { only, large, registry };
            tokio::select! {
                () = acts::play(&mut report, &mut stage, &choice) => Ok(report.finish()),
                name = stopped() => Err(format!("ended by {}", name?).into()),
            }
        }
    }
}

/// Waits for a signal that ends the program.
async fn stopped() -> Played<&'static str> {
    let (mut int, mut term, mut hup) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    );
    tokio::select! {
        _ = int.recv() => Ok("Ctrl-C"),
        _ = term.recv() => Ok("SIGTERM"),
        _ = hup.recv() => Ok("SIGHUP"),
    }
}

//! The program `mamba-bench`: load on a real hub from the real code of many edges, and its figures.

mod api;
mod client;
mod console;
mod criterion_figures;
mod daemon;
mod edge;
mod engine;
mod fleet;
mod game;
mod hub;
mod link;
mod misses;
mod node;
mod panel;
mod process;
mod proxy;
mod report;

use clap::{Parser, Subcommand};
use std::{error::Error, path::PathBuf, process::ExitCode};

/// What this program returns: it ends with the first thing that goes wrong, said in words.
type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Puts load on a real hub and writes figures")]
struct Args {
    /// Where `mamba-hub` is.
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// Where figures are written.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Shorter looks and a smaller fleet: minutes, and figures that vary more.
    #[arg(long, global = true)]
    quick: bool,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Sessions of many nodes: facts, acks, memory, bytes, the return of all at once.
    Fleet(fleet::Size),
    /// Requests on the HTTP API, with and without half of the nodes black-holed.
    Api(fleet::Size),
    /// One node with real containers: memory, CPU, starts, consoles, boot without the hub.
    Node,
    /// The line to the hub: bytes, and what a bad one does to a backlog and a console.
    Link,
    /// The panel's first load in a browser.
    Panel,
    /// Writes report.md and report.json from everything that was measured.
    Report,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            report::say(&format!("mamba-bench: {err}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome {
    std::fs::create_dir_all(&args.out)?;
    let runtime = tokio::runtime::Runtime::new()?;
    match &args.part {
        Part::Fleet(size) => {
            let size = size.or(if args.quick { (500, 10) } else { (5_000, 10) });
            let figures = runtime.block_on(fleet::run(&args.programs, &args.out, size, args.quick));
            report::write_part(&args.out, "fleet", args.quick, figures?)
        }
        Part::Api(size) => {
            let size = size.or((100, 10));
            let figures = runtime.block_on(api::run(&args.programs, &args.out, size, args.quick));
            report::write_part(&args.out, "api", args.quick, figures?)
        }
        Part::Node => {
            let figures = runtime.block_on(node::run(&args.programs, &args.out, args.quick));
            report::write_part(&args.out, "node", args.quick, figures?)
        }
        Part::Link => {
            let figures = runtime.block_on(link::run(&args.programs, &args.out, args.quick));
            report::write_part(&args.out, "link", args.quick, figures?)
        }
        Part::Panel => {
            let figures = runtime.block_on(panel::run(&args.programs, &args.out));
            report::write_part(&args.out, "panel", args.quick, figures?)
        }
        Part::Report => report::write(&args.out),
    }
}

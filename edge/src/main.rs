//! Entry point: reads arguments and settings, then runs the daemon or asks it.

use clap::Parser as _;
use mamba_edge::{
    app,
    cli::{self, Args, Command, Outcome},
    config::Config,
};
use std::{process::ExitCode, time::Duration};

/// Exit code for arguments or settings that cannot be used, as clap's own.
const USAGE: u8 = 2;
/// Stack of a worker. What the engine says of a container is built on it, record in record: without
/// optimisation that fills the usual 2 MiB. Only what is used of it costs memory.
const STACK_BYTES: usize = 4 << 20;
/// Longest wait for what runs outside the runtime's tasks: a read of the terminal never ends.
const LEAVE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let args = Args::parse();
    let config = match Config::load(args.config.as_deref()) {
        Ok(config) => match &args.data {
            Some(data) => Config { data_dir: data.clone(), ..config },
            None => config,
        },
        Err(err) => {
            cli::complain(&err);
            return ExitCode::from(USAGE);
        }
    };
    let mut builder = match args.command {
        Command::Run => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    // Two threads carry hundreds of servers, and each costs memory on small nodes.
    let runtime =
        match builder.worker_threads(2).thread_stack_size(STACK_BYTES).enable_all().build() {
            Ok(runtime) => runtime,
            Err(err) => {
                cli::complain(&err);
                return ExitCode::from(Outcome::Failed.code());
            }
        };
    let outcome = runtime.block_on(run(&config, &args));
    runtime.shutdown_timeout(LEAVE);
    ExitCode::from(outcome.code())
}

async fn run(config: &Config, args: &Args) -> Outcome {
    let done = match &args.command {
        Command::Run => app::run(config).await,
        Command::Enrol { token, hub, name } => {
            app::enrol(config, token, hub.as_deref(), name.as_deref()).await
        }
        command => return cli::ask(config, args.json, command).await,
    };
    match done {
        Ok(()) => Outcome::Done,
        Err(err) => {
            cli::complain(&err);
            err.outcome()
        }
    }
}

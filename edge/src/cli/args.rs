//! What can be typed after `mamba-edge`.

use clap::{Parser, Subcommand, ValueEnum};
use mamba_core::lifecycle::PowerAction;
use std::path::PathBuf;

/// The node daemon of Mamba Host Panel, and the tool to look at it.
///
/// Everything but `enrol` works with the hub away. Exit codes: 0 done, 1 failed, 2 wrong usage,
/// 3 no such server, 4 the daemon is not running, 5 refused.
#[derive(Debug, Parser)]
#[command(name = "mamba-edge", version)]
pub struct Args {
    /// Settings file [default: /etc/mamba/edge.toml when it exists]
    #[arg(long, global = true, env = "MAMBA_EDGE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data directory, over the one in the settings
    #[arg(long, global = true)]
    pub data: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon until SIGTERM or SIGINT; game servers go on running
    Run,
    /// Make this machine a node of a hub, with a token from `mamba-hub node token`
    Enrol {
        /// The join token
        token: String,
        /// Address of the hub, host:port (UDP), over the one in the token
        #[arg(long)]
        hub: Option<String>,
        /// Name to suggest for the node [default: the host's name]
        #[arg(long)]
        name: Option<String>,
    },
    /// Show the daemon, the machine and the link in short
    Status,
    /// List the servers of this node
    Servers,
    /// Show one server: what is wanted, what is seen, and why it does not run
    Server {
        /// Name, id, or the beginning of the id
        server: String,
    },
    /// Start, stop, restart or kill a server
    Power {
        /// Name, id, or the beginning of the id
        server: String,
        /// What to do
        action: Power,
        /// Wait until it is so, at most this many seconds
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u64>,
    },
    /// Follow a console and type into it; ends with Ctrl-C or Ctrl-D
    Console {
        /// Name, id, or the beginning of the id
        server: String,
        /// Lines to show from before
        #[arg(long, short = 'n', default_value_t = 50)]
        lines: u32,
        /// Only read
        #[arg(long)]
        read_only: bool,
    },
    /// Print the last console lines
    Logs {
        /// Name, id, or the beginning of the id
        server: String,
        /// How many
        #[arg(long, short = 'n', default_value_t = 100)]
        lines: u32,
        /// Go on with what comes
        #[arg(long, short = 'f')]
        follow: bool,
    },
    /// Print the output of a server's install script
    InstallLog {
        /// Name, id, or the beginning of the id
        server: String,
    },
    /// End a server's install script; it has to be installed again then
    InstallCancel {
        /// Name, id, or the beginning of the id
        server: String,
    },
    /// Show usage that this node still keeps, newest first
    Usage {
        /// Name, id, or the beginning of the id [default: all servers]
        server: Option<String>,
    },
    /// Show what waits for the hub, per stream
    Outbox,
    /// Show the link to the hub
    Link,
    /// Show what happened on this node, newest first
    Facts {
        /// Name, id, or the beginning of the id [default: all servers]
        server: Option<String>,
    },
    /// Show servers that are being moved from or to this node, and how far that is
    Moves,
    /// Print numbers for Prometheus, for its node exporter's directory of text files
    Metrics,
    /// Check engine, disk, clock, permissions and reachability
    Doctor,
}

/// Power actions as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Power {
    /// Run it
    Start,
    /// Ask it to stop, kill it after its grace period
    Stop,
    /// Stop, then start
    Restart,
    /// End it now
    Kill,
}

impl From<Power> for PowerAction {
    fn from(power: Power) -> Self {
        match power {
            Power::Start => Self::Start,
            Power::Stop => Self::Stop,
            Power::Restart => Self::Restart,
            Power::Kill => Self::Kill,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_are_consistent() {
        <super::Args as clap::CommandFactory>::command().debug_assert();
    }
}

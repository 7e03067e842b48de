//! What can be typed.

use clap::{ArgGroup, Parser, Subcommand};
use mamba_core::access::AdminRight;
use std::path::PathBuf;

/// The centre of Mamba Host Panel.
#[derive(Debug, Parser)]
#[command(
    name = "mamba-hub",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong command line or config, 3 refused."
)]
pub(super) struct Args {
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Data directory of the hub.
    #[arg(long, global = true, value_name = "DIR", default_value = "/var/lib/mamba-hub")]
    pub(super) data: PathBuf,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the data directory, the keys and the first administrator.
    Init {
        /// E-mail address of the administrator.
        #[arg(long, value_name = "EMAIL", default_value = "admin@localhost")]
        admin: String,
        /// Take the password from the first line of this file; otherwise one is made and printed.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Run the hub.
    Serve {
        /// Config file; see hub.toml.example. It names the data directory.
        #[arg(long, value_name = "FILE", default_value = "/etc/mamba/hub.toml")]
        config: PathBuf,
    },
    /// Look after the config file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look after nodes.
    #[command(subcommand)]
    Node(NodeCommand),
    /// Look after logins of image registries that every node pulls with.
    #[command(subcommand)]
    Registry(RegistryCommand),
    /// Check and import game definitions: eggs of Pterodactyl and Pelican, and our own format.
    #[command(subcommand)]
    Blueprint(BlueprintCommand),
    /// Write a verified copy of the store, keys included, to a new file.
    Backup {
        /// The file.
        file: PathBuf,
    },
    /// Make a data directory from a copy.
    Restore {
        /// The copy.
        file: PathBuf,
    },
    /// Book the facts in quarantine that have become bookable.
    Requeue {
        /// The hub's clock is right, although facts came at a later time: it was ahead then.
        #[arg(long)]
        clock_is_right: bool,
    },
    /// Look after the audit trail.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// List the moves of servers between nodes that are not over, and what they wait for.
    Transfers,
    /// Look after what is sealed in the store.
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Make and delete accounts, help who is locked out, and say who administers the installation.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Look for what is wrong.
    Doctor,
    /// Compare what nodes reported with what is booked and billed, by tenant, day and meter.
    ///
    /// Fails when something does not add up. The hub may run.
    Reconcile {
        /// Show only the last days, with today (UTC). All records are checked all the same.
        #[arg(long, value_name = "N")]
        days: Option<u32>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check every chain and every anchor. Fails when something does not fit, and says where.
    Verify,
}

#[derive(Debug, Subcommand)]
pub(super) enum SecretsCommand {
    /// Replace the master key. May be cut off at any point and called again.
    Rotate,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a config file with every key, its unit and its default.
    PrintDefault,
    /// Print a legal page's template, to be edited: terms, privacy, refund, aup or dmca.
    PrintLegal {
        /// Which.
        page: String,
    },
    /// Check a config file, with the environment over it.
    Check {
        /// The file.
        #[arg(default_value = "/etc/mamba/hub.toml")]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Make an account; to be part of a tenant it is invited there.
    Create {
        /// E-mail address.
        email: String,
        /// Take the password from the first line of this file; otherwise one is made and printed.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Delete an account with its sessions, keys and memberships, for ever.
    ///
    /// The only owner of a tenant gives it away first.
    Delete {
        /// E-mail address.
        email: String,
    },
    /// Set the password, and end all sessions.
    ResetPassword {
        /// E-mail address of the account.
        email: String,
        /// Take the password from the first line of this file; otherwise one is made and printed.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Set what an account may do with the installation.
    #[command(group(ArgGroup::new("part").required(true).args(["root", "none", "rights"])))]
    Grant {
        /// E-mail address of the account.
        email: String,
        /// Everything, also what later versions add.
        #[arg(long)]
        root: bool,
        /// Nothing.
        #[arg(long)]
        none: bool,
        /// This right, for example `nodes.write`, and others given the same way.
        #[arg(long = "right", value_name = "RIGHT")]
        rights: Vec<AdminRight>,
    },
    /// Take authenticator app, recovery codes and passkeys off, and end all sessions.
    DisableSecondFactor {
        /// E-mail address of the account.
        email: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Make a token with which one machine can join within an hour.
    Token {
        /// Name of the node.
        name: Option<String>,
        /// The node whose place the machine takes, by name or id.
        #[arg(long, value_name = "NODE", conflicts_with = "name")]
        replaces: Option<String>,
        /// Host and port at which edges find the hub; the running hub knows it.
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
    },
    /// List all nodes.
    List,
    /// Show a node.
    Show {
        /// Name or id.
        node: String,
    },
    /// End a node's right to connect, for ever.
    Revoke {
        /// Name or id.
        node: String,
    },
    /// Delete a node that has no servers, for ever.
    Delete {
        /// Name or id.
        node: String,
        /// Give up what it holds and did not tell: facts, and servers that it was to clear away.
        #[arg(long)]
        force: bool,
    },
    /// Let a node out of quarantine: the daemon that connects next is the node.
    ApproveReplacement {
        /// Name or id.
        node: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum RegistryCommand {
    /// List all, without their passwords.
    List,
    /// Set the login for a host.
    Set {
        /// The exact host that images name, with its port, for example `ghcr.io`.
        host: String,
        /// Name of the account there.
        user: String,
        /// Take the password or token from the first line of this file; that of before stays without.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Forget the login for a host.
    Remove {
        /// The host.
        host: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum BlueprintCommand {
    /// Say of each file whether it can be imported and means the same after export. Needs no hub.
    Check {
        /// The files, JSON or YAML.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Store each file in the hub, as a new version when it has one of that name.
    Import {
        /// The files, JSON or YAML.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}

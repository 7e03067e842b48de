//! Pure: game definitions that servers are made from.

use mamba_core::server::{Limits, PortProtocol};
use serde::{Deserialize, Serialize};

/// One blueprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blueprint {
    /// Short name, by which it is asked for.
    pub blueprint: String,
    /// Name for people.
    pub title: String,
    /// What it is.
    pub description: String,
    /// Image that its servers run.
    pub image: String,
    /// What may or must be chosen.
    pub variables: Vec<Variable>,
    /// Transports of the ports that it needs, in the order in which allocations are given.
    pub ports: Vec<PortProtocol>,
    /// Least limits with which the game runs.
    pub limits_min: Limits,
}

/// Something that is chosen per server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Name in the environment.
    pub name: String,
    /// Name and meaning for people.
    pub description: String,
    /// Value when none is given; `null` when one must be given.
    pub default: Option<String>,
    /// What a value must look like, in words.
    pub rule: String,
}

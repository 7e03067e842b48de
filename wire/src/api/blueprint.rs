//! Pure: game definitions that servers are made from.

use mamba_core::{blueprint::Rule, server::PortProtocol};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One blueprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Blueprint {
    /// Short name, by which it is asked for.
    pub blueprint: String,
    /// Name for people.
    pub title: String,
    /// What it is.
    pub description: String,
    /// Images that its servers can run; the first one when none is chosen.
    pub images: Vec<Image>,
    /// What may or must be chosen.
    pub variables: Vec<Variable>,
    /// Transports of the ports that it needs, in the order in which allocations are given.
    pub ports: Vec<PortProtocol>,
}

/// One image to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// Name for people.
    pub label: String,
    /// Reference, by which it is chosen.
    pub image: String,
}

/// Something that is chosen per server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Variable {
    /// Name in the environment.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Meaning for people.
    pub description: String,
    /// Value when none is given.
    pub default: String,
    /// Whether who owns the server may change it.
    pub editable: bool,
    /// Rules that a value must keep, all of them.
    pub rules: Vec<Rule>,
}

//! Pure: game definitions that servers are made from.

use super::{RequestBody, page::unfiltered, params::params};
use mamba_core::{
    blueprint::{Rule, egg::Note},
    server::PortProtocol,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

params! {
    /// Which blueprints. Filters that are missing let everything through.
    BlueprintQuery {
        /// With this text in the short name or the title, in any case.
        name: Option<String>,
        /// With this tag.
        tag: Option<String>,
        /// With this feature, for example `eula`.
        feature: Option<String>,
        /// `blueprint` (default; the short name) or `title`; with `-` in front from the end.
        sort: Option<String>,
        /// Like [`super::PageQuery::after`].
        after: Option<String>,
        /// Like [`super::PageQuery::limit`].
        limit: Option<u32> where 1..=super::page::PAGE_ITEMS_MAX,
    }
}

unfiltered!(BlueprintQuery { name, tag, feature, sort });

/// One blueprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Blueprint {
    /// Short name, by which it is asked for.
    pub blueprint: String,
    /// Name for people.
    pub title: String,
    /// What it is.
    pub description: String,
    /// Its version; 0 for those that come with the product.
    pub version: u32,
    /// Who wrote it.
    pub author: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What the panel helps with.
    pub features: Vec<Feature>,
    /// Whether a script has to install the game first.
    pub has_install: bool,
    /// Images that its servers can run; the first one when none is chosen.
    pub images: Vec<Image>,
    /// What may or must be chosen.
    pub variables: Vec<Variable>,
    /// Transports of the ports that it needs, in the order in which allocations are given.
    pub ports: Vec<PortProtocol>,
}

/// Something that the panel helps with when the console asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Feature {
    /// Its name, for example `eula`.
    pub name: String,
    /// What a console line contains then, in lower case.
    pub signs: Vec<String>,
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

/// Body of [`super::table::ImportBlueprint`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportBlueprint {
    /// The file as it is: an egg of Pterodactyl or Pelican in JSON or YAML, or our own format.
    pub content: String,
}
impl RequestBody for ImportBlueprint {
    // An egg with its icon, in a JSON text.
    const BYTES_MAX: usize = 1 << 20;
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportedBlueprint {
    /// Short name under which it is known now.
    pub blueprint: String,
    /// Its version.
    pub version: u32,
    /// Whether this made a new version; the same content again makes none.
    pub is_new: bool,
    /// Format of the file.
    pub format: String,
    /// What was changed on the way, or is unusual.
    pub notes: Vec<Note>,
}

params! {
    /// How a blueprint is exported.
    ExportQuery {
        /// `ptdl_v2`, which Pterodactyl and Pelican read, or `mamba`, our own; `ptdl_v2` without.
        format: Option<String>,
    }
}

/// A blueprint as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportedBlueprint {
    /// Name for the file.
    pub file_name: String,
    /// The file.
    pub content: String,
}

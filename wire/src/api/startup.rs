//! Pure: how a server starts, and what can be chosen for it.

use super::blueprint::Image;
use mamba_core::server::{AutoStart, RestartPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a server starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Startup {
    /// Its start line with values in it, `[hidden]` for secret ones; `null` when it is not known.
    pub line: Option<String>,
    /// Its start line with placeholders, by which it is chosen.
    pub template: Option<String>,
    /// Whether an administrator wrote the line, whatever the blueprint lists.
    pub template_is_own: bool,
    /// Lines to choose from; none when there is just one.
    pub templates: Vec<StartLine>,
    /// Image that it runs; `null` when it is not known.
    pub image: Option<String>,
    /// Whether an administrator named an image that its blueprint does not list; only administrators
    /// change it then.
    pub image_is_own: bool,
    /// Images to choose from.
    pub images: Vec<Image>,
    /// Whether it starts with its node.
    pub auto_start: AutoStart,
    /// What happens when it ends by itself.
    pub restart: RestartPolicy,
}

/// One start line to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartLine {
    /// Name for people.
    pub label: String,
    /// The line with placeholders.
    pub template: String,
}

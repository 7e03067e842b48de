//! Pure: whether the hub works.

use mamba_core::clock::UnixMs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// State of the hub. Sent with 503 when `ok` is false.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Whether it can serve.
    pub ok: bool,
    /// Version of the program.
    pub version: String,
    /// When it came up.
    pub started_at: UnixMs,
    /// Milliseconds since then, by a clock that does not step.
    pub uptime_ms: u64,
    /// The store.
    pub store: Part,
    /// The link's listener.
    pub link: Part,
    /// Nodes with a live session.
    pub nodes_connected: u32,
}

/// State of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Whether it works.
    pub ok: bool,
    /// What is wrong, or what there is to say.
    pub detail: String,
}

/// Whether the hub can serve, for load balancers. Sent with 503 when `ok` is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Healthz {
    /// Whether it can.
    pub ok: bool,
}

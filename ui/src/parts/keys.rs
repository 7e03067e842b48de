//! The permission matrix: what somebody may do with a server, by groups.

use super::{Chosen, Tick, ticks};
use mamba_core::access::ServerKey;
use std::collections::BTreeSet;
use sycamore::prelude::*;

impl Tick {
    /// Returns the box of a key.
    pub(super) fn of_key(key: ServerKey) -> Self {
        Self { name: key.name(), about: key.description(), group: key.group() }
    }
}

/// Begins with these keys.
pub(crate) fn choose_keys(keys: &BTreeSet<ServerKey>) -> Chosen {
    create_signal(keys.iter().map(|it| it.name()).collect())
}

/// Returns the keys that are chosen.
pub(crate) fn chosen_keys(chosen: Chosen) -> BTreeSet<ServerKey> {
    chosen.with_untracked(|it| it.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Boxes for all keys but `websocket.connect`, which is not chosen: without it nothing is seen.
pub(crate) fn matrix(chosen: Chosen) -> View {
    let shown = ServerKey::ALL.iter().copied().filter(|it| *it != ServerKey::WebsocketConnect);
    ticks(shown.map(Tick::of_key).collect(), chosen)
}

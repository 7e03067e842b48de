//! What is seen of the machine, and what is wrong with it.

mod doctor;
mod look;

pub use doctor::{Doctor, Findings};
pub use look::{Look, Machine, unseen, watch_servers};

use mamba_core::db::StoreHealth;

/// Below this the disk is named as a trouble: a hundredth of it, but at least 256 MiB.
fn is_disk_low(bytes: u64, free_bytes: u64) -> bool {
    free_bytes < (bytes / 100).max(256 << 20).min(bytes)
}

/// Says how much room is left.
fn room(bytes: u64, free_bytes: u64) -> String {
    let what = format!("{} of {} MiB are free", free_bytes >> 20, bytes >> 20);
    if is_disk_full(free_bytes) { format!("the disk is full, {what}") } else { what }
}

/// Below this nothing that a game writes fits any more.
fn is_disk_full(free_bytes: u64) -> bool {
    free_bytes < 1 << 20
}

/// Returns what is wrong with the node at the moment, most serious first, one line each.
///
/// `engine` is the error of the last question to the engine, `calendar` what the calendar says about
/// the system's clock.
#[must_use]
fn troubles(
    engine: Option<&str>,
    store: &StoreHealth,
    disk: Option<(u64, u64)>,
    calendar: Option<String>,
) -> Vec<String> {
    let mut troubles = Vec::new();
    if let Some(error) = engine {
        troubles.push(format!("{error}; servers that run go on, none can be started"));
    }
    if !store.can_write() {
        let what = "nothing new is recorded until this ends; servers go on";
        troubles.push(format!("store: {store}; {what}"));
    }
    if let Some((bytes, free)) = disk
        && is_disk_low(bytes, free)
    {
        troubles.push(format!("disk: {}", room(bytes, free)));
    }
    troubles.extend(calendar);
    troubles
}

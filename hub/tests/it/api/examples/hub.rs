//! Examples: the hub itself.

use super::{super::world::NO_PAGE, Example, Seed, examples};
use mamba_core::{
    clock::{Clock as _, SystemEntropy, draw},
    db::WriteError,
    ids::EventId,
};
use mamba_hub::HubError;
use mamba_hub::store::{ALARMS, Alarm};
use mamba_wire::api::hub::AlarmPath;

async fn raised(seed: &Seed<'_>) -> AlarmPath {
    let now = seed.world.clock.wall();
    let alarm = EventId::new(now, draw(&SystemEntropy));
    let (node, server, text) = (Some(seed.node()), None, "seen".to_owned());
    let row = Alarm { at: now, node, server, text, count: 1, last_at: now };
    let written = seed.world.hub.store().write(move |txn| Ok(txn.put(ALARMS, &alarm, &row)?));
    written.await.map_err(|err: WriteError<HubError>| err).unwrap();
    AlarmPath { alarm }
}

examples! {
    ListChecks, _seed => Example::new((), (), ());
    ListAlarms, _seed => Example::new((), NO_PAGE, ());
    ClearAlarm, seed => Example::new(raised(seed).await, (), ());
    ListPermissions, _seed => Example::new((), (), ());
    ListSettings, _seed => Example::new((), (), ());
}

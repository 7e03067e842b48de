//! Examples: mails that were not sent.

use super::{super::world::NO_PAGE, CANARY, Example, Seed, examples};
use mamba_core::{
    clock::{Clock as _, SystemEntropy, draw},
    ids::EventId,
};
use mamba_hub::mail::{self, Letter};
use mamba_wire::api::mail::MailPath;

async fn spooled(seed: &Seed<'_>) -> MailPath {
    let now = seed.world.clock.wall();
    let id = EventId::new(now, draw(&SystemEntropy));
    let letter = Letter::Added { to: CANARY.to_owned() };
    let to = seed.email();
    let store = seed.world.hub.store();
    store.write(move |txn| mail::queue(txn, now, id, &to, &letter)).await.unwrap();
    MailPath { mail: id }
}

examples! {
    ListMails, _seed => Example::new((), NO_PAGE.into(), ());
    DeleteMail, seed => Example::new(spooled(seed).await, (), ());
}

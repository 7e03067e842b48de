//! Gauges of a server for somebody who looks at it, as long as they look.

use super::{Doors, players::place, send, to_frame};
use crate::{calendar::Calendar, meter::LiveSample, runtime::Runtime};
use futures_util::future::BoxFuture;
use mamba_core::{clock::BootMs, ids::ServerId, lifecycle::ServerState, players::Query};
use mamba_wire::{
    net::frames::{FrameStream, FramedError},
    node::{Answer, GAUGES_MS, Gauges, NodeError, NodeReply},
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Time for the meter to look at everything, before what it saw is told. What takes longer is told
/// the next time, with its own age.
const LOOK_MS: u64 = 150;

const _: () = assert!(LOOK_MS * 4 < GAUGES_MS);

/// How often people make the meter look: once in [`GAUGES_MS`], however many they are.
#[derive(Debug, Default)]
pub struct Pace {
    /// When it was made to look last, in milliseconds since the boot.
    last_ms: AtomicU64,
}

impl Pace {
    /// Whether it is time for another look, which the caller then asks for.
    fn takes_turn(&self, now: BootMs) -> bool {
        let is_due = |last: u64| {
            // Timers are a little early or late: two askers must not halve the pace by turns.
            let is_due = last == 0 || now.0.saturating_sub(last) + LOOK_MS >= GAUGES_MS;
            is_due.then_some(now.0)
        };
        self.last_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_due).is_ok()
    }
}

impl<R: Runtime> Doors<R> {
    /// Tells what a server uses until the asker ends the stream.
    pub(super) async fn gauges(
        &self,
        server: ServerId,
        query: Option<Query>,
        mut stream: FrameStream,
    ) -> Result<(), FramedError> {
        let mut due = interval(Duration::from_millis(GAUGES_MS));
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The game is asked meanwhile: it may be slow.
        let mut asking: Option<BoxFuture<'_, ()>> = None;
        loop {
            tokio::select! {
                _ = due.tick() => {}
                () = async { if let Some(asking) = &mut asking { asking.await } }, if asking.is_some() => {
                    asking = None;
                    continue;
                }
                // The asker has nothing more to say: this is its end.
                ended = stream.reader.next() => {
                    ended?;
                    return stream.writer.finish().await;
                }
            }
            if self.pace.takes_turn(self.clock.boot()) {
                self.machine.meter.look();
                sleep(Duration::from_millis(LOOK_MS)).await;
            }
            let Some(gauges) = self.gauges_now(server) else {
                send(&mut stream, &NodeReply::Err(NodeError::NoSuchServer(server))).await?;
                return stream.writer.finish().await;
            };
            if asking.is_none() && gauges.state == ServerState::Running {
                asking = query.and_then(|query| self.ask(server, query));
            }
            let reply = NodeReply::Ok(Box::new(Answer::Gauges(gauges)));
            stream.writer.send(&to_frame(&reply)?).await?;
        }
    }

    /// Returns an asking of the game for its players, if it is time for one.
    fn ask(&self, server: ServerId, query: Query) -> Option<BoxFuture<'_, ()>> {
        if !self.games.takes_turn(server, self.clock.boot()) {
            return None;
        }
        let spec = self.supervisor.detail(server).ok()?.spec?;
        let place = place(query, spec.ports.first())?;
        Some(Box::pin(self.games.ask(server, query, place, self.calendar.now())))
    }

    fn gauges_now(&self, server: ServerId) -> Option<Gauges> {
        let (state, since) =
            self.supervisor.observed().borrow().get(&server).map(|it| (it.state, it.since))?;
        let is_up = state == ServerState::Running;
        let unseen = || LiveSample { at: self.calendar.now(), ..LiveSample::default() };
        let live = self.machine.meter.current(server).unwrap_or_else(unseen);
        Some(Gauges {
            server,
            at: live.at,
            state,
            memory_bytes: live.memory_bytes,
            cpu_millicores: live.cpu_millicores,
            sent_bytes_per_s: live.sent_bytes_per_s,
            disk: live.disk,
            players: self.games.known(server, since, self.calendar.now()).filter(|_| is_up),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_who_look_make_the_meter_look_as_often_as_one() {
        let pace = Pace::default();
        let looks = |step_ms: usize| {
            (100_000..160_000).step_by(step_ms).filter(|now| pace.takes_turn(BootMs(*now))).count()
        };
        assert_eq!(looks(2_000), 30, "one asker");
        let pace = Pace::default();
        let all = (100_000..160_000).step_by(100).filter(|now| pace.takes_turn(BootMs(*now)));
        assert!((30..=33).contains(&all.count()), "twenty askers");
    }
}

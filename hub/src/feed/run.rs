//! One feed, from the upgrade to the close.

use super::{
    Viewer,
    looks::{About, Sight, TABLES, Waiting},
    taps::Taps,
};
use crate::relay::{Gone, closed, deliver, leave, send};
use futures_util::{Sink, Stream, StreamExt as _};
use mamba_core::{
    db::{Followed, Follower},
    ids::NodeId,
};
use mamba_wire::api::{
    LinkState,
    console::{CLOSE_ENDED, CLOSE_MALFORMED, CLOSE_SHUTDOWN, CLOSE_SIGNED_OUT, CLOSE_TOO_MANY},
    feed::{BEAT_MS, FeedMessage, FeedSend, Topic},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::{Interval, MissedTickBehavior, interval};
use warp::ws::Message;

/// Time between two messages of changes. What changes meanwhile is told at once.
const GATHER_MS: u64 = 200;
/// How often links of nodes are compared.
const TICK_MS: u64 = 1_000;
/// Ticks between two looks at session and rights. Well within the 5 s in which revoked access has to
/// end.
const LOOK_TICKS: u32 = 2;
/// Ticks between two signs of life, each with a ping.
const BEAT_TICKS: u32 = 8;
/// Ticks without a sign of the peer after which it is gone: some pings without an answer.
const SILENT_TICKS_MAX: u32 = 60;

const _: () = assert!(BEAT_TICKS as u64 * TICK_MS < BEAT_MS);
const _: () = assert!(LOOK_TICKS as u64 * TICK_MS <= 2_500);

/// Why a feed ends: the close code, and a sentence for people.
struct End {
    code: u16,
    error: Option<&'static str>,
}

impl End {
    fn new(code: u16, error: &'static str) -> Self {
        Self { code, error: Some(error) }
    }

    fn quiet(code: u16) -> Self {
        Self { code, error: None }
    }
}

/// Tells until either side ends. Never fails: every end is told to the peer if it is there.
pub(crate) async fn run<S>(mut socket: S, viewer: Viewer)
where
    S: Stream<Item = Result<Message, warp::Error>> + Sink<Message, Error = warp::Error> + Unpin,
{
    let place = viewer.places.enter(viewer.user);
    let end = if place.is_some() {
        Feed::new(&viewer).tell(&mut socket).await
    } else {
        Ok(End::new(CLOSE_TOO_MANY, "too many feeds are open"))
    };
    if let Ok(End { code, error }) = end {
        let last = error.map(|error| FeedMessage::Error(error.to_owned()));
        leave(&mut socket, last, code).await;
    }
    drop(place);
}

/// The state of one feed.
struct Feed<'a> {
    viewer: &'a Viewer,
    follower: Follower,
    taps: Taps,
    wanted: BTreeSet<Topic>,
    sight: Sight,
    waiting: Waiting,
    /// Links as they were told.
    links: BTreeMap<NodeId, LinkState>,
    ticks: u32,
    silent_ticks: u32,
}

impl<'a> Feed<'a> {
    fn new(viewer: &'a Viewer) -> Self {
        Self {
            // Before anything is looked at, so that no change falls between.
            follower: viewer.hub.store().follow(&TABLES),
            taps: Taps::new(viewer.hub.clone(), viewer.links.clone(), viewer.user),
            wanted: BTreeSet::new(),
            sight: Sight::default(),
            waiting: Waiting::default(),
            links: viewer.hub.live().link_states(viewer.hub.now()),
            ticks: 0,
            silent_ticks: 0,
            viewer,
        }
    }

    async fn tell<S>(mut self, socket: &mut S) -> Result<End, Gone>
    where
        S: Stream<Item = Result<Message, warp::Error>> + Sink<Message, Error = warp::Error> + Unpin,
    {
        let mut closing = self.viewer.places.closing();
        let mut ended = self.viewer.identity.ended();
        let (mut tick, mut gather) = (every(TICK_MS), every(GATHER_MS));
        loop {
            let end = tokio::select! {
                () = closed(&mut closing) => Some(End::quiet(CLOSE_SHUTDOWN)),
                _ = ended.changed() => self.look_again(),
                _ = tick.tick() => {
                    let end = self.on_tick();
                    if end.is_none() && self.ticks.is_multiple_of(BEAT_TICKS) {
                        self.beat(socket).await?;
                    }
                    end
                }
                followed = self.follower.next() => self.on_followed(followed),
                gauges = self.taps.next() => {
                    self.waiting.gauge(gauges);
                    None
                }
                _ = gather.tick(), if self.waiting.is_any() => {
                    for message in self.waiting.take() {
                        send(socket, &message).await?;
                    }
                    None
                }
                message = socket.next() => {
                    let Some(Ok(message)) = message else { return Err(Gone) };
                    self.on_message(&message)
                }
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    fn on_tick(&mut self) -> Option<End> {
        self.ticks += 1;
        self.silent_ticks += 1;
        if self.silent_ticks > SILENT_TICKS_MAX {
            return Some(End::quiet(CLOSE_ENDED));
        }
        let links = self.viewer.hub.live().link_states(self.viewer.hub.now());
        for (node, link) in &links {
            if self.links.get(node) != Some(link) {
                let is_listed = self.viewer.lists_some_of(&self.sight, *node);
                self.waiting.change(self.sight.of_link(*node, is_listed));
            }
        }
        self.links = links;
        if self.ticks.is_multiple_of(LOOK_TICKS) { self.look_again() } else { None }
    }

    async fn beat<S>(&self, socket: &mut S) -> Result<(), Gone>
    where
        S: Sink<Message, Error = warp::Error> + Unpin,
    {
        deliver(socket, Message::ping(Vec::new())).await?;
        send(socket, &FeedMessage::Beat(self.viewer.hub.now())).await
    }

    fn on_followed(&mut self, followed: Option<Followed>) -> Option<End> {
        match followed {
            Some(Followed::Keys(keys)) => {
                for about in keys.iter().filter_map(About::key) {
                    self.waiting.change(self.sight.of(about));
                }
                None
            }
            Some(Followed::Missed) => {
                self.waiting.miss();
                None
            }
            None => Some(End::quiet(CLOSE_SHUTDOWN)),
        }
    }

    fn on_message(&mut self, message: &Message) -> Option<End> {
        self.silent_ticks = 0;
        if message.is_close() {
            return Some(End::quiet(CLOSE_ENDED));
        }
        if message.is_ping() || message.is_pong() {
            return None;
        }
        let text = message.to_str().map_err(|()| "messages must be text");
        match text.and_then(FeedSend::read) {
            Ok(FeedSend::Look(topics)) => {
                self.wanted = topics.into_iter().collect();
                let end = self.look_again();
                // Said also when nothing is new: the viewer waits for the answer.
                self.waiting.look(&self.sight);
                end
            }
            Err(rule) => Some(End::new(CLOSE_MALFORMED, rule)),
        }
    }

    /// Looks again at what may be seen, and tells what is new about it.
    fn look_again(&mut self) -> Option<End> {
        let Some(sight) = self.viewer.look(&self.wanted) else {
            return Some(End::new(CLOSE_SIGNED_OUT, "the session ended"));
        };
        if sight == self.sight {
            return None;
        }
        if !sight.topics.keys().eq(self.sight.topics.keys()) {
            self.waiting.look(&sight);
        }
        let lists = (&self.sight.seen, &sight.seen);
        if matches!(lists, (Some(old), Some(new)) if old != new) {
            self.waiting.change([Topic::Servers]);
        }
        self.taps.turn(&sight.gauges());
        self.sight = sight;
        None
    }
}

fn every(ms: u64) -> Interval {
    let mut interval = interval(Duration::from_millis(ms));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

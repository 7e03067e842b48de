//! The live feed: one socket of the whole page, over which the hub says what changed. It carries no state
//! but gauges: who hears of a change reads again, as it does by itself while there is no feed. So a feed
//! that is lost, or says too little, makes the page slower and never wrong.

mod gauges;
mod told;
mod turn;

pub(crate) use gauges::{STALE_MS, Series, seconds};

use crate::reactive::selector;
use crate::{net::Socket, session::Session, time};
use crate::{reactive::effect, time::Ticking};
use mamba_core::ids::ServerId;
use mamba_wire::{
    api::{
        console::CLOSE_SIGNED_OUT,
        feed::{BEAT_MS, FeedMessage, FeedSend, Topic},
        runtime::RecentResources,
        table,
    },
    node::Gauges,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};
use sycamore::{futures::spawn_local, prelude::*};
use told::Told;

/// Pause before a feed that was lost is opened again; doubles up to the maximum.
const REOPEN_MS_MIN: u32 = 1_000;
const REOPEN_MS_MAX: u32 = 30_000;
/// How often the page looks whether it has something to say to the hub.
const STEP_MS: u32 = 200;
/// A feed over which nothing came for so long is lost: the hub gives a sign of life more often.
const SILENT_MS_MAX: u64 = 3 * BEAT_MS;

/// The feed of this page.
#[derive(Clone, Copy)]
pub(crate) struct Feed {
    told: Signal<Told>,
    /// The newest gauges of each server that is looked at, and those before.
    series: Signal<Series>,
    /// The newest gauges of each server of a list.
    latest: Signal<BTreeMap<ServerId, Gauges>>,
}

/// The newest gauges of servers.
pub(crate) type Latest = ReadSignal<BTreeMap<ServerId, Gauges>>;

/// What somebody follows.
#[derive(Clone, Copy)]
pub(crate) struct Following {
    /// Whether the hub tells of it. Otherwise one has to ask.
    pub(crate) is_told: ReadSignal<bool>,
    /// Changes whenever it changed.
    pub(crate) changes: ReadSignal<u32>,
}

impl Feed {
    /// Begins: opens a feed while somebody is signed in and looks at something. Call once, in the root.
    pub(crate) fn start(session: Session) -> Self {
        let feed = Self {
            told: create_signal(Told::default()),
            series: create_signal(Series::default()),
            latest: create_signal(BTreeMap::new()),
        };
        provide_context(feed);
        if cfg!(target_arch = "wasm32") {
            spawn_local(feed.keep_open(session));
        }
        feed
    }

    /// Looks at something as long as the component lives.
    pub(crate) fn follow(self, topic: Topic) -> Following {
        self.told.update_silent(|told| told.want(topic));
        on_cleanup(move || self.told.update_silent(|told| told.leave(topic)));
        let is_told = selector(move || self.told.with(|told| told.is_told(topic)));
        let changes = selector(move || self.told.with(|told| told.changes(topic)));
        Following { is_told, changes }
    }

    /// Looks at what a server uses as long as the component lives. The signal changes with each gauge.
    pub(crate) fn gauges(self, server: ServerId) -> ReadSignal<Series> {
        let topic = Topic::Gauges(server);
        self.told.update_silent(|told| told.want(topic));
        // What was seen of another server is not this one's past.
        if self.series.with_untracked(|series| !series.is_of(server)) {
            self.series.set(Series::of(server));
        }
        on_cleanup(move || self.told.update_silent(|told| told.leave(topic)));
        *self.series
    }

    /// Takes what a node remembers of a server that is looked at.
    pub(crate) fn recall(self, recent: RecentResources) {
        self.series.update(|series| series.recall(recent.server, recent.moments));
    }

    /// Looks at what many servers use as long as the component lives: in turn, when they are more than a feed
    /// carries. Of those that are no longer among them nothing is kept.
    pub(crate) fn in_turn(self, servers: impl Fn() -> Vec<ServerId> + 'static) -> Latest {
        let ticking = use_context::<Ticking>().0;
        let servers = selector(servers);
        let turn = selector(move || {
            let now = ticking.get();
            servers.with(|servers| turn::turn(servers, now).to_vec())
        });
        let looking = Rc::new(RefCell::new(Vec::new()));
        let look = move |next: Vec<ServerId>| {
            let before = looking.replace(next.clone());
            self.told.update_silent(|told| {
                next.iter().for_each(|it| told.want(Topic::Gauges(*it)));
                before.iter().for_each(|it| told.leave(Topic::Gauges(*it)));
            });
        };
        let look_on = look.clone();
        effect(move || look_on(turn.get_clone()));
        effect(move || {
            let servers = servers.get_clone();
            self.latest.update(|latest| latest.retain(|server, _| servers.contains(server)));
        });
        on_cleanup(move || look(Vec::new()));
        *self.latest
    }

    async fn keep_open(self, session: Session) {
        let mut pause = REOPEN_MS_MIN;
        loop {
            if session.me().is_none() || !self.told.with_untracked(Told::is_wanted) {
                time::sleep(STEP_MS).await;
                continue;
            }
            if let Ok(ticket) = session.call::<table::CreateFeedTicket>((), (), ()).await {
                let (code, was_good) = self.tell(session, &ticket.target).await;
                if was_good {
                    pause = REOPEN_MS_MIN;
                }
                if code == Some(CLOSE_SIGNED_OUT) {
                    // Who signs out here is told so as well, perhaps before the answer to that.
                    time::sleep(REOPEN_MS_MIN).await;
                    if session.me().is_some() {
                        session.renew().await;
                    }
                }
            }
            self.told.update(Told::lose);
            time::sleep(time::jittered(pause)).await;
            pause = (pause * 2).min(REOPEN_MS_MAX);
        }
    }

    /// Keeps one feed until it ends. Returns its close code, if it said one, and whether it ever worked.
    async fn tell(self, session: Session, target: &str) -> (Option<u16>, bool) {
        let heard = Rc::new(Cell::new(time::now()));
        let ended = Rc::new(Cell::new(None::<u16>));
        let was_good = Rc::new(Cell::new(false));
        let received = {
            let (heard, was_good) = (heard.clone(), was_good.clone());
            move |text: String| {
                heard.set(time::now());
                session.hear();
                // What a newer hub says beside this is not for this page.
                if let Ok(message) = serde_json::from_str::<FeedMessage>(&text) {
                    was_good.set(was_good.get() || matches!(message, FeedMessage::Looking(_)));
                    self.take(message);
                }
            }
        };
        let closed = {
            let ended = ended.clone();
            move |code| ended.set(Some(code))
        };
        let Some(socket) = Socket::open(target, received, closed) else { return (None, false) };
        let mut sent = None;
        loop {
            // Nobody looks at the numbers of a page that is hidden: its nodes need not send them.
            let is_seen = !document().hidden();
            let asks = (self.told.with_untracked(Told::asks), is_seen);
            if sent != Some(asks) {
                let mut wanted = self.told.with_untracked(Told::wanted);
                wanted.retain(|topic| is_seen || !matches!(topic, Topic::Gauges(_)));
                let message = FeedSend::Look(wanted);
                let text = serde_json::to_string(&message).unwrap_or_default();
                if socket.send(&text) {
                    sent = Some(asks);
                }
            }
            time::sleep(STEP_MS).await;
            let is_silent = time::now().since(heard.get()) > SILENT_MS_MAX;
            // A line that is dead and not closed: the next request would find that out late.
            if is_silent && session.is_silent(SILENT_MS_MAX) {
                session.lose();
            }
            if ended.get().is_some() || is_silent || session.me().is_none() {
                return (ended.get(), was_good.get());
            }
        }
    }

    fn take(self, message: FeedMessage) {
        match message {
            FeedMessage::Looking(topics) => self.told.update(|told| told.look(topics)),
            FeedMessage::Changed(topics) => self.told.update(|told| told.change(&topics)),
            FeedMessage::Missed(_) => self.told.update(Told::miss),
            FeedMessage::Gauges(gauges) => self.gauge(gauges),
            FeedMessage::Beat(_) | FeedMessage::Error(_) => {}
        }
    }

    fn gauge(self, gauges: Gauges) {
        if self.series.with_untracked(|series| series.is_of(gauges.server)) {
            self.series.update(|series| series.push(gauges));
        }
        if self.told.with_untracked(|told| told.wants(Topic::Gauges(gauges.server))) {
            self.latest.update(|latest| {
                latest.insert(gauges.server, gauges);
            });
        }
    }
}

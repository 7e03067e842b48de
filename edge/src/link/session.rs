//! The shell around [`EdgeSession`]: moves frames and runs what the session asks for.

use crate::link::{
    backend::{BackendError, Dispatcher, EdgeBackend, View, refuse},
    dial::rebind,
    status::Status,
};
use mamba_core::{
    clock::{BootMs, Clock},
    error::chain,
};
use mamba_wire::{
    frame::Frame,
    link::v1::BATCHES_IN_FLIGHT_MAX,
    net::{
        endpoint::BULK_PRIORITY,
        frames::{FrameStream, FramedError, FramedReader, FramedWriter},
    },
    node::{Ask, NodeError},
    session::{EdgeAsk, EdgeOut, EdgeSession, End, Lane, Own, ProtocolError, StateDelta},
};
use quinn::{Connection, Endpoint, RecvStream, SendStream, VarInt};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    io::AsyncRead,
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Frames that wait for the hub to read control. A hub that is further behind does not read at all.
const CONTROL_FRAMES_MAX: usize = 64;
/// A session ends after this and the next begins at once, with a new look at the certificates.
const SESSION_MS_MAX: u64 = 24 * 3_600_000;
/// Without a word from the hub for so long (it pings every 20 s), the socket is replaced once: the
/// network may have changed below it.
const REBIND_MS: u64 = 27_000;
/// Time for the first frame of a request.
const REQUEST_MS_MAX: u64 = 10_000;
/// Answers to people take turns with money, packet by packet: neither a backlog of facts nor a flood of
/// lines keeps the other waiting.
const REQUEST_PRIORITY: i32 = 1;

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It is time for a new handshake.
    Rehandshake,
    /// The daemon stops.
    Stopping,
    /// Anything else.
    End(End),
}

/// What a session needs of the link.
pub(super) struct Parts<'a, B, D> {
    pub(super) backend: &'a Arc<B>,
    pub(super) dispatcher: &'a Arc<D>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) status: &'a Status,
    pub(super) endpoint: &'a Endpoint,
    pub(super) rebind: &'a Notify,
    /// Whether the socket is a real one, which can be replaced by another.
    pub(super) may_rebind: bool,
    pub(super) hub: String,
}

struct Shell<'a, B, D> {
    parts: Parts<'a, B, D>,
    connection: Connection,
    session: EdgeSession,
    lanes: BTreeMap<Lane, mpsc::Sender<Frame>>,
    writers: JoinSet<()>,
    requests: JoinSet<()>,
    state: StateDelta,
    view: watch::Receiver<Arc<View>>,
    /// When the next state report is due. `None` when nothing changed.
    state_due: Option<BootMs>,
    heard: BootMs,
    is_rebound: bool,
}

/// Runs a session on a fresh connection until it ends, and closes the connection.
pub(super) async fn run<B: EdgeBackend, D: Dispatcher>(
    parts: Parts<'_, B, D>,
    connection: Connection,
    own: Own,
    stop: &mut watch::Receiver<bool>,
) -> Ended {
    let now = parts.clock.boot();
    let (send, receive) = match connection.open_bi().await {
        Ok(streams) => streams,
        Err(err) => return Ended::End(End::Lost(chain(&err))),
    };
    let (control, frames) = mpsc::channel(CONTROL_FRAMES_MAX);
    let mut writers = JoinSet::new();
    writers.spawn(write(send, priority(Lane::Control), frames));
    let view = parts.backend.view();
    let mut shell = Shell {
        parts,
        connection: connection.clone(),
        session: EdgeSession::new(own, now),
        lanes: BTreeMap::from([(Lane::Control, control)]),
        writers,
        requests: JoinSet::new(),
        state: StateDelta::default(),
        view,
        state_due: None,
        heard: now,
        is_rebound: false,
    };
    let ended = shell.run(FramedReader::new(receive), stop).await;
    let (code, why) = match &ended {
        Ended::Rehandshake => (0, "time for a new handshake".to_owned()),
        Ended::Stopping => (0, "edge stops".to_owned()),
        Ended::End(end) => (end.close_code(), chain(end)),
    };
    connection.close(VarInt::from_u32(code), why.as_bytes());
    ended
}

impl<B: EdgeBackend, D: Dispatcher> Shell<'_, B, D> {
    async fn run(
        &mut self,
        mut control: FramedReader<RecvStream>,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        let mut facts = self.parts.backend.facts_added();
        let end_at = self.parts.clock.boot().plus(SESSION_MS_MAX);
        loop {
            if let Err(end) = self.drain().await {
                return Ended::End(end);
            }
            let due = self.due().min(end_at);
            let reports = self.reports_now();
            let state = self.lanes.get(&Lane::State).cloned();
            let wait = Duration::from_millis(due.since(self.parts.clock.boot()));
            let result = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ended::Stopping,
                () = self.parts.rebind.notified() => { self.rebind(); Ok(()) }
                frame = control.next() => self.on_control(frame),
                added = facts.changed() => self.on_facts_added(added.is_ok()),
                changed = self.view.changed() => self.on_view(changed.is_ok()),
                Some(permit) = room(state), if reports => { self.report(permit); Ok(()) }
                Some(_) = self.requests.join_next() => Ok(()),
                streams = self.connection.accept_bi() => match streams {
                    Ok(streams) => { self.on_request(streams); Ok(()) }
                    Err(err) => Err(End::Lost(chain(&err))),
                },
                () = sleep(wait) => {
                    if self.parts.clock.boot() >= end_at {
                        return Ended::Rehandshake;
                    }
                    self.on_deadline()
                }
            };
            if let Err(end) = result {
                return Ended::End(end);
            }
        }
    }

    /// Returns when something has to be done even if nothing comes.
    fn due(&self) -> BootMs {
        let mut due = self.session.next_deadline();
        if !self.is_rebound {
            due = due.min(self.heard.plus(REBIND_MS));
        }
        match self.state_due {
            Some(state) if self.session.is_up() && !self.reports_now() => due.min(state),
            Some(_) | None => due,
        }
    }

    fn reports_now(&self) -> bool {
        let now = self.parts.clock.boot();
        self.session.is_up() && self.state_due.is_some_and(|due| due <= now)
    }

    fn on_deadline(&mut self) -> Result<(), End> {
        let now = self.parts.clock.boot();
        if !self.is_rebound && now >= self.heard.plus(REBIND_MS) {
            self.rebind();
        }
        self.session.on_deadline(now)
    }

    fn rebind(&mut self) {
        self.is_rebound = true;
        if !self.parts.may_rebind {
            return;
        }
        if let Err(err) = rebind(self.parts.endpoint) {
            tracing::warn!("link could not move to a new socket: {}", chain(&err));
        }
    }

    fn on_control(&mut self, frame: Result<Option<Frame>, FramedError>) -> Result<(), End> {
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(End::Lost("hub closed the control stream".to_owned())),
            Err(FramedError::Frame(err)) => return Err(ProtocolError::Frame(err).into()),
            Err(err @ (FramedError::Io(_) | FramedError::Truncated)) => {
                return Err(End::Lost(chain(&err)));
            }
        };
        let was_up = self.session.is_up();
        self.heard = self.parts.clock.boot();
        self.is_rebound = false;
        self.session.on_frame(self.heard, &frame)?;
        if !was_up && self.session.is_up() {
            self.parts.status.up(self.parts.hub.clone(), self.parts.clock.wall());
            tracing::info!(hub = %self.parts.hub, "session is up");
            return self.on_view(true);
        }
        Ok(())
    }

    fn on_facts_added(&mut self, is_open: bool) -> Result<(), End> {
        if !is_open {
            return Err(End::Store("outbox has stopped".to_owned()));
        }
        self.session.facts_added();
        Ok(())
    }

    fn on_view(&mut self, is_open: bool) -> Result<(), End> {
        if !is_open {
            return Err(End::Store("supervisor has stopped".to_owned()));
        }
        let view = Arc::clone(&self.view.borrow_and_update());
        self.state_due = self.state.due(&view.servers, &view.node);
        Ok(())
    }

    fn report(&mut self, room: mpsc::OwnedPermit<Frame>) {
        let view = Arc::clone(&self.view.borrow_and_update());
        if let Some(frame) = self.state.next(self.parts.clock.boot(), &view.servers, &view.node) {
            room.send(frame);
        }
        self.state_due = self.state.due(&view.servers, &view.node);
    }

    fn on_request(&mut self, streams: (SendStream, RecvStream)) {
        let dispatcher = Arc::clone(self.parts.dispatcher);
        self.requests.spawn(serve(dispatcher, streams));
    }

    /// Does everything that the session wants done.
    async fn drain(&mut self) -> Result<(), End> {
        while let Some(out) = self.session.pop() {
            match out {
                EdgeOut::Send(lane, frame) => self.send(lane, frame)?,
                EdgeOut::Ask(ask) => self.run_ask(ask).await?,
            }
        }
        Ok(())
    }

    fn send(&mut self, lane: Lane, frame: Frame) -> Result<(), End> {
        let sender = self.lanes.entry(lane).or_insert_with(|| {
            let (sender, frames) = mpsc::channel(room_of(lane));
            let connection = self.connection.clone();
            self.writers.spawn(async move {
                if let Ok(stream) = connection.open_uni().await {
                    write(stream, priority(lane), frames).await;
                }
            });
            sender
        });
        let full = |_| End::Lost(format!("hub does not read {lane:?}"));
        sender.try_send(frame).map_err(full)
    }

    async fn run_ask(&mut self, ask: EdgeAsk) -> Result<(), End> {
        let backend = self.parts.backend;
        let failed = |err: BackendError| End::Store(err.0);
        match ask {
            EdgeAsk::LearnTime(hub) => {
                backend.learn_time(hub);
                let rtt = self.connection.rtt().as_micros();
                self.parts.status.heard(hub, u64::try_from(rtt).unwrap_or(u64::MAX));
                Ok(())
            }
            EdgeAsk::Holdings => {
                let holdings = backend.holdings().await.map_err(failed)?;
                let now = self.parts.clock.wall();
                self.session.on_holdings(now, holdings.streams, holdings.desired)
            }
            EdgeAsk::ReadFacts { stream, after } => {
                let batch = backend.read_facts(stream, after).await.map_err(failed)?;
                self.session.on_facts(stream, batch)
            }
            EdgeAsk::Acked(ack) => backend.acked(ack).await.map_err(failed),
            EdgeAsk::Fork(stream) => {
                tracing::warn!(?stream, "hub holds another history: beginning a new epoch");
                backend.fork(stream).await.map_err(failed)?;
                Err(self.session.on_forked(stream))
            }
            EdgeAsk::Adopt(envelopes) => {
                let results = backend.adopt(envelopes).await;
                self.session.on_adopted(results)
            }
            EdgeAsk::Envelopes(servers) => {
                let envelopes = backend.envelopes(servers).await.map_err(failed)?;
                self.session.on_envelopes(envelopes)
            }
            EdgeAsk::Registries(logins) => {
                backend.registries(logins).await;
                Ok(())
            }
            EdgeAsk::Accept(intents) => {
                let results = backend.accept(intents).await;
                self.session.on_accepted(results)
            }
        }
    }
}

/// Returns how many frames may wait for a lane.
fn room_of(lane: Lane) -> usize {
    match lane {
        Lane::Control => CONTROL_FRAMES_MAX,
        // What may be on the way, and the frame that names the lane.
        Lane::Facts(_) => BATCHES_IN_FLIGHT_MAX + 1,
        // One: while it waits, newer states replace each other.
        Lane::State => 1,
    }
}

/// Control first, then state, which is small, then money and [`REQUEST_PRIORITY`], then the rest.
fn priority(lane: Lane) -> i32 {
    match lane {
        Lane::Control => 3,
        Lane::State => 2,
        Lane::Facts(mamba_core::fact::Stream::Usage) => REQUEST_PRIORITY,
        Lane::Facts(mamba_core::fact::Stream::Activity) => 0,
    }
}

/// Waits for room on a lane, for ever without one.
async fn room(lane: Option<mpsc::Sender<Frame>>) -> Option<mpsc::OwnedPermit<Frame>> {
    match lane {
        Some(lane) => lane.reserve_owned().await.ok(),
        None => std::future::pending().await,
    }
}

/// Writes frames until the session drops its end, then finishes the stream.
async fn write(stream: SendStream, priority: i32, mut frames: mpsc::Receiver<Frame>) {
    if stream.set_priority(priority).is_err() {
        return;
    }
    let mut to = FramedWriter::new(stream);
    while let Some(frame) = frames.recv().await {
        if to.send(&frame).await.is_err() {
            return;
        }
    }
    to.finish().await.ok();
}

/// Serves one request of the hub.
async fn serve<D: Dispatcher>(dispatcher: Arc<D>, (send, receive): (SendStream, RecvStream)) {
    let receive: Box<dyn AsyncRead + Send + Unpin> = Box::new(receive);
    let mut reader = FramedReader::new(receive);
    let first = timeout(Duration::from_millis(REQUEST_MS_MAX), reader.next()).await;
    let Ok(Ok(Some(frame))) = first else { return };
    let ask = Ask::from_frame(&frame);
    let is_bulk = ask.as_ref().is_ok_and(|ask| ask.request.is_bulk());
    let priority = if is_bulk { BULK_PRIORITY } else { REQUEST_PRIORITY };
    if send.set_priority(priority).is_err() {
        return;
    }
    let stream = FrameStream { reader, writer: FramedWriter::new(Box::new(send)) };
    match ask {
        Ok(ask) => dispatcher.admit(ask, stream).await,
        Err(err) => {
            tracing::warn!("request of the hub: {}", chain(&err));
            refuse(stream, NodeError::Unsupported).await;
        }
    }
}

//! The shell around [`HubSession`]: moves frames and runs what the session asks for.

use crate::link::{
    Context,
    backend::{BackendError, IngestError, LinkBackend, NodeSignal, Standing},
    links::{Registered, SessionInfo},
    until,
};
use mamba_core::{
    clock::BootMs,
    error::chain,
    ids::{InstanceId, NodeId},
};
use mamba_wire::{
    frame::Frame,
    link::v1::{Goodbye, Hello},
    net::{
        authority::NodeCertificate,
        frames::{FramedError, FramedReader, FramedWriter},
    },
    session::{End, GREETING_MS, HubAsk, HubOut, HubSession, Lane, Now, ProtocolError, lane_of},
};
use quinn::rustls::pki_types::CertificateDer;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use std::time::Duration;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Frames that wait for an edge to read. An edge that is further behind does not read at all.
const CONTROL_FRAMES_MAX: usize = 64;
/// Frames read ahead from all lanes of one edge.
const LANE_FRAMES_MAX: usize = 2;
/// Longest session. Edges end theirs after 24 h so that an expired certificate cannot hide; this
/// ends those of edges that do not.
const SESSION_MS_MAX: u64 = 25 * 3_600_000;
/// Time for the last words to arrive.
const GOODBYE_MS_MAX: u64 = 1_000;

/// Something that came on a lane beside control.
type LaneEvent = Result<(Lane, Option<Frame>), LaneError>;

enum LaneError {
    Framed(FramedError),
    Protocol(ProtocolError),
}

/// Serves one connection of a node until it ends.
pub(super) async fn serve<B: LinkBackend>(
    context: &Context<B>,
    connection: Connection,
    stop: watch::Receiver<bool>,
) {
    let peer = connection.remote_address();
    let Some(certificate) = certificate(&connection) else {
        return connection.close(VarInt::from_u32(2), b"a node's certificate is required");
    };
    let node = certificate.node;
    // Taken before the record is read, so that no revocation falls between.
    let signal = context.backend.signal(node);
    let standing = match context.backend.node(node).await {
        Ok(Some(access)) if access.key == certificate.key => access.standing,
        Ok(_) => return connection.close(VarInt::from_u32(2), b"hub does not know this node"),
        Err(err) => {
            tracing::warn!(%node, "{err}");
            return connection.close(VarInt::from_u32(4), b"hub store is not available");
        }
    };
    let greeting = timeout(Duration::from_millis(GREETING_MS), control(&connection)).await;
    let Ok(Some((reader, writer))) = greeting else {
        return connection.close(VarInt::from_u32(1), b"control stream is missing");
    };
    let session = match HubSession::new(node, context.software.clone(), now(context)) {
        Ok(session) => session,
        Err(end) => return connection.close(VarInt::from_u32(end.close_code()), b"internal"),
    };
    let (control, frames) = mpsc::channel(CONTROL_FRAMES_MAX);
    let mut tasks = JoinSet::new();
    let writing = tasks.spawn(write(writer, frames));
    let mut shell =
        Shell { context, connection, session, control, registered: None, instance: None };
    let end = match refusal(standing) {
        Some(reason) => shell.session.goodbye(reason),
        None => shell.run(reader, signal, stop).await,
    };
    shell.leave(&end).await;
    let Shell { connection, control, registered, instance, .. } = shell;
    drop(control);
    let said = async { while !writing.is_finished() && tasks.join_next().await.is_some() {} };
    timeout(Duration::from_millis(GOODBYE_MS_MAX), said).await.ok();
    if let (End::Goodbye(_) | End::Protocol(_), None) = (&end, connection.close_reason()) {
        // The edge closes when it has read why; closing first would drop the words.
        timeout(Duration::from_millis(GOODBYE_MS_MAX), connection.closed()).await.ok();
    }
    let why = chain(&end);
    connection.close(VarInt::from_u32(end.close_code()), why.as_bytes());
    tracing::info!(%node, %peer, "session ended: {why}");
    drop(registered);
    if let Some(instance) = instance
        && let Err(err) = context.backend.gone(node, instance, context.clock.wall(), &why).await
    {
        tracing::warn!(%node, "{err}");
    }
}

struct Shell<'a, B> {
    context: &'a Context<B>,
    connection: Connection,
    session: HubSession,
    control: mpsc::Sender<Frame>,
    registered: Option<Registered>,
    instance: Option<InstanceId>,
}

impl<B: LinkBackend> Shell<'_, B> {
    /// Runs the session to its end.
    async fn run(
        &mut self,
        mut control: FramedReader<RecvStream>,
        mut signal: watch::Receiver<NodeSignal>,
        mut stop: watch::Receiver<bool>,
    ) -> End {
        let (lanes, mut from_lanes) = mpsc::channel(LANE_FRAMES_MAX);
        let mut readers = JoinSet::new();
        let oldest = self.context.clock.boot().plus(SESSION_MS_MAX);
        loop {
            if let Err(end) = self.drain().await {
                return end;
            }
            let due = self.session.next_deadline().min(oldest);
            let kicked = kicked(self.registered.as_mut());
            let result = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => Err(self.session.goodbye(Goodbye::ShuttingDown)),
                reason = kicked => Err(self.session.goodbye(reason)),
                changed = signal.changed() => match changed {
                    Ok(()) => self.on_signal(*signal.borrow_and_update()),
                    Err(_) => Err(End::Store("hub core has stopped".to_owned())),
                },
                () = sleep(until(&*self.context.clock, due)) => self.on_deadline(oldest),
                frame = control.next() => self.on_control(frame),
                Some(event) = from_lanes.recv() => self.on_lane(event),
                lane = self.connection.accept_uni() => match lane {
                    Ok(lane) => {
                        readers.spawn(read(lane, lanes.clone()));
                        Ok(())
                    }
                    Err(err) => Err(broken(&err)),
                },
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    fn on_signal(&mut self, signal: NodeSignal) -> Result<(), End> {
        if let Some(reason) = refusal(signal.standing) {
            return Err(self.session.goodbye(reason));
        }
        self.session.on_changed();
        Ok(())
    }

    fn on_deadline(&mut self, oldest: BootMs) -> Result<(), End> {
        if self.context.clock.boot() >= oldest {
            return Err(self.session.goodbye(Goodbye::ShuttingDown));
        }
        self.session.on_deadline(now(self.context))
    }

    fn on_control(&mut self, frame: Result<Option<Frame>, FramedError>) -> Result<(), End> {
        match frame {
            Ok(Some(frame)) => {
                self.heard();
                self.session.on_frame(now(self.context), Lane::Control, &frame)
            }
            Ok(None) => Err(End::Lost("edge closed the control stream".to_owned())),
            Err(err) => Err(unframed(err)),
        }
    }

    fn on_lane(&mut self, event: LaneEvent) -> Result<(), End> {
        match event {
            Ok((lane, None)) => self.session.on_lane(lane),
            Ok((lane, Some(frame))) => {
                self.heard();
                self.session.on_frame(now(self.context), lane, &frame)
            }
            Err(LaneError::Framed(err)) => Err(unframed(err)),
            Err(LaneError::Protocol(err)) => Err(err.into()),
        }
    }

    fn heard(&self) {
        if let Some(registered) = &self.registered {
            self.context.backend.heard(registered.node);
        }
    }

    /// Does everything that the session wants done.
    async fn drain(&mut self) -> Result<(), End> {
        while let Some(out) = self.session.pop() {
            match out {
                HubOut::Send(frame) => self.send(frame)?,
                HubOut::Ask(ask) => self.run_ask(ask).await?,
            }
        }
        Ok(())
    }

    fn send(&self, frame: Frame) -> Result<(), End> {
        let full = |_| End::Lost("edge does not read its control stream".to_owned());
        self.control.try_send(frame).map_err(full)
    }

    async fn run_ask(&mut self, ask: HubAsk) -> Result<(), End> {
        let node = self.node()?;
        let backend = &self.context.backend;
        let failed = |err: BackendError| End::Store(err.0);
        match ask {
            HubAsk::Hello(hello) => self.on_hello(hello).await,
            HubAsk::Wanted => {
                let wanted = backend.pending(node).await.map_err(failed)?;
                self.session.on_wanted(now(self.context), &wanted)
            }
            HubAsk::Envelopes(servers) => {
                let envelopes = backend.envelopes(node, servers).await.map_err(failed)?;
                self.session.on_envelopes(envelopes)
            }
            HubAsk::Adopt(envelopes) => {
                backend.adopt(node, envelopes).await.map_err(failed)?;
                self.session.on_adopted();
                Ok(())
            }
            HubAsk::Ingest(facts) => {
                let stream = facts.stream;
                match backend.ingest(node, facts).await {
                    Ok(ack) => self.session.on_ingested(ack),
                    Err(IngestError::Diverged) => Err(ProtocolError::Gap { stream }.into()),
                    Err(IngestError::Store(err)) => Err(failed(err)),
                }
            }
            HubAsk::State(report) => backend.state(node, report).await.map_err(failed),
            HubAsk::DesiredResults(results) => {
                backend.desired_results(node, results).await.map_err(failed)
            }
            HubAsk::IntentResults(results) => {
                backend.intent_results(node, results).await.map_err(failed)
            }
        }
    }

    /// Takes over from an older session of the node, then compares the two ends.
    async fn on_hello(&mut self, hello: Hello) -> Result<(), End> {
        let (node, instance) = (hello.node, hello.instance);
        let address = self.connection.remote_address();
        let info = SessionInfo {
            node,
            instance,
            software: hello.software.clone(),
            since: self.context.clock.wall(),
            address,
            rtt_us: 0,
        };
        let boot = self.context.clock.boot();
        let registered = self.context.links.register(info, self.connection.clone(), boot);
        let failed = |err: BackendError| End::Store(err.0);
        if registered.is_fight {
            tracing::error!(%node, "two daemons fight over this node: quarantined");
            self.context.backend.quarantine(node).await.map_err(failed)?;
            return Err(self.session.goodbye(Goodbye::Quarantined));
        }
        self.registered = Some(registered);
        self.instance = Some(instance);
        let streams = self.context.backend.hello(node, hello, address).await.map_err(failed)?;
        tracing::info!(%node, peer = %address, "session is up");
        self.session.on_welcome(now(self.context), streams)
    }

    fn node(&self) -> Result<NodeId, End> {
        certificate(&self.connection)
            .map(|certificate| certificate.node)
            .ok_or_else(|| End::Lost("its certificate is gone".to_owned()))
    }

    /// Sends the last words.
    async fn leave(&mut self, end: &End) {
        if let End::Protocol(err) = end {
            self.session.goodbye(Goodbye::Protocol(chain(err)));
        }
        while let Some(out) = self.session.pop() {
            if let HubOut::Send(frame) = out {
                let send = self.control.send(frame);
                timeout(Duration::from_millis(GOODBYE_MS_MAX), send).await.ok();
            }
        }
    }
}

/// Returns the reason for which a node may not be connected.
fn refusal(standing: Standing) -> Option<Goodbye> {
    match standing {
        Standing::Active => None,
        Standing::Revoked => Some(Goodbye::Revoked),
        Standing::Quarantined => Some(Goodbye::Quarantined),
    }
}

fn certificate(connection: &Connection) -> Option<NodeCertificate> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    NodeCertificate::read(chain.first()?).ok()
}

async fn control(
    connection: &Connection,
) -> Option<(FramedReader<RecvStream>, FramedWriter<SendStream>)> {
    let (send, receive) = connection.accept_bi().await.ok()?;
    let mut reader = FramedReader::new(receive);
    let first = reader.next().await.ok()??;
    (lane_of(&first) == Ok(Lane::Control)).then(|| (reader, FramedWriter::new(send)))
}

/// Waits until this session has to make room, for ever while it is not in the list.
async fn kicked(registered: Option<&mut Registered>) -> Goodbye {
    let Some(registered) = registered else { return std::future::pending().await };
    match registered.kick.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or(Goodbye::Superseded),
        Err(_) => Goodbye::Superseded,
    }
}

/// Reads one lane until its end.
async fn read(lane: RecvStream, to: mpsc::Sender<LaneEvent>) {
    let mut reader = FramedReader::new(lane);
    let mut name = None;
    loop {
        let event = match (reader.next().await, name) {
            (Ok(None), _) => return,
            (Ok(Some(frame)), Some(lane)) => Ok((lane, Some(frame))),
            (Ok(Some(frame)), None) => match lane_of(&frame) {
                Ok(lane) => {
                    name = Some(lane);
                    Ok((lane, None))
                }
                Err(err) => Err(LaneError::Protocol(err)),
            },
            (Err(err), _) => Err(LaneError::Framed(err)),
        };
        let is_last = event.is_err();
        if to.send(event).await.is_err() || is_last {
            return;
        }
    }
}

/// Writes control frames until the session drops its end, then finishes the stream.
async fn write(mut to: FramedWriter<SendStream>, mut frames: mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        if to.send(&frame).await.is_err() {
            return;
        }
    }
    to.finish().await.ok();
}

fn broken(err: &quinn::ConnectionError) -> End {
    End::Lost(chain(err))
}

fn unframed(err: FramedError) -> End {
    match err {
        FramedError::Frame(err) => End::Protocol(ProtocolError::Frame(err)),
        FramedError::Io(_) | FramedError::Truncated => End::Lost(chain(&err)),
    }
}

fn now<B>(context: &Context<B>) -> Now {
    Now { boot: context.clock.boot(), wall: context.clock.wall() }
}

//! One console, from the upgrade to the close.

use super::{
    DoorError, NodeDoor, Sockets,
    peer::{Gone, SEND_MS_MAX, closed, deliver, leave, send},
};
use crate::{
    Hub,
    identity::Identity,
    store::{SERVER_TENANTS, TenantRef},
    tenants::lineage,
};
use futures_util::{Sink, Stream, StreamExt as _};
use mamba_core::{
    access::{ServerKey, ServerKeys},
    db::Snapshot as _,
    error::chain,
    ids::{NodeId, ServerId, SessionId, UserId},
    lifecycle::ServerState,
    scope::TenantScope,
    seq::LineNumber,
};
use mamba_wire::{
    api::console::{
        CLOSE_ENDED, CLOSE_FAILED, CLOSE_MALFORMED, CLOSE_NO_SERVER, CLOSE_NODE_OFFLINE,
        CLOSE_SHUTDOWN, CLOSE_SIGNED_OUT, CLOSE_TOO_MANY, ConsoleMessage, ConsoleSend, Gap, Line,
    },
    net::frames::{FrameStream, FramedError},
    node::{
        Answer, Ask, Asker, ConsoleEvent, ConsoleFrom, ConsoleInput, ConsoleLine, INPUT_BYTES_MAX,
        NodeError, NodeReply, NodeRequest,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval, timeout};
use warp::ws::Message;

/// Lines shown before the newest when a console opens.
const HISTORY_LINES: u32 = 500;
/// Lines in one message: a browser draws them at once.
const MESSAGE_LINES_MAX: usize = 200;
/// Text in one message, before JSON escapes it.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// How often state, session and peer are looked at. Well within the 5 s in which revoked access
/// has to end.
const TICK_MS: u64 = 2_000;
/// Ticks between two pings: what is between hub and browser forgets silent connections after a
/// minute.
const PING_TICKS: u32 = 15;
/// Ticks without a sign of the peer after which it is gone: two pings without an answer.
const SILENT_TICKS_MAX: u32 = 35;

/// Who opens which console.
pub(crate) struct Visit {
    pub(crate) hub: Hub,
    pub(crate) identity: Identity,
    pub(crate) links: Arc<dyn NodeDoor>,
    pub(crate) consoles: Arc<Sockets>,
    pub(crate) scope: TenantScope,
    pub(crate) node: NodeId,
    pub(crate) server: ServerId,
    pub(crate) session: SessionId,
    pub(crate) user: UserId,
    /// What the visitor holds for the server; who is not to type holds no key for that.
    pub(crate) keys: ServerKeys,
}

impl Visit {
    /// Returns what the visitor holds now; `None` when the session ended. When the store cannot be read,
    /// nobody can be shown to be signed in.
    fn held(&self) -> Option<ServerKeys> {
        let caller = self.identity.caller(self.session).ok()??;
        // It may have changed hands since.
        let above = self.hub.read(|view| {
            let owner = view.get(SERVER_TENANTS, &self.server)?;
            Ok(owner.map_or(Ok(Vec::new()), |TenantRef(owner)| lineage(view, owner))?)
        });
        let above = above.ok()?;
        Some(caller.access.with_server(self.server, &above))
    }

    /// Returns why the visit is over, if it is. Who may no longer type goes on reading.
    fn over(&mut self) -> Option<End> {
        let Some(held) = self.held() else {
            return Some(End::new(CLOSE_SIGNED_OUT, "the session ended"));
        };
        self.keys = self.keys.and(held);
        let can_read = self.keys.contains(ServerKey::ControlReadConsole);
        let ended = || End::new(CLOSE_SIGNED_OUT, "the right to read this console ended");
        (!can_read).then(ended)
    }

    fn state(&self) -> Option<ServerState> {
        let server = self.hub.server(&self.scope, self.server).ok()?;
        Some(server.observed?.state)
    }
}

/// Why a console ends: a message for people, and the close code.
struct End {
    code: u16,
    error: Option<String>,
}

impl End {
    fn new(code: u16, error: impl Into<String>) -> Self {
        Self { code, error: Some(error.into()) }
    }

    fn quiet(code: u16) -> Self {
        Self { code, error: None }
    }
}

impl From<DoorError> for End {
    fn from(err: DoorError) -> Self {
        let code = match &err {
            DoorError::Offline => CLOSE_NODE_OFFLINE,
            DoorError::Failed(_) => CLOSE_FAILED,
        };
        Self::new(code, err.to_string())
    }
}

/// Relays until either side ends. Never fails: every end is told to the peer if it is there.
pub(crate) async fn run<S>(mut socket: S, mut visit: Visit)
where
    S: Stream<Item = Result<Message, warp::Error>> + Sink<Message, Error = warp::Error> + Unpin,
{
    let place = visit.consoles.enter(visit.user);
    let end = if place.is_some() {
        relay(&mut socket, &mut visit).await
    } else {
        Ok(End::new(CLOSE_TOO_MANY, "too many consoles are open"))
    };
    if let Ok(end) = end {
        leave(&mut socket, end.error.map(ConsoleMessage::Error), end.code).await;
    }
    drop(place);
}

async fn relay<S>(socket: &mut S, visit: &mut Visit) -> Result<End, Gone>
where
    S: Stream<Item = Result<Message, warp::Error>> + Sink<Message, Error = warp::Error> + Unpin,
{
    let request = NodeRequest::Console {
        server: visit.server,
        from: ConsoleFrom::Last(HISTORY_LINES),
        follow: true,
    };
    let ask = Ask { by: Asker::User { user: visit.user, keys: visit.keys }, request };
    let mut node = match visit.links.open(visit.node, ask).await {
        Ok(node) => node,
        Err(err) => return Ok(err.into()),
    };
    let mut closing = visit.consoles.closing();
    let mut ended = visit.identity.ended();
    let mut tick = interval(Duration::from_millis(TICK_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut shown, mut silent_ticks) = (None, 0);
    loop {
        tokio::select! {
            () = closed(&mut closing) => return Ok(End::quiet(CLOSE_SHUTDOWN)),
            _ = ended.changed() => {
                if let Some(end) = visit.over() {
                    return Ok(end);
                }
            }
            _ = tick.tick() => {
                silent_ticks += 1;
                if silent_ticks > SILENT_TICKS_MAX {
                    return Err(Gone);
                }
                if let Some(end) = visit.over() {
                    return Ok(end);
                }
                if silent_ticks % PING_TICKS == 0 {
                    deliver(socket, Message::ping(Vec::new())).await?;
                }
                let state = visit.state();
                if let Some(state) = state.filter(|_| state != shown) {
                    send(socket, &ConsoleMessage::State(state)).await?;
                }
                shown = state;
            }
            reply = next(&mut node) => {
                if let Some(end) = pass(socket, reply).await? {
                    return Ok(end);
                }
            }
            message = socket.next() => {
                silent_ticks = 0;
                let Some(Ok(message)) = message else { return Err(Gone) };
                if let Some(end) = take(socket, &mut node, visit, &message).await? {
                    return Ok(end);
                }
            }
        }
    }
}

/// Returns the node's next reply, `None` at the orderly end. Cancelled, nothing is lost.
async fn next(node: &mut FrameStream) -> Result<Option<NodeReply>, DoorError> {
    let frame = node.reader.next().await.map_err(|err| broken(&err))?;
    let reply = frame.as_ref().map(NodeReply::from_frame).transpose();
    reply.map_err(|err| DoorError::Failed(chain(&err)))
}

fn broken(err: &FramedError) -> DoorError {
    match err {
        FramedError::Io(_) => DoorError::Offline,
        FramedError::Frame(_) | FramedError::Truncated => DoorError::Failed(chain(err)),
    }
}

/// Passes what the node says on to the peer.
async fn pass<S>(
    socket: &mut S,
    reply: Result<Option<NodeReply>, DoorError>,
) -> Result<Option<End>, Gone>
where
    S: Sink<Message, Error = warp::Error> + Unpin,
{
    let answer = match reply {
        Ok(Some(NodeReply::Ok(answer))) => *answer,
        Ok(Some(NodeReply::Err(err))) => return Ok(Some(refused(&err))),
        Ok(None) => return Ok(Some(End::quiet(CLOSE_ENDED))),
        Err(err) => return Ok(Some(err.into())),
    };
    let Answer::Console(event) = answer else {
        return Ok(Some(End::new(CLOSE_FAILED, "the node answered something else")));
    };
    for message in messages(event) {
        send(socket, &message).await?;
    }
    Ok(None)
}

/// Takes one message from the peer.
async fn take<S>(
    socket: &mut S,
    node: &mut FrameStream,
    visit: &Visit,
    message: &Message,
) -> Result<Option<End>, Gone>
where
    S: Sink<Message, Error = warp::Error> + Unpin,
{
    if message.is_close() {
        return Ok(Some(End::quiet(CLOSE_ENDED)));
    }
    if message.is_ping() || message.is_pong() {
        return Ok(None);
    }
    let parsed = message.to_str().map(serde_json::from_str::<ConsoleSend>);
    let Ok(Ok(ConsoleSend::Input(line))) = parsed else {
        let rule = r#"messages must be like {"input":"a line"}"#;
        return Ok(Some(End::new(CLOSE_MALFORMED, rule)));
    };
    let refusal = if !visit.keys.contains(ServerKey::ControlConsole) {
        Some("this console is read-only".to_owned())
    } else if line.len() > INPUT_BYTES_MAX || line.contains(['\n', '\r', '\0']) {
        Some(format!("input must be one line of at most {INPUT_BYTES_MAX} bytes"))
    } else {
        None
    };
    if let Some(refusal) = refusal {
        send(socket, &ConsoleMessage::Error(refusal)).await?;
        return Ok(None);
    }
    // A node that does not take input while it is full of output must not hold this socket for ever.
    let Ok(frame) = (ConsoleInput { line }).to_frame() else { return Ok(None) };
    let typing = node.writer.send(&frame);
    Ok(match timeout(Duration::from_millis(SEND_MS_MAX), typing).await {
        Ok(Ok(())) => None,
        Ok(Err(err)) => Some(broken(&err).into()),
        Err(_) => Some(End::new(CLOSE_FAILED, "the node does not take input")),
    })
}

fn refused(err: &NodeError) -> End {
    let code = match err {
        NodeError::NoSuchServer(_) => CLOSE_NO_SERVER,
        NodeError::Forbidden(_) => CLOSE_SIGNED_OUT,
        NodeError::Invalid(_)
        | NodeError::NotAllowed(_)
        | NodeError::NotRunning
        | NodeError::StoreUnavailable(_)
        | NodeError::Busy
        | NodeError::Unsupported
        | NodeError::LogUnreadable(_)
        | NodeError::Data(_) => CLOSE_FAILED,
    };
    End::new(code, err.to_string())
}

/// Pure: what a browser is told of one event, in messages that it can draw at once.
pub(super) fn messages(event: ConsoleEvent) -> Vec<ConsoleMessage> {
    let (first, lines) = match event {
        ConsoleEvent::Lines { first, lines } => (first, lines),
        ConsoleEvent::Gap { first, count } => {
            return vec![ConsoleMessage::Gap(Gap { first, count })];
        }
        ConsoleEvent::CaughtUp => return vec![ConsoleMessage::CaughtUp(true)],
        ConsoleEvent::InputRefused(err) => return vec![ConsoleMessage::Error(err.to_string())],
    };
    let mut out = Vec::new();
    let (mut part, mut bytes, mut number) = (Vec::new(), 0, first);
    for ConsoleLine { at, source, text } in lines {
        let is_full = part.len() == MESSAGE_LINES_MAX || bytes + text.len() > MESSAGE_BYTES_MAX;
        if is_full && !part.is_empty() {
            out.push(ConsoleMessage::Lines(std::mem::take(&mut part)));
            bytes = 0;
        }
        bytes += text.len();
        part.push(Line { n: number, at, source, text });
        number = LineNumber(number.0.saturating_add(1));
    }
    if !part.is_empty() {
        out.push(ConsoleMessage::Lines(part));
    }
    out
}

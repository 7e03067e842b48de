//! Consoles as their users open them: through the hub, at the node's local socket, at the engine.

use crate::{
    Outcome,
    client::Client,
    edge::{Edge, answer},
};
use futures_util::{SinkExt, StreamExt};
use mamba_core::ids::ServerId;
use mamba_wire::{
    api::{
        console::{ConsoleMessage, ConsoleSend, CreateTicket},
        params::ServerPath,
        table,
    },
    net::frames::FrameStream,
    node::{Answer, ConsoleEvent, ConsoleInput, LineSource},
};
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

/// Longest wait for a line.
const LINE_MAX: Duration = Duration::from_secs(120);

/// Lines that came since the last look, and whether some are known to be lost.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Lines of the game.
    pub(crate) lines: u64,
    /// Lines that the reader was told it does not get.
    pub(crate) lost: u64,
}

impl Seen {
    /// Counts a line and returns whether it is the one waited for.
    fn line(&mut self, source: LineSource, text: &str, last: &str) -> bool {
        if source == LineSource::Input {
            return false;
        }
        self.lines += 1;
        text == last
    }
}

/// An open console.
pub(crate) enum Console {
    /// Through the hub.
    Hub(Box<WebSocketStream<TcpStream>>),
    /// At the node.
    Local(FrameStream),
}

impl Console {
    /// Opens one through the hub, from where it is live.
    pub(crate) async fn through_hub(admin: &Client, server: ServerId) -> Outcome<Self> {
        let ticket = CreateTicket { write: true };
        let path = ServerPath { server };
        let mut client = admin.again().await?;
        let ticket = client.call::<table::CreateConsoleTicket>(&path, &(), &ticket).await?;
        let stream = client.upgrade(&ticket.target).await?;
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        let mut console = Self::Hub(Box::new(socket));
        while !console.is_caught_up().await? {}
        Ok(console)
    }

    /// Opens one at the node's local socket.
    pub(crate) async fn at_node(edge: &Edge, server: ServerId) -> Outcome<Self> {
        let mut console = Self::Local(edge.console(server).await?);
        while !console.is_caught_up().await? {}
        Ok(console)
    }

    /// Takes the next message; returns whether it says that what follows is live.
    async fn is_caught_up(&mut self) -> Outcome<bool> {
        match self {
            Self::Hub(socket) => {
                Ok(matches!(next_message(socket).await?, ConsoleMessage::CaughtUp(_)))
            }
            Self::Local(stream) => {
                let answer = answer(stream).await?;
                Ok(matches!(answer, Answer::Console(ConsoleEvent::CaughtUp)))
            }
        }
    }

    /// Types a line.
    pub(crate) async fn type_line(&mut self, line: &str) -> Outcome {
        match self {
            Self::Hub(socket) => {
                let text = serde_json::to_string(&ConsoleSend::Input(line.to_owned()))?;
                Ok(socket.send(Message::text(text)).await?)
            }
            Self::Local(stream) => {
                stream.writer.send(&ConsoleInput { line: line.to_owned() }.to_frame()?).await?;
                Ok(stream.writer.flush().await?)
            }
        }
    }

    /// Reads up to this line of the game; returns what came with it.
    pub(crate) async fn read_to(&mut self, last: &str) -> Outcome<Seen> {
        let mut seen = Seen::default();
        let read = async {
            while !self.read(last, &mut seen).await? {}
            Outcome::Ok(())
        };
        match timeout(LINE_MAX, read).await {
            Ok(read) => read?,
            Err(_) => return Err(format!("no line `{last}`; seen: {seen:?}").into()),
        }
        Ok(seen)
    }

    async fn read(&mut self, last: &str, seen: &mut Seen) -> Outcome<bool> {
        let mut is_last = false;
        match self {
            Self::Hub(socket) => match next_message(socket).await? {
                ConsoleMessage::Lines(lines) => {
                    for line in lines {
                        is_last |= seen.line(line.source, &line.text, last);
                    }
                }
                ConsoleMessage::Gap(gap) => seen.lost += gap.count,
                ConsoleMessage::Error(text) => return Err(text.into()),
                ConsoleMessage::CaughtUp(_) | ConsoleMessage::State(_) => {}
            },
            Self::Local(stream) => match answer(stream).await? {
                Answer::Console(ConsoleEvent::Lines { lines, .. }) => {
                    for line in lines {
                        is_last |= seen.line(line.source, &line.text, last);
                    }
                }
                Answer::Console(ConsoleEvent::Gap { count, .. }) => seen.lost += count,
                Answer::Console(ConsoleEvent::CaughtUp) => {}
                other => return Err(format!("console says {other:?}").into()),
            },
        }
        Ok(is_last)
    }
}

async fn next_message(socket: &mut WebSocketStream<TcpStream>) -> Outcome<ConsoleMessage> {
    loop {
        match socket.next().await.ok_or("console ended")?? {
            Message::Text(text) => return Ok(serde_json::from_str(&text)?),
            Message::Close(frame) => return Err(format!("console was closed: {frame:?}").into()),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

//! A server's console through the hub, as a browser opens it.

use crate::{
    api::Api,
    report::{Failure, Played},
};
use futures_util::{SinkExt, StreamExt};
use mamba_core::ids::ServerId;
use mamba_wire::{
    api::{
        console::{ConsoleMessage, ConsoleSend, CreateTicket, Line, Ticket},
        params::ServerPath,
        table,
    },
    node::LineSource,
};
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

/// Longest wait for something on an open console.
const CONSOLE_TIMEOUT: Duration = Duration::from_secs(15);

/// An open console.
pub(crate) struct Console {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Console {
    /// Asks for a ticket.
    pub(crate) async fn ticket(api: &Api, server: ServerId, write: bool) -> Played<Ticket> {
        let path = ServerPath { server };
        api.call::<table::CreateConsoleTicket>(&path, &(), &CreateTicket { write }).await
    }

    /// Opens the console that a ticket is for.
    pub(crate) async fn open(at: SocketAddr, ticket: &Ticket) -> Played<Self> {
        let url = format!("ws://{at}{}", ticket.target);
        let opened = tokio_tungstenite::connect_async(url);
        let (socket, _) = tokio::time::timeout(CONSOLE_TIMEOUT, opened)
            .await
            .map_err(|_| "console did not open in time")??;
        Ok(Self { socket })
    }

    /// Types a line.
    pub(crate) async fn type_line(&mut self, line: &str) -> Played {
        let text = serde_json::to_string(&ConsoleSend::Input(line.to_owned()))?;
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// Waits until the kept lines are through and what comes is live.
    pub(crate) async fn caught_up(&mut self) -> Played {
        self.find(|message| matches!(message, ConsoleMessage::CaughtUp(_)).then_some(())).await
    }

    /// Waits for a line of the game that begins so.
    pub(crate) async fn line(&mut self, beginning: &str) -> Played<Line> {
        let found = self.find(|message| match message {
            ConsoleMessage::Lines(lines) => lines
                .into_iter()
                .find(|line| line.source != LineSource::Input && line.text.starts_with(beginning)),
            ConsoleMessage::Gap(_)
            | ConsoleMessage::CaughtUp(_)
            | ConsoleMessage::State(_)
            | ConsoleMessage::Error(_) => None,
        });
        found.await.map_err(|err| format!("no line `{beginning}`: {err}").into())
    }

    async fn find<T>(&mut self, mut wanted: impl FnMut(ConsoleMessage) -> Option<T>) -> Played<T> {
        let mut last = String::from("nothing");
        let found = async {
            loop {
                let message = self.socket.next().await.ok_or("console ended")??;
                match message {
                    Message::Text(text) => {
                        last = text
                            .chars()
                            .rev()
                            .take(200)
                            .collect::<Vec<_>>()
                            .into_iter()
                            .rev()
                            .collect();
                        let message: ConsoleMessage = serde_json::from_str(&text)?;
                        if let ConsoleMessage::Error(text) = message {
                            return Err(format!("console says: {text}").into());
                        }
                        if let Some(found) = wanted(message) {
                            return Ok(found);
                        }
                    }
                    Message::Close(frame) => {
                        return Err(format!("console was closed: {frame:?}").into());
                    }
                    Message::Binary(_)
                    | Message::Ping(_)
                    | Message::Pong(_)
                    | Message::Frame(_) => {}
                }
            }
        };
        let found: Result<Played<T>, _> = tokio::time::timeout(CONSOLE_TIMEOUT, found).await;
        found.unwrap_or_else(|_| {
            Err(Failure::from(format!("not in time; the last message was {last}")))
        })
    }

    /// Ends it.
    pub(crate) async fn close(mut self) -> Played {
        Ok(self.socket.close(None).await?)
    }
}

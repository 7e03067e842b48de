//! The browser's end of a socket: messages out, within a time, and the last words.

use futures_util::{Sink, SinkExt as _};
use serde::Serialize;
use std::time::Duration;
use tokio::{sync::watch, time::timeout};
use warp::ws::Message;

/// Time for the peer to take one message; after it the peer is gone, not slow.
pub(crate) const SEND_MS_MAX: u64 = 30_000;

/// The peer is gone; there is nobody to tell.
pub(crate) struct Gone;

/// Sends a message as JSON.
pub(crate) async fn send<S>(socket: &mut S, message: &impl Serialize) -> Result<(), Gone>
where
    S: Sink<Message, Error = warp::Error> + Unpin,
{
    let text = serde_json::to_string(message).map_err(|_| Gone)?;
    deliver(socket, Message::text(text)).await
}

/// Sends a message as it is.
pub(crate) async fn deliver<S>(socket: &mut S, message: Message) -> Result<(), Gone>
where
    S: Sink<Message, Error = warp::Error> + Unpin,
{
    match timeout(Duration::from_millis(SEND_MS_MAX), socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

/// Says why it ends, if there is something to say, and with which code.
pub(crate) async fn leave<S>(socket: &mut S, last: Option<impl Serialize>, code: u16)
where
    S: Sink<Message, Error = warp::Error> + Unpin,
{
    let told = match &last {
        Some(message) => send(socket, message).await,
        None => Ok(()),
    };
    if told.is_ok() {
        // Whoever left already needs no word.
        deliver(socket, Message::close_with(code, "")).await.ok();
    }
}

/// Waits for the word that ends all sockets.
pub(crate) async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that nobody can say it any more, which is as good.
    drop(closing.wait_for(|closing| *closing).await);
}

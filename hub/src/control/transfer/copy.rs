//! Asks nodes to take part in a move, and passes data on from one to the other.

use super::drive::Progresses;
use crate::relay::{DoorError, NodeDoor};
use mamba_core::{
    error::chain,
    ids::{NodeId, ServerId, TransferId},
    lifecycle::transfer::Went,
};
use mamba_wire::{
    net::frames::FrameStream,
    node::{
        Answer, Ask, Asker as By, NodeError, NodeReply, NodeRequest,
        moving::{MoveAnswer, MoveChunk, MoveStep},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Longest silence of a node that copies: a sync of a slow disk takes a minute.
const SILENCE_MS_MAX: u64 = 120_000;
/// Longest preparation: the fetch of an image, and what comes before it.
pub(super) const PREPARE_MS_MAX: u64 = 960_000;
/// Longest count of all data: some terabytes of a slow disk.
pub(super) const COUNT_MS_MAX: u64 = 6 * 3_600_000;
/// Longest wait for an answer that costs a node nothing.
pub(super) const ANSWER_MS_MAX: u64 = 60_000;

/// Asks nodes on behalf of one move.
pub(super) struct Asker {
    pub(super) door: Arc<dyn NodeDoor>,
    pub(super) server: ServerId,
    pub(super) transfer: TransferId,
}

impl Asker {
    async fn open(&self, node: NodeId, step: MoveStep) -> Result<FrameStream, Went> {
        let (server, transfer) = (self.server, self.transfer);
        let request = NodeRequest::Move { server, transfer, step };
        self.door
            .open(node, Ask { by: By::Hub, request })
            .await
            .map_err(|err: DoorError| not_now(&err))
    }

    /// Asks for one answer.
    pub(super) async fn ask(
        &self,
        node: NodeId,
        step: MoveStep,
        ms: u64,
    ) -> Result<MoveAnswer, Went> {
        let mut stream = self.open(node, step).await?;
        next(&mut stream, ms).await
    }

    /// Passes chunks from the source to the target until the target has all.
    pub(super) async fn copy(
        &self,
        (from, to): (NodeId, NodeId),
        (copy, most_bytes): (u32, u64),
        progresses: &Progresses,
    ) -> Went {
        let copied = self.try_copy((from, to), (copy, most_bytes), progresses);
        copied.await.err().unwrap_or(Went::Well)
    }

    async fn try_copy(
        &self,
        (from, to): (NodeId, NodeId),
        (copy, most_bytes): (u32, u64),
        progresses: &Progresses,
    ) -> Result<(), Went> {
        let mut target = self.open(to, MoveStep::Write { copy, most_bytes }).await?;
        let place = match next(&mut target, SILENCE_MS_MAX).await? {
            MoveAnswer::At { is_whole: true, .. } => return Ok(()),
            MoveAnswer::At { place, bytes, .. } => {
                progresses.stored(self.transfer, bytes);
                place
            }
            _ => return Err(other()),
        };
        let mut source = self.open(from, MoveStep::Read { from: place }).await?;
        match next(&mut source, SILENCE_MS_MAX).await? {
            MoveAnswer::Size { bytes } => progresses.sized(self.transfer, bytes),
            _ => return Err(other()),
        }
        let FrameStream { reader: mut chunks, .. } = source;
        let FrameStream { reader, writer: mut to_target } = target;
        // The target ends the stream when it is done or cannot go on; what it said is read below.
        let pump = async {
            loop {
                let Ok(next) = timeout(silence(), chunks.next()).await else {
                    return Err(Went::NotNow("the source is silent".to_owned()));
                };
                let Some(frame) = next.map_err(|err| not_now(&err))? else { return Ok(()) };
                if !MoveChunk::is_in(&frame) {
                    let reply = NodeReply::from_frame(&frame).map_err(|err| not_now(&err))?;
                    return Err(refusal(reply));
                }
                match timeout(silence(), to_target.send(&frame)).await {
                    Err(_) => return Err(Went::NotNow("the target is silent".to_owned())),
                    Ok(Err(_)) => return Ok(()),
                    Ok(Ok(())) => {}
                }
            }
        };
        let told = async {
            let mut replies = reader;
            loop {
                let frame = replies.next().await.map_err(|err| not_now(&err))?;
                let Some(frame) = frame else {
                    return Err(Went::NotNow("the target ended the copy".to_owned()));
                };
                match NodeReply::from_frame(&frame).map_err(|err| not_now(&err))? {
                    NodeReply::Ok(answer) => match *answer {
                        Answer::Move(MoveAnswer::Stored { bytes }) => {
                            progresses.stored(self.transfer, bytes);
                        }
                        Answer::Move(MoveAnswer::Done) => return Ok(()),
                        _ => return Err(other()),
                    },
                    reply @ NodeReply::Err(_) => return Err(refusal(reply)),
                }
            }
        };
        tokio::pin!(told);
        tokio::select! {
            biased;
            told = &mut told => return told,
            pumped = pump => pumped?,
        }
        match timeout(silence(), told).await {
            Ok(told) => told,
            Err(_) => Err(Went::NotNow("the target is silent".to_owned())),
        }
    }
}

fn silence() -> Duration {
    Duration::from_millis(SILENCE_MS_MAX)
}

/// Reads one answer.
async fn next(stream: &mut FrameStream, ms: u64) -> Result<MoveAnswer, Went> {
    let Ok(frame) = timeout(Duration::from_millis(ms), stream.reader.next()).await else {
        return Err(Went::NotNow(format!("the node did not answer within {ms} ms")));
    };
    let frame = frame.map_err(|err| not_now(&err))?;
    let frame = frame.ok_or_else(|| Went::NotNow("the node ended the request".to_owned()))?;
    match NodeReply::from_frame(&frame).map_err(|err| not_now(&err))? {
        NodeReply::Ok(answer) => match *answer {
            Answer::Move(answer) => Ok(answer),
            _ => Err(other()),
        },
        reply @ NodeReply::Err(_) => Err(refusal(reply)),
    }
}

/// What a node's refusal means for the move.
fn refusal(reply: NodeReply) -> Went {
    match reply {
        NodeReply::Err(err @ (NodeError::NotAllowed(_) | NodeError::Data(_))) => {
            Went::Refused(err.to_string())
        }
        NodeReply::Err(NodeError::Unsupported) => {
            Went::Refused("the node's program is too old to move servers".to_owned())
        }
        NodeReply::Err(err) => Went::NotNow(err.to_string()),
        NodeReply::Ok(_) => other(),
    }
}

fn not_now(err: &dyn std::error::Error) -> Went {
    Went::NotNow(chain(err))
}

fn other() -> Went {
    Went::NotNow("the node gave another answer".to_owned())
}

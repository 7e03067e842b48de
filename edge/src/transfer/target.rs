//! The steps of a move that are asked of the node to which the server goes.

use super::{
    Arrival, CHECKPOINT_BYTES, Came, MoveError, Writer, check_room, count,
    serve::{Job, Mover, broken, off, tell, unreadable},
    state::remove,
};
use crate::{
    data::DataDirs,
    install::INSTALLS,
    runtime::{Runtime, RuntimeError},
    store::{EdgeStore, POWER},
};
use mamba_core::{
    db::{Txn, TxnError},
    error::chain,
    server::Mount,
};
use mamba_wire::{
    net::frames::{FrameStream, FramedError},
    node::{
        NodeError,
        moving::{Luggage, MoveAnswer, MoveChunk},
    },
};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::sync::mpsc;

/// Longest fetch of an image, as before a start.
const FETCH_MS_MAX: u64 = 900_000;

impl<R: Runtime> Mover<R> {
    pub(super) async fn prepare(
        &self,
        job: &Job,
        image: &str,
        mounts: Vec<Mount>,
        needed_bytes: u64,
    ) -> Result<MoveAnswer, NodeError> {
        let (server, transfer) = (job.server, job.transfer);
        if self.lives_here(server)? {
            return Err(NodeError::NotAllowed("server lives on the node already".to_owned()));
        }
        self.data.mounts(&mounts).map_err(|err| NodeError::NotAllowed(chain(&err)))?;
        // What is in the trash here is older than what comes.
        let ended = self.desired(server)?.in_force;
        let old_trash = ended.as_ref().map(|held| held.not_before);
        let data = self.data.clone();
        let clear = move || {
            let room = rustix::fs::statvfs(data.servers())
                .map_err(|err| MoveError::io("looking", b".", err))?;
            let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
            check_room(free_bytes, needed_bytes)?;
            let known = data.arrival(server)?;
            let is_other = known.as_ref().is_none_or(|known| known.transfer != transfer);
            let is_left = known.is_some_and(|known| known.came == Came::Sealed) && is_other;
            if let Some(stamp) = old_trash.filter(|_| is_other) {
                data.purge(server, stamp).map_err(|err| MoveError::Hostile(chain(&err)))?;
            }
            Ok((is_other, is_left, data.of(server).exists()))
        };
        let (is_other, is_left, has_folder) = off(job, clear).await?;
        if is_other && has_folder {
            match (is_left, &ended) {
                (true, _) => throw_away(&self.store, &self.data, job).await?,
                // It is on its way to the trash.
                (false, Some(_)) => return Err(NodeError::Busy),
                (false, None) => {
                    let why = "a folder of this server is on the node, and nobody knows whose";
                    return Err(NodeError::NotAllowed(why.to_owned()));
                }
            }
        }
        self.fetch(image).await?;
        Ok(MoveAnswer::Done)
    }

    async fn fetch(&self, image: &str) -> Result<(), NodeError> {
        let (progress, _seen) = mpsc::channel(1);
        let call = self.runtime.ensure_image(image, progress);
        match tokio::time::timeout(Duration::from_millis(FETCH_MS_MAX), call).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(RuntimeError::Unreachable(_) | RuntimeError::TimedOut { .. })) | Err(_) => {
                Err(NodeError::Busy)
            }
            Ok(Err(err)) => Err(NodeError::NotAllowed(chain(&err))),
        }
    }

    /// Takes chunks until all are here. `None`: the hub ended the stream before.
    pub(super) async fn write(
        &self,
        job: &Job,
        new: Arrival,
        stream: &mut FrameStream,
    ) -> Result<Result<Option<MoveAnswer>, NodeError>, FramedError> {
        // A hub that came back from a backup may not know it yet.
        match self.lives_here(job.server) {
            Ok(false) => {}
            Ok(true) => return Ok(Err(NodeError::Busy)),
            Err(err) => return Ok(Err(err)),
        }
        let mut arrival = match self.open_arrival(job, new).await {
            Ok(arrival) => arrival,
            Err(err) => return Ok(Err(err)),
        };
        let (place, bytes) = match &arrival.came {
            Came::UpTo { place, bytes } => (place.clone(), *bytes),
            Came::Whole { bytes } => (None, *bytes),
            Came::Sealed => (None, 0),
        };
        let is_whole = !matches!(arrival.came, Came::UpTo { .. });
        tell(stream, MoveAnswer::At { place, is_whole, bytes }).await?;
        if is_whole {
            return Ok(Ok(None));
        }
        let writer = Writer::new(&self.data.arriving(job.server), bytes, arrival.most_bytes);
        let mut writer = match writer {
            Ok(writer) => writer,
            Err(err) => return Ok(Err(broken(&err))),
        };
        let mut kept = bytes;
        while let Some(frame) = stream.reader.next().await? {
            let chunk = MoveChunk::from_frame(&frame).map_err(FramedError::Frame)?;
            let (data, server, most) = (self.data.clone(), job.server, arrival.clone());
            let work = move || {
                let parts = chunk.unpack().map_err(|err| MoveError::Hostile(err.to_string()))?;
                writer.write(&parts)?;
                let bytes = writer.bytes();
                let came = match parts.next {
                    None => Came::Whole { bytes },
                    place if bytes >= kept.saturating_add(CHECKPOINT_BYTES) => {
                        Came::UpTo { place, bytes }
                    }
                    Some(_) => return Ok((writer, None)),
                };
                writer.sync()?;
                let arrival = Arrival { came, ..most };
                data.keep_arrival(server, &arrival)?;
                Ok((writer, Some(arrival)))
            };
            let news = match off(job, work).await {
                Ok((back, news)) => {
                    writer = back;
                    news
                }
                Err(err) => return Ok(Err(err)),
            };
            let Some(news) = news else { continue };
            (arrival, kept) = (news, writer.bytes());
            tell(stream, MoveAnswer::Stored { bytes: kept }).await?;
            if matches!(arrival.came, Came::Whole { .. }) {
                return Ok(Ok(Some(MoveAnswer::Done)));
            }
        }
        Ok(Ok(None))
    }

    /// Finds what came so far, or makes an empty place.
    async fn open_arrival(&self, job: &Job, new: Arrival) -> Result<Arrival, NodeError> {
        let (data, server) = (self.data.clone(), job.server);
        off(job, move || {
            let known = data.arrival(server)?;
            let is_it = |known: &Arrival| {
                (known.transfer, known.copy) == (new.transfer, new.copy)
                    && (known.came == Came::Sealed || data.arriving(server).is_dir())
            };
            match known.filter(is_it) {
                Some(known) => Ok(known),
                None => data.begin_arrival(server, &new).map(|()| new),
            }
        })
        .await
    }

    pub(super) async fn seal(&self, job: &Job, luggage: Luggage) -> Result<MoveAnswer, NodeError> {
        if self.lives_here(job.server)? {
            return Err(NodeError::Busy);
        }
        let (data, server, held) = (self.data.clone(), job.server, Arc::clone(&job.held));
        let (transfer, digest) = (job.transfer, luggage.digest);
        let check = move || {
            let known = data.arrival(server)?.filter(|known| known.transfer == transfer);
            Ok(match known.as_ref().map(|known| &known.came) {
                Some(Came::Sealed) => known,
                Some(Came::Whole { .. }) => {
                    let wanted = || held.is_wanted.load(Relaxed);
                    let found = count(&data.arriving(server), wanted)?;
                    known.filter(|_| found == Some(digest))
                }
                Some(Came::UpTo { .. }) | None => None,
            })
        };
        let Some(arrival) = off(job, check).await? else { return Ok(MoveAnswer::Differs) };
        let Luggage { power, install, .. } = luggage;
        let data = self.data.clone();
        if let Some(install) = install.clone().filter(|it| it.end.is_some()) {
            let mark = move || data.mark_install(server, &install);
            off(job, move || mark().map_err(|err| MoveError::Hostile(chain(&err)))).await?;
        }
        let write = move |txn: &mut Txn<'_>| -> Result<(), TxnError> {
            txn.put(POWER, &server, &power)?;
            match &install {
                Some(install) => txn.put(INSTALLS, &server, install),
                None => txn.delete(INSTALLS, &server),
            }
        };
        self.store.raw().write(write).await.map_err(|err| unreadable(&err))?;
        let data = self.data.clone();
        off(job, move || {
            data.keep_arrival(server, &Arrival { came: Came::Sealed, ..arrival })?;
            data.settle_arrival(server)
        })
        .await?;
        Ok(MoveAnswer::Done)
    }

    pub(super) fn confirm(&self, job: &Job) -> Result<MoveAnswer, NodeError> {
        if !self.lives_here(job.server)? {
            return Err(NodeError::Busy);
        }
        let known = self.data.arrival(job.server).map_err(|err| broken(&err))?;
        let is_it =
            known.is_some_and(|known| known.transfer == job.transfer && known.came == Came::Sealed);
        if is_it && self.data.of(job.server).is_dir() {
            return Ok(MoveAnswer::Done);
        }
        Err(NodeError::Data("what was moved is not on the node any more".to_owned()))
    }

    pub(super) async fn drop_arrival(&self, job: &Job) -> Result<MoveAnswer, NodeError> {
        if self.lives_here(job.server)? {
            return Err(NodeError::NotAllowed("server lives on the node".to_owned()));
        }
        let known = self.data.arrival(job.server).map_err(|err| broken(&err))?;
        if known.is_some_and(|known| known.transfer == job.transfer) {
            throw_away(&self.store, &self.data, job).await?;
        }
        Ok(MoveAnswer::Done)
    }
}

/// Removes everything that a hand-over brought.
async fn throw_away(store: &EdgeStore, data: &DataDirs, job: &Job) -> Result<(), NodeError> {
    let server = job.server;
    let forget = move |txn: &mut Txn<'_>| -> Result<(), TxnError> {
        txn.delete(POWER, &server)?;
        txn.delete(INSTALLS, &server)
    };
    store.raw().write(forget).await.map_err(|err| unreadable(&err))?;
    let data = data.clone();
    off(job, move || {
        if data.arrival(server)?.is_some_and(|known| known.came == Came::Sealed) {
            remove(&data.of(server))?;
            remove(&data.install_home(server))?;
        }
        data.forget_arrival(server)
    })
    .await
}

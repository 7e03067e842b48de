//! The steps of a move that are asked of the node on which the server lives.

use super::{
    MoveError, Reader, count,
    serve::{Job, Mover, off, tell, unreadable},
};
use crate::runtime::Runtime;
use mamba_wire::{
    net::frames::{FrameStream, FramedError},
    node::{
        NodeError,
        moving::{Digest, Luggage, MoveAnswer, MoveChunk, Parts, Place},
    },
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
};

impl<R: Runtime> Mover<R> {
    /// Says how much there is of a server that may run.
    pub(super) async fn measure(&self, job: &Job) -> Result<MoveAnswer, NodeError> {
        if !self.lives_here(job.server)? {
            return Err(NodeError::NoSuchServer(job.server));
        }
        let folder = self.data.of(job.server);
        let bytes = off(job, move || Ok(size_of(&folder))).await?;
        Ok(MoveAnswer::Size { bytes })
    }

    /// Sends chunks from a place on.
    pub(super) async fn read(
        &self,
        job: &Job,
        from: Option<Place>,
        stream: &mut FrameStream,
    ) -> Result<Result<Option<MoveAnswer>, NodeError>, FramedError> {
        if !self.rests(job) {
            return Ok(Err(NodeError::Busy));
        }
        let folder = self.data.of(job.server);
        let begin = {
            let folder = folder.clone();
            move || Ok((Reader::new(&folder, from.as_ref())?, size_of(&folder)))
        };
        let (mut reader, bytes) = match off(job, begin).await {
            Ok(begun) => begun,
            Err(err) => return Ok(Err(err)),
        };
        tell(stream, MoveAnswer::Size { bytes }).await?;
        let mut is_over = false;
        while !is_over {
            if !self.rests(job) {
                return Ok(Err(NodeError::Busy));
            }
            let next = off(job, move || {
                let parts = reader.next_parts()?.unwrap_or_else(end);
                let is_over = parts.next.is_none();
                let chunk =
                    MoveChunk::pack(&parts).map_err(|err| MoveError::Hostile(err.to_string()))?;
                Ok((reader, chunk, is_over))
            });
            let chunk;
            (reader, chunk, is_over) = match next.await {
                Ok(next) => next,
                Err(err) => return Ok(Err(err)),
            };
            stream.writer.send(&chunk.to_frame().map_err(FramedError::Frame)?).await?;
        }
        Ok(Ok(None))
    }

    pub(super) async fn count(&self, job: &Job) -> Result<MoveAnswer, NodeError> {
        if !self.rests(job) {
            return Err(NodeError::Busy);
        }
        let (folder, held): (PathBuf, _) = (self.data.of(job.server), Arc::clone(&job.held));
        let counted = off(job, move || count(&folder, || held.is_wanted.load(Relaxed)));
        let digest: Digest = counted.await?.ok_or(NodeError::Busy)?;
        let power = self.store.power(job.server).map_err(|err| unreadable(&err))?;
        let install = self.store.install(job.server).map_err(|err| unreadable(&err))?;
        // It counts only if nobody was allowed to change anything meanwhile.
        if !self.rests(job) {
            return Err(NodeError::Busy);
        }
        Ok(MoveAnswer::Counted(Box::new(Luggage { digest, power, install })))
    }

    fn rests(&self, job: &Job) -> bool {
        self.supervisor.rests_for(job.server, job.transfer)
    }
}

/// What a folder takes, nothing when it cannot be counted: the limits are held when it comes.
fn size_of(folder: &Path) -> u64 {
    crate::meter::disk_size(folder).map_or(0, |size| size.bytes)
}

/// The end of an empty folder.
fn end() -> Parts {
    Parts { parts: Vec::new(), next: None }
}

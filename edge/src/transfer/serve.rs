//! Serves the hub's steps of a move.

use super::{
    Arrival, CHECKPOINT_BYTES, Came, FREE_BYTES_MIN, MoveError, Reader, Writer, count,
    state::remove,
};
use crate::{
    data::DataDirs,
    install::INSTALLS,
    runtime::{Runtime, RuntimeError},
    store::{DESIRED, Desired, EdgeStore, POWER},
    supervisor::SupervisorHandle,
};
use mamba_core::{
    db::{Snapshot as _, Txn, TxnError},
    error::chain,
    ids::{ServerId, TransferId},
    server::Mount,
};
use mamba_wire::{
    net::frames::{FrameStream, FramedError},
    node::{
        Answer, NodeError, NodeReply,
        moving::{Digest, Luggage, MoveAnswer, MoveChunk, MoveStep, Place},
    },
};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::mpsc,
};

/// Longest fetch of an image, as before a start.
const FETCH_MS_MAX: u64 = 900_000;

/// What the node does for moves. One for all requests.
pub struct Mover<R> {
    runtime: Arc<R>,
    store: EdgeStore,
    data: DataDirs,
    supervisor: SupervisorHandle,
    /// Servers that something is done for.
    busy: Arc<Mutex<BTreeSet<ServerId>>>,
}

/// The right to do something for one server, until everything of it is over.
struct Held {
    busy: Arc<Mutex<BTreeSet<ServerId>>>,
    server: ServerId,
    /// Whether somebody waits for it.
    is_wanted: AtomicBool,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.server);
    }
}

/// Tells work in the background when nobody waits for it any more.
struct Waiter(Arc<Held>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.is_wanted.store(false, Relaxed);
    }
}

/// One step for one server.
struct Job {
    server: ServerId,
    transfer: TransferId,
    held: Arc<Held>,
}

impl<R: Runtime> Mover<R> {
    /// Makes it from the node's parts.
    pub fn new(
        runtime: Arc<R>,
        store: EdgeStore,
        data: DataDirs,
        supervisor: SupervisorHandle,
    ) -> Self {
        Self { runtime, store, data, supervisor, busy: Arc::default() }
    }

    /// Does one step and answers. Cancelled, what blocks goes on until its next chunk, and the node
    /// says that it is busy until then.
    ///
    /// # Errors
    /// When the stream broke.
    pub async fn serve(
        &self,
        server: ServerId,
        transfer: TransferId,
        step: MoveStep,
        mut stream: FrameStream,
    ) -> Result<(), FramedError> {
        let done = match self.hold(server) {
            None => Err(NodeError::Busy),
            Some(held) => {
                let _waiter = Waiter(Arc::clone(&held));
                let job = Job { server, transfer, held };
                match step {
                    MoveStep::Read { from } => self.read(&job, from, &mut stream).await?,
                    MoveStep::Write { copy, most_bytes } => {
                        let new = Arrival::new(transfer, copy, most_bytes);
                        self.write(&job, new, &mut stream).await?
                    }
                    MoveStep::Prepare { image, mounts, needed_bytes } => {
                        self.prepare(&job, &image, mounts, needed_bytes).await.map(Some)
                    }
                    MoveStep::Count => self.count(&job).await.map(Some),
                    MoveStep::Seal(luggage) => self.seal(&job, *luggage).await.map(Some),
                    MoveStep::Confirm => self.confirm(&job).map(Some),
                    MoveStep::Drop => self.drop_arrival(&job).await.map(Some),
                }
            }
        };
        let reply = match done {
            Ok(Some(answer)) => NodeReply::Ok(Box::new(Answer::Move(answer))),
            Ok(None) => return stream.writer.finish().await,
            Err(err) => {
                tracing::info!(%server, %transfer, "step of a move: {err}");
                NodeReply::Err(err)
            }
        };
        stream.writer.send(&reply.to_frame().map_err(FramedError::Frame)?).await?;
        stream.writer.finish().await
    }

    fn hold(&self, server: ServerId) -> Option<Arc<Held>> {
        let is_free = self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(server);
        let held =
            || Held { busy: Arc::clone(&self.busy), server, is_wanted: AtomicBool::new(true) };
        is_free.then(|| Arc::new(held()))
    }

    fn desired(&self, server: ServerId) -> Result<Desired, NodeError> {
        let desired = self.store.raw().read(|txn| txn.get(DESIRED, &server));
        Ok(desired.map_err(|err: TxnError| unreadable(&err))?.unwrap_or_default())
    }

    /// Whether the server exists here by a wish that is held: also one that a deletion follows later.
    fn lives_here(&self, server: ServerId) -> Result<bool, NodeError> {
        let Desired { in_force, next, .. } = self.desired(server)?;
        let mut held = in_force.into_iter().chain(next).filter_map(|it| it.envelope.open().ok());
        Ok(held.any(|wish| wish.body.spec().is_some()))
    }

    // As target.

    async fn prepare(
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
            if free_bytes < FREE_BYTES_MIN.saturating_add(needed_bytes) {
                return Err(MoveError::NoRoom { free_bytes });
            }
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
    async fn write(
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

    async fn seal(&self, job: &Job, luggage: Luggage) -> Result<MoveAnswer, NodeError> {
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

    fn confirm(&self, job: &Job) -> Result<MoveAnswer, NodeError> {
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

    async fn drop_arrival(&self, job: &Job) -> Result<MoveAnswer, NodeError> {
        if self.lives_here(job.server)? {
            return Err(NodeError::NotAllowed("server lives on the node".to_owned()));
        }
        let known = self.data.arrival(job.server).map_err(|err| broken(&err))?;
        if known.is_some_and(|known| known.transfer == job.transfer) {
            throw_away(&self.store, &self.data, job).await?;
        }
        Ok(MoveAnswer::Done)
    }

    // As source.

    /// Sends chunks from a place on.
    async fn read(
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
            move || {
                let bytes = crate::meter::disk_size(&folder).map_or(0, |size| size.bytes);
                Ok((Reader::new(&folder, from.as_ref())?, bytes))
            }
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

    async fn count(&self, job: &Job) -> Result<MoveAnswer, NodeError> {
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

/// The end of an empty folder.
fn end() -> mamba_wire::node::moving::Parts {
    mamba_wire::node::moving::Parts { parts: Vec::new(), next: None }
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

async fn tell(stream: &mut FrameStream, answer: MoveAnswer) -> Result<(), FramedError> {
    let reply = NodeReply::Ok(Box::new(Answer::Move(answer)));
    stream.writer.send(&reply.to_frame().map_err(FramedError::Frame)?).await
}

/// Runs something that blocks, away from the runtime's threads. Cancelled, it goes on, and the server
/// stays held until it is over.
///
/// A runtime with a single thread is a simulator's: there it runs in place.
async fn off<T: Send + 'static>(
    job: &Job,
    work: impl FnOnce() -> Result<T, MoveError> + Send + 'static,
) -> Result<T, NodeError> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work().map_err(|err| broken(&err));
    }
    let held = Arc::clone(&job.held);
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(held);
        done
    });
    match done.await {
        Ok(done) => done.map_err(|err| broken(&err)),
        Err(err) => Err(NodeError::Data(chain(&err))),
    }
}

fn broken(err: &MoveError) -> NodeError {
    NodeError::Data(chain(err))
}

fn unreadable(err: &dyn std::error::Error) -> NodeError {
    NodeError::StoreUnavailable(chain(err))
}

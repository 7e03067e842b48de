//! Serves the hub's steps of a move, one at a time for each server.

use super::{Arrival, MoveError, moves};
use crate::{
    data::DataDirs,
    runtime::Runtime,
    store::{DESIRED, Desired, EdgeStore},
    supervisor::SupervisorHandle,
};
use mamba_core::{
    db::{Snapshot as _, TxnError},
    error::chain,
    ids::{ServerId, TransferId},
};
use mamba_wire::{
    net::frames::{FrameStream, FramedError},
    node::{
        Answer, NodeError, NodeReply,
        moving::{MoveAnswer, MoveLine, MoveStep},
    },
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::runtime::{Handle, RuntimeFlavor};

/// What the node does for moves. One for all requests.
pub struct Mover<R> {
    pub(super) runtime: Arc<R>,
    pub(super) store: EdgeStore,
    pub(super) data: DataDirs,
    pub(super) supervisor: SupervisorHandle,
    /// Servers that something is done for.
    busy: Arc<Mutex<BTreeSet<ServerId>>>,
}

/// The right to do something for one server, until everything of it is over.
pub(super) struct Held {
    busy: Arc<Mutex<BTreeSet<ServerId>>>,
    server: ServerId,
    /// Whether somebody waits for it.
    pub(super) is_wanted: AtomicBool,
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
pub(super) struct Job {
    pub(super) server: ServerId,
    pub(super) transfer: TransferId,
    pub(super) held: Arc<Held>,
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
                    MoveStep::Measure => self.measure(&job).await.map(Some),
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

    /// Lists servers on their way.
    ///
    /// # Errors
    /// When store or folders cannot be read.
    pub fn moves(&self) -> Result<Vec<MoveLine>, NodeError> {
        let desired = self.store.desired().map_err(|err| unreadable(&err))?;
        moves(&self.data, &desired).map_err(|err| broken(&err))
    }

    fn hold(&self, server: ServerId) -> Option<Arc<Held>> {
        let is_free = self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(server);
        let held =
            || Held { busy: Arc::clone(&self.busy), server, is_wanted: AtomicBool::new(true) };
        is_free.then(|| Arc::new(held()))
    }

    pub(super) fn desired(&self, server: ServerId) -> Result<Desired, NodeError> {
        let desired = self.store.raw().read(|txn| txn.get(DESIRED, &server));
        Ok(desired.map_err(|err: TxnError| unreadable(&err))?.unwrap_or_default())
    }

    /// Whether the server exists here by a wish that is held: also one that a deletion follows later.
    pub(super) fn lives_here(&self, server: ServerId) -> Result<bool, NodeError> {
        let Desired { in_force, next, .. } = self.desired(server)?;
        let mut held = in_force.into_iter().chain(next).filter_map(|it| it.envelope.open().ok());
        Ok(held.any(|wish| wish.body.spec().is_some()))
    }
}

pub(super) async fn tell(stream: &mut FrameStream, answer: MoveAnswer) -> Result<(), FramedError> {
    let reply = NodeReply::Ok(Box::new(Answer::Move(answer)));
    stream.writer.send(&reply.to_frame().map_err(FramedError::Frame)?).await
}

/// Runs something that blocks, away from the runtime's threads. Cancelled, it goes on, and the server
/// stays held until it is over.
///
/// A runtime with a single thread is a simulator's: there it runs in place.
pub(super) async fn off<T: Send + 'static>(
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

pub(super) fn broken(err: &MoveError) -> NodeError {
    NodeError::Data(chain(err))
}

pub(super) fn unreadable(err: &dyn std::error::Error) -> NodeError {
    NodeError::StoreUnavailable(chain(err))
}

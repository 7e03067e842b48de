//! Drives open moves: looks at what both nodes are like, does the next step, writes down how it went.

use super::{
    OPEN, OPEN_MAX, TRANSFERS, TransferRecord,
    copy::{ANSWER_MS_MAX, Asker, COUNT_MS_MAX, PREPARE_MS_MAX},
    lost, steps,
};
use crate::{
    Hub, HubError,
    control::{
        hidden::Whole,
        wish::{Happened, ServerKey, blueprint_of},
    },
    relay::NodeDoor,
    store::{OBSERVED, PLACED, SERVERS},
};
use mamba_core::{
    clock::BootMs,
    db::{Snapshot, Span, Txn},
    error::chain,
    ids::{NodeId, TransferId},
    lifecycle::{
        Actor, NotRunning, ServerState,
        transfer::{Phase, Seen, Step, Then, Waiting, Went, after, next},
    },
    server::Mount,
};
use mamba_wire::node::moving::{MoveAnswer, MoveStep};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

/// Between two looks at open moves. What nodes say is in the store; nobody wakes this part.
const LOOK_MS: u64 = 1_000;
/// Steps under way at once: each may carry data, of which the hub's own line has only so much.
const STEPS_MAX: usize = 4;
/// Pause before a step is tried again.
const RETRY_MS: u64 = 5_000;
/// Nodes asked at once to throw data away; the others are asked at the next look.
const DROPS_MAX: usize = 16;

/// How moves go at the moment. In memory only: after a restart of the hub the nodes tell it again.
#[derive(Debug, Default)]
pub(crate) struct Progresses {
    // Locked for moments, never across a wait. One entry per open move.
    of: Mutex<BTreeMap<TransferId, Progress>>,
}

/// How one move goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) waiting: Option<Waiting>,
    pub(super) trouble: Option<String>,
    pub(super) done: Option<u64>,
    pub(super) total: Option<u64>,
}

impl Progresses {
    pub(super) fn of(&self, transfer: TransferId) -> Progress {
        self.all().get(&transfer).cloned().unwrap_or_default()
    }

    pub(super) fn stored(&self, transfer: TransferId, bytes: u64) {
        self.all().entry(transfer).or_default().done = Some(bytes);
    }

    pub(super) fn sized(&self, transfer: TransferId, bytes: u64) {
        self.all().entry(transfer).or_default().total = Some(bytes);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<TransferId, Progress>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step that is under way.
struct UnderWay {
    task: AbortHandle,
    transfer: TransferId,
    phase: Phase,
}

/// A step that ended.
struct Ended {
    key: ServerKey,
    transfer: TransferId,
    phase: Phase,
    copies: u32,
    went: Went,
}

/// What wakes the driver. `None`: the task was aborted, or panicked.
enum Event {
    Step(Option<Ended>),
    Dropped(Option<Result<(NodeId, TransferId), ()>>),
    Time,
}

struct Driver {
    hub: Hub,
    door: Arc<dyn NodeDoor>,
    steps: JoinSet<Ended>,
    under_way: BTreeMap<ServerKey, UnderWay>,
    /// When a step may be tried again.
    retry_at: BTreeMap<ServerKey, BootMs>,
    drops: JoinSet<Result<(NodeId, TransferId), ()>>,
}

/// Drives moves until `stop` becomes true. What is under way then goes on in the hub's next life.
pub async fn keep(hub: Hub, door: Arc<dyn NodeDoor>, mut stop: watch::Receiver<bool>) {
    let mut driver = Driver {
        hub,
        door,
        steps: JoinSet::new(),
        under_way: BTreeMap::new(),
        retry_at: BTreeMap::new(),
        drops: JoinSet::new(),
    };
    loop {
        if let Err(err) = driver.look().await {
            tracing::warn!(error = chain(&err), "moves of servers wait");
        }
        let event = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            Some(ended) = driver.steps.join_next() => Event::Step(ended.ok()),
            Some(dropped) = driver.drops.join_next() => Event::Dropped(dropped.ok()),
            () = sleep(Duration::from_millis(LOOK_MS)) => Event::Time,
        };
        match event {
            Event::Step(ended) => driver.ended(ended).await,
            Event::Dropped(dropped) => driver.dropped(dropped).await,
            Event::Time => {}
        }
    }
}

impl Driver {
    /// Begins every step that is due.
    async fn look(&mut self) -> Result<(), HubError> {
        let connected = self.hub.live().connected();
        let open = self.hub.read(|txn| {
            let keys = txn.range(OPEN, Span::all(), OPEN_MAX)?;
            let mut open = BTreeMap::new();
            for (key, _) in keys {
                if let Some(known) = txn.get(TRANSFERS, &key)? {
                    let mut seen = seen(txn, &key, &known)?;
                    seen.source_up = connected.contains(&known.from);
                    seen.target_up = connected.contains(&known.to);
                    open.insert(key, (known, seen));
                }
            }
            Ok(open)
        })?;
        self.under_way.retain(|key, it| {
            let is_open = open
                .get(key)
                .is_some_and(|(known, _)| (known.transfer, known.phase) == (it.transfer, it.phase));
            if !is_open {
                it.task.abort();
            }
            is_open
        });
        self.retry_at.retain(|key, _| open.contains_key(key));
        let is_open = |id: &TransferId| open.values().any(|(known, _)| known.transfer == *id);
        self.hub.progresses().all().retain(|id, _| is_open(id));
        for (key, (known, seen)) in open {
            self.begin(key, known, seen).await?;
        }
        self.begin_drops(&connected)
    }

    async fn begin(
        &mut self,
        key: ServerKey,
        known: TransferRecord,
        seen: Seen,
    ) -> Result<(), HubError> {
        let now = self.hub.clock().boot();
        let step = next(known.phase, seen);
        let waiting = match step {
            Step::Wait(waiting) => Some(waiting),
            _ => None,
        };
        self.hub.progresses().all().entry(known.transfer).or_default().waiting = waiting;
        let is_held = self.under_way.contains_key(&key)
            || self.retry_at.get(&key).is_some_and(|at| *at > now);
        let (transfer, phase, copies) = (known.transfer, known.phase, known.copies);
        match step {
            Step::Wait(_) | Step::Ended => Ok(()),
            // Nothing is asked of anybody for these.
            Step::Rested | Step::Finish => {
                self.follow(key, (transfer, phase), after(phase, Went::Well, copies)).await
            }
            _ if is_held || self.steps.len() >= STEPS_MAX => Ok(()),
            step => {
                let (hub, door) = (self.hub.clone(), Arc::clone(&self.door));
                let work = async move {
                    let went = run(&hub, door, key, &known, step).await;
                    Ended { key, transfer, phase, copies, went }
                };
                let task = self.steps.spawn(work);
                self.under_way.insert(key, UnderWay { task, transfer, phase });
                Ok(())
            }
        }
    }

    async fn ended(&mut self, ended: Option<Ended>) {
        // One that was aborted or panicked is begun again when it is due.
        let Some(Ended { key, transfer, phase, copies, went }) = ended else {
            return self.under_way.retain(|_, it| !it.task.is_finished());
        };
        let is_it = |it: &&mut UnderWay| (it.transfer, it.phase) == (transfer, phase);
        if self.under_way.get_mut(&key).filter(is_it).is_some() {
            self.under_way.remove(&key);
        }
        let then = after(phase, went, copies);
        let trouble = match &then {
            Then::Again(why) => Some(why.clone()),
            Then::Go(_) | Then::CopyAgain | Then::GiveUp(_) => None,
        };
        if trouble.is_some() {
            let at = self.hub.clock().boot().plus(RETRY_MS);
            self.retry_at.insert(key, at);
        }
        self.hub.progresses().all().entry(transfer).or_default().trouble = trouble;
        tracing::info!(server = %key.1, %transfer, ?phase, ?then, "step of a move ended");
        if let Err(err) = self.follow(key, (transfer, phase), then).await {
            // The step is done again, which does no harm.
            tracing::warn!(server = %key.1, error = chain(&err), "step of a move is not recorded");
            self.retry_at.insert(key, self.hub.clock().boot().plus(RETRY_MS));
        }
    }

    /// Writes down what follows, and tells the nodes that have to hear of it.
    async fn follow(
        &self,
        key: ServerKey,
        at: (TransferId, Phase),
        then: Then,
    ) -> Result<(), HubError> {
        let (hub, happened) = (self.hub.clone(), Happened::now(&self.hub, &Actor::Hub));
        let told = self
            .hub
            .write(move |txn: &mut Txn<'_>| {
                if at.1 == Phase::Lost && then == Then::Go(Phase::Failed) {
                    return lost::settle(&hub, txn, key, at.0, &happened);
                }
                steps::advance(&hub, txn, key, at, &then, &happened)
            })
            .await?;
        told.into_iter().for_each(|node| self.hub.live().changed(node));
        Ok(())
    }

    /// Asks nodes to throw away what was given up.
    fn begin_drops(&mut self, connected: &BTreeSet<NodeId>) -> Result<(), HubError> {
        if !self.drops.is_empty() {
            return Ok(());
        }
        let due = self.hub.read(|txn| steps::drops(txn, connected, DROPS_MAX))?;
        for (node, transfer, server) in due {
            let asker = Asker { door: Arc::clone(&self.door), server, transfer };
            self.drops.spawn(async move {
                match asker.ask(node, MoveStep::Drop, ANSWER_MS_MAX).await {
                    // What it refuses to throw away is the server itself.
                    Ok(_) | Err(Went::Refused(_)) => Ok((node, transfer)),
                    Err(_) => {
                        sleep(Duration::from_millis(RETRY_MS)).await;
                        Err(())
                    }
                }
            });
        }
        Ok(())
    }

    async fn dropped(&self, dropped: Option<Result<(NodeId, TransferId), ()>>) {
        let Some(Ok((node, transfer))) = dropped else { return };
        let forget = move |txn: &mut Txn<'_>| steps::dropped(txn, node, transfer);
        if let Err(err) = self.hub.write(forget).await {
            tracing::warn!(%node, error = chain(&err), "end of a move is not recorded");
        }
    }
}

/// What the nodes said last, as far as it matters for a move.
pub(super) fn seen(
    txn: &impl Snapshot,
    key: &ServerKey,
    known: &TransferRecord,
) -> Result<Seen, HubError> {
    let observed = txn.get(OBSERVED, key)?.filter(|it| it.node == known.from);
    let source_rests = observed.is_some_and(|it| {
        let seen = it.observed;
        known.frozen.is_some_and(|frozen| seen.applied >= Some(frozen))
            && seen.state == ServerState::Offline
            && seen.not_running == Some(NotRunning::Moving)
    });
    let source = txn.get(PLACED, &(known.from, key.1))?;
    let target = txn.get(PLACED, &(known.to, key.1))?.filter(|it| !it.left);
    Ok(Seen {
        source_rests,
        target_holds: target.is_some_and(|it| it.held >= Some(it.order)),
        source_cleared: source.is_none_or(|it| it.gone),
        ..Seen::default()
    })
}

/// Does one step.
async fn run(
    hub: &Hub,
    door: Arc<dyn NodeDoor>,
    key: ServerKey,
    known: &TransferRecord,
    step: Step,
) -> Went {
    let asker = Asker { door, server: key.1, transfer: known.transfer };
    let record = hub.read(|txn| {
        let Some(record) = txn.get(SERVERS, &key)? else { return Ok(None) };
        let record = Whole::of(hub, txn, &key, record)?;
        let image = blueprint_of(txn, &record)?.render(record.choices.clone())?.image;
        Ok(Some((record, image)))
    });
    let (record, image) = match record {
        Ok(Some(found)) => found,
        Ok(None) => return Went::Refused("server does not exist any more".to_owned()),
        Err(err) if err.is_retryable() => return Went::NotNow(chain(&err)),
        Err(err) => return Went::Refused(chain(&err)),
    };
    let most_bytes = record.choices.limits.disk_mib.bytes();
    let went = match step {
        Step::Prepare => {
            let mounts = record.choices.mounts.clone();
            prepare(&asker, known, (image, mounts), hub.progresses()).await
        }
        Step::Copy => {
            let nodes = (known.from, known.to);
            Ok(asker.copy(nodes, (known.copies, most_bytes), hub.progresses()).await)
        }
        Step::Seal => seal(&asker, known).await,
        Step::Confirm => {
            asker.ask(known.to, MoveStep::Confirm, ANSWER_MS_MAX).await.map(|_| Went::Well)
        }
        Step::Settle => {
            asker.ask(known.to, MoveStep::Drop, ANSWER_MS_MAX).await.map(|_| Went::Well)
        }
        Step::Wait(_) | Step::Rested | Step::Finish | Step::Ended => Ok(Went::Well),
    };
    went.unwrap_or_else(|went| went)
}

/// Has the target make room for what the source has.
async fn prepare(
    asker: &Asker,
    known: &TransferRecord,
    (image, mounts): (String, Vec<Mount>),
    progresses: &Progresses,
) -> Result<Went, Went> {
    let MoveAnswer::Size { bytes: needed_bytes } =
        asker.ask(known.from, MoveStep::Measure, PREPARE_MS_MAX).await?
    else {
        return Err(Went::NotNow("the source gave another answer".to_owned()));
    };
    progresses.sized(known.transfer, needed_bytes);
    let step = MoveStep::Prepare { image, mounts, needed_bytes };
    asker.ask(known.to, step, PREPARE_MS_MAX).await.map(|_| Went::Well)
}

/// Has both nodes count what they have.
async fn seal(asker: &Asker, known: &TransferRecord) -> Result<Went, Went> {
    let counted = asker.ask(known.from, MoveStep::Count, COUNT_MS_MAX).await?;
    let MoveAnswer::Counted(luggage) = counted else {
        return Err(Went::NotNow("the source gave another answer".to_owned()));
    };
    match asker.ask(known.to, MoveStep::Seal(luggage), COUNT_MS_MAX).await? {
        MoveAnswer::Done => Ok(Went::Well),
        MoveAnswer::Differs => Ok(Went::Differs),
        _ => Err(Went::NotNow("the target gave another answer".to_owned())),
    }
}

//! Hand-overs step by step, and what a restart, a lost node or a change of mind leaves.

use super::{LEFT, NewTransfer, OPEN, RESERVED, TRANSFERS, TransferRecord, drive::seen, steps};
use crate::{
    HubError,
    control::{Deleting, ServerChange, promised, wish::Happened},
    store::{ALLOCATIONS, LEASES, PLACED, SERVERS},
    testing::{Outbox, START, World, limits, tenant},
};
use mamba_core::{
    db::{Snapshot as _, Span, Txn},
    desired::{Envelope, SignedEnvelope, Wish},
    fact::{Activity, ActivityFact, Quantities, Stream, UsageBody, UsageFact},
    ids::{EventId, NodeId, ServerId},
    lifecycle::{
        Actor, NotRunning, Observed, PowerAction, PowerWish, ServerState,
        transfer::{Phase, Step, Then, Waiting, next},
    },
    scope::NodeScope,
    server::InstallFiles,
};
use mamba_wire::link::v1::{DesiredOutcome, DesiredResult, StateReport};

struct Two {
    world: World,
    from: NodeId,
    to: NodeId,
    server: ServerId,
}

impl Two {
    async fn new() -> Self {
        let mut world = World::new().await;
        let (from, to) = (world.node("from").await, world.node("to").await);
        let server = world.server(&tenant(1), from).await;
        world.clock.advance(60_000);
        Self { world, from, to, server }
    }

    async fn start(&self) {
        let new = NewTransfer { node: Some(self.to), ..NewTransfer::default() };
        let begun = self.world.hub.start_transfer(&tenant(1), self.server, new).await.unwrap();
        assert_eq!((begun.phase, begun.from, begun.to), (Phase::Preparing, self.from, self.to));
    }

    fn known(&self) -> TransferRecord {
        let key = (tenant(1).tenant(), self.server);
        self.world.hub.read(|txn| Ok(txn.get(TRANSFERS, &key)?)).unwrap().unwrap()
    }

    /// Does what the driver does when a step went well.
    async fn step(&self, to: Phase) {
        self.then(Then::Go(to)).await;
        assert_eq!(self.known().phase, to);
    }

    async fn then(&self, then: Then) {
        let known = self.known();
        let (hub, key) = (self.world.hub.clone(), (tenant(1).tenant(), self.server));
        let happened = Happened::now(&hub, &Actor::Hub);
        self.world.clock.advance(1_000);
        let at = (known.transfer, known.phase);
        let write = {
            let hub = hub.clone();
            move |txn: &mut Txn<'_>| steps::advance(&hub, txn, key, at, &then, &happened)
        };
        hub.write(write).await.unwrap();
    }

    async fn to_commit(&self) {
        self.start().await;
        for phase in [Phase::Stopping, Phase::Copying, Phase::Sealing, Phase::Arriving] {
            self.step(phase).await;
        }
    }

    /// What a node should hold about the server.
    fn envelope(&self, node: NodeId) -> Option<Envelope> {
        self.signed(node).map(|it| it.open().unwrap())
    }

    fn signed(&self, node: NodeId) -> Option<SignedEnvelope> {
        let scope = NodeScope::granted(node);
        self.world.hub.envelopes(&scope, &[self.server]).unwrap().pop()
    }

    fn ports_of(&self, node: NodeId) -> usize {
        let key = Some((tenant(1).tenant(), self.server));
        let found = self.world.hub.read(|txn| Ok(txn.prefix(ALLOCATIONS, &(node,), 100)?));
        found.unwrap().iter().filter(|(_, it)| it.server == key).count()
    }

    fn promised(&self, node: NodeId) -> u64 {
        self.world.hub.read(|txn| promised(txn, node)).unwrap().memory_bytes
    }

    fn home(&self) -> NodeId {
        self.world.hub.server(&tenant(1), self.server).unwrap().node
    }

    async fn says(&self, node: NodeId, not_running: Option<NotRunning>) {
        let applied = self.envelope(node).map(|it| it.order);
        let observed = Observed {
            server: self.server,
            applied,
            refused: None,
            state: ServerState::Offline,
            since: START,
            not_running,
            wish: PowerWish { running: true, by: Actor::Edge, at: START },
            started_at: None,
            last_exit: None,
            crashes: 0,
            restart_pending: false,
            install: None,
        };
        let node_state = crate::testing::machine();
        let report = StateReport { complete: false, servers: vec![observed], node: node_state };
        self.world.hub.note_state(&NodeScope::granted(node), report).await.unwrap();
    }

    fn next(&self) -> Step {
        let (known, key) = (self.known(), (tenant(1).tenant(), self.server));
        let seen = self.world.hub.read(|txn| seen(txn, &key, &known)).unwrap();
        next(
            known.phase,
            mamba_core::lifecycle::transfer::Seen { source_up: true, target_up: true, ..seen },
        )
    }
}

#[tokio::test]
async fn a_move_reserves_its_place_and_forbids_what_would_disturb_it() {
    let two = Two::new().await;
    let before = two.promised(two.to);
    two.start().await;
    assert_eq!(two.ports_of(two.to), two.ports_of(two.from));
    assert!(two.promised(two.to) > before);
    assert!(matches!(two.envelope(two.from).unwrap().body, Wish::Exist(_)), "it runs on");
    assert_eq!(two.envelope(two.to), None, "the target is not told");
    let (hub, scope, server) = (&two.world.hub, tenant(1), two.server);
    let refused = |err: HubError| assert!(matches!(err, HubError::Refused(_)), "{err}");
    refused(hub.delete_server(&scope, server, Deleting::default()).await.unwrap_err());
    refused(hub.reinstall_server(&scope, server, InstallFiles::Keep).await.unwrap_err());
    refused(hub.start_transfer(&scope, server, NewTransfer::default()).await.unwrap_err());
    let rename = ServerChange { name: Some("x".into()), ..ServerChange::default() };
    refused(hub.change_server(&scope, server, rename).await.unwrap_err());
    hub.power(&scope, server, PowerAction::Start, None).await.unwrap();
    two.step(Phase::Stopping).await;
    refused(hub.power(&scope, server, PowerAction::Start, None).await.unwrap_err());
    hub.power(&scope, server, PowerAction::Stop, None).await.unwrap();
    let suspend = ServerChange { suspended: Some(true), ..ServerChange::default() };
    hub.change_server(&scope, server, suspend).await.unwrap();
    let leaving = two.envelope(two.from).unwrap();
    assert!(matches!(leaving.body, Wish::Leaving { spec, .. } if spec.suspended));
}

#[tokio::test]
async fn nodes_that_cannot_take_it_are_named() {
    let mut two = Two::new().await;
    let (hub, scope) = (two.world.hub.clone(), tenant(1));
    let to = |node| NewTransfer { node: Some(node), ..NewTransfer::default() };
    let same = hub.start_transfer(&scope, two.server, to(two.from)).await.unwrap_err();
    assert!(same.to_string().contains("has the server already"), "{same}");
    let none = hub.start_transfer(&scope, two.server, to(NodeId::from_bytes([9; 16]))).await;
    assert!(matches!(none, Err(HubError::Invalid(_))));
    let other = hub.start_transfer(&tenant(2), two.server, to(two.to)).await.unwrap_err();
    assert!(matches!(other, HubError::NotFound { .. }), "{other}");
    let third = two.world.node("third").await;
    // Without a name the hub chooses one that is connected and has room.
    let begun = hub.start_transfer(&scope, two.server, NewTransfer::default()).await.unwrap();
    assert!(begun.to == two.to || begun.to == third);
}

#[tokio::test]
async fn one_commit_changes_the_owner() {
    let two = Two::new().await;
    let ports = two.ports_of(two.from);
    two.start().await;
    two.step(Phase::Stopping).await;
    assert_eq!(two.next(), Step::Wait(Waiting::ServerStopping));
    two.says(two.from, Some(NotRunning::Moving)).await;
    assert_eq!(two.next(), Step::Rested);
    for phase in [Phase::Copying, Phase::Sealing] {
        two.step(phase).await;
        assert_eq!(two.home(), two.from);
        assert_eq!(two.envelope(two.to), None, "{phase:?}");
    }
    two.step(Phase::Arriving).await;
    assert_eq!(two.home(), two.to);
    let (left, exists) = (two.envelope(two.from).unwrap(), two.envelope(two.to).unwrap());
    assert!(matches!(left.body, Wish::Leaving { .. }), "it is frozen and keeps its copy");
    assert!(matches!(exists.body, Wish::Exist(_)));
    assert_eq!((left.home.moves, exists.home.moves), (0, 1));
    assert_eq!((two.ports_of(two.from), two.ports_of(two.to)), (0, ports));
    let late = two.world.hub.cancel_transfer(&tenant(1), two.server).await.unwrap_err();
    assert!(late.to_string().contains("decided"), "{late}");
    assert_eq!(two.next(), Step::Wait(Waiting::TargetTakingOver));
    let result =
        DesiredResult { server: two.server, order: exists.order, outcome: DesiredOutcome::Adopted };
    let scope = NodeScope::granted(two.to);
    two.world.hub.note_desired(&scope, vec![result]).await.unwrap();
    assert_eq!(two.next(), Step::Confirm);
    two.step(Phase::Leaving).await;
    let moved = two.envelope(two.from).unwrap();
    assert!(matches!(moved.body, Wish::Moved { to, .. } if to == two.to));
    assert!(left.order < moved.order && moved.order < exists.order);
    assert_eq!(moved.home.moves, 1);
    // What the source says from now on is not about the server.
    two.says(two.from, Some(NotRunning::NotWanted)).await;
    let shown = two.world.hub.server(&tenant(1), two.server).unwrap();
    assert_ne!(shown.observed.and_then(|it| it.not_running), Some(NotRunning::NotWanted));
    assert_eq!(two.next(), Step::Wait(Waiting::SourceClearing));
    let fact = ActivityFact {
        event: EventId::from_bytes([7; 16]),
        at: START,
        about: Some((tenant(1).tenant(), two.server)),
        actor: Actor::Hub,
        body: Activity::Left,
    };
    let outbox =
        Outbox { bodies: vec![fact.encode().unwrap()], ..Outbox::new(Stream::Activity, 2) };
    let scope = NodeScope::granted(two.from);
    let greeting = crate::testing::hello(two.from, vec![outbox.hello(1)]);
    let peer = "127.0.0.1:1".parse().unwrap();
    two.world.hub.hello(&scope, greeting, peer).await.unwrap();
    two.world.hub.ingest(&scope, outbox.batch(1, 1)).await.unwrap();
    assert_eq!(two.next(), Step::Finish);
    two.step(Phase::Done).await;
    assert!(two.world.hub.read(|txn| Ok(txn.range(OPEN, Span::all(), 9)?)).unwrap().is_empty());
    assert_eq!(two.promised(two.from), 0);
}

#[tokio::test]
async fn a_move_that_is_given_up_leaves_the_server_where_it_was() {
    for (phases, is_frozen) in [
        (vec![], false),
        (vec![Phase::Stopping], true),
        (vec![Phase::Stopping, Phase::Copying], true),
        (vec![Phase::Stopping, Phase::Copying, Phase::Sealing], true),
    ] {
        for is_cancelled in [true, false] {
            let two = Two::new().await;
            let before = two.envelope(two.from).unwrap();
            two.start().await;
            for phase in &phases {
                two.step(*phase).await;
            }
            if is_cancelled {
                let ended = two.world.hub.cancel_transfer(&tenant(1), two.server).await.unwrap();
                assert_eq!(ended.phase, Phase::Cancelled);
            } else {
                two.then(Then::GiveUp("no room".to_owned())).await;
                assert_eq!(two.known().error.as_deref(), Some("no room"));
            }
            let after = two.envelope(two.from).unwrap();
            assert!(matches!(after.body, Wish::Exist(_)), "{phases:?}");
            assert_eq!(after.order > before.order, is_frozen);
            assert_eq!((two.home(), two.ports_of(two.to)), (two.from, 0));
            assert_eq!(two.promised(two.to), 0);
            let left = two.world.hub.read(|txn| Ok(txn.range(RESERVED, Span::all(), 9)?)).unwrap();
            assert!(left.is_empty());
            let drops = |connected: &[NodeId]| {
                let connected = connected.iter().copied().collect();
                two.world.hub.read(|txn| steps::drops(txn, &connected, 9)).unwrap()
            };
            assert_eq!(drops(&[two.from, two.to]), [(two.to, two.known().transfer, two.server)]);
            assert_eq!(drops(&[two.from]), [], "nobody is asked who is not there");
            // It may be tried again, and whoever was at the old one does nothing more.
            two.then(Then::Go(Phase::Arriving)).await;
            assert_eq!(two.home(), two.from);
            two.start().await;
        }
    }
}

#[tokio::test]
async fn each_node_is_billed_for_its_own_time() {
    let two = Two::new().await;
    two.to_commit().await;
    let at = two.world.hub.now();
    two.world.clock.advance(600_000);
    let key = (tenant(1).tenant(), two.server);
    let leases = two.world.hub.read(|txn| Ok(txn.prefix(LEASES, &key, 9)?)).unwrap();
    let [(first, old), (second, new)] = leases.as_slice() else { panic!("{leases:?}") };
    assert!(first.2 < second.2);
    assert_eq!((old.node, new.node), (two.from, two.to));
    assert_eq!((old.until, new.until), (Some(second.2), None));
    for (number, node, from, is_believed) in [
        (1, two.from, START.plus(30_000), true),
        (2, two.from, at.plus(120_000), false),
        (3, two.to, at.plus(120_000), true),
        (4, two.to, START, false),
    ] {
        let body = UsageBody::Measured(Quantities { cpu_used: 7, ..Quantities::default() });
        let (tenant, server) = key;
        let fact = UsageFact { tenant, server, from, to: from.plus(1_000), body };
        let outbox =
            Outbox { bodies: vec![fact.encode().unwrap()], ..Outbox::new(Stream::Usage, number) };
        let greeting = crate::testing::hello(node, vec![outbox.hello(1)]);
        let (scope, peer) = (NodeScope::granted(node), "127.0.0.1:1".parse().unwrap());
        let before = crate::ingest::tests::reasons(&two.world).len();
        two.world.hub.hello(&scope, greeting, peer).await.unwrap();
        two.world.hub.ingest(&scope, outbox.batch(1, 1)).await.unwrap();
        let doubted = crate::ingest::tests::reasons(&two.world).len() - before;
        assert_eq!(doubted == 0, is_believed, "{number}");
    }
}

#[tokio::test]
async fn a_hub_from_an_older_backup_learns_who_owns_the_server() {
    let mut two = Two::new().await;
    let backup = two.world.disk.crash(1);
    two.to_commit().await;
    let (frozen, theirs) = (two.signed(two.from).unwrap(), two.signed(two.to).unwrap());
    two.step(Phase::Leaving).await;
    let moved = two.signed(two.from).unwrap();
    // The target speaks first, the source first, and a source that was not released yet.
    for (first, then) in [(&theirs, &moved), (&moved, &theirs), (&frozen, &theirs)] {
        two.world.reopen(backup.crash(2)).await;
        assert_eq!(two.home(), two.from);
        for signed in [first, then] {
            let node = NodeScope::granted(signed.open().unwrap().node);
            two.world.hub.adopt(&node, vec![signed.clone()]).await.unwrap();
        }
        assert_eq!(two.home(), two.to);
        let (left, exists) = (two.envelope(two.from).unwrap(), two.envelope(two.to).unwrap());
        assert!(matches!(left.body, Wish::Moved { .. }), "{left:?}");
        assert!(matches!(exists.body, Wish::Exist(_)));
        assert_eq!((left.home.moves, exists.home.moves), (1, 1));
        assert!(exists.order > theirs.open().unwrap().order);
        assert!(left.order > moved.open().unwrap().order);
        assert_eq!(two.ports_of(two.from), 0);
        let key = (tenant(1).tenant(), two.server);
        let record = two.world.hub.read(|txn| Ok(txn.get(SERVERS, &key)?)).unwrap().unwrap();
        assert_eq!(record.moving, None);
        let newest = two.world.hub.signed_wish(key).unwrap().unwrap();
        assert_eq!(newest.open().unwrap().node, two.to);
        let place = (two.from, two.server);
        let placed = two.world.hub.read(|txn| Ok(txn.get(PLACED, &place)?)).unwrap().unwrap();
        let kept = two.world.hub.read(|txn| Ok(txn.get(LEFT, &place)?)).unwrap().unwrap();
        assert_eq!((placed.left, placed.order), (true, kept.order));
    }
}

#[tokio::test]
async fn a_hub_from_an_older_backup_learns_that_the_server_was_deleted_since() {
    let mut two = Two::new().await;
    two.start().await;
    let backup = two.world.disk.crash(1);
    for phase in [Phase::Stopping, Phase::Copying, Phase::Sealing, Phase::Arriving, Phase::Leaving]
    {
        two.step(phase).await;
    }
    two.world.hub.delete_server(&tenant(1), two.server, Deleting::default()).await.unwrap();
    let tombstone = two.signed(two.to).unwrap();
    two.world.reopen(backup).await;
    two.world.hub.adopt(&NodeScope::granted(two.to), vec![tombstone.clone()]).await.unwrap();
    assert_eq!((two.home(), two.signed(two.to)), (two.to, Some(tombstone)));
    assert!(matches!(two.envelope(two.from).unwrap().body, Wish::Moved { .. }));
    assert_eq!((two.ports_of(two.from), two.ports_of(two.to)), (0, 0));
    assert!(two.known().phase.is_ended());
}

#[tokio::test]
async fn a_hub_that_forgot_a_move_gives_nothing_back_before_the_target_was_asked() {
    let mut two = Two::new().await;
    let backup = two.world.disk.crash(1);
    two.start().await;
    two.step(Phase::Stopping).await;
    let frozen = two.signed(two.from).unwrap();
    two.world.reopen(backup).await;
    two.world.hub.adopt(&NodeScope::granted(two.from), vec![frozen.clone()]).await.unwrap();
    assert_eq!(two.known().phase, Phase::Lost);
    assert_eq!(two.signed(two.from), Some(frozen), "it stays as it is");
    assert_eq!(two.next(), Step::Settle);
    let (hub, key) = (two.world.hub.clone(), (tenant(1).tenant(), two.server));
    let (happened, transfer) = (Happened::now(&hub, &Actor::Hub), two.known().transfer);
    let settle = {
        let hub = hub.clone();
        move |txn: &mut Txn<'_>| super::lost::settle(&hub, txn, key, transfer, &happened)
    };
    hub.write(settle).await.unwrap();
    assert_eq!(two.known().phase, Phase::Failed);
    assert!(matches!(two.envelope(two.from).unwrap().body, Wish::Exist(_)));
    assert_eq!(limits(), two.world.hub.server(&tenant(1), two.server).unwrap().limits);
}

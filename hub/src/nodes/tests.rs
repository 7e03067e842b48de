//! How nodes join, are told apart, lose their right and get it back.

use super::{Force, NewToken};
use crate::{
    HubError,
    link::backend::{EnrolError, LinkBackend, Standing},
    store::{
        ALLOCATIONS, JOIN_TOKENS, JoinTokenRecord, NODE_KEYS, PLACED, SERVERS, STREAM_GAPS,
        StreamGapKind,
    },
    testing::{Outbox, World, admin, enrolment, hello, machine, observed, ports_of, tenant},
};
use mamba_core::{
    db::{Snapshot as _, Span},
    desired::{Envelope, Order, Wish},
    fact::Stream,
    ids::{NodeId, TokenId},
    scope::NodeScope,
    seq::{Generation, Incarnation},
};
use mamba_wire::{
    api::PageQuery,
    link::v1::{DesiredLine, OutboxState, StateReport},
};

#[tokio::test]
async fn a_token_makes_one_node_and_answers_the_same_key_again() {
    let world = World::new().await;
    let token = world.token("a").await;
    let node = world.hub.enrol(enrolment(&token, 1)).await.unwrap();
    assert_eq!(world.hub.enrol(enrolment(&token, 1)).await, Ok(node));
    assert_eq!(world.hub.enrol(enrolment(&token, 2)).await, Err(EnrolError::Token));
    assert_eq!(world.hub.nodes(&admin(), &PageQuery::FIRST.into()).unwrap().items.len(), 1);
    world.clock.advance(super::TOKEN_MS_DEFAULT);
    assert_eq!(world.hub.enrol(enrolment(&token, 1)).await, Err(EnrolError::Token));
}

#[tokio::test]
async fn a_token_that_expired_or_was_withdrawn_looks_unknown() {
    let world = World::new().await;
    let late = world.token("late").await;
    world.clock.advance(super::TOKEN_MS_DEFAULT);
    assert_eq!(world.hub.enrol(enrolment(&late, 1)).await, Err(EnrolError::Token));
    let withdrawn = world.token("withdrawn").await;
    let open = world.hub.join_tokens(&admin()).unwrap();
    assert_eq!(open.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["withdrawn"]);
    world.hub.delete_join_token(&admin(), open[0].id).await.unwrap();
    assert_eq!(world.hub.enrol(enrolment(&withdrawn, 1)).await, Err(EnrolError::Token));
}

#[tokio::test]
async fn open_tokens_are_bounded_and_used_ones_are_in_nobodys_way() {
    let world = World::new().await;
    let make = |number: usize, node: Option<NodeId>| {
        let now = world.hub.now();
        let name = format!("node-{number}");
        let used = node.map(|node| (node, [0; 32]));
        let token = world.hub.new_id(TokenId::new);
        let expires_at = now.plus(super::TOKEN_MS_DEFAULT);
        JoinTokenRecord { token, name, made_at: now, expires_at, replaces: None, used }
    };
    let put = async |used: Option<NodeId>, first: usize| {
        let records: Vec<_> =
            (first..first + super::TOKENS_MAX).map(|it| (it, make(it, used))).collect();
        let done = world.hub.write(move |txn| {
            for (number, record) in &records {
                let mut hash = [0; 32];
                hash[..8].copy_from_slice(&number.to_be_bytes());
                txn.put(JOIN_TOKENS, &hash, record)?;
            }
            Ok(())
        });
        done.await.unwrap();
    };
    put(Some(NodeId::from_bytes([1; 16])), 0).await;
    let last = world.token("after a thousand").await;
    let node = world.hub.enrol(enrolment(&last, 1)).await.unwrap();
    world.token("one more").await;
    let all = world.hub.read(|txn| Ok(txn.range(JOIN_TOKENS, Span::all(), usize::MAX)?)).unwrap();
    let is_first = |hash: &[u8; 32]| *hash == [0; 32];
    assert_eq!(all.len(), super::TOKENS_MAX + 1);
    assert!(!all.iter().any(|(hash, _)| is_first(hash)), "the oldest used one went");
    assert_eq!(world.hub.enrol(enrolment(&last, 1)).await, Ok(node), "the newest stays");
    put(None, super::TOKENS_MAX).await;
    let new = NewToken { name: "too many".to_owned(), ..NewToken::default() };
    let err = world.hub.create_join_token(&admin(), new).await.map(|_| ()).unwrap_err();
    assert_eq!(err.to_string(), "1000 join tokens are open already");
}

#[tokio::test]
async fn one_name_is_one_node() {
    let mut world = World::new().await;
    world.node("a").await;
    world.token("b").await;
    for (name, expected) in [
        ("a", "`name`: `a` is the name of another node"),
        ("b", "`name`: `b` is in an open join token"),
        ("", "`name`: must be 1 to 64 bytes long"),
    ] {
        let new = NewToken { name: name.to_owned(), ..NewToken::default() };
        let err = world.hub.create_join_token(&admin(), new).await.map(|_| ()).unwrap_err();
        assert_eq!(err.to_string(), expected);
    }
}

#[tokio::test]
async fn a_revoked_node_is_told_at_once_and_stays_revoked() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let signal = world.hub.signal(node);
    world.hub.revoke_node(&admin(), node).await.unwrap();
    assert_eq!(signal.borrow().standing, Standing::Revoked);
    assert!(world.hub.approve_replacement(&admin(), node).await.is_err());
    let access = LinkBackend::node(&world.hub, node).await.unwrap().unwrap();
    assert_eq!(access.standing, Standing::Revoked);
    assert_eq!(signal.borrow().standing, Standing::Revoked);
}

#[tokio::test]
async fn quarantine_ends_by_approval_and_raises_an_alarm() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    world.hub.quarantine_node(node).await.unwrap();
    world.hub.quarantine_node(node).await.unwrap();
    let alarms = world.hub.alarms(&admin(), &PageQuery::FIRST).unwrap().items;
    assert_eq!(alarms.len(), 1);
    assert_eq!(world.hub.signal(node).borrow().standing, Standing::Quarantined);
    world.hub.approve_replacement(&admin(), node).await.unwrap();
    assert_eq!(world.hub.signal(node).borrow().standing, Standing::Active);
}

#[tokio::test]
async fn a_replacement_token_gives_the_node_a_new_key_and_ends_the_old_one() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = world.server(&tenant(1), node).await;
    let new = NewToken { replaces: Some(node), ..NewToken::default() };
    let token = world.hub.create_join_token(&admin(), new).await.unwrap().token;
    let token = token.parse().unwrap();
    let used = world.hub.enrol(enrolment(&token, 1)).await;
    assert_eq!(used, Err(EnrolError::Token), "its old key");
    assert_eq!(world.hub.enrol(enrolment(&token, 9)).await, Ok(node));
    assert_eq!(world.hub.signal(node).borrow().standing, Standing::Revoked, "old sessions end");
    let access = LinkBackend::node(&world.hub, node).await.unwrap().unwrap();
    assert_eq!((access.key.0, access.standing), ([9; 32], Standing::Active));
    assert_eq!(world.hub.signal(node).borrow().standing, Standing::Active);
    assert_eq!(world.hub.server(&tenant(1), server).unwrap().node, node);
}

/// CVE-2026-26016: a node with a good token spoke for servers of other nodes.
#[tokio::test]
async fn a_node_cannot_speak_for_a_server_of_another() {
    let mut world = World::new().await;
    let (a, b) = (world.node("a").await, world.node("b").await);
    let server = world.server(&tenant(1), b).await;
    let report =
        |server| StateReport { complete: false, servers: vec![observed(server)], node: machine() };
    world.hub.note_state(&NodeScope::granted(a), report(server)).await.unwrap();
    assert_eq!(world.hub.server(&tenant(1), server).unwrap().observed, None);
    assert!(world.hub.envelopes(&NodeScope::granted(a), &[server]).unwrap().is_empty());
    world.hub.note_state(&NodeScope::granted(b), report(server)).await.unwrap();
    assert!(world.hub.server(&tenant(1), server).unwrap().observed.is_some());
}

#[tokio::test]
async fn wishes_that_the_hub_lost_are_taken_over_from_the_node() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let scope = NodeScope::granted(node);
    let server = world.server(&tenant(1), node).await;
    let signed = world.hub.envelopes(&scope, &[server]).unwrap().remove(0);
    let mut envelope: Envelope = signed.open().unwrap();
    let Wish::Exist(spec) = &mut envelope.body else { panic!() };
    spec.name = "renamed later".to_owned();
    envelope.order = Order { incarnation: Incarnation(1), generation: Generation(5) };
    let newer = world.hub.sign(&envelope).unwrap();
    let mut forged = newer.clone();
    forged.signature[0] ^= 1;
    let elsewhere = Envelope { node: NodeId::from_bytes([7; 16]), ..envelope.clone() };
    let elsewhere = world.hub.sign(&elsewhere).unwrap();
    world.hub.adopt(&scope, vec![forged, elsewhere, signed]).await.unwrap();
    assert_eq!(world.hub.server(&tenant(1), server).unwrap().name, "world");
    world.hub.adopt(&scope, vec![newer.clone()]).await.unwrap();
    let shown = world.hub.server(&tenant(1), server).unwrap();
    assert_eq!((shown.name.as_str(), shown.desired), ("renamed later", envelope.order));
    assert_eq!(world.hub.envelopes(&scope, &[server]).unwrap(), [newer]);
}

/// A disk that went back to before the deletion of a server offers its old wish.
#[tokio::test]
async fn a_deleted_server_is_not_brought_back_by_its_nodes_past() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let scope = NodeScope::granted(node);
    let server = world.server(&tenant(1), node).await;
    let past = world.hub.envelopes(&scope, &[server]).unwrap().remove(0);
    world.hub.delete_server(&tenant(1), server, Default::default()).await.unwrap();
    let place = move |txn: &mut mamba_core::db::Txn<'_>| {
        Ok::<_, HubError>(txn.delete(PLACED, &(node, server))?)
    };
    world.hub.write(place).await.unwrap();
    world.hub.adopt(&scope, vec![past]).await.unwrap();
    assert!(world.hub.envelopes(&scope, &[server]).unwrap().is_empty());
    assert!(world.hub.server(&tenant(1), server).unwrap().deleted_at.is_some());
}

/// After the restore of an older backup, a port may have been given to another server.
#[tokio::test]
async fn a_server_that_comes_back_does_not_take_the_port_of_another() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let scope = NodeScope::granted(node);
    let old_disk = world.disk.crash(1);
    let lost = world.server(&tenant(1), node).await;
    let signed = world.hub.envelopes(&scope, &[lost]).unwrap();
    world.reopen(old_disk).await;
    world.connect(node).await;
    let holder = world.server(&tenant(2), node).await;
    let port_of = |world: &World, tenant_of, server| {
        world.hub.server(&tenant(tenant_of), server).unwrap().ports[0].port
    };
    assert_eq!(port_of(&world, 2, holder), 30_000);
    world.hub.adopt(&scope, signed).await.unwrap();
    assert_eq!(port_of(&world, 1, lost), 30_000, "what the node holds is told as it is");
    let ports = world.hub.allocations(&admin(), &ports_of(node, PageQuery::FIRST)).unwrap().items;
    assert_eq!((ports[0].port, ports[0].server), (30_000, Some(holder)));
    let alarms = world.hub.alarms(&admin(), &PageQuery::FIRST).unwrap().items;
    let texts: Vec<_> = alarms.iter().map(|it| (it.server, it.text.as_str())).collect();
    assert!(
        texts.iter().any(|(server, text)| *server == Some(lost)
            && text.contains("port 30000 of 0.0.0.0; the two")),
        "{texts:?}"
    );
    world.hub.delete_server(&tenant(1), lost, Default::default()).await.unwrap();
    let ports = world.hub.allocations(&admin(), &ports_of(node, PageQuery::FIRST)).unwrap().items;
    assert_eq!(ports[0].server, Some(holder));
}

#[tokio::test]
async fn a_server_that_is_gone_is_forgotten_when_its_node_forgot_the_tombstone() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = world.server(&tenant(1), node).await;
    let scope = NodeScope::granted(node);
    let wanted = world.hub.wanted(&scope).await.unwrap().desired;
    let line: DesiredLine = wanted[0];
    assert_eq!(line.server, server);
    let mut greeting = hello(node, vec![]);
    greeting.desired = vec![line];
    let peer = "127.0.0.1:1".parse().unwrap();
    LinkBackend::hello(&world.hub, node, greeting, peer).await.unwrap();
    // It is held and wanted: absence in a later hello deletes nothing.
    LinkBackend::hello(&world.hub, node, hello(node, vec![]), peer).await.unwrap();
    assert_eq!(world.hub.wanted(&scope).await.unwrap().desired, [line]);
}

impl World {
    /// The node says how many facts of usage it holds.
    async fn waits(&self, node: NodeId, unacked: u64) {
        let line = OutboxState { stream: Stream::Usage, unacked, oldest_age_ms: 0 };
        let node_state = mamba_wire::link::v1::NodeState { outbox: vec![line], ..machine() };
        let report = StateReport { complete: true, servers: vec![], node: node_state };
        self.hub.note_state(&NodeScope::granted(node), report).await.unwrap();
    }

    async fn delete(&self, node: NodeId, force: Force) -> Result<(), HubError> {
        self.hub.delete_node(&admin(), node, "a".to_owned(), force).await
    }

    fn gaps(&self) -> Vec<StreamGapKind> {
        let gaps = self.hub.read(|txn| Ok(txn.range(STREAM_GAPS, Span::all(), 9)?)).unwrap();
        gaps.into_iter().map(|(_, gap)| gap.kind).collect()
    }
}

#[tokio::test]
async fn a_node_is_deleted_once_nothing_is_on_it_and_its_key_opens_nothing_for_ever() {
    let mut world = World::new().await;
    let first = world.token("a").await;
    let node = world.hub.enrol(enrolment(&first, 77)).await.unwrap();
    world.connect(node).await;
    let other = world.node("b").await;
    let replacing = NewToken { replaces: Some(node), ..NewToken::default() };
    world.hub.create_join_token(&admin(), replacing).await.unwrap();
    let ports = 30_000..=30_250;
    let (ip, protocol) = ("0.0.0.0".parse().unwrap(), mamba_core::server::PortProtocol::Both);
    let by = admin();
    let made = world.hub.create_allocations(&by, node, ip, ports, protocol, Default::default());
    made.await.unwrap();
    let owner = tenant(1);
    let server = world.server(&owner, node).await;
    world.waits(node, 0).await;
    for force in [Force::Keep, Force::GiveUp] {
        let err = world.delete(node, force).await.unwrap_err().to_string();
        assert!(err.starts_with("1 servers live on the node"), "{err}");
    }
    world.hub.delete_server(&owner, server, Default::default()).await.unwrap();
    let err = world.delete(node, Force::Keep).await.unwrap_err().to_string();
    assert!(err.contains("did not confirm"), "{err}");
    world.end_server(node, &owner, server).await;
    world.waits(node, 3).await;
    let err = world.delete(node, Force::Keep).await.unwrap_err().to_string();
    assert!(err.starts_with("node holds 3 facts"), "{err}");
    world.waits(node, 0).await;
    let wrong = world.hub.delete_node(&admin(), node, "b".to_owned(), Force::GiveUp).await;
    assert_eq!(wrong.unwrap_err().to_string(), "`name`: must be the name of the node");
    let signal = world.hub.signal(node);
    world.delete(node, Force::Keep).await.unwrap();
    assert_eq!(signal.borrow().standing, Standing::Revoked);
    assert!(LinkBackend::node(&world.hub, node).await.unwrap().is_none());
    assert!(matches!(world.delete(node, Force::GiveUp).await, Err(HubError::NotFound { .. })));
    assert_eq!(world.gaps(), []);
    let left = world.hub.read(|txn| {
        let ports = txn.range(ALLOCATIONS, Span::all(), 999)?;
        assert!(ports.iter().all(|((of, _), _)| *of == other) && !ports.is_empty());
        Ok(txn.get(NODE_KEYS, &[77; 32])?.and_then(|it| it.revoked_at))
    });
    assert!(left.unwrap().is_some());
    assert_eq!(world.hub.join_tokens(&admin()).unwrap(), []);
    // The name is free, the key is not, nor is the token that it came with.
    assert!(world.hub.enrol(enrolment(&first, 77)).await.is_err());
    let again = world.token("a").await;
    assert_eq!(world.hub.enrol(enrolment(&again, 77)).await, Err(EnrolError::Token));
    assert!(world.hub.enrol(enrolment(&again, 78)).await.is_ok());
}

#[tokio::test]
async fn what_a_lost_node_held_is_written_down_as_lost() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let owner = tenant(1);
    let server = world.server(&owner, node).await;
    let outbox = Outbox::new(Stream::Usage, 1);
    let peer = "127.0.0.1:1".parse().unwrap();
    let said = hello(node, vec![outbox.hello(1)]);
    world.hub.hello(&NodeScope::granted(node), said, peer).await.unwrap();
    world.waits(node, 3).await;
    world.hub.delete_server(&owner, server, Default::default()).await.unwrap();
    assert!(world.delete(node, Force::Keep).await.is_err());
    world.delete(node, Force::GiveUp).await.unwrap();
    assert_eq!(world.gaps(), [StreamGapKind::TailPossiblyLost]);
    let open = world.hub.read(|txn| {
        let placed = txn.prefix(PLACED, &(node,), 9)?;
        Ok(placed.iter().filter(|(_, it)| !it.gone).count())
    });
    assert_eq!(open.unwrap(), 0);
    let ended = world.hub.read(|txn| Ok(txn.get(SERVERS, &(owner.tenant(), server))?));
    assert!(ended.unwrap().is_some_and(|it| !it.is_present()), "its end is done");
    assert_eq!(world.hub.verify_audit().unwrap().breaks, []);
}

//! Who gets in and who does not: tokens, certificates, clocks, and peers that talk nonsense.

use super::rig::{EdgeRig, HubRig, TestClock, enrol, wait_until};
use mamba_core::{
    clock::{Clock, SystemEntropy, UnixMs},
    fact::Stream,
    ids::NodeId,
};
use mamba_edge::link::{DialError, Identity, IdentityFiles};
use mamba_hub::link::backend::Standing;
use mamba_wire::{
    frame::{FRAME_BYTES_MAX, Frame},
    link::{
        enrol::EnrolRefused,
        token::{CaHash, JoinSecret},
        v1::{EdgeFrame, HubFrame, LaneOpen},
    },
    net::{
        SERVER_NAME,
        authority::{HubSecrets, LEAF_MS},
        endpoint::{NetParts, bind_edge, edge_config},
        frames::{FramedReader, FramedWriter},
        keys::SecretKey,
        tls::{HubTrust, Identity as TlsIdentity, client_config},
    },
};
use quinn::{Connection, RecvStream, SendStream, rustls::pki_types::CertificateDer};
use std::{net::Ipv4Addr, path::Path, sync::Arc};

#[tokio::test]
async fn a_token_makes_one_node_and_survives_a_lost_answer() {
    let hub = HubRig::start();
    let token = hub.token();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let made = enrol(first.path(), &token, &hub.clock).await.unwrap();
    // As if the answer was lost: the same machine asks again.
    std::fs::remove_file(first.path().join("identity/node")).unwrap();
    assert_eq!(enrol(first.path(), &token, &hub.clock).await.unwrap().node, made.node);
    let used = enrol(second.path(), &token, &hub.clock).await;
    assert!(matches!(used, Err(DialError::Refused(EnrolRefused::Token))), "{used:?}");
    let mut unknown = token.clone();
    unknown.secret = JoinSecret([0; 32]);
    let refused = enrol(second.path(), &unknown, &hub.clock).await;
    assert!(matches!(refused, Err(DialError::Refused(EnrolRefused::Token))), "{refused:?}");
    assert!(IdentityFiles::new(second.path()).load().unwrap().is_none());
    assert_eq!(hub.store.with(|state| state.nodes.len()), 1);
}

#[tokio::test]
async fn another_hub_is_not_trusted_with_the_token() {
    let hub = HubRig::start();
    let mut token = hub.token();
    token.hub_ca = CaHash([1; 32]);
    let dir = tempfile::tempdir().unwrap();
    let refused = enrol(dir.path(), &token, &hub.clock).await;
    assert!(matches!(refused, Err(DialError::Handshake { .. })), "{refused:?}");
    let used = hub.store.with(|state| state.tokens.values().any(Option::is_some));
    assert!(!used, "the secret reached the wrong hub");
}

#[tokio::test]
async fn a_pinned_hub_cannot_be_replaced() {
    let hub = HubRig::start();
    let dir = tempfile::tempdir().unwrap();
    let mut identity = enrol(dir.path(), &hub.token(), &hub.clock).await.unwrap();
    let other = HubRig::start();
    identity.hubs = vec![other.address.to_string()];
    IdentityFiles::new(dir.path()).save(&identity).unwrap();
    let mut edge = EdgeRig::start(dir.path(), &hub.clock, 1);
    edge.wait_down("no connection").await;
}

#[tokio::test]
async fn a_certificate_is_renewed_after_it_expired() {
    let hub = HubRig::start();
    let dir = tempfile::tempdir().unwrap();
    let before = enrol(dir.path(), &hub.token(), &hub.clock).await.unwrap();
    // Half a year in a cupboard. The hub's own certificate was renewed meanwhile.
    let later = hub.clock.wall().plus(26 * LEAF_MS);
    hub.clock.set(later);
    let hub = {
        let mut hub = hub;
        hub.stop().await;
        hub.again()
    };
    let mut edge = EdgeRig::start(dir.path(), &hub.clock, 1);
    edge.wait_up().await;
    let after = IdentityFiles::new(dir.path()).load().unwrap().unwrap();
    assert_eq!(after.node, before.node);
    assert!(after.valid_until > later, "{} {later}", after.valid_until);
    let known = hub.store.with(|state| state.certified.get(&after.node).copied());
    assert_eq!(known, Some(after.valid_until), "the hub knows when it ends");
}

#[tokio::test]
async fn a_revoked_node_gets_no_new_certificate() {
    let hub = HubRig::start();
    let dir = tempfile::tempdir().unwrap();
    let identity = enrol(dir.path(), &hub.token(), &hub.clock).await.unwrap();
    hub.store.set_standing(identity.node, Standing::Revoked);
    hub.clock.set(hub.clock.wall().plus(2 * LEAF_MS));
    let hub = {
        let mut hub = hub;
        hub.stop().await;
        hub.again()
    };
    let mut edge = EdgeRig::start(dir.path(), &hub.clock, 1);
    edge.wait_down("node is revoked").await;
}

#[tokio::test]
async fn a_machine_in_1970_enrols_and_learns_the_time() {
    let hub = HubRig::start();
    let clock = TestClock::new();
    clock.set(UnixMs(1_000));
    let dir = tempfile::tempdir().unwrap();
    enrol(dir.path(), &hub.token(), &clock).await.unwrap();
    let mut edge = EdgeRig::start(dir.path(), &clock, 1);
    edge.wait_up().await;
    let learnt = edge.store.with(|state| state.learnt);
    assert!(hub.clock.wall().since(learnt) < 60_000, "{learnt}");
    // Its certificate is not taken for expired, nor for a fresh one for ever.
    let status = edge.handle.status.borrow().clone();
    assert!(status.last_heard.is_some_and(|heard| heard >= learnt));
}

#[tokio::test]
async fn a_machine_ten_years_ahead_gets_in_and_learns_the_time() {
    let hub = HubRig::start();
    let clock = TestClock::new();
    let right = clock.wall();
    clock.set(right.plus(10 * 365 * 86_400_000));
    let dir = tempfile::tempdir().unwrap();
    let refused = enrol(dir.path(), &hub.token(), &clock).await.unwrap_err();
    assert!(refused.to_string().contains("is this machine's clock right?"), "{refused}");
    clock.set(right);
    enrol(dir.path(), &hub.token(), &clock).await.unwrap();
    clock.set(right.plus(10 * 365 * 86_400_000));
    let mut edge = EdgeRig::start(dir.path(), &clock, 1);
    edge.wait_up().await;
    let learnt = edge.store.with(|state| state.learnt);
    assert!(hub.clock.wall().0.abs_diff(learnt.0) < 60_000, "{learnt}");
}

/// Connects as a node by hand.
async fn dial(
    hub: &HubRig,
    identity: &Identity,
    key: &SecretKey,
) -> Result<Connection, quinn::ConnectionError> {
    let endpoint = bind_edge((Ipv4Addr::LOCALHOST, 0).into(), &NetParts::default()).unwrap();
    let chain = identity.certificate_chain.iter().cloned().map(CertificateDer::from);
    let chain = chain.collect::<Vec<_>>();
    let trust = HubTrust::Ca(identity.hub_ca.clone());
    let own = TlsIdentity { chain: &chain, key };
    let clock = hub.clock.clone();
    let tls = client_config(trust, Some(own), &(Arc::new(move || clock.wall()) as _)).unwrap();
    let config = edge_config(tls, &NetParts::default()).unwrap();
    endpoint.connect_with(config, hub.address, SERVER_NAME).unwrap().await
}

async fn node(hub: &HubRig, dir: &Path) -> (Identity, SecretKey) {
    let identity = enrol(dir, &hub.token(), &hub.clock).await.unwrap();
    (identity, IdentityFiles::new(dir).key().unwrap().unwrap())
}

/// Opens control by hand and reads the challenge.
async fn control(connection: &Connection) -> (FramedReader<RecvStream>, SendStream) {
    let (send, receive) = connection.open_bi().await.unwrap();
    let mut writer = FramedWriter::new(send);
    writer.send(&EdgeFrame::LaneOpen(LaneOpen::Control).to_frame().unwrap()).await.unwrap();
    let mut reader = FramedReader::new(receive);
    let frame = reader.next().await.unwrap().unwrap();
    assert!(matches!(HubFrame::from_frame(&frame), Ok(Some(HubFrame::Challenge(_)))));
    (reader, writer.into_inner())
}

#[tokio::test]
async fn foreign_certificates_get_no_session() {
    let hub = HubRig::start();
    let dir = tempfile::tempdir().unwrap();
    let (identity, key) = node(&hub, dir.path()).await;
    let now = hub.clock.wall();
    let other = HubSecrets::create(now, &SystemEntropy).unwrap().open().unwrap();
    let leaf = |keys: &mamba_wire::net::authority::HubKeys, node, key: &SecretKey| {
        let leaf = keys.node_ca.issue_node(node, key.public(), now, &SystemEntropy).unwrap();
        leaf.chain.iter().map(|part| part.to_vec()).collect::<Vec<_>>()
    };
    let stranger = SecretKey::generate(&SystemEntropy).unwrap();
    let nobody = NodeId::from_bytes([99; 16]);
    let server = hub.keys.hub_ca.issue_server(key.public(), now, &SystemEntropy).unwrap();
    let server = server.chain.iter().map(|part| part.to_vec()).collect();
    for (what, chain, key) in [
        ("another CA", leaf(&other, identity.node, &key), &key),
        ("a key that is not on record", leaf(&hub.keys, identity.node, &stranger), &stranger),
        ("an unknown node", leaf(&hub.keys, nobody, &key), &key),
        ("a server's certificate", server, &key),
    ] {
        let identity = Identity { certificate_chain: chain, ..identity.clone() };
        // The client's side of the handshake may be over before the hub has looked.
        if let Ok(connection) = dial(&hub, &identity, key).await {
            let (send, receive) = connection.open_bi().await.unwrap();
            let mut writer = FramedWriter::new(send);
            writer.send(&EdgeFrame::LaneOpen(LaneOpen::Control).to_frame().unwrap()).await.ok();
            let answer = FramedReader::new(receive).next().await;
            assert!(!matches!(answer, Ok(Some(_))), "{what} got in: {answer:?}");
        }
    }
    assert!(hub.links.list().is_empty());
}

#[tokio::test]
async fn nonsense_ends_only_its_own_session() {
    let hub = HubRig::start();
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    enrol(dir.path(), &hub.token(), &hub.clock).await.unwrap();
    let mut edge = EdgeRig::start(dir.path(), &hub.clock, 1);
    edge.wait_up().await;
    let (identity, key) = node(&hub, other.path()).await;
    let too_large = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes().to_vec();
    let mut unknown = Vec::new();
    Frame { kind: 999, flags: 1, body: vec![] }.write(&mut unknown);
    let mut malformed = Vec::new();
    Frame { kind: 1, flags: 1, body: vec![0xff; 9] }.write(&mut malformed);
    let mut early = Vec::new();
    EdgeFrame::Pong(1).to_frame().unwrap().write(&mut early);
    for (bytes, expected) in [
        (too_large, "over the limit"),
        (vec![0, 0, 0, 1], "shorter than its head"),
        (unknown, "unknown critical type 999"),
        (malformed, "malformed"),
        (early, "session is not up"),
    ] {
        let connection = dial(&hub, &identity, &key).await.unwrap();
        let (mut reader, mut send) = control(&connection).await;
        send.write_all(&bytes).await.unwrap();
        let frame = reader.next().await.unwrap().unwrap();
        let said = format!("{:?}", HubFrame::from_frame(&frame));
        assert!(said.contains("Goodbye") && said.contains(expected), "{said}");
        connection.close(quinn::VarInt::from_u32(0), b"");
    }
    assert!(edge.handle.status.borrow().up);
    edge.store.add(Stream::Usage, b"still here");
    wait_until("fact of the other node", || hub.store.with(|state| state.custody.len() == 1)).await;
    assert_eq!(hub.store.with(|state| state.hellos.len()), 1);
}

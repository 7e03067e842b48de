//! Copies, what nodes may delete after one, and a hub that begins again from one.

use super::{RestoreError, keep_backups, restore};
use crate::{
    store::{KIND, META},
    testing::{Outbox, START, World, hello, tenant},
};
use mamba_core::{
    db::{DataDir, Snapshot as _, Store, StoreOptions},
    fact::Stream,
    scope::NodeScope,
    seq::Seq,
};
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};
use tokio::sync::watch;

#[tokio::test]
async fn a_verified_copy_lets_the_node_delete_and_no_more() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let scope = NodeScope::granted(node);
    let outbox = Outbox { bodies: vec![vec![1]; 9], ..Outbox::new(Stream::Usage, 1) };
    let peer = "127.0.0.1:1".parse().unwrap();
    world.hub.hello(&scope, hello(node, vec![outbox.hello(1)]), peer).await.unwrap();
    let ack = world.hub.ingest(&scope, outbox.batch(1, 5)).await.unwrap();
    assert_eq!((ack.watermark, ack.backup_watermark), (Seq(5), Seq(0)));
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("copy");
    let mut signal = world.hub.live().signal(node);
    signal.mark_unchanged();
    world.hub.back_up(target.clone()).await.unwrap();
    assert!(signal.has_changed().unwrap(), "the session is woken to tell the node");
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    let ack = world.hub.ingest(&scope, outbox.batch(6, 9)).await.unwrap();
    assert_eq!((ack.watermark, ack.backup_watermark), (Seq(9), Seq(5)));
    assert_eq!(world.hub.wanted(&scope).await.unwrap().acks, [ack]);
    // A copy that cannot be made promises nothing.
    assert!(world.hub.back_up(target).await.is_err());
    let acks = world.hub.wanted(&scope).await.unwrap().acks;
    assert_eq!(acks[0].backup_watermark, Seq(5));
}

#[tokio::test]
async fn a_restored_hub_is_in_a_new_life_and_has_its_servers() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = world.server(&tenant(1), node).await;
    let dir = tempfile::tempdir().unwrap();
    let (copy, target) = (dir.path().join("copy"), dir.path().join("data"));
    world.hub.back_up(copy.clone()).await.unwrap();
    fs::create_dir(&target).unwrap();
    fs::write(target.join("mine"), "x").unwrap();
    let err = restore(&copy, &target, START).await.unwrap_err();
    assert!(matches!(err, RestoreError::NotEmpty { .. }), "{err}");
    fs::remove_file(target.join("mine")).unwrap();
    let restored = restore(&copy, &target, START).await.unwrap();
    assert!(restored.incarnation > world.hub.incarnation());
    let data = DataDir::open(&target, KIND).unwrap();
    let store = Store::open(&data, 0, StoreOptions::EDGE).unwrap();
    let meta = store.read(|txn| Ok::<_, crate::HubError>(txn.get(META, &())?)).unwrap().unwrap();
    assert_eq!(meta.incarnation, restored.incarnation);
    let key = (tenant(1).tenant(), server);
    let found = store.read(|txn| Ok::<_, crate::HubError>(txn.get(crate::store::SERVERS, &key)?));
    assert!(found.unwrap().is_some());
    store.close().await;
}

#[tokio::test]
async fn a_damaged_backup_leaves_no_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (copy, target) = (dir.path().join("copy"), dir.path().join("data"));
    fs::write(&copy, "not a store").unwrap();
    let err = restore(&copy, &target, START).await.unwrap_err();
    assert!(matches!(err, RestoreError::Copy(_)), "{err}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the copy is left");
}

#[tokio::test]
async fn automatic_backups_begin_at_once_and_end_on_stop() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("backups");
    let (stop, stopped) = watch::channel(false);
    let every = Duration::from_secs(3_600);
    let keeping = keep_backups(world.hub.clone(), target.clone(), every, 2, stopped);
    let waiting = async {
        while world.hub.backup_status().last.is_none() {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
    };
    tokio::join!(keeping, waiting);
    let status = world.hub.backup_status();
    assert_eq!((status.last, status.error), (Some(world.hub.now()), None));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
}

//! What is kept of runs, and their files.

use super::*;
use crate::{
    data::DataDirs,
    outbox,
    store::{Desired, EdgeStore, Held},
};
use mamba_core::{
    clock::Entropy,
    db::{Store, StoreOptions, sim::SimDisk},
    desired::{Envelope, Home, SignedEnvelope, Wish},
    ids::{NodeId, TenantId},
    seq::{Generation, Incarnation},
    server::{Install, InstallFiles},
};
use std::os::unix::fs::PermissionsExt;

struct Zeros;
impl Entropy for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fn server() -> ServerId {
    ServerId::from_bytes([1; 16])
}

fn tenant() -> TenantId {
    TenantId::from_bytes([2; 16])
}

fn order(generation: u64) -> Order {
    Order { incarnation: Incarnation(1), generation: Generation(generation) }
}

fn script(asked: Order, files: InstallFiles) -> Install {
    Install {
        asked,
        image: "debian:12".into(),
        entrypoint: "sh".into(),
        script: "echo one\r\necho two\n".into(),
        files,
        secrets: Default::default(),
        cancelled: false,
    }
}

fn fact(number: u8, body: Activity) -> ActivityFact {
    let event = EventId::from_bytes([number; 16]);
    ActivityFact {
        event,
        at: UnixMs(5),
        about: Some((tenant(), server())),
        actor: Actor::Edge,
        body,
    }
}

async fn store() -> EdgeStore {
    let options = StoreOptions { runs_twice: true, ..StoreOptions::EDGE };
    let store = Store::inline(SimDisk::default(), options).unwrap();
    store.write(|txn| outbox::init(txn, &Zeros)).await.unwrap();
    EdgeStore::new(store)
}

fn facts(store: &EdgeStore) -> usize {
    let read: Result<Vec<ActivityFact>, outbox::OutboxError> =
        store.raw().read(|txn| outbox::activity(txn, None, 500));
    read.unwrap().len()
}

#[tokio::test]
async fn begin_and_end_are_told_once_however_often_they_are_written() {
    let store = store().await;
    let asked = order(3);
    for number in 1..4 {
        let begun = fact(number, Activity::InstallBegun { asked });
        let record = store.begin_install(asked, begun).await.unwrap();
        assert_eq!((record.asked, record.end), (asked, None));
    }
    assert_eq!(facts(&store), 1);
    let end = |outcome| InstallEnd { at: UnixMs(9), outcome };
    let told = Activity::Installed { asked, took_ms: 4 };
    let first = store.end_install(asked, end(InstallOutcome::Installed), fact(5, told)).await;
    let gone = Activity::InstallCancelled { asked };
    let second = store.end_install(asked, end(InstallOutcome::Cancelled), fact(6, gone)).await;
    assert_eq!(first.unwrap(), second.unwrap(), "the first end stays");
    assert_eq!(facts(&store), 2);
    // An older run, or this one again, changes nothing; a newer one begins.
    let old = store.begin_install(order(2), fact(7, Activity::InstallBegun { asked: order(2) }));
    assert_eq!(old.await.unwrap().asked, asked);
    let new = store.begin_install(order(4), fact(8, Activity::InstallBegun { asked: order(4) }));
    assert_eq!(new.await.unwrap().end, None);
    assert_eq!(facts(&store), 3);
}

#[tokio::test]
async fn a_cancel_is_written_down_and_a_start_refused() {
    let store = store().await;
    let mut spec = crate::supervisor::example();
    spec.install = Some(script(order(1), InstallFiles::Keep));
    let envelope = Envelope {
        tenant: tenant(),
        node: NodeId::from_bytes([3; 16]),
        server: server(),
        order: order(1),
        home: Home::default(),
        not_before: UnixMs(0),
        force: false,
        body: Wish::Exist(Box::new(spec.clone())),
    };
    let signed = SignedEnvelope { bytes: envelope.encode().unwrap(), signature: vec![] };
    let held =
        Held { order: order(1), hash: signed.hash(), not_before: UnixMs(0), envelope: signed };
    let desired = Desired { in_force: Some(held), ..Desired::default() };
    store.raw().write(move |txn| txn.put(DESIRED, &server(), &desired)).await.unwrap();
    let refused = |record: Option<InstallRecord>| {
        let (store, spec) = (store.clone(), spec.clone());
        async move {
            let put = move |txn: &mut Txn<'_>| match &record {
                Some(record) => txn.put(INSTALLS, &server(), record),
                None => Ok(()),
            };
            store.raw().write(put).await.unwrap();
            let read = store.raw().read(|txn| refuses_start(txn, server(), spec.install.as_ref()));
            read.unwrap()
        }
    };
    assert_eq!(refused(None).await.as_deref(), Some("server is being installed"));
    let ended = |outcome| {
        let end = Some(InstallEnd { at: UnixMs(9), outcome });
        Some(InstallRecord { end, ..new(order(1), UnixMs(1)) })
    };
    let failed = InstallOutcome::Failed { code: Some(2), error: "code 2".into() };
    let why = refused(ended(failed)).await.unwrap();
    assert_eq!(why, "install of the server failed (code 2): have it installed again");
    assert!(refused(ended(InstallOutcome::Cancelled)).await.is_some());
    assert_eq!(refused(ended(InstallOutcome::Installed)).await, None);
    let by = Actor::Operator("me".into());
    let cancel = async |now: u64| {
        let by = by.clone();
        let event = EventId::from_bytes([4; 16]);
        let write =
            store.raw().write(move |txn| cancel(txn, server(), &by, event, UnixMs(now))).await;
        write.unwrap()
    };
    assert!(matches!(cancel(1).await, Err(NodeError::NotAllowed(_))), "it is installed");
    refused(Some(new(order(1), UnixMs(1)))).await;
    cancel(2).await.unwrap();
    cancel(3).await.unwrap();
    let record = store.install(server()).unwrap().unwrap();
    assert_eq!((record.cancel, record.begun_at), (Some(by.clone()), UnixMs(1)));
    assert_eq!(facts(&store), 1);
}

#[test]
fn files_are_prepared_wiped_marked_and_forgotten() {
    let root = tempfile::tempdir().unwrap();
    let uid = rustix::process::getuid().as_raw();
    let data = DataDirs::open(root.path(), uid).unwrap();
    let dirs = data.prepare_install(server(), &script(order(1), InstallFiles::Wipe)).unwrap();
    let text = std::fs::read_to_string(dirs.script.join("install.sh")).unwrap();
    assert_eq!(text, "echo one\necho two\n");
    let mode = std::fs::metadata(dirs.script.join("install.sh")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    std::fs::write(dirs.data.join("world"), "x").unwrap();
    data.install_log(server(), order(1)).append(&[]).unwrap();
    data.prepare_install(server(), &script(order(2), InstallFiles::Keep)).unwrap();
    assert!(dirs.data.join("world").exists());
    data.prepare_install(server(), &script(order(3), InstallFiles::Wipe)).unwrap();
    assert_eq!(std::fs::read_dir(&dirs.data).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(root.path().join("trash")).unwrap().count(), 0);
    assert_eq!(data.install_marks(), [].into());
    let record = new(order(3), UnixMs(7));
    data.mark_install(server(), &record).unwrap();
    assert_eq!(data.install_marks(), [(server(), record)].into());
    data.forget_installs(server()).unwrap();
    data.forget_installs(server()).unwrap();
    assert_eq!(data.install_mark(server()).unwrap(), None);
    assert!(data.free_bytes().unwrap() > 0);
}

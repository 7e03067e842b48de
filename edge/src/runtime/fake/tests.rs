//! What the fake does beyond the contract: fails on command.

use super::*;
use crate::runtime::ContainerStatus;
use futures_util::FutureExt;
use mamba_core::{
    seq::Generation,
    units::{Mib, Millicores},
};

const NODE: NodeId = NodeId::from_bytes([1; 16]);
const SERVER: ServerId = ServerId::from_bytes([3; 16]);

async fn engine() -> (FakeRuntime, ContainerSpec) {
    let fake = FakeRuntime::new(UnixMs(1_000));
    let tenant = TenantId::from_bytes([2; 16]);
    fake.ensure_network(NODE, tenant, "10.213.0.0/26".parse().unwrap()).await.unwrap();
    let limits = Limits {
        memory_mib: Mib(64),
        swap_mib: Mib(0),
        cpu_millicores: Millicores(1_000),
        disk_mib: Mib(64),
        pids: 32,
        sharing: mamba_core::server::Sharing::USUAL,
    };
    let spec = ContainerSpec {
        node: NODE,
        tenant,
        server: SERVER,
        generation: Generation(1),
        image: "game:1".to_owned(),
        startup: "./game".to_owned(),
        entry: mamba_core::server::Entry::Shell,
        environment: BTreeMap::new(),
        limits,
        ports: vec![],
        capabilities: vec![],
        data_dir: "/data".into(),
        mounts: vec![],
        uid: 988,
        stop_grace_ms: 1_000,
    };
    (fake, spec)
}

#[tokio::test]
async fn trouble_comes_before_or_after_the_effect_once() {
    let (fake, spec) = engine().await;
    let full = RuntimeError::DiskFull("disk".to_owned());
    fake.trouble(Call::Create, When::Before, Trouble::Fail(full.clone()));
    fake.trouble(Call::Create, When::After, Trouble::Fail(full.clone()));
    assert_eq!(fake.create(&spec).await, Err(full.clone()));
    assert_eq!(fake.containers(), []);
    assert_eq!(fake.create(&spec).await, Err(full));
    assert_eq!(fake.containers().len(), 1);
    fake.create(&spec).await.unwrap();
    assert_eq!((fake.calls(Call::Create), fake.calls(Call::Start)), (3, 0));
}

#[tokio::test]
async fn an_engine_that_goes_away_breaks_streams_and_processes_go_on() {
    let (fake, spec) = engine().await;
    let id = fake.create(&spec).await.unwrap();
    let mut attached = fake.attach(&id).await.unwrap();
    fake.start(&id).await.unwrap();
    let mut events = fake.events(NODE);
    assert_eq!(events.next().await, Some(RuntimeEvent::Rescan));
    let first = attached.output.next().await.unwrap().unwrap();
    assert_eq!(first, (OutputSource::Stdout, Bytes::from("ready\n")));
    fake.set_down(true);
    assert!(matches!(fake.info().await, Err(RuntimeError::Unreachable(_))));
    assert!(matches!(attached.output.next().await, Some(Err(RuntimeError::Unreachable(_)))));
    assert!(attached.output.next().await.is_none());
    assert!(events.next().now_or_never().is_none());
    fake.set_down(false);
    assert_eq!(events.next().await, Some(RuntimeEvent::Rescan));
    let status = fake.inspect(&id).await.unwrap().unwrap().status;
    assert!(matches!(status, ContainerStatus::Running { .. }), "{status:?}");
    // Another daemon on the same engine, after a loss of power.
    let again = fake.clone();
    fake.power_cut();
    assert_eq!(events.next().await, Some(RuntimeEvent::Changed(SERVER)));
    let status = again.list(NODE).await.unwrap().remove(0).status;
    assert!(matches!(status, ContainerStatus::Exited { code: 137, .. }), "{status:?}");
}

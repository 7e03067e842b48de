//! The contract of container engines: one suite, run on the fake and on the real Docker Engine.

use crate::bench::{Bench, Heard, free_port, limits, servers};
use futures_util::StreamExt;
use mamba_core::{
    clock::UnixMs,
    desired::Order,
    ids::NodeId,
    seq::{Generation, Incarnation},
    server::{Limits, Signal},
    units::Mib,
};
use mamba_edge::runtime::{
    Allocated, ContainerId, ContainerStatus, InstallerSpec, Network, OutputSource, Runtime,
    RuntimeError, RuntimeEvent, Subnet, fake::Script,
};
use std::time::Duration;
use tokio::sync::mpsc;

macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod fake { $(
            #[tokio::test]
            async fn $name() {
                crate::bench::on_fake(super::$name).await;
            }
        )+ }
        mod docker { $(
            #[tokio::test]
            async fn $name() {
                crate::bench::on_docker(super::$name).await;
            }
        )+ }
    };
}

contract! {
    an_engine_says_who_it_is,
    a_game_is_heard_from_its_first_line,
    a_game_reads_what_is_typed,
    an_interrupt_reaches_the_game,
    the_stop_signal_of_an_image_is_sent,
    a_game_out_of_memory_is_told,
    a_kill_ends_it_and_then_it_does_not_run,
    a_removed_container_is_gone_for_every_call,
    a_leftover_makes_room_and_a_running_one_does_not,
    containers_are_found_by_their_node,
    a_container_is_taken_over_with_its_log,
    events_tell_of_start_and_end,
    limits_change_while_it_runs,
    a_taken_port_is_told_and_leaves_nothing,
    a_missing_image_is_told,
    the_container_of_an_install_script_is_apart,
    networks_are_made_once_and_do_not_overlap,
    networks_are_made_once_by_many_at_one_time,
}

async fn an_engine_says_who_it_is<R: Runtime>(bench: Bench<R>) {
    let info = bench.runtime.info().await.unwrap();
    assert!(!info.version.is_empty() && info.cpus > 0 && info.memory_bytes > 1 << 20, "{info:?}");
}

async fn a_game_is_heard_from_its_first_line<R: Runtime>(bench: Bench<R>) {
    let spec = bench.game().await;
    let id = bench.runtime.create(&spec).await.unwrap();
    assert_eq!(bench.status(&id).await, Some(ContainerStatus::Created));
    let mut heard = Heard::new(bench.runtime.attach(&id).await.unwrap());
    bench.runtime.start(&id).await.unwrap();
    bench.runtime.start(&id).await.unwrap();
    heard.wait(OutputSource::Stdout, "ready").await;
    heard.wait(OutputSource::Stderr, "warned").await;
    assert_eq!(heard.text, ["ready\n", "warned\n"]);
    let container = bench.runtime.inspect(&id).await.unwrap().unwrap();
    assert_eq!((container.id, container.server), (id, spec.server));
    assert_eq!((container.tenant, container.generation), (spec.tenant, spec.generation));
    let ContainerStatus::Running { pid, started_at } = container.status else {
        panic!("{:?}", container.status)
    };
    assert!(pid > 0 && started_at > UnixMs(1_600_000_000_000), "{pid} {started_at}");
}

async fn a_game_reads_what_is_typed<R: Runtime>(bench: Bench<R>) {
    let (id, mut heard) = bench.run(&bench.game().await).await;
    heard.type_line("ping").await;
    heard.wait(OutputSource::Stdout, "pong").await;
    heard.type_line("leave").await;
    heard.read_to_end().await;
    assert_eq!(bench.ended(&id).await, (7, false));
}

async fn an_interrupt_reaches_the_game<R: Runtime>(bench: Bench<R>) {
    let (id, mut heard) = bench.run(&bench.game().await).await;
    bench.runtime.signal(&id, Signal::Int).await.unwrap();
    heard.wait(OutputSource::Stdout, "saving").await;
    assert_eq!(bench.ended(&id).await, (5, false));
}

async fn the_stop_signal_of_an_image_is_sent<R: Runtime>(bench: Bench<R>) {
    let (id, _heard) = bench.run(&bench.game().await).await;
    // The game does not handle SIGTERM; the fake's ignores it.
    bench.runtime.stop_signal(&id).await.unwrap();
    bench.runtime.remove(&id).await.unwrap();
    assert_eq!(bench.runtime.stop_signal(&id).await, Err(RuntimeError::NoSuchContainer));
}

async fn a_game_out_of_memory_is_told<R: Runtime>(bench: Bench<R>) {
    let (id, mut heard) = bench.run(&bench.game().await).await;
    heard.type_line("eat").await;
    heard.read_to_end().await;
    assert_eq!(bench.ended(&id).await, (137, true));
}

async fn a_kill_ends_it_and_then_it_does_not_run<R: Runtime>(bench: Bench<R>) {
    let (id, mut heard) = bench.run(&bench.game().await).await;
    bench.runtime.signal(&id, Signal::Kill).await.unwrap();
    heard.read_to_end().await;
    assert_eq!(bench.ended(&id).await, (137, false));
    assert_eq!(bench.runtime.signal(&id, Signal::Int).await, Err(RuntimeError::NotRunning));
}

async fn a_removed_container_is_gone_for_every_call<R: Runtime>(bench: Bench<R>) {
    let (id, _heard) = bench.run(&bench.game().await).await;
    let (one, other) = tokio::join!(bench.runtime.remove(&id), bench.runtime.remove(&id));
    assert_eq!((one, other), (Ok(()), Ok(())));
    bench.runtime.remove(&id).await.unwrap();
    assert_eq!(bench.status(&id).await, None);
    let gone = RuntimeError::NoSuchContainer;
    assert_eq!(bench.runtime.start(&id).await, Err(gone.clone()));
    assert_eq!(bench.runtime.signal(&id, Signal::Int).await, Err(gone.clone()));
    assert_eq!(bench.runtime.update(&id, limits()).await, Err(gone.clone()));
    assert_eq!(bench.runtime.attach(&id).await.err(), Some(gone.clone()));
    assert_eq!(bench.runtime.logs_since(&id, UnixMs(0), 10).await, Err(gone));
}

async fn a_leftover_makes_room_and_a_running_one_does_not<R: Runtime>(bench: Bench<R>) {
    let spec = bench.game().await;
    let first = bench.runtime.create(&spec).await.unwrap();
    let (second, _heard) = bench.run(&spec).await;
    assert_ne!(first, second);
    assert_eq!(bench.status(&first).await, None);
    let refused = bench.runtime.create(&spec).await;
    assert!(matches!(refused, Err(RuntimeError::Refused { .. })), "{refused:?}");
    assert!(matches!(bench.status(&second).await, Some(ContainerStatus::Running { .. })));
}

async fn containers_are_found_by_their_node<R: Runtime>(bench: Bench<R>) {
    let (one, other) = (bench.game().await, bench.game().await);
    let (running, _heard) = bench.run(&one).await;
    bench.runtime.create(&other).await.unwrap();
    let mut expected = vec![one.server, other.server];
    expected.sort();
    let found = bench.runtime.list(bench.node).await.unwrap();
    assert_eq!(servers(&found), expected);
    let same = bench.runtime.inspect(&running).await.unwrap().unwrap();
    assert!(found.contains(&same), "{found:?}");
    let stranger = NodeId::new(UnixMs(9), [0; 10]);
    assert_eq!(bench.runtime.list(stranger).await.unwrap(), []);
}

async fn a_container_is_taken_over_with_its_log<R: Runtime>(bench: Bench<R>) {
    let (id, mut heard) = bench.run(&bench.game().await).await;
    heard.wait(OutputSource::Stderr, "warned").await;
    drop(heard);
    let mut heard = Heard::new(bench.runtime.attach(&id).await.unwrap());
    heard.type_line("ping").await;
    heard.wait(OutputSource::Stdout, "pong").await;
    assert_eq!(heard.text, ["pong\n", ""]);
    let texts = async |since, max| {
        let lines = bench.runtime.logs_since(&id, since, max).await.unwrap();
        lines
            .into_iter()
            .map(|it| (String::from_utf8_lossy(&it.text).into_owned(), it.at))
            .collect::<Vec<_>>()
    };
    // The engine's log is written beside the streams, a moment later.
    let mut all = texts(UnixMs(0), 10).await;
    while all.len() < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        all = texts(UnixMs(0), 10).await;
    }
    all.sort_by_key(|(_, at)| *at);
    assert_eq!(all.last().unwrap().0, "pong");
    let last = all.last().unwrap().clone();
    assert_eq!(texts(last.1, 10).await, std::slice::from_ref(&last));
    assert_eq!(texts(UnixMs(0), 1).await, std::slice::from_ref(&last));
    assert_eq!(texts(last.1.plus(1), 10).await, []);
}

async fn events_tell_of_start_and_end<R: Runtime>(bench: Bench<R>) {
    let spec = bench.game().await;
    let mut events = bench.runtime.events(bench.node);
    let mut next = async || {
        tokio::time::timeout(Duration::from_secs(30), events.next()).await.expect("an event")
    };
    assert_eq!(next().await, Some(RuntimeEvent::Rescan));
    let (id, mut heard) = bench.run(&spec).await;
    assert_eq!(next().await, Some(RuntimeEvent::Changed(spec.server)));
    heard.type_line("leave").await;
    heard.read_to_end().await;
    assert_eq!(next().await, Some(RuntimeEvent::Changed(spec.server)));
    assert_eq!(bench.ended(&id).await, (7, false));
    bench.runtime.remove(&id).await.unwrap();
    assert_eq!(next().await, Some(RuntimeEvent::Changed(spec.server)));
}

async fn limits_change_while_it_runs<R: Runtime>(bench: Bench<R>) {
    let (id, mut heard) = bench.run(&bench.game().await).await;
    for memory in [96, 48] {
        let limits = Limits { memory_mib: Mib(memory), ..limits() };
        bench.runtime.update(&id, limits).await.unwrap();
        let seen = bench.runtime.inspect(&id).await.unwrap().unwrap();
        let Limits { memory_mib, cpu_millicores, .. } = limits;
        assert_eq!(seen.allocated, Some(Allocated { memory_mib, cpu_millicores }));
    }
    assert!(matches!(bench.status(&id).await, Some(ContainerStatus::Running { .. })));
    heard.type_line("leave").await;
    heard.read_to_end().await;
    assert_eq!(bench.ended(&id).await, (7, false));
}

async fn a_taken_port_is_told_and_leaves_nothing<R: Runtime>(bench: Bench<R>) {
    let port = free_port();
    let (mut one, mut other) = (bench.game().await, bench.game().await);
    one.ports = vec![port.clone()];
    other.ports = vec![port];
    let (running, _heard) = bench.run(&one).await;
    let id = bench.runtime.create(&other).await.unwrap();
    let taken = bench.runtime.start(&id).await;
    assert!(matches!(taken, Err(RuntimeError::PortTaken(_))), "{taken:?}");
    assert_eq!(bench.status(&id).await, None);
    bench.runtime.remove(&running).await.unwrap();
    bench.run(&other).await;
}

async fn a_missing_image_is_told<R: Runtime>(bench: Bench<R>) {
    let mut spec = bench.game().await;
    let (progress, _told) = mpsc::channel(1);
    bench.runtime.ensure_image(&spec.image, progress.clone()).await.unwrap();
    spec.image = "mamba/nowhere:9".to_owned();
    if let Some(fake) = bench.fake() {
        fake.miss_image(&spec.image);
    }
    let missing = bench.runtime.ensure_image(&spec.image, progress).await;
    assert!(
        matches!(&missing, Err(RuntimeError::ImageMissing { image, .. }) if *image == spec.image),
        "{missing:?}"
    );
    let missing = bench.runtime.create(&spec).await;
    assert!(matches!(&missing, Err(RuntimeError::ImageMissing { .. })), "{missing:?}");
    assert_eq!(bench.runtime.list(bench.node).await.unwrap(), []);
}

async fn the_container_of_an_install_script_is_apart<R: Runtime>(bench: Bench<R>) {
    let game = bench.game().await;
    let asked = Order { incarnation: Incarnation(2), generation: Generation(9) };
    let spec = InstallerSpec {
        node: bench.node,
        tenant: game.tenant,
        server: game.server,
        asked,
        image: game.image.clone(),
        entrypoint: "sh".to_owned(),
        environment: game.environment.clone(),
        limits: limits(),
        data_dir: game.data_dir.clone(),
        script_dir: game.data_dir.clone(),
    };
    std::fs::write(game.data_dir.join("install.sh"), "echo installing; sleep 1; exit 4").unwrap();
    if let Some(fake) = bench.fake() {
        fake.script_install(game.server, [Script::install(50, 4)]);
    }
    let find = async || bench.runtime.installer(bench.node, game.server).await.unwrap();
    assert_eq!(find().await, None);
    bench.runtime.create_installer(&spec).await.unwrap();
    let id = bench.runtime.create_installer(&spec).await.unwrap();
    let found = find().await.unwrap();
    assert_eq!((&found.id, found.asked), (&id, asked));
    assert_eq!(found.status, ContainerStatus::Created);
    bench.runtime.start(&id).await.unwrap();
    // Beside the server's own, which is the only one in lists and looks.
    let (own, _heard) = bench.run(&game).await;
    let listed = bench.runtime.list(bench.node).await.unwrap();
    assert_eq!(listed.into_iter().map(|it| it.id).collect::<Vec<_>>(), [own]);
    assert_eq!(bench.status(&id).await, None);
    let ended = async {
        loop {
            match find().await.unwrap().status {
                ContainerStatus::Exited { code, .. } => return code,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let code = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends");
    assert_eq!(code, 4);
    let lines = bench.runtime.logs_since(&id, UnixMs(0), 10).await.unwrap();
    assert_eq!(lines.iter().map(|line| &line.text[..]).collect::<Vec<_>>(), [b"installing"]);
    bench.runtime.remove(&id).await.unwrap();
    assert_eq!(find().await, None);
}

/// Servers of one tenant start together on a node that has no network of the tenant yet.
async fn networks_are_made_once_by_many_at_one_time<R: Runtime>(bench: Bench<R>) {
    let game = bench.game().await;
    bench.runtime.remove_network(bench.node, game.tenant).await.unwrap();
    // Each tries other addresses, as after a refusal of the first.
    let makers = (0..6).map(|_| bench.add_network(game.tenant));
    futures_util::future::join_all(makers).await;
    let found = bench.runtime.networks().await.unwrap();
    let ours = |network: &&Network| network.owner == Some((bench.node, game.tenant));
    assert_eq!(found.iter().filter(ours).count(), 1);
    bench.run(&game).await;
}

async fn networks_are_made_once_and_do_not_overlap<R: Runtime>(bench: Bench<R>) {
    let (one, other) = (bench.game().await, bench.game().await);
    let found = bench.runtime.networks().await.unwrap();
    let subnet = |tenant| -> Subnet {
        let ours = found.iter().find(|network| network.owner == Some((bench.node, tenant)));
        ours.unwrap().subnets[0]
    };
    // Other addresses for a network that exists are not an error.
    bench.runtime.ensure_network(bench.node, one.tenant, subnet(other.tenant)).await.unwrap();
    bench.runtime.remove_network(bench.node, other.tenant).await.unwrap();
    bench.runtime.remove_network(bench.node, other.tenant).await.unwrap();
    let taken = bench.runtime.ensure_network(bench.node, other.tenant, subnet(one.tenant)).await;
    assert!(matches!(taken, Err(RuntimeError::SubnetTaken(_))), "{taken:?}");
    bench.runtime.ensure_network(bench.node, other.tenant, subnet(other.tenant)).await.unwrap();
    let (id, _heard) = bench.run(&one).await;
    let used = bench.runtime.remove_network(bench.node, one.tenant).await;
    assert!(matches!(used, Err(RuntimeError::Refused { .. })), "{used:?}");
    bench.runtime.remove(&id).await.unwrap();
    assert_eq!(bench.status(&ContainerId("nowhere".to_owned())).await, None);
}

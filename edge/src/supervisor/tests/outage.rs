//! What happens when the daemon, the machine, the engine or the disk fails.

use super::*;
use crate::{
    backend::NodeBackend,
    calendar::HubCalendar,
    link::backend::EdgeBackend,
    machine::unseen,
    runtime::{
        Container, Runtime as _, RuntimeError,
        fake::{Act, Call, Script, Trouble, When},
    },
};
use mamba_core::{
    access::{ServerKey, ServerKeys},
    db::sim::SimMode,
    ids::{IntentId, UserId},
    lifecycle::NotRunning,
};
use mamba_wire::link::v1::{Intent, IntentOutcome, IntentResult};
use std::sync::Mutex;
use tokio::sync::watch;

#[tokio::test(start_paused = true)]
async fn a_daemon_that_comes_back_adopts_what_runs() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    let before = machine.fake.containers();
    machine.kill(daemon).await;
    pass(30_000).await;
    let daemon = machine.daemon().await;
    let up = daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    pass(5_000).await;
    assert_eq!(machine.fake.containers(), before);
    assert_eq!((machine.fake.calls(Call::Start), up.crashes), (1, 0));
    assert_eq!(daemon.count(|it| matches!(it, Activity::Adopted)), 1);
    assert_eq!(daemon.count(|it| matches!(it, Activity::Ready { .. })), 1);
    daemon.power(PowerAction::Stop).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_set_on_an_adopted_process_is_asked_of_the_engine() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    machine.kill(daemon).await;
    // As a daemon does whose disk is then taken back.
    let set = Limits { memory_mib: Mib(128), ..spec().limits };
    let container = machine.fake.containers().remove(0).id;
    machine.fake.update(&container, set).await.unwrap();
    let error = "in use".to_owned();
    let refused = Trouble::Fail(RuntimeError::Refused { step: "update", error });
    machine.fake.trouble(Call::Update, When::Before, refused);
    let daemon = machine.daemon().await;
    daemon.wait(server(1), |it| it.state == ServerState::Running && it.restart_pending).await;
    let metered = || daemon.handle.census().borrow().running[&server(1)].limits;
    assert_eq!(metered(), set);
    daemon.wait(server(1), |it| !it.restart_pending).await;
    assert_eq!(metered(), spec().limits);
    assert_eq!(machine.fake.spec(server(1)).unwrap().limits, spec().limits);
}

#[tokio::test(start_paused = true)]
async fn a_game_that_gets_ready_while_the_daemon_is_away_is_seen_to_be_ready() {
    let machine = Machine::new();
    let mut slow = Script::game();
    slow.boot = vec![(20_000, Act::Print(crate::runtime::OutputSource::Stdout, "ready".into()))];
    machine.fake.script(server(1), [slow]);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), spec()).await;
    daemon.power(PowerAction::Start).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Starting).await;
    pass(1_000).await;
    machine.kill(daemon).await;
    pass(30_000).await;
    let daemon = machine.daemon().await;
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_game_that_ended_while_the_daemon_was_away_is_a_crash_and_started_again() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    machine.kill(daemon).await;
    machine.fake.act(server(1), Act::Exit(9));
    pass(30_000).await;
    let daemon = machine.daemon().await;
    daemon.wait(server(1), |it| it.crashes == 1 && it.state == ServerState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_whose_end_nobody_saw_is_no_crash_although_a_start_followed_it() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    daemon.power(PowerAction::Stop).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Stopping).await;
    // It was asked and goes on saving; a start comes, and nobody sees the end.
    pass(50).await;
    daemon.power(PowerAction::Start).await.unwrap();
    machine.kill(daemon).await;
    pass(30_000).await;
    assert_eq!(machine.processes(), 0);
    let daemon = machine.daemon().await;
    let up = daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    pass(1_000).await;
    assert_eq!((up.crashes, daemon.count(|it| matches!(it, Activity::Stopped { .. }))), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn after_a_power_cut_servers_start_from_the_store_by_their_rules() {
    let machine = Machine::new();
    let daemon = machine.daemon().await;
    let rules = [AutoStart::LastState, AutoStart::Always, AutoStart::Never, AutoStart::LastState];
    for (number, auto_start) in (1..).zip(rules) {
        machine.fake.script(server(number), [Script::game()]);
        machine.wish(&daemon, server(number), ServerSpec { auto_start, ..spec() }).await;
    }
    for number in [1, 3] {
        let by = Actor::Operator("me".into());
        daemon.handle.power(server(number), PowerAction::Start, by).await.unwrap();
        daemon.wait(server(number), |it| it.state == ServerState::Running).await;
    }
    pass(1_000).await;
    let daemon = machine.reboot(daemon).await;
    for number in [1, 2] {
        daemon.wait(server(number), |it| it.state == ServerState::Running).await;
        assert_eq!(daemon.seen(server(number)).crashes, 0);
    }
    pass(10_000).await;
    for number in [3, 4] {
        assert_eq!(daemon.seen(server(number)).state, ServerState::Offline, "{number}");
    }
    assert_eq!(
        daemon.count(|it| matches!(it, Activity::EdgeStarted { after_reboot: true, .. })),
        1
    );
    assert_eq!(daemon.count(|it| matches!(it, Activity::Crashed { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn twenty_servers_run_within_a_minute_of_a_boot_although_one_image_cannot_be_had() {
    let machine = Machine::new();
    let daemon = machine.daemon().await;
    for number in 1..=20 {
        machine.fake.script(server(number), [Script::game()]);
        machine.wish(&daemon, server(number), spec()).await;
        daemon.handle.power(server(number), PowerAction::Start, Actor::Edge).await.unwrap();
    }
    for number in 1..=20 {
        daemon.wait(server(number), |it| it.state == ServerState::Running).await;
    }
    pass(1_000).await;
    // The first of them hangs as long as a pull may take.
    machine.fake.trouble(Call::EnsureImage, When::Before, Trouble::Slow(900_000));
    for _ in 0..20 {
        machine.fake.trouble(Call::Create, When::Before, Trouble::Slow(3_000));
    }
    let booted = machine.now();
    let daemon = machine.reboot(daemon).await;
    for number in 2..=20 {
        daemon.wait(server(number), |it| it.state == ServerState::Running).await;
    }
    assert!(machine.now().since(booted) < 60_000);
    assert_eq!(daemon.seen(server(1)).state, ServerState::Preparing);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_away_ends_nothing_and_comes_back_by_itself() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    machine.fake.script(server(2), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    machine.wish(&daemon, server(2), spec()).await;
    machine.fake.set_down(true);
    daemon.handle.power(server(2), PowerAction::Start, Actor::Edge).await.unwrap();
    let down = |it: &Observed| matches!(it.not_running, Some(NotRunning::EngineUnreachable { .. }));
    daemon.wait(server(2), down).await;
    pass(120_000).await;
    assert_eq!(daemon.seen(server(1)).state, ServerState::Running);
    assert!(daemon.handle.engine_error().borrow().is_some());
    machine.fake.set_down(false);
    let back = machine.now();
    daemon.wait(server(2), |it| it.state == ServerState::Running).await;
    assert!(machine.now().since(back) < 15_000);
    assert_eq!(*daemon.handle.engine_error().borrow(), None);
    // Its console works again: the stop is a line typed into it.
    pass(10_000).await;
    daemon.power(PowerAction::Stop).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
    let stopped = |it: &Activity| matches!(it, Activity::Stopped { killed: false, .. });
    pass(1_000).await;
    assert_eq!(daemon.count(stopped), 1);
    assert_eq!(daemon.seen(server(1)).crashes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_comes_up_without_an_engine_says_so_and_recovers() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    machine.fake.set_down(true);
    let daemon = machine.reboot(daemon).await;
    let down = |it: &Observed| matches!(it.not_running, Some(NotRunning::EngineUnreachable { .. }));
    daemon.wait(server(1), down).await;
    machine.fake.set_down(false);
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    assert_eq!(machine.processes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_seen_does_not_stop_the_others() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    let mut told = daemon.handle.engine_error();
    told.mark_unchanged();
    let error = "layer does not exist".to_owned();
    let failure = RuntimeError::Refused { step: "inspect", error };
    machine.fake.trouble(Call::Inspect, When::Before, Trouble::Fail(failure));
    machine.fake.act(server(1), Act::Exit(1));
    daemon.wait(server(1), |it| it.crashes == 1 && it.state == ServerState::Running).await;
    assert!(!told.has_changed().unwrap(), "the engine was taken for away");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_worked_and_failed_leaves_one_process_that_is_taken_over() {
    for call in [Call::Create, Call::Attach, Call::Start, Call::Inspect] {
        let machine = Machine::new();
        machine.fake.script(server(1), [Script::game()]);
        let daemon = machine.daemon().await;
        machine.wish(&daemon, server(1), spec()).await;
        pass(1_000).await;
        let failure = RuntimeError::TimedOut { step: "call", ms: 1 };
        machine.fake.trouble(call, When::After, Trouble::Fail(failure));
        daemon.power(PowerAction::Start).await.unwrap();
        daemon.wait(server(1), |it| it.state == ServerState::Running).await;
        pass(120_000).await;
        assert_eq!(machine.processes(), 1, "{call:?}");
        let up = daemon.seen(server(1));
        assert_eq!((up.state, up.crashes), (ServerState::Running, 0), "{call:?}");
        daemon.power(PowerAction::Stop).await.unwrap();
        daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_takes_no_write_stops_no_restart_and_facts_come_later() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    machine.disk.set_mode(SimMode::ReadOnly);
    machine.fake.act(server(1), Act::Exit(1));
    daemon.wait(server(1), |it| it.crashes == 1 && it.state == ServerState::Running).await;
    let refused = daemon.power(PowerAction::Restart).await;
    assert!(matches!(refused, Err(NodeError::StoreUnavailable(_))), "{refused:?}");
    pass(60_000).await;
    assert_eq!(machine.processes(), 1);
    assert_eq!(daemon.count(|it| matches!(it, Activity::Crashed { .. })), 0);
    machine.disk.set_mode(SimMode::Works);
    pass(5_000).await;
    assert_eq!(daemon.count(|it| matches!(it, Activity::Crashed { .. })), 1);
    assert_eq!(daemon.count(|it| matches!(it, Activity::Started)), 2);
    daemon.power(PowerAction::Stop).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_takes_no_write_keeps_nobody_from_ending_a_game() {
    for (mode, action, killed) in [
        (SimMode::ReadOnly, PowerAction::Stop, false),
        (SimMode::ReadOnly, PowerAction::Kill, true),
        (SimMode::Dead, PowerAction::Kill, true),
    ] {
        let machine = Machine::new();
        machine.fake.script(server(1), [Script::game()]);
        let daemon = machine.with_running(spec()).await;
        pass(1_000).await;
        machine.disk.set_mode(mode);
        daemon.power(action).await.unwrap();
        daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
        let unknown = daemon.handle.power(server(2), action, Actor::Edge).await;
        assert!(unknown.is_err(), "{unknown:?}");
        pass(60_000).await;
        assert_eq!(machine.processes(), 0);
        machine.disk.set_mode(SimMode::Works);
        pass(5_000).await;
        assert!(!daemon.store.power(server(1)).unwrap().wish.running, "it is stored later");
        let told = |it: &Activity| matches!(it, Activity::Power { action: it } if *it == action);
        assert_eq!(daemon.count(told), 1);
        let ended =
            |it: &Activity| matches!(it, Activity::Stopped { killed: it, .. } if *it == killed);
        assert_eq!(daemon.count(ended), 1);
        let daemon = machine.reboot(daemon).await;
        pass(60_000).await;
        assert_eq!(machine.processes(), 0);
        daemon.power(PowerAction::Start).await.unwrap();
        daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_after_a_kill_that_is_not_stored_starts_a_new_process() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    machine.disk.set_mode(SimMode::ReadOnly);
    daemon.power(PowerAction::Kill).await.unwrap();
    machine.disk.set_mode(SimMode::Works);
    daemon.power(PowerAction::Start).await.unwrap();
    pass(10_000).await;
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    assert_eq!((machine.processes(), machine.fake.calls(Call::Start)), (1, 2));
    assert_eq!(daemon.store.power(server(1)).unwrap().kill_below, 2);
}

#[tokio::test(start_paused = true)]
async fn a_boot_on_a_disk_that_takes_no_write_starts_servers_all_the_same() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    machine.disk.set_mode(SimMode::ReadOnly);
    let daemon = machine.reboot(daemon).await;
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    machine.disk.set_mode(SimMode::Works);
    pass(5_000).await;
    assert_eq!(
        daemon.count(|it| matches!(it, Activity::EdgeStarted { after_reboot: true, .. })),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn the_hubs_kill_needs_no_writable_disk_and_its_copy_ends_nothing_new() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    let clock: Arc<dyn Clock> = machine.clock.clone();
    let backend = NodeBackend {
        store: daemon.store.clone(),
        adopter: daemon.adopter.clone(),
        outbox: outbox::Outbox::new(daemon.store.raw().clone()),
        calendar: Arc::new(HubCalendar::new(clock, None)),
        entropy: Arc::new(Counter(AtomicU64::new(1 << 60))),
        supervisor: daemon.handle.clone(),
        view: watch::channel(Arc::new(unseen())).1,
        heard: AtomicU64::new(0),
        carried: Mutex::default(),
        unstored: Mutex::default(),
        registries: Default::default(),
    };
    let intent = |number: u8, action, expires_at| Intent {
        intent: IntentId::from_bytes([number; 16]),
        server: server(1),
        action,
        by: UserId::from_bytes([5; 16]),
        keys: ServerKeys::ALL,
        expires_at,
    };
    let soon = machine.now().plus(60_000);
    // A full disk is no way around what one must hold.
    let keys = ServerKeys::ALL.without(ServerKey::ControlStop);
    let forbidden = Intent { keys, ..intent(4, PowerAction::Kill, soon) };
    let late = intent(1, PowerAction::Kill, machine.now());
    let start = intent(2, PowerAction::Restart, soon);
    let kill = intent(3, PowerAction::Kill, soon);
    machine.disk.set_mode(SimMode::ReadOnly);
    let refused = backend.accept(vec![forbidden.clone()]).await;
    let outcome = IntentOutcome::Refused("this needs the right `control.stop`".to_owned());
    assert_eq!(refused, [IntentResult { intent: forbidden.intent, outcome }]);
    pass(10_000).await;
    assert_eq!(daemon.seen(server(1)).state, ServerState::Running);
    let results = backend.accept(vec![late, start, kill.clone()]).await;
    let accepted = IntentResult { intent: kill.intent, outcome: IntentOutcome::Accepted };
    assert_eq!(results, std::slice::from_ref(&accepted));
    daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
    machine.disk.set_mode(SimMode::Works);
    pass(5_000).await;
    daemon.power(PowerAction::Start).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    assert_eq!(backend.accept(vec![kill]).await, [accepted]);
    // Who may not ask any more is told what was done when they might.
    let asked = intent(5, PowerAction::Start, machine.now().plus(60_000));
    let done = IntentResult { intent: asked.intent, outcome: IntentOutcome::Accepted };
    for keys in [ServerKeys::ALL, ServerKeys::NONE] {
        let copy = Intent { keys, ..asked.clone() };
        assert_eq!(backend.accept(vec![copy]).await, std::slice::from_ref(&done));
    }
    pass(10_000).await;
    assert_eq!((machine.processes(), machine.fake.calls(Call::Start)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_calendar_that_is_ahead_deletes_nothing_before_its_time() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    let folder = machine.dir.path().join("servers").join(server(1).to_string());
    std::fs::write(folder.join("world"), "w").unwrap();
    let mut tombstone = machine.envelope(server(1), Wish::Deleted { retain_ms: 600_000 });
    tombstone.not_before = machine.now().plus(300_000);
    daemon.adopt(&tombstone, machine.now()).await;
    let ahead = |days: u64| machine.clock.ahead_ms.store(days * 86_400_000, Ordering::Relaxed);
    ahead(399);
    let daemon = machine.reboot(daemon).await;
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    pass(200_000).await;
    assert_eq!(daemon.seen(server(1)).state, ServerState::Running);
    ahead(0);
    pass(200_000).await;
    let trash = machine.dir.path().join("trash");
    let moved = trash.join(format!("{}-{}", server(1), tombstone.not_before.0));
    assert!(moved.join("world").exists() && !folder.exists());
    ahead(399);
    let daemon = machine.reboot(daemon).await;
    pass(300_000).await;
    assert!(moved.join("world").exists());
    pass(400_000).await;
    assert!(!moved.exists(), "its time has passed by the boot clock");
    assert_eq!(daemon.count(|it| matches!(it, Activity::Deleted)), 1);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_no_wish_names_is_shown_and_left_alone() {
    let machine = Machine::new();
    machine.fake.script(server(7), [Script::game()]);
    let daemon = machine.with_running_of(server(7)).await;
    let before: Vec<Container> = machine.fake.containers();
    machine.kill(daemon).await;
    // The node's store is lost; the container is not.
    let lost = Machine { disk: SimDisk::new(0), ..machine };
    let daemon = lost.daemon().await;
    let seen = daemon.wait(server(7), |it| it.applied.is_none()).await;
    assert_eq!(seen.not_running, None);
    pass(120_000).await;
    assert_eq!(lost.fake.containers(), before);
    let refused = daemon.handle.power(server(7), PowerAction::Kill, Actor::Edge).await;
    assert_eq!(refused, Err(NodeError::NoSuchServer(server(7))));
    // Its wish comes back from the hub: it is taken over, not restarted.
    lost.wish(&daemon, server(7), spec()).await;
    let taken_over = daemon.wait(server(7), |it| it.state == ServerState::Running).await;
    assert!(taken_over.applied.is_some() && taken_over.wish.running);
    pass(60_000).await;
    assert_eq!(lost.fake.calls(Call::Start), 1);
    assert!(daemon.store.power(server(7)).unwrap().wish.running);
}

impl Machine {
    /// A daemon with this server running.
    async fn with_running_of(&self, server: ServerId) -> Daemon {
        let daemon = self.daemon().await;
        self.wish(&daemon, server, spec()).await;
        daemon.handle.power(server, PowerAction::Start, Actor::Edge).await.unwrap();
        daemon.wait(server, |it| it.state == ServerState::Running).await;
        daemon
    }
}

#[tokio::test(start_paused = true)]
async fn a_licence_agreed_to_before_the_daemon_fell_is_agreed_to_at_the_start_after() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), spec()).await;
    let config_files = vec![mamba_core::blueprint::eula_file()];
    let agreed = ServerSpec { config_files, ..spec() };
    assert_eq!(machine.wish(&daemon, server(1), agreed).await, DesiredOutcome::Adopted);
    // The power goes before anybody starts it, and the hub is not heard of again.
    let daemon = machine.reboot(daemon).await;
    daemon.power(PowerAction::Start).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    let data_dir = machine.fake.spec(server(1)).unwrap().data_dir;
    let text = std::fs::read_to_string(data_dir.join("eula.txt")).unwrap();
    assert!(text.lines().any(|line| line == "eula=true"), "{text}");
}

//! What a server goes through while everything around it works.

use super::*;
use crate::runtime::{
    Runtime, RuntimeError,
    fake::{Act, Call, Script, Trouble, When},
};
use mamba_core::lifecycle::NotRunning;

#[tokio::test(start_paused = true)]
async fn a_server_starts_gets_ready_and_stops_as_asked() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.daemon().await;
    pass(10).await;
    machine.wish(&daemon, server(1), spec()).await;
    let down = daemon.wait(server(1), |it| it.applied.is_some()).await;
    assert_eq!(down.not_running, Some(NotRunning::NotWanted));
    daemon.power(PowerAction::Start).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Starting).await;
    let up = daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    assert_eq!((up.not_running, up.restart_pending), (None, false));
    assert!(daemon.handle.census().borrow().running.contains_key(&server(1)));
    daemon.power(PowerAction::Stop).await.unwrap();
    let down = daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
    assert!(matches!(down.not_running, Some(NotRunning::Stopped { by: Actor::Operator(_), .. })));
    pass(1_000).await;
    assert_eq!(daemon.seen(server(1)).crashes, 0);
    assert!(daemon.handle.census().borrow().running.is_empty());
    let facts = daemon.facts();
    let expected: [fn(&Activity) -> bool; 7] = [
        |it| matches!(it, Activity::EdgeStarted { after_reboot: false, .. }),
        |it| matches!(it, Activity::Applied { generation: 1 }),
        |it| matches!(it, Activity::Power { action: PowerAction::Start }),
        |it| matches!(it, Activity::Started),
        |it| matches!(it, Activity::Ready { after_ms } if (50..100).contains(after_ms)),
        |it| matches!(it, Activity::Power { action: PowerAction::Stop }),
        |it| matches!(it, Activity::Stopped { exit, killed: false } if exit.code == 0),
    ];
    assert_eq!(facts.len(), expected.len(), "{facts:#?}");
    assert!(facts.iter().zip(expected).all(|(fact, is_it)| is_it(fact)), "{facts:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_backs_off_gives_up_and_ends_when_somebody_starts_it() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::crash(100, Act::Exit(3))]);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), spec()).await;
    let began = machine.now();
    daemon.power(PowerAction::Start).await.unwrap();
    let due = |crashes| move |it: &Observed| matches!(it.not_running, Some(NotRunning::RestartDue { crashes: count, .. }) if count == crashes);
    for crashes in 1..4 {
        daemon.wait(server(1), due(crashes)).await;
    }
    let over = daemon
        .wait(server(1), |it| matches!(it.not_running, Some(NotRunning::GaveUp { crashes: 4 })))
        .await;
    assert_eq!(over.crashes, 4);
    // Waits of 1, 2 and 4 seconds lie between the four starts.
    assert!(machine.now().since(began) >= 7_000);
    pass(120_000).await;
    assert_eq!(machine.fake.calls(Call::Start), 4);
    let lines = |fact: &Activity| match fact {
        Activity::Crashed { lines, exit, .. } => {
            exit.code == 3 && lines.ends_with(&["ready".into()])
        }
        _ => false,
    };
    assert_eq!(daemon.count(lines), 4);
    assert_eq!(daemon.count(|it| matches!(it, Activity::GaveUp { crashes: 4 })), 1);
    machine.fake.script(server(1), [Script::game()]);
    daemon.power(PowerAction::Start).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_game_out_of_memory_is_restarted_and_the_reason_is_kept() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::crash(100, Act::Oom), Script::game()]);
    let daemon = machine.with_running(spec()).await;
    let up = daemon.wait(server(1), |it| it.crashes == 1 && it.state == ServerState::Running).await;
    assert!(up.last_exit.unwrap().oom_killed);
}

#[tokio::test(start_paused = true)]
async fn exit_code_zero_is_a_stop_when_the_policy_says_so() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::crash(100, Act::Exit(0))]);
    let restart = RestartPolicy { exit_zero_is_crash: false, ..RESTART };
    let daemon = machine.with_running(ServerSpec { restart, ..spec() }).await;
    daemon.wait(server(1), |it| matches!(it.not_running, Some(NotRunning::Ended { .. }))).await;
    pass(60_000).await;
    assert_eq!((machine.fake.calls(Call::Start), daemon.seen(server(1)).crashes), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deaf_game_is_killed_after_its_grace_period() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::deaf()]);
    let daemon = machine.with_running(spec()).await;
    let asked = machine.now();
    daemon.power(PowerAction::Stop).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
    assert!((5_000..6_000).contains(&machine.now().since(asked)));
    pass(100).await;
    assert_eq!(daemon.count(|it| matches!(it, Activity::Stopped { killed: true, .. })), 1);
    assert_eq!(daemon.seen(server(1)).crashes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_kill_does_not_wait_for_a_stop_in_progress() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::deaf()]);
    let daemon = machine.with_running(ServerSpec { stop_grace_ms: 600_000, ..spec() }).await;
    daemon.power(PowerAction::Stop).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Stopping).await;
    let asked = machine.now();
    daemon.power(PowerAction::Kill).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
    assert!(machine.now().since(asked) < 2_500);
}

#[tokio::test(start_paused = true)]
async fn a_kill_ends_a_start_in_progress_and_nothing_is_left_running() {
    for call in [Call::EnsureNetwork, Call::Create, Call::Attach, Call::Start, Call::Inspect] {
        for when in [When::Before, When::After] {
            let machine = Machine::new();
            let daemon = machine.daemon().await;
            machine.wish(&daemon, server(1), spec()).await;
            machine.fake.trouble(call, when, Trouble::Slow(30_000));
            daemon.power(PowerAction::Start).await.unwrap();
            daemon.wait(server(1), |it| it.state == ServerState::Preparing).await;
            pass(500).await;
            let asked = machine.now();
            daemon.power(PowerAction::Kill).await.unwrap();
            daemon
                .wait(server(1), |it| {
                    it.state == ServerState::Offline
                        && matches!(it.not_running, Some(NotRunning::Stopped { .. }))
                })
                .await;
            assert!(machine.now().since(asked) < 5_000, "{call:?} {when:?}");
            pass(60_000).await;
            assert_eq!(machine.processes(), 0, "{call:?} {when:?}");
            assert_eq!(daemon.seen(server(1)).crashes, 0, "{call:?} {when:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_pull_at_once_and_a_start_pulls_again() {
    let machine = Machine::new();
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), spec()).await;
    machine.fake.trouble(Call::EnsureImage, When::Before, Trouble::Slow(600_000));
    daemon.power(PowerAction::Start).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Preparing).await;
    let asked = machine.now();
    daemon.power(PowerAction::Stop).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
    assert!(machine.now().since(asked) < 1_000);
    machine.fake.script(server(1), [Script::game()]);
    daemon.power(PowerAction::Start).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_exist_is_named_and_used_once_it_does() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    machine.fake.miss_image("game:2");
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), ServerSpec { image: "game:2".into(), ..spec() }).await;
    daemon.power(PowerAction::Start).await.unwrap();
    let down = daemon
        .wait(server(1), |it| matches!(it.not_running, Some(NotRunning::StepFailed { .. })))
        .await;
    let Some(NotRunning::StepFailed { step, error, .. }) = down.not_running else { panic!() };
    assert_eq!(step, "pull image");
    assert!(error.contains("game:2"), "{error}");
    pass(120_000).await;
    // The same failure is told once, however often it is tried.
    assert_eq!(daemon.count(|it| matches!(it, Activity::StepFailed { .. })), 1);
    assert!(machine.fake.calls(Call::EnsureImage) > 3);
    machine.wish(&daemon, server(1), spec()).await;
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_makes_a_new_process_from_the_newest_wish() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    machine.wish(&daemon, server(1), ServerSpec { image: "game:2".into(), ..spec() }).await;
    daemon.wait(server(1), |it| it.restart_pending).await;
    pass(60_000).await;
    assert_eq!(machine.fake.calls(Call::Start), 1);
    daemon.power(PowerAction::Restart).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Running && !it.restart_pending).await;
    assert_eq!(machine.fake.spec(server(1)).unwrap().image, "game:2");
    assert_eq!(machine.fake.calls(Call::Start), 2);
    assert_eq!(daemon.seen(server(1)).crashes, 0);
}

#[tokio::test(start_paused = true)]
async fn new_limits_reach_the_running_process_and_a_refusal_does_not_stop_it() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    let error = "in use".to_owned();
    let refused = Trouble::Fail(RuntimeError::Refused { step: "update", error });
    machine.fake.trouble(Call::Update, When::Before, refused);
    let mut larger = spec();
    larger.limits.memory_mib = Mib(1_024);
    machine.wish(&daemon, server(1), larger.clone()).await;
    daemon.wait(server(1), |it| it.restart_pending).await;
    daemon.wait(server(1), |it| !it.restart_pending).await;
    assert_eq!(machine.fake.spec(server(1)).unwrap().limits, larger.limits);
    assert_eq!(machine.fake.calls(Call::Start), 1);
    assert_eq!(daemon.handle.census().borrow().running[&server(1)].limits, larger.limits);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_server_stops_and_cannot_be_started() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    machine.wish(&daemon, server(1), ServerSpec { suspended: true, ..spec() }).await;
    let down = daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
    assert_eq!(down.not_running, Some(NotRunning::Suspended));
    let refused = daemon.power(PowerAction::Start).await;
    assert_eq!(refused, Err(NodeError::NotAllowed("server is suspended".into())));
    pass(1_000).await;
    assert_eq!(daemon.count(|it| matches!(it, Activity::StoppedByHub { suspended: true })), 1);
    machine.wish(&daemon, server(1), spec()).await;
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_entitlement_stops_a_server_without_being_told() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let run_until = machine.now().plus(3_600_000);
    let daemon = machine.with_running(ServerSpec { run_until: Some(run_until), ..spec() }).await;
    pass(3_590_000).await;
    assert_eq!(daemon.seen(server(1)).state, ServerState::Running);
    pass(11_000).await;
    let ended = NotRunning::EntitlementEnded { at: run_until };
    let down = daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
    assert_eq!(down.not_running, Some(ended));
    assert!(daemon.power(PowerAction::Start).await.is_err());
    assert_eq!(daemon.count(|it| matches!(it, Activity::StoppedByHub { suspended: false })), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_stops_moves_to_the_trash_and_purges_and_stays() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let old = machine.envelope(server(1), Wish::Exist(Box::new(spec())));
    let daemon = machine.with_running(spec()).await;
    let folder = machine.dir.path().join("servers").join(server(1).to_string());
    std::fs::write(folder.join("world"), "w").unwrap();
    let mut tombstone = machine.envelope(server(1), Wish::Deleted { retain_ms: 60_000 });
    tombstone.not_before = machine.now().plus(10_000);
    daemon.adopt(&tombstone, machine.now()).await;
    pass(9_000).await;
    assert_eq!(daemon.seen(server(1)).state, ServerState::Running);
    let down = daemon.wait(server(1), |it| it.applied == Some(tombstone.order)).await;
    assert_eq!(down.state, ServerState::Stopping);
    pass(5_000).await;
    let trash = machine.dir.path().join("trash");
    let moved = trash.join(format!("{}-{}", server(1), tombstone.not_before.0));
    assert_eq!(std::fs::read_to_string(moved.join("world")).unwrap(), "w");
    assert!(!folder.exists() && machine.fake.containers().is_empty());
    assert_eq!(daemon.count(|it| matches!(it, Activity::Deleted)), 1);
    pass(65_000).await;
    // The consoles' writer is a thread of its own and knows no virtual time.
    daemon.consoles.flush().await.unwrap();
    pass(100).await;
    assert!(!moved.exists());
    assert_eq!(daemon.count(|it| matches!(it, Activity::Purged)), 1);
    assert_eq!(daemon.adopt(&old, machine.now()).await, DesiredOutcome::Stale);
    let daemon = machine.reboot(daemon).await;
    pass(60_000).await;
    assert!(daemon.handle.observed().borrow().is_empty() && machine.processes() == 0);
    assert_eq!(daemon.count(|it| matches!(it, Activity::Deleted | Activity::Purged)), 2);
}

#[tokio::test(start_paused = true)]
async fn the_network_of_a_tenant_goes_with_its_last_server_and_comes_back_with_a_new_one() {
    let machine = Machine::new();
    let daemon = machine.daemon().await;
    for number in 1..=3 {
        machine.fake.script(server(number), [Script::game()]);
    }
    for number in 1..=2 {
        machine.wish(&daemon, server(number), spec()).await;
        daemon.handle.power(server(number), PowerAction::Start, Actor::Edge).await.unwrap();
        daemon.wait(server(number), |it| it.state == ServerState::Running).await;
    }
    let delete = |number| machine.envelope(server(number), Wish::Deleted { retain_ms: 60_000 });
    let rows = |daemon: &Daemon| daemon.store.load().unwrap().subnets.len();
    daemon.adopt(&delete(1), machine.now()).await;
    pass(30_000).await;
    assert_eq!((machine.fake.networks().await.unwrap().len(), rows(&daemon)), (1, 1));
    // What fails is tried again, also by a later daemon.
    let error = "network has active endpoints".to_owned();
    let refused = Trouble::Fail(RuntimeError::Refused { step: "remove network", error });
    machine.fake.trouble(Call::RemoveNetwork, When::Before, refused);
    daemon.adopt(&delete(2), machine.now()).await;
    pass(120_000).await;
    assert_eq!((machine.fake.networks().await.unwrap().len(), rows(&daemon)), (1, 1));
    let daemon = machine.reboot(daemon).await;
    pass(30_000).await;
    assert_eq!((machine.fake.networks().await.unwrap().len(), rows(&daemon)), (0, 0));
    let calls = machine.fake.calls(Call::RemoveNetwork);
    pass(1_200_000).await;
    assert_eq!(machine.fake.calls(Call::RemoveNetwork), calls, "once is enough");
    machine.wish(&daemon, server(3), spec()).await;
    daemon.handle.power(server(3), PowerAction::Start, Actor::Edge).await.unwrap();
    daemon.wait(server(3), |it| it.state == ServerState::Running).await;
    assert_eq!((machine.fake.networks().await.unwrap().len(), rows(&daemon)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_until_the_network_of_its_tenant_is_released() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    machine.fake.script(server(2), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    machine.fake.trouble(Call::RemoveNetwork, When::Before, Trouble::Slow(5_000));
    let tombstone = machine.envelope(server(1), Wish::Deleted { retain_ms: 60_000 });
    daemon.adopt(&tombstone, machine.now()).await;
    let asked = machine.fake.calls(Call::RemoveNetwork);
    while machine.fake.calls(Call::RemoveNetwork) == asked {
        pass(100).await;
    }
    machine.wish(&daemon, server(2), spec()).await;
    daemon.handle.power(server(2), PowerAction::Start, Actor::Edge).await.unwrap();
    daemon.wait(server(2), |it| it.state == ServerState::Running).await;
    assert_eq!(machine.fake.networks().await.unwrap().len(), 1);
    assert_eq!(daemon.store.load().unwrap().subnets.len(), 1);
    assert_eq!(daemon.count(|it| matches!(it, Activity::StepFailed { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn a_bad_wish_leaves_the_last_good_one_in_force() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    let mut bad = spec();
    bad.limits.memory_mib = Mib(1);
    let outcome = machine.wish(&daemon, server(1), bad).await;
    assert!(matches!(outcome, DesiredOutcome::Invalid(err) if err.field == "limits.memory_mib"));
    let up = daemon.wait(server(1), |it| it.refused.is_some()).await;
    assert_eq!(up.applied.unwrap().generation, Generation(1));
    assert_eq!(up.refused.unwrap().order.generation, Generation(2));
    pass(60_000).await;
    assert_eq!((machine.processes(), machine.fake.calls(Call::Start)), (1, 1));
    machine.wish(&daemon, server(1), spec()).await;
    daemon.wait(server(1), |it| it.refused.is_none()).await;
}

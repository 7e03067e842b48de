//! Install scripts: done once, whatever happens meanwhile.

use super::*;
use crate::runtime::{
    OutputSource, Runtime, RuntimeError,
    fake::{Act, Call, Script, Trouble, When},
};
use mamba_core::{
    lifecycle::{
        NotRunning,
        install::{INSTALL_ATTEMPTS_MAX, InstallOutcome},
    },
    server::{Install, InstallFiles},
};
use mamba_wire::node::LineSource;

fn order(generation: u64) -> Order {
    Order { incarnation: Incarnation(1), generation: Generation(generation) }
}

fn scripted(asked: u64) -> ServerSpec {
    let install = Install {
        asked: order(asked),
        image: "debian:12".into(),
        entrypoint: "sh".into(),
        script: "true".into(),
        files: InstallFiles::Keep,
        secrets: ["TOKEN".to_owned()].into(),
        cancelled: false,
    };
    let environment = [("TOKEN".to_owned(), "hunter2".to_owned())].into();
    ServerSpec { install: Some(install), environment, ..spec() }
}

fn outcome(seen: &Observed) -> Option<InstallOutcome> {
    Some(seen.install.as_ref()?.end.as_ref()?.outcome.clone())
}

fn is_installed(seen: &Observed) -> bool {
    outcome(seen) == Some(InstallOutcome::Installed)
}

fn failed(seen: &Observed) -> Option<String> {
    match outcome(seen)? {
        InstallOutcome::Failed { error, .. } => Some(error),
        InstallOutcome::Installed | InstallOutcome::Cancelled => None,
    }
}

impl Daemon {
    /// How often the hub is told of an end.
    fn ends(&self) -> usize {
        self.count(|it| {
            matches!(
                it,
                Activity::Installed { .. }
                    | Activity::InstallFailed { .. }
                    | Activity::InstallCancelled { .. }
            )
        })
    }

    fn log(&self, machine: &Machine) -> String {
        let data = DataDirs::open(machine.dir.path(), 0).unwrap();
        let asked = self.seen(server(1)).install.unwrap().asked;
        let lines = data.install_log(server(1), asked).lines().unwrap();
        lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_is_installed_before_it_may_start_and_what_it_said_is_kept() {
    let machine = Machine::new();
    let say = |text: &str| Act::Print(OutputSource::Stdout, text.into());
    let boot = vec![
        (100, say("using hunter2")),
        (1_000, say("half")),
        (30_000, Act::Print(OutputSource::Stderr, "done".into())),
        (30_001, Act::Exit(0)),
    ];
    machine.fake.script_install(server(1), [Script { boot, ..Script::default() }]);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), scripted(1)).await;
    daemon.wait(server(1), |it| it.state == ServerState::Installing).await;
    pass(2_000).await;
    let refused = daemon.power(PowerAction::Start).await.unwrap_err();
    assert_eq!(refused, NodeError::NotAllowed("server is being installed".into()));
    let seen = daemon.wait(server(1), is_installed).await;
    let begun = seen.install.unwrap();
    assert!(begun.end.unwrap().at.since(begun.begun_at) >= 30_000);
    let log = daemon.log(&machine);
    assert!(log.contains("using ***\nhalf\ndone\n"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
    let shown: Vec<String> = daemon
        .consoles
        .last_lines(server(1), 50)
        .into_iter()
        .filter(|line| line.source == LineSource::Install)
        .map(|line| line.text)
        .collect();
    assert_eq!(shown, ["using ***", "half", "done"]);
    assert_eq!((daemon.ends(), machine.fake.calls(Call::CreateInstaller)), (1, 1));
    assert_eq!(machine.fake.installer(node(), server(1)).await.unwrap(), None);
    daemon.power(PowerAction::Start).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    assert_eq!(machine.fake.calls(Call::CreateInstaller), 1);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_fails_leaves_the_server_down_until_it_is_installed_again() {
    let machine = Machine::new();
    machine.fake.script_install(server(1), [Script::install(500, 3), Script::install(500, 0)]);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), scripted(1)).await;
    let seen = daemon.wait(server(1), |it| failed(it).is_some()).await;
    assert_eq!(failed(&seen).unwrap(), "script ended with code 3");
    assert!(matches!(seen.not_running, Some(NotRunning::InstallFailed { .. })), "{seen:?}");
    let refused = daemon.power(PowerAction::Start).await.unwrap_err();
    assert!(refused.to_string().contains("script ended with code 3"), "{refused}");
    let told = |it: &Activity| match it {
        Activity::InstallFailed { code, lines, .. } => {
            (*code, lines.as_slice()) == (Some(3), &["installing".to_owned()])
        }
        _ => false,
    };
    assert_eq!(daemon.count(told), 1);
    // The store refuses starts; a restart of the daemon changes nothing.
    machine.kill(daemon).await;
    let daemon = machine.daemon().await;
    pass(60_000).await;
    assert_eq!(machine.fake.calls(Call::CreateInstaller), 1);
    machine.wish(&daemon, server(1), scripted(2)).await;
    daemon.wait(server(1), is_installed).await;
    assert_eq!(daemon.ends(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_hangs_is_ended() {
    let machine = Machine::new();
    machine.fake.script_install(server(1), [Script::deaf()]);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), scripted(1)).await;
    let seen = daemon.wait(server(1), |it| failed(it).is_some()).await;
    assert_eq!(failed(&seen).unwrap(), "script was not over after 60 s");
    assert_eq!(machine.fake.installer(node(), server(1)).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_run_outlives_the_daemon_wherever_it_is_killed() {
    // The script runs for 5 s; what follows its end takes a moment.
    for after_ms in (0..6_500).step_by(125) {
        let machine = Machine::new();
        machine.fake.script_install(server(1), [Script::install(5_000, 0)]);
        let daemon = machine.daemon().await;
        machine.wish(&daemon, server(1), scripted(1)).await;
        pass(after_ms).await;
        machine.kill(daemon).await;
        pass(300).await;
        let daemon = machine.daemon().await;
        daemon.wait(server(1), is_installed).await;
        pass(60_000).await;
        assert_eq!(daemon.ends(), 1, "killed after {after_ms} ms");
        assert_eq!(machine.fake.calls(Call::CreateInstaller), 1, "killed after {after_ms} ms");
        let log = daemon.log(&machine);
        assert_eq!(log.matches("installing").count(), 1, "killed after {after_ms} ms: {log}");
        assert_eq!(machine.fake.installer(node(), server(1)).await.unwrap(), None);
        machine.kill(daemon).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_the_machine_took_with_it_is_made_again() {
    let machine = Machine::new();
    machine.fake.script_install(server(1), [Script::install(5_000, 0)]);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), scripted(1)).await;
    pass(2_000).await;
    let daemon = machine.reboot(daemon).await;
    daemon.wait(server(1), is_installed).await;
    assert_eq!((daemon.ends(), machine.fake.calls(Call::CreateInstaller)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_code_that_an_engine_gives_to_missed_ends_is_the_scripts_own_when_it_was_watched() {
    let machine = Machine::new();
    machine.fake.script_install(server(1), [Script::install(5_000, 255)]);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), scripted(1)).await;
    let seen = daemon.wait(server(1), |it| failed(it).is_some()).await;
    assert_eq!(failed(&seen).unwrap(), "script ended with code 255");
    assert_eq!(machine.fake.calls(Call::CreateInstaller), 1);
    // This one ends while no daemon looks.
    let scripts = [Script::install(5_000, 255), Script::install(500, 0)];
    machine.fake.script_install(server(1), scripts);
    machine.wish(&daemon, server(1), scripted(2)).await;
    pass(2_000).await;
    machine.kill(daemon).await;
    pass(10_000).await;
    let daemon = machine.daemon().await;
    daemon.wait(server(1), is_installed).await;
    assert_eq!(machine.fake.calls(Call::CreateInstaller), 3);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_ended_from_the_hub_and_from_the_node() {
    let machine = Machine::new();
    machine.fake.script_install(server(1), [Script::deaf()]);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), scripted(1)).await;
    pass(2_000).await;
    let mut cancelled = scripted(1);
    cancelled.install.as_mut().unwrap().cancelled = true;
    machine.wish(&daemon, server(1), cancelled).await;
    let is_cancelled = |it: &Observed| outcome(it) == Some(InstallOutcome::Cancelled);
    daemon.wait(server(1), is_cancelled).await;
    assert_eq!(machine.fake.installer(node(), server(1)).await.unwrap(), None);
    machine.wish(&daemon, server(1), scripted(5)).await;
    daemon.wait(server(1), |it| it.state == ServerState::Installing).await;
    pass(2_000).await;
    let me = Actor::Operator("me".into());
    daemon.handle.cancel_install(server(1), me.clone()).await.unwrap();
    let seen = daemon.wait(server(1), is_cancelled).await;
    assert_eq!(seen.install.unwrap().asked, order(5));
    assert!(matches!(seen.not_running, Some(NotRunning::InstallCancelled { .. })));
    assert_eq!(daemon.ends(), 2);
    let again = daemon.handle.cancel_install(server(1), me).await;
    assert!(matches!(again, Err(NodeError::NotAllowed(_))), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_runs_is_stopped_installed_again_and_goes_on() {
    let machine = Machine::new();
    let daemon = machine.with_running(spec()).await;
    machine.fake.script_install(server(1), [Script::install(2_000, 0)]);
    machine.wish(&daemon, server(1), scripted(9)).await;
    daemon.wait(server(1), |it| it.state == ServerState::Stopping).await;
    daemon.wait(server(1), |it| it.state == ServerState::Installing).await;
    assert_eq!(machine.processes(), 0);
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    assert_eq!((daemon.seen(server(1)).crashes, daemon.ends()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_had_fails_the_run_after_some_attempts() {
    let machine = Machine::new();
    machine.fake.miss_image("debian:12");
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), scripted(1)).await;
    let seen = daemon.wait(server(1), |it| failed(it).is_some()).await;
    assert!(failed(&seen).unwrap().starts_with("pull image: "), "{seen:?}");
    assert_eq!(machine.fake.calls(Call::EnsureImage), INSTALL_ATTEMPTS_MAX);
    assert_eq!(daemon.ends(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_away_is_waited_for() {
    let machine = Machine::new();
    machine.fake.script_install(server(1), [Script::install(20_000, 0)]);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), scripted(1)).await;
    pass(2_000).await;
    machine.fake.set_down(true);
    pass(60_000).await;
    machine.fake.set_down(false);
    daemon.wait(server(1), is_installed).await;
    assert_eq!((daemon.ends(), machine.fake.calls(Call::CreateInstaller)), (1, 1));
    // Every call may fail after it had its effect.
    let lost = RuntimeError::Unreachable("lost".into());
    for call in [Call::CreateInstaller, Call::Start, Call::Remove, Call::Installer] {
        machine.fake.trouble(call, When::After, Trouble::Fail(lost.clone()));
    }
    machine.wish(&daemon, server(1), scripted(5)).await;
    daemon
        .wait(server(1), |it| is_installed(it) && it.install.as_ref().unwrap().asked == order(5))
        .await;
    assert_eq!(daemon.ends(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_store_installs_nothing_over_a_world() {
    let mut machine = Machine::new();
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), scripted(1)).await;
    daemon.wait(server(1), is_installed).await;
    daemon.power(PowerAction::Start).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    machine.kill(daemon).await;
    machine.disk = SimDisk::new(1);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), scripted(1)).await;
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    pass(60_000).await;
    assert_eq!((machine.fake.calls(Call::CreateInstaller), machine.processes()), (1, 1));
    daemon.power(PowerAction::Restart).await.expect("the store knows that it is installed");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_server_takes_its_run_with_it() {
    let machine = Machine::new();
    machine.fake.script_install(server(1), [Script::deaf()]);
    let daemon = machine.daemon().await;
    machine.wish(&daemon, server(1), scripted(1)).await;
    pass(2_000).await;
    let gone = machine.envelope(server(1), Wish::Deleted { retain_ms: 1_000 });
    daemon.adopt(&gone, machine.now()).await;
    pass(30_000).await;
    assert_eq!(machine.fake.installer(node(), server(1)).await.unwrap(), None);
    // The consoles' writer is a thread of its own and knows no virtual time.
    daemon.consoles.flush().await.unwrap();
    pass(100).await;
    assert_eq!(daemon.count(|it| matches!(it, Activity::Purged)), 1);
    let data = DataDirs::open(machine.dir.path(), 0).unwrap();
    assert_eq!(data.install_marks(), [].into());
}

#[tokio::test(start_paused = true)]
async fn a_disk_without_room_fails_the_run() {
    let machine = Machine::new();
    let mut spec = scripted(1);
    spec.limits.disk_mib = Mib(16);
    machine.fake.script_install(server(1), [Script::install(2_000, 0)]);
    let daemon = machine.daemon().await;
    let folder = machine.dir.path().join("servers").join(server(1).to_string());
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("large"), vec![7; 17 << 20]).unwrap();
    machine.wish(&daemon, server(1), spec).await;
    let seen = daemon.wait(server(1), |it| failed(it).is_some()).await;
    assert!(failed(&seen).unwrap().contains("of the server's 16 MiB"), "{seen:?}");
}

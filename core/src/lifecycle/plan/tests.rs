//! Pure decisions in tables and properties.

use super::*;
use crate::{
    lifecycle::{Actor, PowerAction},
    server::{AutoStart, Entry, RestartPolicy, StopMethod},
    units::{Mib, Millicores},
};
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    memory_mib: Mib(256),
    swap_mib: Mib(0),
    cpu_millicores: Millicores(500),
    disk_mib: Mib(512),
    pids: 64,
    sharing: crate::server::Sharing::USUAL,
};
const NOW: Now =
    Now { calendar: UnixMs(1_000_000), certain: UnixMs(1_000_000), boot: BootMs(50_000) };
const RUN: RunView<'static> = RunView {
    power: 1,
    is_outdated: false,
    limits: &LIMITS,
    is_ready: true,
    console: ConsoleLink::Attached,
};

fn spec() -> ServerSpec {
    ServerSpec {
        name: "one".into(),
        image: "game:1".into(),
        startup: "./game".into(),
        entry: Entry::Shell,
        environment: BTreeMap::new(),
        done: vec![],
        stop: StopMethod::Runtime,
        stop_grace_ms: 90_000,
        limits: LIMITS,
        ports: vec![],
        capabilities: vec![],
        auto_start: AutoStart::LastState,
        restart: RestartPolicy::default(),
        config_files: vec![],
        mounts: vec![],
        suspended: false,
        run_until: None,
        install: None,
    }
}

fn id(number: u8) -> ServerId {
    ServerId::from_bytes([number; 16])
}

fn power(actions: &[PowerAction]) -> Power {
    actions
        .iter()
        .fold(Power::never_asked(), |power, action| power.then(*action, Actor::Edge, UnixMs(1)))
}

fn exit(code: i64) -> Exit {
    Exit { code, oom_killed: false, at: UnixMs(900_000) }
}

fn ending(verdict: Verdict, power: u64) -> Ending {
    Ending { exit: exit(1), verdict, power }
}

fn stopping(asked_at: u64, grace_ms: u32, killed_at: Option<u64>) -> Stopping {
    Stopping { asked_at: BootMs(asked_at), grace_ms, killed_at: killed_at.map(BootMs) }
}

/// A server that exists, is wanted running, has no container and its image at hand.
fn view<'a>(spec: &'a ServerSpec, power: &'a Power) -> ServerView<'a> {
    ServerView {
        wanted: Wanted::Exist(spec),
        is_leaving: false,
        is_among_others: false,
        next_wish_at: None,
        power,
        process: Process::Absent,
        run: None,
        operation: None,
        ending: None,
        failure: None,
        stopping: None,
        is_image_ready: true,
        install: None,
    }
}

fn running<'a>(spec: &'a ServerSpec, power: &'a Power) -> ServerView<'a> {
    ServerView { process: Process::Running, run: Some(RUN), ..view(spec, power) }
}

fn world<'a>(views: impl IntoIterator<Item = ServerView<'a>>) -> World<'a> {
    let servers = (1..).map(id).zip(views).collect();
    World { engine_error: None, starts_max: STARTS_MAX, servers }
}

/// Plans for one server.
#[track_caller]
fn check(view: ServerView<'_>, action: Option<Action>, wake_ms: Option<u64>) {
    let plan = plan(&world([view.clone()]), NOW);
    assert_eq!(plan.actions.get(&id(1)), action.as_ref(), "{view:?}");
    assert_eq!(plan.wake_ms, wake_ms, "{view:?}");
}

fn stop(grace_ms: u32, reason: StopReason) -> Option<Action> {
    Some(Action::Stop { grace_ms, reason })
}

const START: &[PowerAction] = &[PowerAction::Start];
const STOP: &[PowerAction] = &[PowerAction::Start, PowerAction::Stop];
const KILL: &[PowerAction] = &[PowerAction::Start, PowerAction::Kill];

#[test]
fn a_wanted_server_is_fetched_then_started_then_left_alone() {
    let (spec, power) = (spec(), power(START));
    let down = view(&spec, &power);
    check(ServerView { is_image_ready: false, ..down.clone() }, Some(Action::Fetch), None);
    check(down.clone(), Some(Action::Start), None);
    check(ServerView { process: Process::Created, ..down.clone() }, Some(Action::Start), None);
    check(ServerView { process: Process::Exited(&exit(0)), ..down }, Some(Action::Start), None);
    check(running(&spec, &power), None, None);
}

#[test]
fn a_server_that_nobody_wants_is_left_alone() {
    let (spec, never, stopped) = (spec(), power(&[]), power(STOP));
    check(view(&spec, &never), None, None);
    check(view(&spec, &stopped), None, None);
}

#[test]
fn a_stop_is_asked_then_waited_for_then_enforced_then_repeated() {
    let (spec, power) = (spec(), power(STOP));
    let up = running(&spec, &power);
    check(up.clone(), stop(90_000, StopReason::Power), None);
    let with = |stopping| ServerView { stopping: Some(stopping), ..up.clone() };
    check(with(stopping(49_000, 90_000, None)), None, Some(89_000));
    check(with(stopping(1_000, 49_000, None)), Some(Action::Kill), None);
    check(with(stopping(1_000, 49_000, Some(49_000))), None, Some(9_000));
    check(with(stopping(1_000, 30_000, Some(31_000))), Some(Action::Kill), None);
}

#[test]
fn a_start_during_a_stop_lets_the_stop_end_first() {
    let (spec, power) =
        (spec(), power(&[PowerAction::Start, PowerAction::Stop, PowerAction::Start]));
    let view =
        ServerView { stopping: Some(stopping(49_000, 90_000, None)), ..running(&spec, &power) };
    check(view, None, Some(89_000));
}

#[test]
fn a_stop_followed_by_a_start_ends_what_ran_before_it_even_if_nobody_saw_the_stop() {
    let actions = [PowerAction::Start, PowerAction::Stop, PowerAction::Start];
    let (spec, power, exit) = (spec(), power(&actions), exit(0));
    let record = |cause| Some(Action::RecordExit { exit: Some(exit.clone()), cause });
    // Number of the action under which the process was started: before the stop, and after it.
    for (number, while_it_runs, once_ended) in [
        (1, stop(90_000, StopReason::Power), record(Cause::Asked)),
        (3, None, record(Cause::Itself)),
    ] {
        let run = Some(RunView { power: number, ..RUN });
        let up = ServerView { run, ..running(&spec, &power) };
        check(up.clone(), while_it_runs, None);
        // The daemon was killed after it had asked: it no longer knows that it did.
        check(ServerView { process: Process::Exited(&exit), ..up }, once_ended, None);
    }
}

#[test]
fn a_restart_ends_only_what_was_started_before_it() {
    let (spec, power) = (spec(), power(&[PowerAction::Start, PowerAction::Restart]));
    check(running(&spec, &power), stop(90_000, StopReason::Power), None);
    let new = RunView { power: 2, ..RUN };
    check(ServerView { run: Some(new), ..running(&spec, &power) }, None, None);
}

#[test]
fn a_kill_wins_over_every_operation_and_over_a_start_that_follows_it() {
    let spec = spec();
    let again = [PowerAction::Start, PowerAction::Kill, PowerAction::Start];
    for power in [power(KILL), power(&again)] {
        let up = running(&spec, &power);
        let asked = Some(stopping(49_999, 90_000, None));
        let unread = RunView { console: ConsoleLink::Detached { retry_at: BootMs(0) }, ..RUN };
        check(up.clone(), Some(Action::Kill), None);
        check(ServerView { stopping: asked, ..up.clone() }, Some(Action::Kill), None);
        check(ServerView { run: Some(unread), ..up.clone() }, Some(Action::Kill), None);
        let busy = Some(Operation::Yielding);
        check(ServerView { operation: busy, ..up }, Some(Action::Abort), None);
        let start = Some(Operation::Start { power: 1 });
        let down = ServerView { operation: start, ..view(&spec, &power) };
        check(down, Some(Action::Abort), None);
    }
}

#[test]
fn a_stop_ends_a_fetch_and_a_start_in_progress() {
    let (mut spec, stopped, wanted) = (spec(), power(STOP), power(START));
    let operations = [Operation::Fetch { is_outdated: false }, Operation::Start { power: 1 }];
    for operation in operations {
        let operation = Some(operation);
        check(ServerView { operation, ..view(&spec, &stopped) }, Some(Action::Abort), None);
        check(ServerView { operation, ..view(&spec, &wanted) }, None, None);
    }
    let outdated = Some(Operation::Fetch { is_outdated: true });
    check(ServerView { operation: outdated, ..view(&spec, &wanted) }, Some(Action::Abort), None);
    spec.suspended = true;
    let starting = Some(Operation::Start { power: 1 });
    check(ServerView { operation: starting, ..view(&spec, &wanted) }, Some(Action::Abort), None);
}

#[test]
fn the_hub_ends_a_server_within_a_minute_and_the_calendar_does_too() {
    let (mut spec, power) = (spec(), power(START));
    spec.run_until = Some(NOW.calendar.plus(5_000));
    check(running(&spec, &power), None, Some(5_000));
    spec.run_until = Some(NOW.calendar);
    check(running(&spec, &power), stop(60_000, StopReason::EntitlementEnded), None);
    spec.run_until = None;
    spec.suspended = true;
    check(running(&spec, &power), stop(60_000, StopReason::Suspended), None);
    let deleted = Wanted::Deleted(Disposal::Present);
    let view = ServerView { wanted: deleted, ..running(&spec, &power) };
    check(view, stop(60_000, StopReason::Deleted), None);
}

#[test]
fn a_server_that_is_moved_has_its_own_time_to_stop_and_is_not_started() {
    let (spec, power) = (spec(), power(START));
    let up = ServerView { is_leaving: true, ..running(&spec, &power) };
    let why = |view: &ServerView<'_>| standing(view, NOW, None).not_running;
    check(up.clone(), stop(90_000, StopReason::Moving), None);
    assert_eq!(why(&up), Some(NotRunning::Moving));
    let down = ServerView { is_leaving: true, ..view(&spec, &power) };
    check(down.clone(), None, None);
    assert_eq!(why(&down), Some(NotRunning::Moving));
    let operation = Some(Operation::Start { power: 1 });
    check(ServerView { operation, ..down }, Some(Action::Abort), None);
}

#[test]
fn a_server_that_changed_hands_is_started_again_among_its_owners_others() {
    let (spec, power) = (spec(), power(START));
    let up = ServerView { is_among_others: true, ..running(&spec, &power) };
    check(up.clone(), stop(90_000, StopReason::ChangedHands), None);
    assert_eq!(standing(&up, NOW, None).not_running, None, "it may run");
    // What is left of it is no process any more.
    let down = ServerView { is_among_others: true, ..view(&spec, &power) };
    check(down, Some(Action::Start), None);
}

#[test]
fn an_end_is_recorded_before_anything_else_and_an_asked_one_is_no_crash() {
    let (spec, wanted, stopped) = (spec(), power(START), power(STOP));
    let exit = exit(3);
    let record = |cause| Some(Action::RecordExit { exit: Some(exit.clone()), cause });
    let ended = |power| ServerView { process: Process::Exited(&exit), ..running(&spec, power) };
    check(ended(&wanted), record(Cause::Itself), None);
    check(ended(&stopped), record(Cause::Asked), None);
    let asked = Some(stopping(1, 1, None));
    check(ServerView { stopping: asked, ..ended(&wanted) }, record(Cause::Asked), None);
    let gone = ServerView { process: Process::Absent, ..running(&spec, &wanted) };
    check(gone, Some(Action::RecordExit { exit: None, cause: Cause::Itself }), None);
}

#[test]
fn the_verdict_on_a_crash_holds_until_somebody_asks_anew() {
    let (spec, power) = (spec(), power(START));
    let at = NOW.calendar.plus(700);
    for (verdict, wake_ms) in [
        (Verdict::RestartAt { at, delay_ms: 1_000, crashes: 2 }, Some(700)),
        (Verdict::GaveUp { crashes: 5 }, None),
        (Verdict::NoRestart { crashes: 1 }, None),
        (Verdict::Ended, None),
    ] {
        let ending = ending(verdict, 1);
        check(ServerView { ending: Some(&ending), ..view(&spec, &power) }, None, wake_ms);
        let anew = power.then(PowerAction::Start, Actor::Edge, UnixMs(2));
        let view = ServerView { ending: Some(&ending), ..view(&spec, &anew) };
        check(view, Some(Action::Start), None);
    }
    let due = ending(Verdict::RestartAt { at: NOW.calendar, delay_ms: 9, crashes: 1 }, 1);
    check(ServerView { ending: Some(&due), ..view(&spec, &power) }, Some(Action::Start), None);
}

#[test]
fn a_failed_step_waits_unless_somebody_asks_anew() {
    let (spec, power) = (spec(), power(START));
    let failure = StepFailure {
        step: "pull image".into(),
        error: "no".into(),
        retry_at: NOW.calendar.plus(400),
        delay_ms: 1_000,
        attempts: 1,
        power: 1,
    };
    check(ServerView { failure: Some(&failure), ..view(&spec, &power) }, None, Some(400));
    let anew = power.then(PowerAction::Start, Actor::Edge, UnixMs(2));
    let view = ServerView { failure: Some(&failure), ..view(&spec, &anew) };
    check(view, Some(Action::Start), None);
}

#[test]
fn limits_are_set_on_a_running_server_and_a_changed_image_waits_for_a_restart() {
    let (mut spec, power) = (spec(), power(START));
    spec.limits.disk_mib = Mib(9_999);
    check(running(&spec, &power), None, None);
    spec.limits.memory_mib = Mib(512);
    check(running(&spec, &power), Some(Action::UpdateLimits), None);
    let outdated = RunView { is_outdated: true, limits: &spec.limits, ..RUN };
    let view = ServerView { run: Some(outdated), ..running(&spec, &power) };
    check(view.clone(), None, None);
    assert!(standing(&view, NOW, None).restart_pending);
}

#[test]
fn a_process_without_a_console_is_adopted() {
    let (spec, power) = (spec(), power(START));
    check(ServerView { run: None, ..running(&spec, &power) }, Some(Action::Adopt), None);
    let unread = |retry_at| {
        let console = ConsoleLink::Detached { retry_at: BootMs(retry_at) };
        ServerView { run: Some(RunView { console, ..RUN }), ..running(&spec, &power) }
    };
    check(unread(50_000), Some(Action::Adopt), None);
    check(unread(50_600), None, Some(600));
}

#[test]
fn a_deleted_server_loses_container_then_data_then_trash() {
    let (spec, power, exit) = (spec(), power(STOP), exit(0));
    let deleted = |disposal, process| ServerView {
        wanted: Wanted::Deleted(disposal),
        process,
        ..view(&spec, &power)
    };
    let trashed = |ms| Disposal::Trashed { purge_at: NOW.calendar.plus(ms) };
    check(deleted(Disposal::Present, Process::Exited(&exit)), Some(Action::Remove), None);
    check(deleted(Disposal::Present, Process::Absent), Some(Action::Trash), None);
    check(deleted(trashed(60), Process::Absent), None, Some(60));
    check(deleted(trashed(0), Process::Absent), Some(Action::Purge), None);
    check(deleted(Disposal::Purged, Process::Absent), None, None);
    // The engine was slow: it made a container when the server was gone already.
    for disposal in [trashed(60), trashed(0), Disposal::Purged] {
        check(deleted(disposal, Process::Created), Some(Action::Remove), None);
        check(deleted(disposal, Process::Exited(&exit)), Some(Action::Remove), None);
    }
}

#[test]
fn a_calendar_that_may_be_wrong_purges_nothing_before_its_time_is_certain() {
    let (spec, power) = (spec(), power(STOP));
    let purge_at = NOW.calendar;
    let wanted = Wanted::Deleted(Disposal::Trashed { purge_at });
    let trashed = ServerView { wanted, ..view(&spec, &power) };
    for (certain, ahead_ms, action, wake_ms) in [
        (purge_at.0 - 700, 0, None, Some(700)),
        (purge_at.0 - 700, 400 * 86_400_000, None, Some(700)),
        (purge_at.0, 0, Some(Action::Purge), None),
        (purge_at.0 + 1, 400 * 86_400_000, Some(Action::Purge), None),
    ] {
        let now = Now { certain: UnixMs(certain), calendar: NOW.calendar.plus(ahead_ms), ..NOW };
        let plan = plan(&world([trashed.clone()]), now);
        assert_eq!((plan.actions.get(&id(1)), plan.wake_ms), (action.as_ref(), wake_ms), "{now:?}");
    }
}

#[test]
fn what_is_not_yet_in_force_is_waited_for() {
    let (spec, power) = (spec(), power(START));
    let at = NOW.calendar.plus(80);
    let not_yet = ServerView { wanted: Wanted::NotBefore(at), ..view(&spec, &power) };
    check(not_yet, None, Some(80));
    let next = ServerView { next_wish_at: Some(at), ..running(&spec, &power) };
    check(next, None, Some(80));
}

#[test]
fn nothing_is_asked_of_an_engine_that_is_away_and_ends_are_recorded_all_the_same() {
    let (spec, power) = (spec(), power(START));
    let exit = exit(1);
    let ended = ServerView { process: Process::Exited(&exit), ..running(&spec, &power) };
    let views = [view(&spec, &power), running(&spec, &power), ended];
    let world = World { engine_error: Some("gone"), ..world(views) };
    let plan = plan(&world, NOW);
    assert_eq!(plan.actions.keys().copied().collect::<Vec<_>>(), [id(3)]);
    let down = standing(&world.servers[&id(1)], NOW, world.engine_error);
    let error = "gone".to_owned();
    assert_eq!(down.not_running, Some(NotRunning::EngineUnreachable { error }));
    assert_eq!(
        standing(&world.servers[&id(2)], NOW, world.engine_error).state,
        ServerState::Running
    );
}

#[test]
fn at_most_so_many_start_at_once_and_adopting_is_free() {
    let (spec, power) = (spec(), power(START));
    let busy = ServerView { operation: Some(Operation::Start { power: 1 }), ..view(&spec, &power) };
    let adopted = ServerView { run: None, ..running(&spec, &power) };
    let mut views = vec![busy, adopted];
    views.extend((0..6).map(|_| view(&spec, &power)));
    let world = world(views);
    let plan = plan(&world, NOW);
    let starts = plan.actions.values().filter(|action| **action == Action::Start).count();
    assert_eq!((starts, plan.actions.len()), (STARTS_MAX - 1, STARTS_MAX));
    let last = standing(&world.servers[&id(8)], NOW, None);
    assert_eq!(last.not_running, Some(NotRunning::Queued));
}

#[test]
fn the_reason_for_not_running_is_the_strongest_one() {
    let (mut spec, wanted, stopped) = (spec(), power(START), power(STOP));
    let gave_up = ending(Verdict::GaveUp { crashes: 5 }, 1);
    let why = |view: ServerView<'_>| standing(&view, NOW, None).not_running;
    let down = ServerView { ending: Some(&gave_up), ..view(&spec, &wanted) };
    assert_eq!(why(down), Some(NotRunning::GaveUp { crashes: 5 }));
    let by_hand = NotRunning::Stopped { by: Actor::Edge, at: UnixMs(1) };
    assert_eq!(why(view(&spec, &stopped)), Some(by_hand));
    assert_eq!(why(view(&spec, &Power::never_asked())), Some(NotRunning::NotWanted));
    spec.run_until = Some(UnixMs(5));
    let ended = NotRunning::EntitlementEnded { at: UnixMs(5) };
    assert_eq!(why(view(&spec, &stopped)), Some(ended));
    spec.suspended = true;
    assert_eq!(why(running(&spec, &wanted)), Some(NotRunning::Suspended));
}

prop_compose! {
    fn any_spec()(
        suspended: bool, run_until in prop::option::of(0_u64..2_000_000), memory in 256_u32..258,
    ) -> ServerSpec {
        let mut spec = spec();
        spec.suspended = suspended;
        spec.run_until = run_until.map(UnixMs);
        spec.limits.memory_mib = Mib(memory);
        spec
    }
}

/// Everything that a view borrows or holds, drawn at random.
#[derive(Clone, Debug)]
struct Drawn {
    spec: ServerSpec,
    power: Power,
    exit: Exit,
    ending: Option<Ending>,
    failure: Option<StepFailure>,
    stopping: Option<Stopping>,
    operation: Option<Operation>,
    run: Option<RunView<'static>>,
    wanted: u8,
    process: u8,
    is_image_ready: bool,
}

fn any_power() -> impl Strategy<Value = Power> {
    let action = prop::sample::select(vec![
        PowerAction::Start,
        PowerAction::Stop,
        PowerAction::Restart,
        PowerAction::Kill,
    ]);
    prop::collection::vec(action, 0..4).prop_map(|actions| power(&actions))
}

fn any_ending() -> impl Strategy<Value = Ending> {
    let at = (900_000_u64..1_100_000).prop_map(UnixMs);
    (0_u8..5, at, 0_u64..4).prop_map(|(verdict, at, power)| {
        let verdict = match verdict {
            0 => Verdict::Free,
            1 => Verdict::Ended,
            2 => Verdict::RestartAt { at, delay_ms: 60_000, crashes: 1 },
            3 => Verdict::GaveUp { crashes: 5 },
            _ => Verdict::NoRestart { crashes: 1 },
        };
        ending(verdict, power)
    })
}

fn any_failure() -> impl Strategy<Value = StepFailure> {
    (900_000_u64..1_100_000, 0_u64..4).prop_map(|(at, power)| StepFailure {
        step: "create container".into(),
        error: "no".into(),
        retry_at: UnixMs(at),
        delay_ms: 30_000,
        attempts: 1,
        power,
    })
}

fn any_run() -> impl Strategy<Value = RunView<'static>> {
    (0_u64..4, any::<(bool, bool, bool)>(), 0_u64..100_000).prop_map(|(power, flags, retry_at)| {
        let (is_outdated, is_ready, is_attached) = flags;
        let console = match is_attached {
            true => ConsoleLink::Attached,
            false => ConsoleLink::Detached { retry_at: BootMs(retry_at) },
        };
        RunView { power, is_outdated, is_ready, console, ..RUN }
    })
}

fn any_operation() -> impl Strategy<Value = Operation> {
    (0_u8..4, any::<bool>(), 0_u64..4).prop_map(|(kind, is_outdated, power)| match kind {
        0 => Operation::Fetch { is_outdated },
        1 => Operation::Start { power },
        2 => Operation::Yielding,
        _ => Operation::Other,
    })
}

fn any_stopping() -> impl Strategy<Value = Stopping> {
    (0_u64..50_000, 0_u32..90_000, prop::option::of(0_u64..50_000))
        .prop_map(|(asked_at, grace_ms, killed_at)| stopping(asked_at, grace_ms, killed_at))
}

fn any_server() -> impl Strategy<Value = Drawn> {
    let parts = (
        any_spec(),
        any_power(),
        prop::option::of(any_ending()),
        prop::option::of(any_failure()),
        prop::option::of(any_stopping()),
        prop::option::of(any_operation()),
        prop::option::of(any_run()),
        (0_u8..8, 0_u8..5, any::<bool>()),
    );
    parts.prop_map(|(spec, power, ending, failure, stopping, operation, run, rest)| {
        let (wanted, process, is_image_ready) = rest;
        let exit = exit(1);
        Drawn {
            spec,
            power,
            exit,
            ending,
            failure,
            stopping,
            operation,
            run,
            wanted,
            process,
            is_image_ready,
        }
    })
}

impl Drawn {
    fn view(&self) -> ServerView<'_> {
        ServerView {
            wanted: match self.wanted {
                0 => Wanted::Unknown,
                1 => Wanted::NotBefore(UnixMs(1_500_000)),
                2 => Wanted::Deleted(Disposal::Present),
                3 => Wanted::Deleted(Disposal::Trashed { purge_at: UnixMs(999_999) }),
                _ => Wanted::Exist(&self.spec),
            },
            is_leaving: self.wanted == 7,
            is_among_others: self.wanted == 6,
            next_wish_at: None,
            power: &self.power,
            process: match self.process {
                0 => Process::Unseen,
                1 => Process::Absent,
                2 => Process::Created,
                3 => Process::Running,
                _ => Process::Exited(&self.exit),
            },
            run: self.run,
            operation: self.operation,
            ending: self.ending.as_ref(),
            failure: self.failure.as_ref(),
            stopping: self.stopping,
            is_image_ready: self.is_image_ready,
            install: None,
        }
    }

    fn may_run(&self) -> bool {
        self.wanted > 3
            && !self.spec.suspended
            && self.spec.run_until.is_none_or(|at| at > NOW.calendar)
    }
}

proptest! {
    #[test]
    fn a_server_that_should_run_always_has_an_action_or_a_time_or_a_reason(drawn in any_server()) {
        let view = drawn.view();
        let plan = plan(&world([view.clone()]), NOW);
        let idle = view.operation.is_none() && view.process != Process::Unseen;
        if drawn.may_run() && drawn.power.wish.running && idle
            && view.process != Process::Running
            && plan.actions.is_empty() && plan.wake_ms.is_none()
        {
            let why = standing(&view, NOW, None).not_running;
            prop_assert!(matches!(
                why,
                Some(
                    NotRunning::GaveUp { .. }
                        | NotRunning::CrashedNoRestart
                        | NotRunning::Ended { .. }
                        | NotRunning::Moving
                )
            ), "{why:?}");
        }
    }

    #[test]
    fn nothing_is_deleted_without_a_tombstone(drawn in any_server()) {
        let plan = plan(&world([drawn.view()]), NOW);
        let deletes = plan.actions.values().any(|action| {
            matches!(action, Action::Remove | Action::Trash | Action::Purge)
        });
        prop_assert!(!deletes || matches!(drawn.view().wanted, Wanted::Deleted(_)));
    }

    #[test]
    fn what_no_wish_names_is_never_touched(mut drawn in any_server()) {
        drawn.wanted = 0;
        drawn.operation = None;
        prop_assert_eq!(plan(&world([drawn.view()]), NOW).actions, BTreeMap::new());
    }

    #[test]
    fn what_may_not_run_is_never_started(drawn in any_server()) {
        let plan = plan(&world([drawn.view()]), NOW);
        let starts = plan.actions.values().any(|it| matches!(it, Action::Start | Action::Fetch));
        prop_assert!(!starts || (drawn.may_run() && drawn.power.wish.running));
    }

    #[test]
    fn a_kill_is_the_next_action_whatever_else_is_going_on(mut drawn in any_server()) {
        drawn.wanted = 4;
        drawn.process = 3;
        drawn.power = drawn.power.then(PowerAction::Kill, Actor::Edge, UnixMs(3));
        drawn.run = Some(RunView { power: drawn.power.number - 1, ..RUN });
        drawn.stopping = drawn.stopping.map(|it| Stopping { killed_at: None, ..it });
        let action = plan(&world([drawn.view()]), NOW).actions.remove(&id(1));
        match drawn.operation {
            None => prop_assert_eq!(action, Some(Action::Kill)),
            Some(Operation::Other) => prop_assert_eq!(action, None),
            Some(_) => prop_assert_eq!(action, Some(Action::Abort)),
        }
    }

    #[test]
    fn a_plan_that_is_being_carried_out_asks_for_nothing_more(
        drawn in prop::collection::vec(any_server(), 0..8)
    ) {
        let mut world = world(drawn.iter().map(Drawn::view));
        let first = plan(&world, NOW);
        prop_assert_eq!(&first, &plan(&world, NOW));
        for (server, action) in &first.actions {
            let Some(view) = world.servers.get_mut(server) else { continue };
            view.operation = match action {
                Action::Fetch => Some(Operation::Fetch { is_outdated: false }),
                Action::Start => Some(Operation::Start { power: view.power.number }),
                Action::Abort => view.operation,
                _ => Some(Operation::Other),
            };
        }
        let second = plan(&world, NOW);
        // Only places for starts that were not given out before, and what was being aborted.
        for (server, action) in &second.actions {
            let is_new = !first.actions.contains_key(server);
            prop_assert!(*action == Action::Abort || (is_new && *action == Action::Start));
        }
    }
}

mod install {
    //! What the plan does about install scripts.

    use super::*;
    use crate::{
        lifecycle::install::InstallEnd,
        seq::{Generation, Incarnation},
        server::{Install, InstallFiles},
    };

    fn order(generation: u64) -> Order {
        Order { incarnation: Incarnation(1), generation: Generation(generation) }
    }

    fn scripted(cancelled: bool) -> ServerSpec {
        let install = Install {
            asked: order(1),
            image: "debian:12".into(),
            entrypoint: "sh".into(),
            script: "true".into(),
            files: InstallFiles::Keep,
            secrets: Default::default(),
            cancelled,
        };
        ServerSpec { install: Some(install), ..spec() }
    }

    fn ran(generation: u64, outcome: Option<InstallOutcome>) -> InstallRecord {
        let end = outcome.map(|outcome| InstallEnd { at: UnixMs(7), outcome });
        InstallRecord { asked: order(generation), begun_at: UnixMs(1), cancel: None, end }
    }

    fn failed() -> InstallOutcome {
        InstallOutcome::Failed { code: Some(3), error: "exit code 3".into() }
    }

    fn failure(step: &str, attempts: u32, retry_at: u64) -> StepFailure {
        StepFailure {
            step: step.into(),
            error: "no".into(),
            retry_at: UnixMs(retry_at),
            delay_ms: 1_000,
            attempts,
            power: 1,
        }
    }

    const INSTALL: Action =
        Action::Install { asked: Order { incarnation: Incarnation(1), generation: Generation(1) } };

    fn end(outcome: InstallOutcome) -> Option<Action> {
        Some(Action::EndInstall { asked: order(1), outcome })
    }

    #[test]
    fn a_server_is_installed_before_its_first_start_and_once() {
        let (spec, power) = (scripted(false), power(START));
        let down = view(&spec, &power);
        check(down.clone(), Some(INSTALL), None);
        let begun = ran(1, None);
        check(ServerView { install: Some(&begun), ..down.clone() }, Some(INSTALL), None);
        let done = ran(1, Some(InstallOutcome::Installed));
        check(ServerView { install: Some(&done), ..down.clone() }, Some(Action::Start), None);
        let broken = ran(1, Some(failed()));
        check(ServerView { install: Some(&broken), ..down.clone() }, None, None);
        // Nobody has to want it running for that.
        let never = Power::never_asked();
        check(ServerView { power: &never, ..down }, Some(INSTALL), None);
    }

    #[test]
    fn who_may_not_run_is_not_installed_and_what_has_begun_goes_on() {
        let (mut spec, power) = (scripted(false), power(START));
        spec.suspended = true;
        check(view(&spec, &power), None, None);
        let begun = ran(1, None);
        check(ServerView { install: Some(&begun), ..view(&spec, &power) }, Some(INSTALL), None);
    }

    #[test]
    fn a_running_server_is_stopped_to_be_installed_again() {
        let (spec, power) = (scripted(false), power(START));
        let up = running(&spec, &power);
        check(up.clone(), stop(HUB_STOP_GRACE_MS_MAX, StopReason::Reinstalled), None);
        let done = ran(1, Some(InstallOutcome::Installed));
        check(ServerView { install: Some(&done), ..up.clone() }, None, None);
        let broken = ran(1, Some(failed()));
        check(ServerView { install: Some(&broken), ..up }, None, None);
    }

    #[test]
    fn a_run_is_ended_by_a_cancel_and_by_a_newer_wish() {
        let (spec, power) = (scripted(true), power(START));
        let begun = ran(1, None);
        let installing = Some(Operation::Install { asked: order(1) });
        let down = ServerView { install: Some(&begun), ..view(&spec, &power) };
        check(ServerView { operation: installing, ..down.clone() }, Some(Action::Abort), None);
        check(down, end(InstallOutcome::Cancelled), None);
        let (spec, older) = (scripted(false), ran(0, None));
        let newer = ServerView { install: Some(&older), ..view(&spec, &power) };
        let operation = Some(Operation::Install { asked: order(0) });
        check(ServerView { operation, ..newer.clone() }, Some(Action::Abort), None);
        check(ServerView { operation: installing, ..newer }, None, None);
    }

    #[test]
    fn a_start_under_way_is_ended_by_a_reinstall() {
        let (spec, power) = (scripted(false), power(START));
        let operation = Some(Operation::Start { power: 1 });
        check(ServerView { operation, ..view(&spec, &power) }, Some(Action::Abort), None);
    }

    #[test]
    fn steps_that_fail_are_tried_again_until_the_run_has_failed() {
        let (spec, power) = (scripted(false), power(START));
        let begun = ran(1, None);
        let down = ServerView { install: Some(&begun), ..view(&spec, &power) };
        let soon = failure("install: pull image", 1, 1_000_400);
        check(ServerView { failure: Some(&soon), ..down.clone() }, None, Some(400));
        let due = failure("install: pull image", 4, 1_000_000);
        check(ServerView { failure: Some(&due), ..down.clone() }, Some(INSTALL), None);
        let last = failure("install: pull image", INSTALL_ATTEMPTS_MAX, 1_000_000);
        let outcome = InstallOutcome::Failed { code: None, error: "pull image: no".into() };
        check(ServerView { failure: Some(&last), ..down.clone() }, end(outcome), None);
        let other = failure("start container", 9, 1_000_000);
        check(ServerView { failure: Some(&other), ..down }, Some(INSTALL), None);
    }

    #[test]
    fn the_container_of_a_run_goes_before_the_data_of_a_deleted_server() {
        let power = power(START);
        let spec = spec();
        let begun = ran(1, None);
        let deleted = ServerView {
            wanted: Wanted::Deleted(Disposal::Present),
            install: Some(&begun),
            ..view(&spec, &power)
        };
        let operation = Some(Operation::Install { asked: order(1) });
        check(ServerView { operation, ..deleted.clone() }, Some(Action::Abort), None);
        check(deleted.clone(), end(InstallOutcome::Cancelled), None);
        let gone = ran(1, Some(InstallOutcome::Cancelled));
        check(ServerView { install: Some(&gone), ..deleted }, Some(Action::Trash), None);
    }

    #[test]
    fn few_runs_are_made_at_once() {
        let (spec, power) = (scripted(false), power(START));
        let busy = ServerView {
            operation: Some(Operation::Install { asked: order(1) }),
            ..view(&spec, &power)
        };
        let views = [busy, view(&spec, &power), view(&spec, &power)];
        let plan = plan(&world(views), NOW);
        assert_eq!(plan.actions, [(id(2), INSTALL)].into());
    }

    #[test]
    fn the_state_tells_of_the_script() {
        let (spec, power) = (scripted(false), power(START));
        let (begun, broken, gone) =
            (ran(1, None), ran(1, Some(failed())), ran(1, Some(InstallOutcome::Cancelled)));
        let soon = failure("install: pull image", 1, 1_000_400);
        let down = view(&spec, &power);
        let at = UnixMs(7);
        for (view, state, why) in [
            (
                ServerView {
                    operation: Some(Operation::Install { asked: order(1) }),
                    ..down.clone()
                },
                ServerState::Installing,
                None,
            ),
            (down.clone(), ServerState::Installing, Some(NotRunning::Queued)),
            (
                ServerView { install: Some(&begun), failure: Some(&soon), ..down.clone() },
                ServerState::Installing,
                Some(soon.as_reason()),
            ),
            (
                ServerView { install: Some(&broken), ..down.clone() },
                ServerState::Offline,
                Some(NotRunning::InstallFailed { error: "exit code 3".into(), at }),
            ),
            (
                ServerView { install: Some(&gone), ..down },
                ServerState::Offline,
                Some(NotRunning::InstallCancelled { at }),
            ),
        ] {
            let standing = standing(&view, NOW, None);
            assert_eq!((standing.state, standing.not_running), (state, why), "{view:?}");
        }
    }
}

#[test]
fn how_a_server_shares_its_node_waits_for_a_restart() {
    let spec = spec();
    let sharing = crate::server::Sharing { io_weight: Some(500), ..spec.limits.sharing };
    let limits = Limits { sharing, ..spec.limits };
    let shared = ServerSpec { limits, ..spec.clone() };
    assert_ne!(fingerprint(&shared), fingerprint(&spec), "a restart is pending");
    assert!(is_same_live(&shared.limits, &spec.limits), "nothing is set on what runs");
}

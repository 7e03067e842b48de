//! What the doors of a daemon let through: who asks must hold what it needs.

use super::*;
use crate::{
    calendar::HubCalendar,
    config::Config,
    doors::{Doors, Games, Pace},
    link::{LinkHandle, backend::Dispatcher},
    meter::{FakeProbe, Meter, MeterConfig, MeterParts, SupervisorRoll},
    runtime::fake::Script,
    transfer::Mover,
};
use mamba_core::{
    access::{ServerKey, ServerKeys},
    ids::{InstanceId, TransferId, UserId},
    usage::integrate::Reading,
};
use mamba_wire::{
    net::frames::FrameStream,
    node::{
        Answer, Ask, Asker, ConsoleEvent, ConsoleFrom, ConsoleInput, LineSource, Needs, NodeReply,
        NodeRequest, moving::MoveStep,
    },
};

const USER: UserId = UserId::from_bytes([5; 16]);

type TestMeter = Meter<FakeProbe, SupervisorRoll>;

/// The real doors of a daemon that meters nothing.
fn doors(machine: &Machine, daemon: &Daemon) -> Arc<Doors<FakeRuntime>> {
    metered_doors(machine, daemon, FakeProbe::default()).0
}

/// The real doors of a daemon, and its meter, which sees what the probe says.
fn metered_doors(
    machine: &Machine,
    daemon: &Daemon,
    probe: FakeProbe,
) -> (Arc<Doors<FakeRuntime>>, TestMeter) {
    let clock: Arc<dyn Clock> = machine.clock.clone();
    let entropy: Arc<dyn Entropy> = Arc::new(Counter(AtomicU64::new(1 << 60)));
    let calendar = Arc::new(HubCalendar::new(clock.clone(), None));
    let runtime = Arc::new(machine.fake.clone());
    let store = daemon.store.raw().clone();
    let data = DataDirs::open(machine.dir.path(), rustix::process::getuid().as_raw()).unwrap();
    let (metering, meter) = Meter::load(MeterParts {
        store: store.clone(),
        clock: clock.clone(),
        calendar: calendar.clone(),
        probe,
        roll: SupervisorRoll::new(daemon.handle.census(), daemon.handle.observed()),
        config: MeterConfig::default(),
    })
    .unwrap();
    let doors = Arc::new(Doors {
        config: Config::parse("edge.toml", "").unwrap(),
        instance: InstanceId::from_bytes([1; 16]),
        started_at: machine.now(),
        node: node(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        calendar: calendar.clone(),
        machine: crate::machine::Machine {
            runtime: runtime.clone(),
            store,
            data_dir: machine.dir.path().to_owned(),
            calendar,
            meter,
            clock,
            notices: Vec::new(),
        },
        supervisor: daemon.handle.clone(),
        consoles: daemon.consoles.clone(),
        data: data.clone(),
        mover: Mover::new(runtime, daemon.store.clone(), data, daemon.handle.clone()),
        link: LinkHandle::absent(),
        pace: Pace::default(),
        games: Games::new(entropy),
    });
    (doors, metering)
}

/// Opens a request of an account that holds these keys.
fn open(
    doors: &Arc<Doors<FakeRuntime>>,
    tasks: &mut JoinSet<()>,
    keys: ServerKeys,
    request: NodeRequest,
) -> FrameStream {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (reader, writer) = tokio::io::split(far);
    let (doors, far) = (Arc::clone(doors), FrameStream::new(reader, writer));
    let ask = Ask { by: Asker::User { user: USER, keys }, request };
    tasks.spawn(async move { doors.admit(ask, far).await });
    let (reader, writer) = tokio::io::split(near);
    FrameStream::new(reader, writer)
}

async fn next(stream: &mut FrameStream) -> Option<NodeReply> {
    stream.reader.next().await.unwrap().map(|frame| NodeReply::from_frame(&frame).unwrap())
}

fn console() -> NodeRequest {
    NodeRequest::Console { server: server(1), from: ConsoleFrom::Last(100), follow: true }
}

fn typed(line: &str) -> NodeRequest {
    NodeRequest::Type { server: server(1), line: line.to_owned() }
}

/// Reads until the console says something that fits.
async fn hear(stream: &mut FrameStream, mut fits: impl FnMut(&ConsoleEvent) -> bool) {
    loop {
        match next(stream).await {
            Some(NodeReply::Ok(answer)) => match *answer {
                Answer::Console(event) if fits(&event) => return,
                Answer::Console(_) => {}
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

fn says(event: &ConsoleEvent, source: LineSource, text: &str) -> bool {
    let ConsoleEvent::Lines { lines, .. } = event else { return false };
    lines.iter().any(|it| it.source == source && it.text == text)
}

#[tokio::test(start_paused = true)]
async fn what_an_account_holds_no_key_for_is_refused_and_nothing_happens() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    let (doors, mut tasks) = (doors(&machine, &daemon), JoinSet::new());
    let power = |action| NodeRequest::Power { server: server(1), action };
    let transfer = TransferId::from_bytes([6; 16]);
    let before =
        (daemon.facts(), daemon.store.power(server(1)).unwrap(), machine.fake.containers());
    for request in [
        power(PowerAction::Start),
        power(PowerAction::Stop),
        power(PowerAction::Restart),
        power(PowerAction::Kill),
        console(),
        typed("stop"),
        NodeRequest::InstallLog { server: server(1) },
        NodeRequest::CancelInstall { server: server(1) },
        NodeRequest::Gauges { server: server(1), query: None },
        NodeRequest::Recent { server: server(1) },
        NodeRequest::Server(server(1)),
        NodeRequest::Facts { server: None },
        NodeRequest::Move { server: server(1), transfer, step: MoveStep::Drop },
    ] {
        let needs = request.needs();
        let held = match needs {
            Needs::Key(key) => ServerKeys::ALL.without(key),
            Needs::Trust => ServerKeys::ALL,
        };
        let mut stream = open(&doors, &mut tasks, held, request.clone());
        let refused = NodeReply::Err(NodeError::Forbidden(needs));
        assert_eq!(next(&mut stream).await, Some(refused), "{request:?}");
        assert_eq!(next(&mut stream).await, None, "{request:?}");
    }
    pass(60_000).await;
    let after = (daemon.facts(), daemon.store.power(server(1)).unwrap(), machine.fake.containers());
    assert_eq!(after, before);
    let stop = [ServerKey::ControlStop].into_iter().collect();
    let mut stream = open(&doors, &mut tasks, stop, power(PowerAction::Stop));
    assert_eq!(next(&mut stream).await, Some(NodeReply::Ok(Box::new(Answer::Accepted))));
    daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
    assert_eq!(daemon.store.power(server(1)).unwrap().wish.by, Actor::User(USER));
}

#[tokio::test(start_paused = true)]
async fn who_may_read_a_console_does_not_type_into_it() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    pass(1_000).await;
    let (doors, mut tasks) = (doors(&machine, &daemon), JoinSet::new());
    let read = ServerKeys::from_iter([ServerKey::ControlReadConsole]);
    let both = ServerKeys::from_iter([ServerKey::ControlReadConsole, ServerKey::ControlConsole]);
    let ping = ConsoleInput { line: "ping".to_owned() }.to_frame().unwrap();
    let mut reader = open(&doors, &mut tasks, read, console());
    hear(&mut reader, |event| says(event, LineSource::Stdout, "ready")).await;
    reader.writer.send(&ping).await.unwrap();
    let refused = ConsoleEvent::InputRefused(NodeError::Forbidden(ConsoleInput::NEEDS));
    hear(&mut reader, |event| *event == refused).await;
    pass(5_000).await;
    let is_heard = |text: &str| {
        daemon.consoles.last_lines(server(1), 100).iter().any(|line| line.text == text)
    };
    assert!(!is_heard("ping") && !is_heard("pong"), "nothing of it reached the game");
    let commands = || daemon.count(|it| matches!(it, Activity::ConsoleCommand { .. }));
    assert_eq!(commands(), 0);

    let mut typist = open(&doors, &mut tasks, both, console());
    typist.writer.send(&ping).await.unwrap();
    // The reader sees it, too.
    hear(&mut reader, |event| says(event, LineSource::Stdout, "pong")).await;
    let only_type = ServerKeys::from_iter([ServerKey::ControlConsole]);
    let mut one = open(&doors, &mut tasks, only_type, typed("list"));
    assert_eq!(next(&mut one).await, Some(NodeReply::Ok(Box::new(Answer::Accepted))));
    assert!(is_heard("list"));
    pass(5_000).await;
    assert_eq!(commands(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_begins_to_look_is_told_of_the_minutes_before() {
    let machine = Machine::new();
    machine.fake.script(server(1), [Script::game()]);
    let daemon = machine.with_running(spec()).await;
    let probe = FakeProbe::default();
    let pid = machine.fake.runs().keys().next().expect("a process").1;
    let reading = Reading { memory_bytes: Some(64 << 20), ..Reading::default() };
    probe.tell(pid, Some(reading));
    let (doors, metering) = metered_doors(&machine, &daemon, probe);
    let mut tasks = JoinSet::new();
    tasks.spawn(metering.run());
    pass(35_000).await;
    let keys = ServerKeys::from_iter([ServerKey::WebsocketConnect]);
    let recent = |n| NodeRequest::Recent { server: server(n) };
    let mut stream = open(&doors, &mut tasks, keys, recent(1));
    let Some(NodeReply::Ok(answer)) = next(&mut stream).await else { panic!("it is answered") };
    let Answer::Recent(moments) = *answer else { panic!("{answer:?}") };
    let ages: Vec<u64> = moments.iter().map(|it| machine.now().since(it.at) / 1_000).collect();
    assert_eq!(ages, [35, 25, 15, 5]);
    assert!(moments.iter().all(|it| it.memory_bytes == Some(64 << 20)), "{moments:?}");
    assert_eq!(next(&mut stream).await, None, "one reply");
    let mut stream = open(&doors, &mut tasks, keys, recent(9));
    let refused = NodeReply::Err(NodeError::NoSuchServer(server(9)));
    assert_eq!(next(&mut stream).await, Some(refused));
}

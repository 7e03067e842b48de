//! Values that messages are made of.

use super::Sample;
use mamba_core::{
    clock::UnixMs,
    desired::Order,
    error::Invalid,
    fact::{Activity, ActivityFact, Quantities, UsageBody, UsageFact},
    ids::{EventId, NodeId, ServerId, TenantId, TransferId, UserId},
    lifecycle::{
        Actor, Exit, NotRunning, Observed, PowerAction, PowerWish, Refused, ServerState,
        install::{InstallEnd, InstallOutcome, InstallRecord},
    },
    seq::{Generation, Incarnation},
    server::{
        AutoStart, Capability, ConfigFile, ConfigParser, DoneMatch, Entry, Install, InstallFiles,
        Limits, Mount, PortBinding, PortProtocol, Replacement, RestartPolicy, ServerSpec, Sharing,
        Signal, StopMethod, ValueKind,
    },
    units::{Mib, Millicores},
};
use mamba_wire::frame::{Decoder, Frame, FrameError};
use mamba_wire::link::v1::{NodeState, OutboxState};

pub(super) const AT: UnixMs = UnixMs(1_795_366_800_000);

pub(super) fn node() -> NodeId {
    NodeId::from_bytes([0x11; 16])
}

pub(super) fn server() -> ServerId {
    ServerId::from_bytes([0x22; 16])
}

pub(super) fn tenant() -> TenantId {
    TenantId::from_bytes([0x33; 16])
}

pub(super) fn user() -> UserId {
    UserId::from_bytes([0x44; 16])
}

pub(super) fn transfer() -> TransferId {
    TransferId::from_bytes([0x55; 16])
}

pub(super) fn order() -> Order {
    Order { incarnation: Incarnation(1), generation: Generation(300) }
}

pub(super) fn invalid() -> Invalid {
    Invalid::new("limits.memory_mib", "must be at least 32")
}

/// Makes a sample of a message that travels as a frame.
pub(super) fn framed<T: PartialEq + 'static>(
    name: &str,
    message: T,
    to: impl Fn(&T) -> Result<Frame, FrameError>,
    from: impl Fn(&Frame) -> Option<T> + 'static,
) -> Sample {
    let mut bytes = Vec::new();
    to(&message).unwrap().write(&mut bytes);
    let reads_back = Box::new(move |bytes: &[u8]| {
        let mut decoder = Decoder::default();
        decoder.push(bytes);
        let frame = decoder.next_frame().unwrap().unwrap();
        !decoder.is_inside_frame() && from(&frame).as_ref() == Some(&message)
    });
    Sample { name: name.to_owned(), bytes, reads_back }
}

pub(super) fn exit() -> Exit {
    Exit { code: 137, oom_killed: true, at: AT }
}

pub(super) fn seen(state: ServerState, not_running: Option<NotRunning>) -> Observed {
    Observed {
        server: server(),
        applied: Some(order()),
        refused: Some(Refused { order: order(), error: invalid() }),
        state,
        since: AT,
        not_running,
        wish: PowerWish { running: true, by: Actor::User(user()), at: AT },
        started_at: Some(AT),
        last_exit: Some(exit()),
        crashes: 3,
        restart_pending: true,
        install: Some(InstallRecord { asked: order(), begun_at: AT, cancel: None, end: None }),
    }
}

/// One run of an install script that ended in each way.
fn installs() -> Vec<Observed> {
    let failed = InstallOutcome::Failed { code: Some(7), error: "code 7".to_owned() };
    [InstallOutcome::Installed, failed, InstallOutcome::Cancelled]
        .map(|outcome| {
            let end = Some(InstallEnd { at: AT, outcome });
            let cancel = Some(Actor::Operator("root".to_owned()));
            let run = InstallRecord { asked: order(), begun_at: AT, cancel, end };
            Observed { install: Some(run), ..seen(ServerState::Offline, None) }
        })
        .into()
}

/// One server in each state and with each reason for not running.
pub(super) fn all_seen() -> Vec<Observed> {
    use ServerState::{Installing, Offline, Preparing, Running, Starting, Stopping};
    let text = |text: &str| text.to_owned();
    let reasons = [
        NotRunning::NotWanted,
        NotRunning::Stopped { by: Actor::Operator(text("root")), at: AT },
        NotRunning::Ended { at: AT },
        NotRunning::RestartDue { at: AT, crashes: 2 },
        NotRunning::GaveUp { crashes: 5 },
        NotRunning::CrashedNoRestart,
        NotRunning::Suspended,
        NotRunning::EntitlementEnded { at: AT },
        NotRunning::NotBefore { at: AT },
        NotRunning::Queued,
        NotRunning::StepFailed { step: text("pull image"), error: text("no"), retry_at: AT },
        NotRunning::EngineUnreachable { error: text("no socket") },
        NotRunning::InstallFailed { error: text("code 7"), at: AT },
        NotRunning::InstallCancelled { at: AT },
        NotRunning::Moving,
    ];
    let down = reasons.into_iter().map(|reason| seen(Offline, Some(reason)));
    let up = [Preparing, Starting, Running, Stopping, Installing].map(|state| seen(state, None));
    down.chain(up).chain(installs()).collect()
}

pub(super) fn node_state() -> NodeState {
    let stream = mamba_core::fact::Stream::Activity;
    NodeState {
        cpus: 2,
        memory_bytes: 8 << 30,
        disk_bytes: 100 << 30,
        disk_free_bytes: 50 << 30,
        engine: Some("docker 20.10.24".to_owned()),
        troubles: vec!["disk is nearly full".to_owned()],
        outbox: vec![OutboxState { stream, unacked: 7, oldest_age_ms: 5_000 }],
    }
}

/// A spec that uses every field and every choice that has room in one.
pub(super) fn spec() -> ServerSpec {
    let text = |text: &str| text.to_owned();
    ServerSpec {
        name: text("world"),
        image: text("mamba/minetest:1"),
        startup: text("exec minetestserver"),
        entry: Entry::Shell,
        environment: [(text("PORT"), text("30000"))].into(),
        done: vec![DoneMatch::Contains(text("ready")), DoneMatch::Regex(text("^up"))],
        stop: StopMethod::Signal(Signal::Int),
        stop_grace_ms: 30_000,
        limits: Limits {
            memory_mib: Mib(512),
            swap_mib: Mib(0),
            cpu_millicores: Millicores(1_000),
            disk_mib: Mib(2_048),
            pids: 256,
            sharing: Sharing {
                threads: Some("0,2-3".parse().unwrap()),
                io_weight: Some(500),
                oom_disabled: true,
            },
        },
        ports: vec![PortBinding {
            ip: [10, 0, 0, 1].into(),
            port: 30_000,
            protocol: PortProtocol::Udp,
        }],
        capabilities: vec![Capability::NetBindService],
        auto_start: AutoStart::LastState,
        restart: RestartPolicy::default(),
        config_files: vec![ConfigFile {
            path: text("minetest.conf"),
            parser: ConfigParser::Properties,
            replace: vec![Replacement {
                key: text("port"),
                value: text("1"),
                kind: ValueKind::Text,
                if_value: None,
            }],
        }],
        mounts: vec![Mount {
            source: text("/srv/maps"),
            target: text("/mnt/maps"),
            read_only: true,
        }],
        suspended: false,
        run_until: Some(AT),
        install: Some(Install {
            asked: order(),
            image: text("debian:12"),
            entrypoint: text("bash"),
            script: text("true"),
            files: InstallFiles::Wipe,
            secrets: [text("TOKEN")].into(),
            cancelled: true,
        }),
    }
}

pub(super) const POWER: [PowerAction; 4] =
    [PowerAction::Start, PowerAction::Stop, PowerAction::Restart, PowerAction::Kill];

pub(super) fn usage_fact() -> UsageFact {
    let quantities = Quantities { memory_used: u128::MAX, cpu_used: 300, ..Quantities::default() };
    UsageFact {
        tenant: tenant(),
        server: server(),
        from: AT,
        to: AT.plus(1),
        body: UsageBody::Measured(quantities),
    }
}

/// One fact of each kind of activity.
pub(super) fn all_activity() -> Vec<ActivityFact> {
    let text = |text: &str| text.to_owned();
    let kinds = vec![
        Activity::EdgeStarted { version: text("0.1.0"), after_reboot: true },
        Activity::Power { action: PowerAction::Kill },
        Activity::Started,
        Activity::Ready { after_ms: 1_500 },
        Activity::Adopted,
        Activity::Stopped { exit: exit(), killed: true },
        Activity::Ended { exit: exit() },
        Activity::Crashed { exit: exit(), crashes: 2, lines: vec![text("panic")] },
        Activity::GaveUp { crashes: 5 },
        Activity::StepFailed { step: text("pull image"), error: text("no") },
        Activity::ConsoleCommand { line: text("say hello") },
        Activity::Applied { generation: 300 },
        Activity::Refused(Refused { order: order(), error: invalid() }),
        Activity::StoppedByHub { suspended: true },
        Activity::Deleted,
        Activity::Purged,
        Activity::ClockStep { by_ms: -300 },
        Activity::Created,
        Activity::Changed { generation: 300, fields: vec![text("limits")] },
        Activity::PowerAsked { action: PowerAction::Start },
        Activity::DeletionAsked { not_before: AT },
        Activity::Lost { count: 300 },
        Activity::InstallBegun { asked: order() },
        Activity::Installed { asked: order(), took_ms: 1_500 },
        Activity::InstallFailed {
            asked: order(),
            code: Some(7),
            error: text("code 7"),
            lines: vec![text("no")],
        },
        Activity::InstallCancelled { asked: order() },
        Activity::ReinstallAsked { files: InstallFiles::Wipe },
        Activity::InstallCancelAsked,
        Activity::PowerCancelled { action: PowerAction::Stop },
        Activity::TransferAsked { to: node() },
        Activity::Transferred { from: node(), to: node() },
        Activity::TransferCancelled,
        Activity::TransferFailed { error: text("no room") },
        Activity::Left,
        Activity::GivenAway,
        Activity::TakenOver,
    ];
    let fact = |body| ActivityFact {
        event: EventId::from_bytes([0x55; 16]),
        at: AT,
        about: Some((tenant(), server())),
        actor: Actor::Hub,
        body,
    };
    kinds.into_iter().map(fact).collect()
}

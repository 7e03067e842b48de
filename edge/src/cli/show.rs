//! Pure: answers of the daemon as text for people.

use super::table::{ago, bytes, facts, table};
use mamba_core::{
    clock::{UnixMs, span},
    fact::{Activity, ActivityFact, Meter, UsageBody, UsageFact},
    lifecycle::{
        Actor, Exit, NotRunning, Observed, PowerAction, ServerState,
        install::{InstallOutcome, InstallRecord},
    },
};
use mamba_wire::node::{
    Check, CheckLevel, LinkStatus, OutboxLine, ServerDetail, ServerLine, Status,
    moving::{MoveLine, MoveWay},
};

pub(crate) fn status(it: &Status) -> String {
    let machine = &it.state;
    let mut text = facts(&[
        ("daemon", format!("mamba-edge {}, up since {}", it.software, ago(it.now, it.started_at))),
        ("node", it.node.map_or("not enrolled".to_owned(), |node| node.to_string())),
        ("link", link_line(it.now, &it.link)),
        ("servers", format!("{} running of {}", it.running, it.servers)),
        ("engine", machine.engine.clone().unwrap_or("does not answer".to_owned())),
        ("machine", format!("{} CPUs, {}", machine.cpus, bytes(machine.memory_bytes))),
        (
            "disk",
            format!("{} free of {}", bytes(machine.disk_free_bytes), bytes(machine.disk_bytes)),
        ),
        ("calendar", it.now.to_string()),
    ]);
    for outbox in &machine.outbox {
        let age = if outbox.unacked == 0 {
            "nothing waits".to_owned()
        } else {
            format!("{} wait, oldest {}", outbox.unacked, span(outbox.oldest_age_ms))
        };
        text.push_str(&facts(&[(stream_name(outbox.stream), age)]));
    }
    for trouble in &machine.troubles {
        text.push_str(&format!("TROUBLE: {trouble}\n"));
    }
    text
}

fn link_line(now: UnixMs, link: &LinkStatus) -> String {
    let Some(hub) = &link.hub else { return "not enrolled".to_owned() };
    match (link.up, link.last_heard) {
        (true, _) => {
            let since = link.since.map_or(String::new(), |at| format!(" since {}", ago(now, at)));
            format!("up to {hub}{since}")
        }
        (false, Some(at)) => format!("DOWN, {hub} last heard {}", ago(now, at)),
        (false, None) => format!("DOWN, {hub} never heard"),
    }
}

pub(crate) fn link(now: UnixMs, it: &LinkStatus) -> String {
    let when =
        |at: Option<UnixMs>| at.map_or("-".to_owned(), |at| format!("{at} ({})", ago(now, at)));
    facts(&[
        ("link", link_line(now, it)),
        ("last heard", when(it.last_heard)),
        ("last error", it.last_error.clone().unwrap_or("-".to_owned())),
        ("failed dials", it.failures.to_string()),
        ("next dial", when(it.next_dial)),
        ("certificate until", when(it.certificate_until)),
        (
            "round trip",
            it.rtt_us
                .map_or("-".to_owned(), |us| format!("{}.{} ms", us / 1_000, us % 1_000 / 100)),
        ),
    ])
}

pub(crate) fn servers(now: UnixMs, lines: &[ServerLine]) -> String {
    if lines.is_empty() {
        return "no servers on this node yet; create one at the hub\n".to_owned();
    }
    let row = |line: &ServerLine| {
        let it = &line.observed;
        vec![
            line.name.clone(),
            it.server.to_string(),
            state(it.state).to_owned(),
            span(now.since(it.since)),
            it.crashes.to_string(),
            note(now, it),
        ]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    table(&["NAME", "ID", "STATE", "FOR", "CRASHES", "NOTE"], &rows)
}

pub(crate) fn moves(lines: &[MoveLine]) -> String {
    if lines.is_empty() {
        return "no server is being moved from or to this node\n".to_owned();
    }
    let row = |line: &MoveLine| {
        let way = match line.way {
            MoveWay::Leaving { to } => format!("to node {to}; does not run here meanwhile"),
            MoveWay::Coming { bytes: came } => format!("comes here, {} on disk", bytes(came)),
            MoveWay::Sealed => "comes here, all on disk, waits for the hub's word".to_owned(),
        };
        vec![line.server.to_string(), line.transfer.to_string(), way]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    table(&["SERVER", "MOVE", "WAY"], &rows)
}

pub(crate) fn server(now: UnixMs, it: &ServerDetail) -> String {
    let seen = &it.observed;
    let mut pairs = vec![("server", seen.server.to_string()), ("tenant", it.tenant.to_string())];
    match &it.spec {
        None => pairs.push(("desired", "to be deleted".to_owned())),
        Some(spec) => {
            pairs.push(("name", spec.name.clone()));
            pairs.push(("image", spec.image.clone()));
            pairs.push(("start line", spec.startup.clone()));
            pairs.push((
                "limits",
                format!(
                    "{} MiB memory, {} MiB swap, {} millicores, {} MiB disk, {} processes",
                    spec.limits.memory_mib.0,
                    spec.limits.swap_mib.0,
                    spec.limits.cpu_millicores.0,
                    spec.limits.disk_mib.0,
                    spec.limits.pids
                ),
            ));
            for port in &spec.ports {
                pairs.push((
                    "port",
                    format!("{}:{} {:?}", port.ip, port.port, port.protocol).to_lowercase(),
                ));
            }
        }
    }
    pairs.push((
        "generation",
        format!("{} of hub life {}", it.order.generation, it.order.incarnation),
    ));
    if let Some(refused) = &seen.refused {
        let rule = format!("generation {}: {}", refused.order.generation, refused.error);
        pairs.push(("refused", rule));
    }
    let wish = if seen.wish.running { "to run" } else { "stopped" };
    pairs.push((
        "wanted",
        format!("{wish}, by {}, {}", actor(&seen.wish.by), ago(now, seen.wish.at)),
    ));
    pairs.push(("observed", format!("{} for {}", state(seen.state), span(now.since(seen.since)))));
    if let Some(why) = &seen.not_running {
        pairs.push(("why not running", not_running(now, why)));
    }
    if seen.restart_pending {
        pairs.push(("restart pending", "yes: started from an older generation".to_owned()));
    }
    if let Some(run) = &seen.install {
        pairs.push(("install", install(now, run)));
    }
    if let Some(exit) = &seen.last_exit {
        pairs.push(("last exit", format!("{}, {}", exit_text(exit), ago(now, exit.at))));
    }
    pairs.push(("crashes", seen.crashes.to_string()));
    pairs.push(("container", it.container.clone().unwrap_or("-".to_owned())));
    pairs.push(("console", format!("{} lines", it.last_line)));
    if let Some((size, at)) = it.disk {
        pairs.push(("disk", format!("{} as of {}", bytes(size), ago(now, at))));
    }
    facts(&pairs)
}

/// How the newest run of an install script goes or went.
pub(super) fn install(now: UnixMs, run: &InstallRecord) -> String {
    match &run.end {
        None => format!("began {}", ago(now, run.begun_at)),
        Some(end) => match &end.outcome {
            InstallOutcome::Installed => format!("installed {}", ago(now, end.at)),
            InstallOutcome::Failed { error, .. } => {
                format!("failed {}: {error}", ago(now, end.at))
            }
            InstallOutcome::Cancelled => format!("cancelled {}", ago(now, end.at)),
        },
    }
}

pub(crate) fn outbox(now: UnixMs, lines: &[OutboxLine]) -> String {
    let row = |it: &OutboxLine| {
        vec![
            stream_name(it.stream).to_owned(),
            it.first_retained.to_string(),
            it.next.to_string(),
            it.acked.to_string(),
            it.backed_up.to_string(),
            bytes(it.bytes),
            it.oldest_unacked_at.map_or("-".to_owned(), |at| span(now.since(at))),
            it.epoch.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let headings =
        ["STREAM", "FIRST", "NEXT", "ACKED", "BACKED UP", "BYTES", "OLDEST UNACKED", "EPOCH"];
    table(&headings, &rows)
}

pub(crate) fn usage(lines: &[UsageFact]) -> String {
    if lines.is_empty() {
        return "no usage kept on this node\n".to_owned();
    }
    let row = |it: &UsageFact| {
        let mut cells =
            vec![it.server.to_string(), it.from.to_string(), span(it.to.since(it.from))];
        match &it.body {
            UsageBody::Measured(quantities) => {
                cells
                    .extend(Meter::ALL.into_iter().map(|meter| shown(meter, quantities.of(meter))));
            }
            UsageBody::Gap(reason) => cells.push(format!("gap: {reason:?}").to_lowercase()),
            UsageBody::ClockStep { by_ms } => cells.push(format!("clock step of {by_ms} ms")),
        }
        cells
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let headings = [
        "SERVER",
        "FROM",
        "SPAN",
        "MB-H",
        "MILLICORE-H",
        "GB-D",
        "EGRESS",
        "ALLOC MB-H",
        "ALLOC MILLICORE-H",
        "ALLOC GB-D",
    ];
    table(&headings, &rows)
}

/// Returns a quantity in the unit that is shown and billed, with four decimals.
fn shown(meter: Meter, quantity: u128) -> String {
    // Stored units in one shown unit.
    let unit: u128 = match meter {
        Meter::MemoryUsed | Meter::MemoryAllocated => 1_000_000 * 3_600_000,
        // One millicore-hour is 3.6 seconds of CPU time.
        Meter::CpuUsed | Meter::CpuAllocated => 3_600_000,
        Meter::DiskUsed | Meter::DiskAllocated => 1_000_000_000 * 86_400_000,
        Meter::Egress => return bytes(u64::try_from(quantity).unwrap_or(u64::MAX)),
    };
    let fraction = quantity % unit * 10_000 / unit;
    format!("{}.{fraction:04}", quantity / unit)
}

pub(crate) fn activity(lines: &[ActivityFact]) -> String {
    if lines.is_empty() {
        return "nothing kept on this node\n".to_owned();
    }
    let row = |it: &ActivityFact| {
        vec![
            it.at.to_string(),
            it.about.map_or("node".to_owned(), |(_, server)| server.to_string()),
            actor(&it.actor),
            event(&it.body),
        ]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    table(&["AT", "ABOUT", "BY", "WHAT"], &rows)
}

pub(crate) fn doctor(checks: &[Check]) -> String {
    let row = |it: &Check| {
        let level = match it.level {
            CheckLevel::Ok => "ok",
            CheckLevel::Warn => "WARN",
            CheckLevel::Fail => "FAIL",
        };
        vec![level.to_owned(), it.name.clone(), it.text.clone()]
    };
    let rows: Vec<Vec<String>> = checks.iter().map(row).collect();
    table(&["", "CHECK", "FINDING"], &rows)
}

fn event(it: &Activity) -> String {
    match it {
        Activity::EdgeStarted { version, after_reboot } => {
            let boot = if *after_reboot { " after a reboot" } else { "" };
            format!("daemon {version} started{boot}")
        }
        Activity::Power { action } => format!("power {}", power(*action)),
        Activity::Started => "process started".to_owned(),
        Activity::Ready { after_ms } => format!("ready after {}", span(*after_ms)),
        Activity::Adopted => "running container taken over".to_owned(),
        Activity::Stopped { exit, killed } => {
            let killed = if *killed { "killed after its grace period, " } else { "" };
            format!("stopped: {killed}{}", exit_text(exit))
        }
        Activity::Ended { exit } => format!("ended by itself: {}", exit_text(exit)),
        Activity::Crashed { exit, crashes, .. } => {
            format!("crashed ({crashes} in the window): {}", exit_text(exit))
        }
        Activity::GaveUp { crashes } => format!("given up after {crashes} crashes"),
        Activity::StepFailed { step, error } => format!("could not {step}: {error}"),
        Activity::ConsoleCommand { line } => format!("console: {line}"),
        Activity::Applied { generation } => format!("generation {generation} taken over"),
        Activity::Refused(refused) => {
            format!("generation {} refused: {}", refused.order.generation, refused.error)
        }
        Activity::StoppedByHub { suspended: true } => "stopped: suspended".to_owned(),
        Activity::StoppedByHub { suspended: false } => "stopped: entitlement ended".to_owned(),
        Activity::Deleted => "deleted, data in the trash".to_owned(),
        Activity::Purged => "data purged".to_owned(),
        Activity::ClockStep { by_ms } => format!("calendar stepped by {by_ms} ms"),
        Activity::Lost { count } => format!("{count} earlier facts were not kept"),
        Activity::InstallBegun { .. } => "install script began".to_owned(),
        Activity::Installed { took_ms, .. } => format!("installed in {}", span(*took_ms)),
        Activity::InstallFailed { error, .. } => format!("install failed: {error}"),
        Activity::InstallCancelled { .. } => "install cancelled".to_owned(),
        Activity::ReinstallAsked { .. } => "install asked for".to_owned(),
        Activity::InstallCancelAsked => "end of the install asked for".to_owned(),
        Activity::TransferAsked { to } => format!("move to node {to} asked for"),
        Activity::Transferred { to, .. } => format!("moved to node {to}"),
        Activity::TransferCancelled => "move cancelled".to_owned(),
        Activity::TransferFailed { error } => format!("move given up: {error}"),
        Activity::GivenAway => "belongs to another tenant".to_owned(),
        Activity::TakenOver => "taken over from another tenant".to_owned(),
        Activity::Left => "lives on another node, data in the trash".to_owned(),
        Activity::Created => "created".to_owned(),
        Activity::Changed { generation, fields } => {
            format!("generation {generation} asked for: {}", fields.join(", "))
        }
        Activity::PowerAsked { action } => format!("power {} asked for", power(*action)),
        Activity::PowerCancelled { action } => format!("power {} taken back", power(*action)),
        Activity::DeletionAsked { not_before } => format!("deletion asked for, after {not_before}"),
    }
}

/// Returns a power action in one word.
pub(crate) fn power(it: PowerAction) -> &'static str {
    match it {
        PowerAction::Start => "start",
        PowerAction::Stop => "stop",
        PowerAction::Restart => "restart",
        PowerAction::Kill => "kill",
    }
}

pub(crate) fn actor(it: &Actor) -> String {
    match it {
        Actor::Edge => "edge".to_owned(),
        Actor::Operator(name) => format!("operator {name}"),
        Actor::User(user) => format!("user {user}"),
        Actor::Hub => "hub".to_owned(),
    }
}

pub(crate) fn exit_text(it: &Exit) -> String {
    let oom = if it.oom_killed { ", out of memory" } else { "" };
    format!("exit code {}{oom}", it.code)
}

/// Returns a state in one word.
pub(crate) fn state(it: ServerState) -> &'static str {
    match it {
        ServerState::Offline => "offline",
        ServerState::Preparing => "preparing",
        ServerState::Starting => "starting",
        ServerState::Running => "running",
        ServerState::Stopping => "stopping",
        ServerState::Installing => "installing",
    }
}

/// Returns what is worth saying about a server in one line.
fn note(now: UnixMs, it: &Observed) -> String {
    let mut notes: Vec<String> = it.not_running.iter().map(|why| not_running(now, why)).collect();
    if let Some(refused) = &it.refused {
        notes.push(format!("generation {} refused", refused.order.generation));
    }
    if it.restart_pending {
        notes.push("restart pending".to_owned());
    }
    notes.join("; ")
}

fn not_running(now: UnixMs, it: &NotRunning) -> String {
    match it {
        NotRunning::NotWanted => "never started".to_owned(),
        NotRunning::Stopped { by, at } => format!("stopped by {} {}", actor(by), ago(now, *at)),
        NotRunning::Ended { at } => format!("ended by itself {}", ago(now, *at)),
        NotRunning::RestartDue { at, crashes } => {
            format!("crashed ({crashes}), starts again {}", ago(now, *at))
        }
        NotRunning::GaveUp { crashes } => {
            format!("gave up after {crashes} crashes; start it by hand")
        }
        NotRunning::CrashedNoRestart => "crashed; its policy says not to restart".to_owned(),
        NotRunning::Suspended => "suspended by the hub".to_owned(),
        NotRunning::Moving => "is being moved to another node".to_owned(),
        NotRunning::EntitlementEnded { at } => format!("entitlement ended {}", ago(now, *at)),
        NotRunning::NotBefore { at } => format!("not before {at}"),
        NotRunning::Queued => "waits for other starts".to_owned(),
        NotRunning::StepFailed { step, error, retry_at } => {
            format!("could not {step}: {error}; again {}", ago(now, *retry_at))
        }
        NotRunning::EngineUnreachable { error } => format!("container engine: {error}"),
        NotRunning::InstallFailed { error, at } => {
            format!("install failed {}: {error}", ago(now, *at))
        }
        NotRunning::InstallCancelled { at } => format!("install cancelled {}", ago(now, *at)),
    }
}

fn stream_name(it: mamba_core::fact::Stream) -> &'static str {
    match it {
        mamba_core::fact::Stream::Usage => "usage",
        mamba_core::fact::Stream::Activity => "activity",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_shown_in_billed_units() {
        for (meter, quantity, text) in [
            (Meter::MemoryUsed, 256_000_000 * 3_600_000, "256.0000"),
            (Meter::CpuUsed, 3_600_000_000, "1000.0000"),
            (Meter::DiskUsed, 1_000_000_000 * 43_200_000, "0.5000"),
            (Meter::Egress, 2_048, "2.00 KiB"),
        ] {
            assert_eq!(shown(meter, quantity), text);
        }
    }

    #[test]
    fn a_link_that_is_down_says_when_the_hub_was_heard() {
        let mut it = LinkStatus {
            hub: Some("hub:1".into()),
            up: false,
            since: None,
            last_heard: Some(UnixMs(1_000)),
            last_error: None,
            failures: 3,
            next_dial: None,
            certificate_until: None,
            rtt_us: None,
        };
        assert_eq!(link_line(UnixMs(61_000), &it), "DOWN, hub:1 last heard 1 min ago");
        it.last_heard = None;
        assert_eq!(link_line(UnixMs(61_000), &it), "DOWN, hub:1 never heard");
        it.hub = None;
        assert_eq!(link_line(UnixMs(61_000), &it), "not enrolled");
    }
}

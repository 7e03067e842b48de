//! Checks everything that a node depends on and says what to do about it.

use super::{
    is_disk_full, is_disk_low,
    look::{Look, clock_error_ms},
    room,
};
use crate::{config::Config, runtime::docker::runc};
use mamba_core::{clock::UnixMs, db::StoreHealth};
use mamba_wire::node::{Check, CheckLevel, LinkStatus};
use std::{fs::Metadata, os::unix::fs::MetadataExt, path::Path, time::Duration};

/// Longest wait for a name to be resolved.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// A clock further off than this is worth a word; TLS and people get confused.
const CLOCK_ERROR_MS: u64 = 5_000;
/// A certificate that ends sooner should have been renewed: a third of its life.
const CERTIFICATE_LEFT_MS: u64 = 2 * 86_400_000;

/// What is checked.
pub struct Doctor<'a> {
    /// Settings.
    pub config: &'a Config,
    /// A fresh look at the machine.
    pub look: Look,
    /// How the store is.
    pub store: StoreHealth,
    /// The link.
    pub link: LinkStatus,
    /// The system's clock.
    pub wall: UnixMs,
    /// The node's calendar.
    pub now: UnixMs,
}

/// Findings in the order in which they were made.
#[derive(Default)]
pub struct Findings(Vec<Check>);

impl Findings {
    fn add(&mut self, name: &str, level: CheckLevel, text: impl Into<String>) {
        self.0.push(Check { name: name.to_owned(), level, text: text.into() });
    }
}

impl Doctor<'_> {
    /// Returns one finding for each thing checked.
    pub async fn check(self) -> Vec<Check> {
        let mut findings = Findings::default();
        self.engine(&mut findings);
        self.disk(&mut findings);
        self.clock(&mut findings);
        self.permissions(&mut findings);
        self.hub(&mut findings).await;
        self.certificate(&mut findings);
        self.outbox(&mut findings);
        findings.0
    }

    fn engine(&self, to: &mut Findings) {
        match &self.look.engine {
            Ok(info) => {
                to.add("engine", CheckLevel::Ok, info.version.clone());
                if let Some(version) = &info.runc {
                    let (level, text) = runc::judge(version, self.config.allow_old_runc);
                    to.add("runc", level, text);
                }
                // Most machines have something of that kind: nothing that needs attention by itself.
                let text = match info.lacks.as_slice() {
                    [] => "servers can be held to all of them".to_owned(),
                    lacks => format!("this machine has no {}: left out", lacks.join(", no ")),
                };
                to.add("limits", CheckLevel::Ok, text);
            }
            Err(err) => {
                let socket = self.config.docker_socket.display();
                let text =
                    format!("{err}; start it with `systemctl start docker`, socket `{socket}`");
                to.add("engine", CheckLevel::Fail, text);
            }
        }
    }

    fn disk(&self, to: &mut Findings) {
        let (bytes, free) = (self.look.state.disk_bytes, self.look.state.disk_free_bytes);
        let level = match is_disk_low(bytes, free) {
            true if is_disk_full(free) => CheckLevel::Fail,
            true => CheckLevel::Warn,
            false => CheckLevel::Ok,
        };
        to.add("disk", level, room(bytes, free));
        let level = match &self.store {
            StoreHealth::Ok => CheckLevel::Ok,
            store if store.can_write() => CheckLevel::Warn,
            _ => CheckLevel::Fail,
        };
        to.add("store", level, self.store.to_string());
    }

    fn clock(&self, to: &mut Findings) {
        let error_ms = clock_error_ms(self.wall, self.now);
        if error_ms <= CLOCK_ERROR_MS {
            return to.add("clock", CheckLevel::Ok, self.wall.to_string());
        }
        let text =
            format!("the system says {}, the node goes by {}; switch on NTP", self.wall, self.now);
        to.add("clock", CheckLevel::Warn, text);
    }

    fn permissions(&self, to: &mut Findings) {
        let user = rustix::process::geteuid().as_raw();
        let mut wrong = Vec::new();
        let mut look = |path: &Path, others: u32| match std::fs::metadata(path) {
            Ok(found) => wrong.extend(complaint(path, &found, user, others)),
            Err(err) => wrong.push(format!("`{}`: {err}", path.display())),
        };
        look(&self.config.data_dir, 0o077);
        look(&self.config.socket(), 0o177);
        if wrong.is_empty() {
            let text = format!("`{}` is ours alone", self.config.data_dir.display());
            return to.add("permissions", CheckLevel::Ok, text);
        }
        to.add("permissions", CheckLevel::Fail, wrong.join("; "));
    }

    async fn hub(&self, to: &mut Findings) {
        let Some(hub) = &self.link.hub else {
            let text = "not enrolled; `mamba-edge enrol TOKEN`";
            return to.add("hub", CheckLevel::Warn, text);
        };
        if self.link.up {
            let rtt = self.link.rtt_us.map_or(String::new(), |us| format!(", {} ms", us / 1_000));
            return to.add("hub", CheckLevel::Ok, format!("connected to {hub}{rtt}"));
        }
        let resolved = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(hub)).await;
        let text = match resolved {
            Err(_) => format!("`{hub}` could not be resolved in {RESOLVE_TIMEOUT:?}"),
            Ok(Err(err)) => format!("`{hub}` could not be resolved: {err}"),
            Ok(Ok(addresses)) => {
                let addresses: Vec<String> = addresses.map(|it| it.to_string()).collect();
                let error = self.link.last_error.as_deref().unwrap_or("no answer yet");
                format!("{hub} ({}) does not answer over UDP: {error}", addresses.join(", "))
            }
        };
        to.add("hub", CheckLevel::Warn, format!("{text}; servers go on without it"));
    }

    fn certificate(&self, to: &mut Findings) {
        let Some(until) = self.link.certificate_until else { return };
        let text = format!("valid until {until}");
        if until.since(self.now) > CERTIFICATE_LEFT_MS {
            return to.add("certificate", CheckLevel::Ok, text);
        }
        let text = format!("{text}; it is renewed at the next contact with the hub");
        to.add("certificate", CheckLevel::Warn, text);
    }

    fn outbox(&self, to: &mut Findings) {
        let waiting: u64 = self.look.state.outbox.iter().map(|it| it.unacked).sum();
        to.add("outbox", CheckLevel::Ok, format!("{waiting} facts wait for the hub"));
    }
}

/// Returns what is wrong with the owner or mode of a path.
fn complaint(path: &Path, found: &Metadata, user: u32, others: u32) -> Option<String> {
    if found.uid() != user {
        return Some(format!("`{}` belongs to user {}", path.display(), found.uid()));
    }
    let open = found.mode() & 0o777 & others;
    (open != 0).then(|| {
        format!("`{}` is open to others (mode {:o})", path.display(), found.mode() & 0o777)
    })
}

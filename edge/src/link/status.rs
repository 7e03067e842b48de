//! What people are told about the link.

use mamba_core::clock::UnixMs;
use mamba_wire::node::LinkStatus;
use tokio::sync::watch;

/// Keeps the status that everybody can look at.
#[derive(Debug)]
pub(super) struct Status {
    to: watch::Sender<LinkStatus>,
}

impl Status {
    /// Begins with a link that is down and a hub that was heard at `last_heard`, if ever.
    pub(super) fn new(last_heard: Option<UnixMs>) -> (Self, watch::Receiver<LinkStatus>) {
        let (to, from) = watch::channel(LinkStatus {
            hub: None,
            up: false,
            since: None,
            last_heard,
            last_error: None,
            failures: 0,
            next_dial: None,
            certificate_until: None,
            rtt_us: None,
        });
        (Self { to }, from)
    }

    pub(super) fn enrolled(&self, hub: String, certificate_until: UnixMs) {
        self.to.send_modify(|status| {
            status.hub = Some(hub);
            status.certificate_until = Some(certificate_until);
        });
    }

    pub(super) fn dialling(&self) {
        self.to.send_modify(|status| status.next_dial = None);
    }

    /// The session is up with the hub at this address.
    pub(super) fn up(&self, hub: String, now: UnixMs) {
        self.to.send_modify(|status| {
            status.hub = Some(hub);
            status.up = true;
            status.since = Some(now);
            status.last_error = None;
            status.failures = 0;
        });
    }

    pub(super) fn heard(&self, hub_time: UnixMs, rtt_us: u64) {
        self.to.send_modify(|status| {
            status.last_heard = Some(hub_time);
            status.rtt_us = Some(rtt_us);
        });
    }

    /// The session or the dial ended; `why` is `None` when nothing is wrong.
    pub(super) fn down(&self, now: UnixMs, why: Option<String>) {
        self.to.send_modify(|status| {
            if status.up || status.since.is_none() {
                status.since = Some(now);
            }
            status.up = false;
            status.rtt_us = None;
            if why.is_some() {
                status.last_error = why;
            }
        });
    }

    pub(super) fn waiting(&self, failures: u32, next_dial: UnixMs) {
        self.to.send_modify(|status| {
            status.failures = failures;
            status.next_dial = Some(next_dial);
        });
    }
}

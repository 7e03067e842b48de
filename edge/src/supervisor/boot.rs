//! What happens before anything else: the daemon takes up what its store says, without asking anybody.

use super::{
    entry::Entry,
    task::{SAVE_RETRY_MS, Saved, Stored, Task, stored},
};
use crate::{
    runtime::Runtime,
    store::{Desired, Loaded},
};
use mamba_core::{
    clock::{BootId, BootMs},
    error::chain,
    fact::{Activity, ActivityFact},
    ids::ServerId,
    lifecycle::{Actor, PowerAction, plan::Now, power::Power},
    server::AutoStart,
};
use std::collections::BTreeMap;

/// What the boot changed and the store does not have yet.
pub(super) struct PendingBoot {
    boot_id: BootId,
    powers: Vec<(ServerId, Power)>,
    facts: Vec<ActivityFact>,
    /// When it is offered to the store. `None` while that is under way.
    pub(super) retry_at: Option<BootMs>,
}

impl<R: Runtime> Task<R> {
    /// Takes up the stored state. When the store cannot be read, that is tried again, and meanwhile
    /// no container is touched.
    pub(super) fn boot(&mut self) {
        match self.parts.store.load() {
            Ok(loaded) => self.take_up(loaded),
            Err(err) => {
                tracing::error!(error = %chain(&err), "node state cannot be read");
                self.reload_at = Some(self.parts.clock.boot().plus(SAVE_RETRY_MS));
            }
        }
    }

    fn take_up(&mut self, loaded: Loaded) {
        let (now, boot_id) = (self.now(), self.parts.clock.boot_id());
        let after_reboot = loaded.boot_id.is_some_and(|before| before != boot_id);
        let Loaded { desired, mut power, mut life, mut trash, mut installs, subnets, .. } = loaded;
        self.marks = self.parts.data.install_marks();
        subnets.keys().for_each(|tenant| self.networks.note(*tenant));
        self.subnets = subnets;
        self.is_loaded = true;
        let mut powers = Vec::new();
        for (server, desired) in desired {
            let mut entry = self.entries.remove(&server).unwrap_or_else(|| {
                let mut entry = Entry::new(server, now.calendar);
                entry.seen = self.seen_at_first();
                entry
            });
            entry.set_desired(desired);
            entry.power = power.remove(&server).unwrap_or(entry.power);
            entry.life = life.remove(&server).unwrap_or_default();
            entry.trash = trash.remove(&server);
            entry.set_install(installs.remove(&server), self.marks.remove(&server));
            if after_reboot {
                // The machine took the process with it, which says nothing about the game.
                entry.life.run = None;
                entry.changed();
                if let Some(power) = entry.power_after_reboot(now) {
                    entry.power = power.clone();
                    powers.push((server, power));
                }
            }
            self.entries.insert(server, entry);
        }
        let body = Activity::EdgeStarted { version: self.settings.version.clone(), after_reboot };
        let (event, at) = (self.event_id(), now.calendar);
        let facts = vec![ActivityFact { event, at, about: None, actor: Actor::Edge, body }];
        self.boot = Some(PendingBoot { boot_id, powers, facts, retry_at: Some(BootMs(0)) });
    }

    /// Reads the wishes again when that is due. What cannot be read stays as it was.
    pub(super) fn reload(&mut self, now: Now) {
        if self.reload_at.is_none_or(|at| at > now.boot) {
            return;
        }
        self.reload_at = None;
        if !self.is_loaded {
            self.boot();
            return;
        }
        match self.parts.store.wishes() {
            Ok((desired, powers)) => {
                self.take_over(desired, now);
                powers.into_iter().for_each(|(server, power)| self.set_power(server, power));
            }
            Err(err) => {
                tracing::error!(error = %chain(&err), "wishes cannot be read");
                self.reload_at = Some(now.boot.plus(SAVE_RETRY_MS));
            }
        }
    }

    fn take_over(&mut self, desired: BTreeMap<ServerId, Desired>, now: Now) {
        for (server, desired) in desired {
            let seen = self.seen_at_first();
            let mark = self.marks.remove(&server);
            let entry = self.entries.entry(server).or_insert_with(|| {
                let mut entry = Entry::new(server, now.calendar);
                entry.seen = seen;
                entry
            });
            if let Some(mark) = mark {
                entry.set_install(entry.install.clone(), Some(mark));
            }
            if entry.desired != desired {
                entry.set_desired(desired);
                // One that comes from another node brings it along.
                if entry.install.is_none() {
                    entry.install = self.parts.store.install(server).unwrap_or_default();
                }
            }
        }
    }

    /// Takes over what power actions asked for. What is not stored yet was asked for before, and
    /// whoever stored something since did not know of it.
    pub(super) fn set_power(&mut self, server: ServerId, power: Power) {
        let Some(entry) = self.entries.get_mut(&server) else { return };
        if power.number < entry.power.number || power == entry.power {
            return;
        }
        let Some(unsaved) = &entry.unsaved.power else {
            entry.power = power;
            return;
        };
        entry.power = power.following(unsaved);
        if entry.power != power {
            entry.unsaved.power = Some(entry.power.clone());
            entry.changed();
        }
    }

    /// Offers to the store what the boot changed.
    pub(super) fn save_boot(&mut self, now: Now) {
        let Some(boot) = self.boot.as_mut() else { return };
        if boot.retry_at.is_none_or(|at| at > now.boot) {
            return;
        }
        boot.retry_at = None;
        let (id, powers, facts) = (boot.boot_id, boot.powers.clone(), boot.facts.clone());
        let store = self.parts.store.clone();
        self.saves
            .spawn(async move { Saved::Boot(stored(store.save_boot(id, powers, facts).await)) });
    }

    pub(super) fn boot_saved(&mut self, result: Stored, retry_at: BootMs) {
        match (result, self.boot.as_mut()) {
            (Stored::Later, Some(boot)) => boot.retry_at = Some(retry_at),
            (Stored::Yes | Stored::Never, _) | (Stored::Later, None) => self.boot = None,
        }
    }
}

impl Entry {
    /// What the server's own rule makes of the power wish when the machine comes up. `None`: nothing.
    fn power_after_reboot(&self, now: Now) -> Option<Power> {
        let spec = self.spec()?;
        let action = match spec.auto_start {
            AutoStart::Always => PowerAction::Start,
            AutoStart::Never if self.power.wish.running => PowerAction::Stop,
            AutoStart::Never | AutoStart::LastState => return None,
        };
        Some(self.power.then(action, Actor::Edge, now.calendar))
    }
}

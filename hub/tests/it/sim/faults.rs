//! Makes happen what goes wrong, and ends it again.

use super::{
    chance::{SimClock, millis},
    check::Truth,
    machine::Image,
    net::Line,
    plan::Fault,
    world::{BEGIN, Todo, World, admin},
};
use mamba_core::db::sim::SimDisk;
use mamba_edge::runtime::{
    RuntimeError,
    fake::{Act as Deed, Trouble, When},
};
use mamba_hub::link::backend::{LinkBackend, Standing};
use std::time::Duration;
use tokio::time::Instant;

impl World {
    #[expect(clippy::too_many_lines, reason = "one short arm for each fault and nothing else")]
    pub(super) async fn strike(&mut self, fault: &Fault, truth: &mut Truth) {
        self.trace.say(&format!("fault: {fault:?}"));
        match fault {
            Fault::Line { edge, line, ms } => {
                self.net.set_line(*edge, *line);
                self.later(*ms, Todo::Heal(*edge));
            }
            Fault::Flap { edge, cut, each_ms, ms } => {
                let until = Instant::now() + Duration::from_millis(*ms);
                self.later(0, Todo::Flap(*edge, *cut, *each_ms, until));
            }
            Fault::Rebind { edge } => self.net.rebind(*edge),
            Fault::EdgeCrash { edge, change, down_ms, machine } => {
                self.arm_edge(*edge, *change, (*down_ms, *machine), truth).await;
            }
            Fault::HubCrash { change, down_ms } => self.arm_hub(*change, *down_ms).await,
            Fault::HubRestore { down_ms } => {
                if self.centre.running.is_some() && self.centre.backup.is_some() {
                    self.hub_armed = Some(*down_ms);
                    self.crash_hub().await;
                    self.centre.restore();
                    truth.hub_restored(self);
                }
            }
            Fault::DiskFull { edge, ms } => {
                let disk = &self.machines[*edge].disk;
                disk.set_capacity(Some(disk.used_bytes()));
                self.later(*ms, Todo::Space(*edge));
            }
            Fault::DiskSlow { edge, delay_ms, ms } => {
                truth.disk_slow(*edge, true);
                self.disk(*edge).set_delay(Duration::from_millis(*delay_ms));
                if edge.is_none() {
                    let until = Instant::now() + Duration::from_millis(ms + 2 * delay_ms);
                    self.centre.slow_until = until;
                }
                self.later(*ms, Todo::DiskFast(*edge));
            }
            Fault::DiskError { edge, change } => self.disk(*edge).fail_change(*change),
            Fault::DiskLoss { edge, down_ms } => {
                if self.machines[*edge].daemon.is_some() {
                    truth.disk_gone(self, *edge);
                    self.machines[*edge].kill(Image::Of(SimDisk::new(0))).await;
                    self.later(*down_ms, Todo::StartEdge(*edge));
                }
            }
            Fault::Revert { edge, after_ms } => {
                let snapshot = self.machines[*edge].disk.crash(self.plan.seed);
                self.later(*after_ms, Todo::Revert(*edge, snapshot));
            }
            Fault::Clock { edge, wrong_by_ms } => {
                let machine = &self.machines[*edge];
                machine.clock.set_wrong(*wrong_by_ms);
                machine.tick();
            }
            Fault::Drift { edge, wall_ppm, boot_ppm } => {
                self.machines[*edge].clock.set_drift(*wall_ppm, *boot_ppm);
            }
            Fault::Clone { edge, ms } => {
                if self.machines[*edge].daemon.is_some() && !self.clones.contains_key(edge) {
                    self.copy(*edge, truth).await;
                    self.later(*ms, Todo::CloneGone(*edge));
                }
            }
            Fault::EngineSlow { edge, call, by_ms } => {
                truth.engine_troubled(*edge);
                let trouble = Trouble::Slow(*by_ms);
                self.machines[*edge].engine.trouble(*call, When::After, trouble);
            }
            Fault::EngineFails { edge, call, when } => {
                truth.engine_troubled(*edge);
                let text = "the fake engine fails".to_owned();
                let err = RuntimeError::Refused { step: "anything", error: text };
                self.machines[*edge].engine.trouble(*call, *when, Trouble::Fail(err));
            }
            Fault::EngineDown { edge, ms } => {
                truth.engine_troubled(*edge);
                self.machines[*edge].engine.set_down(true);
                self.later(*ms, Todo::EngineUp(*edge));
            }
            Fault::ProcessEnds { server } => {
                let placed = &self.servers[*server];
                self.machines[placed.edge].engine.act(placed.id, Deed::Exit(1));
            }
        }
    }

    fn disk(&self, edge: Option<usize>) -> &SimDisk {
        edge.map_or(&self.centre.disk, |edge| &self.machines[edge].disk)
    }

    /// Puts a second machine beside one.
    async fn copy(&mut self, edge: usize, truth: &mut Truth) {
        truth.cloned(self, edge);
        let index = self.plan.servers.len() + edge;
        let clock = SimClock::new(self.begin, BEGIN, u8::try_from(index).unwrap() + 1);
        let dir = self.dir.path().join(format!("clone-{edge}"));
        let mut clone = self.machines[edge].copy(index, dir, clock);
        self.clone_engines.push(clone.engine.clone());
        clone.start().await;
        self.clones.insert(edge, clone);
    }

    /// Lets nodes out of quarantine whose clone is gone, as an admin does.
    /// Returns whether there was one, whose next try comes later then.
    pub(super) async fn approve(&mut self) -> bool {
        let Some(running) = &self.centre.running else { return false };
        let mut is_late = false;
        for machine in &self.machines {
            let Ok(Some(access)) = LinkBackend::node(&running.hub, machine.node).await else {
                continue;
            };
            let is_barred = access.standing == Standing::Quarantined;
            if is_barred && !self.clones.contains_key(&machine.index) {
                is_late = true;
                let done = running.hub.approve_replacement(&admin(), machine.node).await;
                self.trace.say(&format!("admin: approve {}: {}", machine.index, done.is_ok()));
            }
        }
        is_late
    }

    /// Crashes an edge at a change of its disk that is still to come, or now.
    async fn arm_edge(
        &mut self,
        edge: usize,
        change: Option<u64>,
        crash: (u64, bool),
        truth: &mut Truth,
    ) {
        if self.machines[edge].daemon.is_none() {
            return;
        }
        self.armed.insert(edge, crash);
        self.machines[edge].disk.cut_power(change.unwrap_or(1));
        if change.is_none() {
            self.crash_edge(edge, truth).await;
        }
    }

    /// Crashes the hub at a change of its disk that is still to come, or now.
    async fn arm_hub(&mut self, change: Option<u64>, down_ms: u64) {
        if self.centre.running.is_none() {
            return;
        }
        self.hub_armed = Some(down_ms);
        self.centre.disk.cut_power(change.unwrap_or(1));
        if change.is_none() {
            self.crash_hub().await;
        }
    }

    fn later(&mut self, ms: u64, todo: Todo) {
        self.count += 1;
        self.agenda.insert((Instant::now() + Duration::from_millis(ms), self.count), todo);
    }

    pub(super) async fn due(&mut self, now: Instant, truth: &mut Truth) {
        while let Some(next) = self.agenda.first_entry().filter(|it| it.key().0 <= now) {
            let todo = next.remove();
            self.end(todo, truth).await;
        }
    }

    async fn end(&mut self, todo: Todo, truth: &mut Truth) {
        match todo {
            Todo::Heal(edge) => self.net.set_line(edge, Line::GOOD),
            Todo::StartEdge(edge) => {
                if self.machines[edge].daemon.is_none() {
                    self.machines[edge].start().await;
                    // Before the hub tells what it has: that may be pruned at once.
                    truth.read_facts(self);
                    if self.machines[edge].daemon.is_none() {
                        self.later(10_000, Todo::StartEdge(edge));
                    }
                }
            }
            Todo::StartHub => {
                if self.centre.running.is_none() {
                    self.centre.start().await;
                }
            }
            Todo::Space(edge) => self.machines[edge].disk.set_capacity(None),
            Todo::DiskFast(edge) => {
                truth.disk_slow(edge, false);
                self.disk(edge).set_delay(Duration::ZERO);
            }
            Todo::Flap(edge, cut, each_ms, until) => {
                let now = Instant::now();
                let is_cut = now < until && (millis(now, until) / each_ms).is_multiple_of(2);
                self.net.set_line(edge, if is_cut { cut } else { Line::GOOD });
                if now < until && !self.is_healed {
                    self.later(each_ms, Todo::Flap(edge, cut, each_ms, until));
                }
            }
            Todo::CloneGone(edge) => {
                truth.read_facts(self);
                if let Some(mut clone) = self.clones.remove(&edge) {
                    clone.engine.power_cut();
                    clone.kill(Image::PowerCut).await;
                }
                self.approve().await;
            }
            Todo::EngineUp(edge) => {
                truth.engine_troubled(edge);
                self.machines[edge].engine.set_down(false);
            }
            Todo::Revert(edge, snapshot) => {
                if self.machines[edge].daemon.is_some() {
                    truth.disk_gone(self, edge);
                    self.machines[edge].kill(Image::Of(snapshot)).await;
                    self.machines[edge].start().await;
                }
            }
        }
    }

    pub(super) async fn crash_edge(&mut self, edge: usize, truth: &mut Truth) {
        let (down_ms, machine) = self.armed.remove(&edge).unwrap_or((1_000, false));
        truth.edge_down(edge);
        self.machines[edge].kill(Image::PowerCut).await;
        if machine {
            self.machines[edge].lose_power();
        }
        self.later(down_ms, Todo::StartEdge(edge));
    }

    pub(super) async fn crash_hub(&mut self) {
        let down_ms = self.hub_armed.take().unwrap_or(1_000);
        self.centre.kill().await;
        self.later(down_ms, Todo::StartHub);
    }

    /// Ends all faults: from now on everything works.
    pub(super) async fn heal(&mut self, truth: &mut Truth) {
        self.trace.say("all faults end");
        self.is_healed = true;
        for edge in self.armed.keys().copied().collect::<Vec<_>>() {
            self.crash_edge(edge, truth).await;
        }
        if self.hub_armed.is_some() {
            self.crash_hub().await;
        }
        for todo in std::mem::take(&mut self.agenda).into_values() {
            self.end(todo, truth).await;
        }
        for edge in 0..self.machines.len() {
            self.net.set_line(edge, Line::GOOD);
            self.machines[edge].disk.set_capacity(None);
            self.machines[edge].engine.set_down(false);
        }
    }
}

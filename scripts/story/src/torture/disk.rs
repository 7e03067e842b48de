//! Full disks under edge and hub: nothing is lost, and all goes on when there is room again.

use super::{
    checks,
    ledger::Ledger,
    scene::{self, READY_MAX, Set},
};
use crate::{
    acts::{cast, faults::fill},
    command::output,
    docker,
    edge::EdgeSettings,
    games::Game,
    hub::HubPlace,
    report::{Failure, Played, Report, Stopped, ensure, seconds, until},
    stage::Stage,
};
use mamba_core::{
    server::Limits,
    units::{Mib, Millicores},
};
use mamba_wire::{
    api::{params::ServerPath, server::UpdateLimits, table},
    node::CheckLevel,
};
use std::{fs, path::PathBuf, time::Duration};

/// Size of each of the file systems: room for what is promised to two games, 128 MiB each.
const DISK_MIB: u64 = 320;
/// Longest time until somebody notices.
const NOTICED_MAX: Duration = seconds(60);
/// How long a disk stays full while there is work.
const FULL: Duration = seconds(5);

/// What a file system is made of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tmpfs,
    Ext4,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Tmpfs => "tmpfs",
            Self::Ext4 => "ext4",
        }
    }

    /// Makes a file system and mounts it.
    async fn mount(self, stage: &Stage, name: &str) -> Played<Disk> {
        let point = stage.fresh_dir(&format!("{name}-{}", self.name()))?;
        let at = point.to_string_lossy().into_owned();
        match self {
            Self::Tmpfs => {
                let size = format!("size={DISK_MIB}m,mode=755");
                output("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &at]).await?;
            }
            Self::Ext4 => {
                let image = stage.path(&format!("{name}.img"));
                fs::File::create(&image)?.set_len(DISK_MIB << 20)?;
                let image = image.to_string_lossy().into_owned();
                output("mkfs.ext4", &["-q", "-F", &image]).await?;
                output("mount", &["-o", "loop", &image, &at]).await?;
            }
        }
        Ok(Disk { point })
    }
}

/// A small file system; the stage takes it away.
struct Disk {
    point: PathBuf,
}

impl Disk {
    fn filler(&self) -> PathBuf {
        self.point.join("filler")
    }

    /// Writes until nothing more fits; what others free meanwhile is taken, too.
    fn fill(&self) -> Played {
        fill(&self.filler())
    }

    fn free(&self) -> Played {
        Ok(fs::remove_file(self.filler())?)
    }
}

/// Both daemons, each on a disk of its own.
struct Stand {
    set: Set,
    ledger: Ledger,
    edge_disk: Disk,
    hub_disk: Disk,
}

/// Plays all of it on both kinds.
pub(super) async fn play(report: &mut Report, stage: &mut Stage) -> Result<(), Stopped> {
    for (kind, name) in [(Kind::Tmpfs, "tmpfs"), (Kind::Ext4, "ext4")] {
        report.act(&format!("full disks: {name}"), Vec::new());
        let assembled = async { Ok((assemble(stage, kind, name).await?, String::new())) };
        let mut stand = report.step("a hub and an edge, each on a small disk", assembled).await?;
        report.act(&format!("full disks: {name}"), stand.set.cast.logs());
        let full = async { Ok(((), edge_full(&mut stand).await?)) };
        report.step("the edge's disk is full, then has room", full).await?;
        let full = async { Ok(((), hub_full(&mut stand).await?)) };
        report.step("the hub's disk is full, then has room", full).await?;
        let full = async { Ok(((), both_full(&mut stand).await?)) };
        report.step("both are full, both daemons are killed", full).await?;
        stand.set.cast.leave(report).await?;
    }
    Ok(())
}

async fn assemble(stage: &mut Stage, kind: Kind, name: &'static str) -> Played<Stand> {
    let edge_disk = kind.mount(stage, "disk-edge").await?;
    let hub_disk = kind.mount(stage, "disk-hub").await?;
    let place = HubPlace { data: Some(hub_disk.point.join("data")), ..HubPlace::default() };
    let edge = EdgeSettings {
        data: Some(edge_disk.point.join("data")),
        ..EdgeSettings::plain(&format!("{name}-edge"), "10.213.0.0/17")
    };
    let set = scene::assemble(stage, name, place, edge, &[Game::Openttd, Game::Teeworlds]).await?;
    set.cast.all_answer(READY_MAX).await?;
    checks::recovered(&set.cast, set.node).await?;
    let mut ledger = Ledger::default();
    ledger.agrees(&set.cast).await?;
    Ok(Stand { set, ledger, edge_disk, hub_disk })
}

impl Stand {
    /// Starts what has ended, as a service manager does, waits until all is well, and compares what
    /// both hold.
    async fn is_well(&mut self) -> Played<String> {
        let cast = &mut self.set.cast;
        until(NOTICED_MAX, async || {
            if !cast.hub.is_running() {
                cast.hub.spawn()?;
            }
            cast.hub.serves(seconds(5)).await
        })
        .await?;
        let edge = cast.edges.first_mut().ok_or("no edge")?;
        if edge.ended(Duration::from_millis(1)).await.is_ok() || !edge.is_running() {
            edge.spawn()?;
        }
        edge.answers(NOTICED_MAX).await?;
        let took = checks::recovered(&self.set.cast, self.set.node).await?;
        checks::games_answer(&self.set.cast).await?;
        let figures = self.ledger.agrees(&self.set.cast).await?;
        let events = self.ledger.same_events(&self.set.cast).await?;
        Ok(format!(
            "well {:.1} s later, {} facts and {events} events once",
            took.converged.as_secs_f64(),
            figures.custody
        ))
    }

    /// Makes facts as long as the disk stays full: a game crashes, another one is stopped and started.
    async fn busy(&self) -> Played {
        let first = self.set.cast.roles.first().ok_or("no server")?;
        let last = self.set.cast.roles.last().ok_or("no server")?;
        let edge = self.set.cast.edges.first().ok_or("no edge")?;
        let container = edge.server(&first.name).await?.container.ok_or("no container")?;
        docker::kill(&[container]).await?;
        // Whether the edge can take these is its own decision; what it takes must not be lost.
        edge.cli(&["power", &last.name, "restart"]).await?;
        cast::answers(first, seconds(60)).await?;
        tokio::time::sleep(FULL).await;
        Ok(())
    }
}

async fn edge_full(stand: &mut Stand) -> Played<String> {
    stand.edge_disk.fill()?;
    let noticed = async {
        let edge = stand.set.cast.edges.first().ok_or("no edge")?;
        let said = until(NOTICED_MAX, async || {
            let checks = edge.doctor().await?;
            let found = checks
                .into_iter()
                .find(|it| it.level != CheckLevel::Ok && it.text.contains("the disk is full"));
            Ok::<_, Failure>(found.ok_or("the doctor does not say so")?.text)
        })
        .await?;
        stand.busy().await?;
        Ok::<_, Failure>(said)
    };
    let noticed = noticed.await;
    stand.edge_disk.free()?;
    let said = noticed?;
    let well = stand.is_well().await?;
    Ok(format!("{well}; it said: {said}"))
}

async fn hub_full(stand: &mut Stand) -> Played<String> {
    stand.hub_disk.fill()?;
    let used = async {
        stand.busy().await?;
        // The ballast may have been given up by now; that room is taken as well.
        stand.hub_disk.fill()?;
        let (answered, said) = change_limits(&stand.set).await;
        tokio::time::sleep(FULL).await;
        Ok::<_, Failure>((answered, said))
    };
    let used = used.await;
    stand.hub_disk.free()?;
    let (limits, said) = used?;
    let well = stand.is_well().await?;
    if let Some(limits) = limits {
        let server = stand.set.cast.roles.first().ok_or("no server")?.server;
        let now = stand.set.cast.owner.server(server).await?.limits;
        ensure(now == limits, || format!("promised {limits:?}, found {now:?}"))?;
    }
    Ok(format!("{well}; a change meanwhile {said}"))
}

/// Changes limits: what was promised has to hold later.
async fn change_limits(set: &Set) -> (Option<Limits>, String) {
    let limits = Limits {
        memory_mib: Mib(300),
        swap_mib: Mib(0),
        cpu_millicores: Millicores(800),
        disk_mib: Mib(128),
        pids: 64,
        sharing: mamba_core::server::Sharing::USUAL,
    };
    let Some(role) = set.cast.roles.first() else { return (None, "was not tried".to_owned()) };
    let path = ServerPath { server: role.server };
    match set
        .cast
        .admin
        .call::<table::UpdateLimits>(
            &path,
            &(),
            &UpdateLimits { limits, allocation_limit: None, backup_limit: None },
        )
        .await
    {
        Ok(_) => (Some(limits), "was promised and held".to_owned()),
        Err(err) => (None, format!("was refused: {err}")),
    }
}

async fn both_full(stand: &mut Stand) -> Played<String> {
    stand.edge_disk.fill()?;
    stand.hub_disk.fill()?;
    let killed = async {
        let cast = &mut stand.set.cast;
        let edge = cast.edges.first_mut().ok_or("no edge")?;
        edge.kill().await?;
        if cast.hub.is_running() {
            cast.hub.kill().await?;
        }
        cast.edges.first_mut().ok_or("no edge")?.spawn()?;
        cast.hub.spawn()?;
        for role in &cast.roles {
            cast::answers(role, seconds(60)).await?;
        }
        tokio::time::sleep(FULL).await;
        Ok::<_, Failure>(())
    };
    let killed = killed.await;
    stand.edge_disk.free()?;
    stand.hub_disk.free()?;
    killed?;
    stand.is_well().await
}

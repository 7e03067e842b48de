//! A server moves to another node, and whoever takes part is killed on the way.

use super::scene::READY_MAX;
use crate::{
    acts::cast::{Cast, Scene, live},
    docker,
    report::{Played, Report, Stopped, ensure, seconds, until},
    stage::Stage,
};
use mamba_core::lifecycle::transfer::Phase;
use mamba_wire::api::{
    allocation::CreateAllocations,
    params::ServerPath,
    table,
    transfer::{StartTransfer, Transfer},
};
use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

/// Bytes of the world: enough for every kill to come while they travel.
const WORLD_BYTES: u32 = 100 << 20;

/// Plays it.
pub(super) async fn play(report: &mut Report, stage: &mut Stage) -> Result<(), Stopped> {
    let scene = Scene { name: "transfer", edges: 2, servers: 1 };
    let mut cast = Cast::assemble(report, stage, scene).await?;
    report.act("a server moves to another node", cast.logs());
    let world = async { Ok((build(&cast)?, String::new())) };
    let before = report.step("a world of 100 MiB in its folder", world).await?;
    let begun = begin(stage, &mut cast);
    report.step("the administrator has it moved", begun).await?;
    for victim in ["source", "target", "hub"] {
        let title = format!("the {victim} is killed on the way and comes back");
        let killed = kill(&mut cast, victim);
        report.step(&title, killed).await?;
    }
    let arrived = arrived(&mut cast);
    report
        .step("the server lives on the other node, the copy here is in the trash", arrived)
        .await?;
    let answered = async {
        cast.all_answer(READY_MAX).await?;
        let after = cast.edges.get(1).map(|edge| world_of(&cast, &edge.data()));
        let same = after.is_some_and(|path| fs::read(path).is_ok_and(|it| it == before));
        ensure(same, || "the world is another".to_owned())?;
        Ok(((), "it answers on its new port, with its world".to_owned()))
    };
    report.step("it runs there by itself", answered).await?;
    let runners = runners(&cast);
    report.step("one container runs it, and only there", runners).await?;
    let back = back(&mut cast);
    report.step("a move back that is cancelled leaves it where it is", back).await?;
    cast.leave(report).await
}

fn path(cast: &Cast) -> Played<ServerPath> {
    Ok(ServerPath { server: cast.roles.first().ok_or("no server")?.server })
}

/// The file of the world, on the node with this data directory.
fn world_of(cast: &Cast, data: &Path) -> PathBuf {
    let server = cast.roles.first().map(|role| role.server.to_string()).unwrap_or_default();
    data.join("servers").join(server).join("a-world/noise")
}

fn build(cast: &Cast) -> Played<Vec<u8>> {
    let file = world_of(cast, &cast.edges.first().ok_or("no edge")?.data());
    let noise = |at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes();
    let world: Vec<u8> = (0..WORLD_BYTES / 4).flat_map(noise).collect();
    fs::create_dir_all(file.parent().ok_or("no folder")?)?;
    fs::write(file, &world)?;
    Ok(world)
}

async fn begin(stage: &mut Stage, cast: &mut Cast) -> Played<((), String)> {
    let node = cast.edges.get(1).ok_or("no second edge")?.node().await?;
    let port = stage.port()?;
    let role = cast.roles.first_mut().ok_or("no server")?;
    let allocation = CreateAllocations {
        node,
        ip: Ipv4Addr::LOCALHOST.into(),
        port,
        port_last: None,
        protocol: role.game.protocol(),
        alias: None,
        note: None,
    };
    let allocations = vec![cast.admin.allocate(&allocation).await?.allocation];
    let body = StartTransfer { node: Some(node), allocations, ..StartTransfer::default() };
    let place = ServerPath { server: role.server };
    cast.admin.call::<table::StartTransfer>(&place, &(), &body).await?;
    role.port = port;
    Ok(((), format!("to node {node}")))
}

async fn shown(cast: &Cast) -> Played<Transfer> {
    cast.admin.call::<table::ShowTransfer>(&path(cast)?, &(), &()).await
}

/// Kills who takes part while data travels, or later when it travels too fast.
async fn kill(cast: &mut Cast, victim: &str) -> Played<((), String)> {
    let at = until(seconds(90), async || {
        let now = shown(cast).await?;
        ensure(now.phase >= Phase::Copying, || format!("{now:?}"))?;
        Ok(now)
    })
    .await?;
    match victim {
        "hub" => {
            cast.hub.kill().await?;
            cast.hub.start().await?;
            cast.sign_in().await?;
        }
        _ => {
            let edge = cast.edges.get_mut(usize::from(victim == "target")).ok_or("no edge")?;
            edge.kill().await?;
            edge.start().await?;
        }
    }
    for edge in &cast.edges {
        live(&cast.admin, edge.node().await?).await?;
    }
    let done = at.bytes_done.unwrap_or_default();
    Ok(((), format!("while {:?}, {done} bytes had come", at.phase)))
}

async fn arrived(cast: &mut Cast) -> Played<((), String)> {
    let end = until(seconds(120), async || {
        let now = shown(cast).await?;
        ensure(now.phase == Phase::Done, || format!("{now:?}"))?;
        Ok(now)
    })
    .await?;
    let server = cast.admin.server(path(cast)?.server).await?;
    ensure(server.node == end.to, || format!("server is on {}", server.node))?;
    let source = world_of(cast, &cast.edges.first().ok_or("no edge")?.data());
    ensure(!source.exists(), || format!("{} is still there", source.display()))?;
    cast.roles.first_mut().ok_or("no server")?.edge = 1;
    Ok((
        (),
        format!(
            "{:.1} s after it was asked for",
            f64::from(u32::try_from(end.since.since(end.asked_at))?) / 1e3
        ),
    ))
}

async fn runners(cast: &Cast) -> Played<((), String)> {
    let mut counts = Vec::new();
    for edge in &cast.edges {
        counts.push(docker::of_node(&edge.node().await?.to_string()).await?.len());
    }
    ensure(counts == [0, 1], || format!("containers of the nodes: {counts:?}"))?;
    Ok(((), String::new()))
}

async fn back(cast: &mut Cast) -> Played<((), String)> {
    let place = path(cast)?;
    let node = cast.edges.first().ok_or("no edge")?.node().await?;
    let body = StartTransfer { node: Some(node), ..StartTransfer::default() };
    cast.admin.call::<table::StartTransfer>(&place, &(), &body).await?;
    let ended = cast.admin.call::<table::CancelTransfer>(&place, &(), &()).await?;
    ensure(ended.phase == Phase::Cancelled, || format!("{ended:?}"))?;
    cast.all_answer(READY_MAX).await?;
    let server = cast.admin.server(place.server).await?;
    ensure(server.node != node, || "it is on the other node".to_owned())?;
    Ok(((), String::new()))
}

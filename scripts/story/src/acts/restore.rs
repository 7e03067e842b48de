//! A hub that lost everything since its last backup gets it again from its nodes.

use crate::{
    acts::{cast::Cast, numbers, reunion},
    report::{Report, Stopped, ensure},
};
use futures_util::future::try_join_all;
use mamba_core::lifecycle::ServerState;
use std::{fs, path::PathBuf};

/// Copies the running hub's store with its command line.
pub(crate) async fn back_up(report: &mut Report, cast: &Cast) -> Result<PathBuf, Stopped> {
    let copied = async {
        let file = cast.hub.dir.join("hub.backup");
        let said = cast.hub.cli(&["backup", &file.to_string_lossy()]).await?;
        Ok((file, said))
    };
    report.step("`mamba-hub backup` copies the store of the running hub", copied).await
}

/// Loses the hub's disk and restores the copy.
pub(crate) async fn restore(
    report: &mut Report,
    cast: &mut Cast,
    backup: PathBuf,
) -> Result<(), Stopped> {
    let restored = async {
        cast.hub.kill().await?;
        fs::remove_dir_all(cast.hub.data())?;
        let said = cast.hub.cli(&["restore", &backup.to_string_lossy()]).await?;
        cast.hub.start().await?;
        Ok(((), said))
    };
    report
        .step("the hub's disk is lost, `mamba-hub restore` puts the copy in place", restored)
        .await?;
    let again = async {
        let before = cast.containers().await?;
        reunion::converged(cast).await?;
        let facts = try_join_all(cast.roles.iter().map(|role| numbers::same_usage(cast, role)));
        let facts: usize = facts.await?.iter().sum();
        let after = cast.containers().await?;
        ensure(before == after, || format!("before {before:?}, after {after:?}"))?;
        Ok(((), format!("{facts} facts; no game was touched")))
    };
    report.step("the edges send again what the copy lacks: the sums are equal", again).await?;
    let events = async { numbers::same_events(cast).await };
    report.step("and each event is there once", events).await?;
    report.step("the hub shows the servers as they are", cast.hub_sees(ServerState::Running)).await
}

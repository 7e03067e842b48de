//! A hub that lost everything since its last backup gets it again from its nodes.

use crate::{
    acts::{cast::Cast, numbers, outage, reunion},
    report::{Report, Stopped, ensure},
};
use mamba_core::lifecycle::ServerState;

/// Copies the store, lets things happen, loses the disk, and restores the copy.
pub(crate) async fn play(report: &mut Report, cast: &mut Cast) -> Result<(), Stopped> {
    let file = cast.hub.dir.join("hub.backup");
    let copied = async {
        // The edges forget what is in the copy.
        let held = numbers::books(cast).await?;
        let said = cast.hub.cli(&["backup", &file.to_string_lossy()]).await?;
        Ok((held, said))
    };
    let held =
        report.step("`mamba-hub backup` copies the store of the running hub", copied).await?;
    outage::power_by_cli(report, cast).await?;
    let restored = async {
        reunion::converged(cast).await?;
        cast.hub.kill().await?;
        let said = cast.hub.restore(&file).await?;
        cast.hub.start().await?;
        // Sessions of the life before are void.
        cast.sign_in().await?;
        Ok(((), said))
    };
    report
        .step("the hub's disk is lost, `mamba-hub restore` puts the copy in place", restored)
        .await?;
    let again = async {
        let before = cast.containers().await?;
        reunion::converged(cast).await?;
        let (facts, events) = numbers::same_books(cast, &held).await?;
        let after = cast.containers().await?;
        ensure(before == after, || format!("before {before:?}, after {after:?}"))?;
        Ok(((), format!("{facts} facts, {events} events; no game was touched")))
    };
    report.step("edges send again what the copy lacks: the sums are equal", again).await?;
    report.step("the hub shows the servers as they are", cast.hub_sees(ServerState::Running)).await
}

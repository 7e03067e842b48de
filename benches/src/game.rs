//! The game that benches run: a shell that answers each line with the same line, and writes on demand.

use crate::{Outcome, client::Client};
use mamba_core::ids::TenantId;
use mamba_wire::api::{blueprint::ImportBlueprint, table};
use serde_json::{from_value, json};

/// Small image with nothing but a shell; `scripts/images probe` makes it.
pub(crate) const IMAGE: &str = "mamba/probe:1";
/// Lines of one step of `pace`; there are up to fourteen steps in a second.
pub(crate) const PACE_STEP_LINES: u64 = 5_000;
/// Lines of one second of `hum`.
pub(crate) const HUM_LINES: u64 = 50;

/// The shell line: `flood N` writes N lines as fast as it goes, `pace N` writes N times
/// [`PACE_STEP_LINES`] lines with pauses, `hum N` writes for N seconds. Each ends with `done N`.
pub(crate) const STARTUP: &str = r#"L="[12:00:00] [Server thread/INFO]: a line of a game that has something to say"
echo ready
while read -r w n; do case "$w" in
flood) yes "$L" | head -n "$n"; echo "done $n";;
pace) i=0; while [ $i -lt "$n" ]; do yes "$L" | head -n 5000; usleep 70000; i=$((i+1)); done; echo "done $n";;
hum) i=0; while [ $i -lt "$n" ]; do j=0; while [ $j -lt 50 ]; do echo "$L"; j=$((j+1)); done; sleep 1; i=$((i+1)); done; echo "done $n";;
*) echo "$w";;
esac; done"#;

/// Makes the game and a tenant that plays it.
pub(crate) async fn introduce(admin: &mut Client) -> Outcome<TenantId> {
    let blueprint = json!({
        "format": "MAMBA_v1", "key": "bench", "name": "Bench", "description": "Answers lines.",
        "images": [{ "label": "Shell", "image": IMAGE }], "startup": STARTUP,
        "done": [{ "contains": "ready" }], "stop": "SIGKILL", "stop_grace_ms": 1_000, "ports": [],
        "capabilities": [], "variables": [], "config_files": [],
    });
    let body = ImportBlueprint { content: serde_json::to_string(&blueprint)? };
    admin.call::<table::ImportBlueprint>(&(), &(), &body).await?;
    let owner = json!({ "email": "owner@tenant.example", "password": crate::hub::PASSWORD });
    let tenant = from_value(json!({ "name": "Tenant", "owner": owner }))?;
    Ok(admin.call::<table::CreateTenant>(&(), &(), &tenant).await?.tenant)
}

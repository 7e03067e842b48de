//! What the panel's first load costs in a real browser over a slow link: runs `benches/panel/load.mjs`
//! against a real hub with servers.

use crate::{
    Outcome,
    fleet::Fleet,
    hub::PASSWORD,
    report::{Figure, say},
};
use serde_json::Value;
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

/// The script, from the root of the repository, where `scripts/bench` runs.
const SCRIPT: &str = "benches/panel/load.mjs";
/// Longest run of the browser.
const BROWSER_MAX: Duration = Duration::from_secs(300);
/// Servers in the list that is loaded.
const SERVERS: u16 = 50;

/// Measures the panel.
pub(crate) async fn run(programs: &Path, out: &Path) -> Outcome<Vec<Figure>> {
    let fleet = Fleet::assemble(programs, out, (1, SERVERS)).await?;
    say("a browser on a slow link");
    let mut command = Command::new("node");
    command.arg(SCRIPT).arg(format!("http://{}", fleet.hub.http)).arg(PASSWORD);
    command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let done =
        timeout(BROWSER_MAX, command.output()).await.map_err(|_| "browser takes too long")??;
    // It fails when a limit is broken, and that is for the report to say.
    let seen: Value = serde_json::from_slice(&done.stdout).map_err(|err| {
        format!("`{SCRIPT}` says {err}: {}", String::from_utf8_lossy(&done.stderr).trim())
    })?;
    let number = |page: &str, name: &str| -> Outcome<f64> {
        let value = seen[page][name].as_f64();
        Ok(value.ok_or_else(|| format!("`{SCRIPT}` does not tell {page}.{name}"))?)
    };
    let kib = |page: &str| -> Outcome<f64> { Ok(number(page, "bytes")? / 1_024.0) };
    let slow = "at 1.6 Mbit/s, 150 ms, a quarter of the processor";
    Ok(vec![
        Figure::new("first load of the sign-in page", "KiB", kib("sign_in")?).at_most(250.0),
        Figure::new(
            &format!("sign-in page is useful {slow}"),
            "ms",
            number("sign_in", "useful_ms")?,
        )
        .at_most(2_000.0),
        Figure::new("first load of the list of servers", "KiB", kib("servers")?).at_most(250.0),
        Figure::new(
            &format!("list of servers is useful {slow}"),
            "ms",
            number("servers", "useful_ms")?,
        )
        .at_most(2_000.0),
        Figure::new("a server's page after the list", "KiB", kib("server_page")?).at_most(250.0),
        Figure::new("administration after that", "KiB", kib("admin_page")?).at_most(250.0),
    ])
}

//! `doctor`: looks at what a hub stands on, whether it runs or not.

use super::{
    CliError, Output,
    admin::{AdminReply, AdminRequest, Failure},
    show, socket,
};
use crate::{app::BALLAST_BYTES, identity, secrets, store::KIND};
use mamba_core::{
    clock::{Clock as _, SystemClock, UnixMs},
    db::{DataDir, DirError, FileDisk, Store, StoreHealth, StoreOptions, TxnError},
    error::chain,
};
use mamba_wire::node::{Check, CheckLevel};
use std::{os::unix::fs::MetadataExt, path::Path};

/// Times that a clock can show: 2026 to 2075.
const CLOCK_FROM: UnixMs = UnixMs(1_767_225_600_000);
const CLOCK_TO: UnixMs = UnixMs(3_345_062_400_000);
/// Room below which an operator should act: the store grows by doubling.
const DISK_FREE_WARN: u64 = 2 << 30;
/// Room below which a backup or the store may fail at any time.
const DISK_FREE_FAIL: u64 = 256 << 20;

/// Runs all checks; the command fails when one does.
pub(super) async fn run(data: &Path) -> Result<Output, CliError> {
    let mut checks = vec![clock(), directory(data), disk(data)];
    match socket::ask(data, &AdminRequest::Doctor).await {
        Ok(Some(AdminReply::Checks(found))) => {
            checks.push(check("hub", CheckLevel::Ok, "runs and answers on its local socket"));
            checks.extend(found);
        }
        Ok(Some(AdminReply::Failure(Failure::Refused(text) | Failure::Failed(text)))) => {
            checks.push(check("hub", CheckLevel::Fail, text));
        }
        Ok(Some(_)) => checks.push(check("hub", CheckLevel::Fail, "answers something else")),
        Ok(None) => {
            checks.push(check("hub", CheckLevel::Warn, "does not run"));
            checks.extend(store(data).await);
        }
        Err(err) => checks.push(check("hub", CheckLevel::Fail, chain(&err))),
    }
    show::checks(&checks)
}

fn check(name: &str, level: CheckLevel, text: impl Into<String>) -> Check {
    Check { name: name.to_owned(), level, text: text.into() }
}

fn clock() -> Check {
    let name = "clock";
    match SystemClock::new().map(|clock| clock.wall()) {
        Ok(now) if (CLOCK_FROM..CLOCK_TO).contains(&now) => {
            check(name, CheckLevel::Ok, now.to_string())
        }
        Ok(now) => check(name, CheckLevel::Fail, format!("shows {now}: set it")),
        Err(err) => check(name, CheckLevel::Fail, chain(&err)),
    }
}

fn directory(data: &Path) -> Check {
    let name = "data directory";
    match std::fs::metadata(data) {
        Err(err) => {
            check(name, CheckLevel::Fail, format!("`{}` cannot be used: {err}", data.display()))
        }
        Ok(found) if found.mode() & 0o077 != 0 => {
            let text = format!("`{}` lets other users in: chmod 700", data.display());
            check(name, CheckLevel::Fail, text)
        }
        Ok(_) => check(name, CheckLevel::Ok, data.display().to_string()),
    }
}

fn disk(data: &Path) -> Check {
    let name = "disk";
    match rustix::fs::statvfs(data) {
        Err(err) => check(name, CheckLevel::Fail, err.to_string()),
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let level = match free {
                ..DISK_FREE_FAIL => CheckLevel::Fail,
                DISK_FREE_FAIL..DISK_FREE_WARN => CheckLevel::Warn,
                DISK_FREE_WARN.. => CheckLevel::Ok,
            };
            check(name, level, format!("{} MiB free", free >> 20))
        }
    }
}

/// Looks at the store of a hub that does not run, without changing anything.
async fn store(data: &Path) -> Vec<Check> {
    let name = "store";
    let dir = match DataDir::peek(data, KIND) {
        Ok(dir) => dir,
        Err(err @ DirError::InUse { .. }) => {
            let text = format!("{}, which does not answer", chain(&err));
            return vec![check(name, CheckLevel::Fail, text)];
        }
        Err(err) => return vec![check(name, CheckLevel::Fail, chain(&err))],
    };
    let options = StoreOptions { cache_bytes: 16 << 20, ..StoreOptions::HUB };
    let store = match Store::inline(FileDisk::new(dir, BALLAST_BYTES), options) {
        Ok(store) => store,
        Err(err) => return vec![check(name, CheckLevel::Fail, chain(&err))],
    };
    let health = store.health().borrow().clone();
    let mut checks = vec![match health {
        // Opened to look at, it cannot be written by design.
        StoreHealth::Ok | StoreHealth::NoBallast { .. } | StoreHealth::ReadOnly => {
            check(name, CheckLevel::Ok, "can be read")
        }
        StoreHealth::Full { .. } => check(name, CheckLevel::Fail, "the disk is full"),
        StoreHealth::Corrupt { what } => {
            check(name, CheckLevel::Fail, format!("is damaged: {what}; restore a backup"))
        }
        StoreHealth::Failing { error, .. } => check(name, CheckLevel::Fail, error),
        StoreHealth::Closed => check(name, CheckLevel::Fail, "is closed"),
    }];
    checks.push(match secrets::load(&store) {
        Ok(_) => check("keys", CheckLevel::Ok, "are there"),
        Err(err) => check("keys", CheckLevel::Fail, chain(&err)),
    });
    checks.push(match store.read(identity::has_admin) {
        Ok(true) => check("administrator", CheckLevel::Ok, "is there"),
        Ok(false) => check("administrator", CheckLevel::Fail, "is missing: `mamba-hub init`"),
        Err::<_, TxnError>(err) => check("administrator", CheckLevel::Fail, chain(&err)),
    });
    store.close().await;
    checks
}

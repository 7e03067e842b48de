//! `restore`: a data directory from a copy, in a new life of the hub.

use super::{CliError, Output};
use crate::backup::{RestoreError, restore as restore_to};
use mamba_core::clock::{Clock as _, SystemClock};
use serde_json::json;
use std::path::Path;

/// Makes a data directory that must be missing or empty.
pub(super) async fn restore(data: &Path, file: &Path) -> Result<Output, CliError> {
    let now = SystemClock::new().map_err(|err| CliError::failed(&err))?.wall();
    let restored = restore_to(file, data, now).await.map_err(|err| match err {
        RestoreError::NotEmpty { .. } => CliError::Refused(err.to_string()),
        other => CliError::failed(&other),
    })?;
    let (records, incarnation) = (restored.report.pairs_count, restored.incarnation);
    let text = format!(
        "restored {} from {}: {records} records, life {incarnation} of this hub\n",
        data.display(),
        file.display(),
    );
    let json = json!({ "data": data, "records": records, "incarnation": incarnation });
    Ok(Output { text, json: format!("{json}\n"), is_good: true })
}

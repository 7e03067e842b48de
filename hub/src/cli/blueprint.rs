//! Blueprint files: reads them, tells what is wrong or unusual, and has the hub store them.

use super::{
    CliError, Output,
    admin::{AdminReply, AdminRequest, Failure},
};
use mamba_core::{
    blueprint::egg::{self, EGG_BYTES_MAX, Note},
    error::Invalid,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

/// What became of one file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Report {
    /// The file.
    file: PathBuf,
    /// Whether it is good.
    ok: bool,
    /// Its format and the short name it gets; for a stored one its version too.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    /// The problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// What is unusual.
    notes: Vec<Note>,
}

/// What the hub says about one stored file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) blueprint: String,
    pub(super) version: u32,
    pub(super) is_new: bool,
}

impl Report {
    fn failed(file: &Path, problem: String) -> Self {
        Self { file: file.into(), ok: false, found: None, problem: Some(problem), notes: vec![] }
    }
}

/// Reads each file, writes it in every format and reads that again.
pub(super) fn check(files: &[PathBuf]) -> Result<Output, CliError> {
    let check_one = |file: &PathBuf| match read(file) {
        Ok(it) => {
            let found = format!("{} `{}`", it.format, it.blueprint.key);
            Report {
                file: file.clone(),
                ok: true,
                found: Some(found),
                problem: None,
                notes: it.notes,
            }
        }
        Err(problem) => Report::failed(file, problem),
    };
    print(&files.iter().map(check_one).collect::<Vec<_>>())
}

/// Has the hub store each file. What is wrong with one keeps no other from being stored.
pub(super) async fn import(data: &Path, files: &[PathBuf]) -> Result<Output, CliError> {
    let mut reports = Vec::new();
    for file in files {
        let read = match read(file) {
            Ok(read) => read,
            Err(problem) => {
                reports.push(Report::failed(file, problem));
                continue;
            }
        };
        let text = serde_json::to_string(&read.blueprint).map_err(|err| CliError::failed(&err))?;
        let reply = super::reply(data, AdminRequest::ImportBlueprint { text }).await?;
        reports.push(match reply {
            AdminReply::Blueprint(Stored { blueprint, version, is_new }) => {
                let news = if is_new { "" } else { ", unchanged" };
                let found = Some(format!("{} `{blueprint}` version {version}{news}", read.format));
                let file = file.clone();
                Report { file, ok: true, found, problem: None, notes: read.notes }
            }
            AdminReply::Failure(Failure::Refused(text) | Failure::Failed(text)) => {
                Report::failed(file, text)
            }
            _ => return Err(CliError::Failed("the hub answered something else".to_owned())),
        });
    }
    print(&reports)
}

/// Reads a file and checks that it means the same after export.
fn read(file: &Path) -> Result<egg::Imported, String> {
    let mut bytes = Vec::new();
    // One byte more than is read, so that a file that is too large is seen as such.
    let most = EGG_BYTES_MAX as u64 + 1;
    let opened = File::open(file).and_then(|opened| opened.take(most).read_to_end(&mut bytes));
    opened.map_err(|err| format!("cannot be read: {err}"))?;
    let told = |err: Invalid| err.to_string();
    let read = egg::import(&bytes).map_err(told)?;
    egg::verify(&read.blueprint).map_err(told)?;
    Ok(read)
}

fn print(reports: &[Report]) -> Result<Output, CliError> {
    let mut text = String::new();
    for report in reports {
        let file = report.file.display();
        match (&report.problem, &report.found) {
            (Some(problem), _) => text.push_str(&format!("{file}: {problem}\n")),
            (None, found) => {
                let found = found.as_deref().unwrap_or_default();
                text.push_str(&format!("{file}: ok ({found})\n"));
            }
        }
        for note in &report.notes {
            text.push_str(&format!("  {}: {}\n", note.path, note.text));
        }
    }
    let good = reports.iter().filter(|report| report.ok).count();
    text.push_str(&format!("{good} of {} files are good\n", reports.len()));
    let json = serde_json::to_string_pretty(reports).map_err(|err| CliError::failed(&err))?;
    Ok(Output { text, json: format!("{json}\n"), is_good: good == reports.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_reported_and_one_bad_one_fails_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let (good, bad) = (dir.path().join("good.json"), dir.path().join("bad.json"));
        let blueprint = &mamba_core::blueprint::Blueprint::built_in()[0];
        std::fs::write(&good, egg::to_ptdl_v2(blueprint)).unwrap();
        std::fs::write(&bad, "{\"meta\": {\"version\": \"PTDL_v2\"}}").unwrap();
        let output = check(std::slice::from_ref(&good)).ok().unwrap();
        assert!(output.is_good && output.text.contains("ok (PTDL_v2 `armagetronad`)"));
        let output = check(&[good, bad, dir.path().join("none.json")]).ok().unwrap();
        assert!(!output.is_good);
        assert!(output.text.contains("bad.json: `name`: must not be empty\n"), "{}", output.text);
        assert!(output.text.contains("none.json: cannot be read"), "{}", output.text);
        assert!(output.text.ends_with("1 of 3 files are good\n"), "{}", output.text);
    }
}

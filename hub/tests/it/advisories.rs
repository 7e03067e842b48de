//! Past advisories of this field, each with the tests that would have caught it here.
//!
//! A test says in the comment above it which row it is of; `cargo test advisories -- --nocapture`
//! prints the tests of each row. A row without one says which part of the product, not built yet, it
//! is about, and must be moved up as soon as there is a test; a row that is about several parts says
//! which of them is not there yet.

use std::{fs, path::Path};

enum State {
    /// At least one test names it.
    Tested,
    /// At least one test names it, and there is more to test once.
    Partly(&'static str),
    /// Nothing to test yet, because.
    Later(&'static str),
}
use State::{Later, Partly, Tested};

const FILES: &str = "files and SFTP: the part that opens files for people is not there yet";
const BACKUPS: &str = "backups and archives: nothing reads or writes an archive yet";
const SFTP: &str = "SFTP: there is no SFTP server yet";

/// The row's identifiers and what is done about it.
const ROWS: &[(&[&str], State)] = &[
    (&["CVE-2025-49132", "GHSA-24wv"], Tested),
    (&["CVE-2026-26016", "GHSA-g7vw"], Tested),
    (&["GHSA-v97c-v3vw-p5ff"], Tested),
    (&["GHSA-43h8", "GHSA-4wxv"], Tested),
    (&["CVE-2019-1020002", "GHSA-fg52"], Tested),
    (&["CVE-2026-61609", "GHSA-xvc3"], Tested),
    (&["CVE-2021-41273", "GHSA-wwgq"], Tested),
    (&["CVE-2024-34067", "GHSA-384w"], Tested),
    (&["Panel 1.11.8"], Tested),
    (&["CVE-2026-54593", "GHSA-8r6w"], Tested),
    (&["CVE-2025-69199", "GHSA-8w7m"], Tested),
    (&["CVE-2026-21696", "GHSA-2497"], Tested),
    (&["CVE-2026-52855", "GHSA-pfvc"], Tested),
    (&["CVE-2026-52857", "GHSA-q6hh"], Tested),
    (&["CVE-2021-32699", "GHSA-jj6m"], Tested),
    (&["CVE-2023-32080", "GHSA-p744"], Tested),
    (&["CVE-2024-34066", "GHSA-gqmf"], Tested),
    (&["RUSTSEC-2024-0373", "RUSTSEC-2026-0037", "RUSTSEC-2026-0185", "RUSTSEC-2026-0258"], Tested),
    (
        &[
            "RUSTSEC-2024-0336",
            "RUSTSEC-2024-0399",
            "RUSTSEC-2026-0049",
            "RUSTSEC-2026-0098",
            "RUSTSEC-2026-0099",
            "RUSTSEC-2026-0104",
        ],
        Tested,
    ),
    (&["CVE-2025-69198", "GHSA-jw2v"], Tested),
    (&["CVE-2025-69197", "GHSA-rgmp"], Tested),
    (&["CVE-2021-41129"], Tested),
    (&["GHSA-j7f5"], Tested),
    (&["GHSA-7v3x"], Tested),
    (&["GHSA-pjmh"], Tested),
    (&["CVE-2025-68954", "GHSA-8c39", "GHSA-hr7j-63v7-vj7g"], Later(SFTP)),
    (&["CVE-2026-52856", "GHSA-ghrq", "RUSTSEC-2026-0154"], Later(SFTP)),
    (&["CVE-2026-61617", "GHSA-8j54"], Later(FILES)),
    (&["GHSA-rhq6-9rgh-v45c"], Later(FILES)),
    // The move of a server writes files that another node sends.
    (&["CVE-2024-27102", "GHSA-494h"], Partly(FILES)),
    (&["CVE-2023-25152", "CVE-2023-25168"], Partly(FILES)),
    (&["GHSA-6rg3", "CVE-2024-34068", "GHSA-qq22"], Later("pulling remote files is not there yet")),
    (&["Pelican wings #202"], Later(BACKUPS)),
    (
        &[
            "CVE-2025-62518",
            "RUSTSEC-2025-0110",
            "RUSTSEC-2025-0111",
            "RUSTSEC-2026-0066",
            "RUSTSEC-2026-0112",
            "RUSTSEC-2026-0145",
        ],
        Partly(BACKUPS),
    ),
    (
        &["RUSTSEC-2026-0067", "RUSTSEC-2026-0068", "RUSTSEC-2025-0168", "CVE-2024-51756"],
        Later(BACKUPS),
    ),
    (
        &[
            "CVE-2019-5736",
            "CVE-2021-30465",
            "CVE-2024-21626",
            "CVE-2025-31133",
            "CVE-2025-52565",
            "CVE-2025-52881",
            "CVE-2026-41579",
        ],
        Tested,
    ),
];

/// Folders with tests, from the root of the tree.
const FOLDERS: &[&str] = &["core", "wire", "edge", "hub"];

fn read(folder: &Path, sources: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, sources);
        } else if path.extension().is_some_and(|it| it == "rs") {
            sources.push(fs::read_to_string(&path).unwrap());
        }
    }
}

/// Returns the names of the tests that name one of the identifiers in the comment above them.
fn tests_of(sources: &[String], ids: &[&str]) -> Vec<String> {
    let mut found = vec![];
    for source in sources {
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((_, rest)) = line.split_once("fn ") else { continue };
            let is_above = |line: &&&str| line.starts_with("///") || line.starts_with("#[");
            let above: Vec<&str> = lines[..at].iter().rev().take_while(is_above).copied().collect();
            let is_test =
                above.iter().any(|it| it.ends_with("test]") || it.starts_with("#[tokio::test("));
            if is_test && ids.iter().any(|id| above.iter().any(|line| line.contains(id))) {
                found.push(rest.split('(').next().unwrap_or_default().to_owned());
            }
        }
    }
    found
}

#[test]
fn every_advisory_that_applies_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = vec![];
    for folder in FOLDERS {
        read(&root.join(folder), &mut sources);
    }
    let mut tested = 0;
    for (ids, state) in ROWS {
        let tests = tests_of(&sources, ids);
        println!("{}: {tests:?}", ids.join(" "));
        match state {
            Tested => {
                assert!(!tests.is_empty(), "no test names {ids:?}");
                tested += 1;
            }
            Partly(why) => {
                assert!(!tests.is_empty(), "no test names {ids:?}");
                assert!(why.len() > 10, "{ids:?} needs a reason");
                tested += 1;
            }
            Later(why) => {
                assert!(why.len() > 10, "{ids:?} needs a reason");
                assert_eq!(tests, [""; 0], "{ids:?} has a test: it is no more for later");
            }
        }
    }
    assert!(tested >= 29, "{tested}");
    assert_eq!(tests_of(&sources, &["CVE-0000-0000"]), [""; 0], "the test can fail");
}

/// RUSTSEC-2024-0373, RUSTSEC-2026-0037, RUSTSEC-2026-0185 (quinn-proto) and RUSTSEC-2026-0258 (h2):
/// remote panics and memory without bound. RUSTSEC-2024-0336, RUSTSEC-2024-0399 (rustls): endless loop,
/// panic. RUSTSEC-2026-0049, RUSTSEC-2026-0098, RUSTSEC-2026-0099, RUSTSEC-2026-0104 (rustls-webpki):
/// revocation lists and name constraints. CVE-2025-62518, RUSTSEC-2025-0110, RUSTSEC-2025-0111,
/// RUSTSEC-2026-0066, RUSTSEC-2026-0112, RUSTSEC-2026-0145 (forks of tar): entries smuggled in.
#[test]
fn libraries_are_newer_than_their_advisories() {
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
    let lock: toml::Table = toml::from_str(&fs::read_to_string(lock).unwrap()).unwrap();
    let packages = lock["package"].as_array().unwrap();
    let number = |text: &str| -> Vec<u32> {
        text.split(['.', '-', '+']).take(3).map(|part| part.parse().unwrap_or(0)).collect()
    };
    let mut seen = 0;
    for (name, least) in [
        ("quinn-proto", "0.11.15"),
        ("h2", "0.4.20"),
        ("rustls", "0.23.18"),
        ("rustls-webpki", "0.103.13"),
    ] {
        for package in packages.iter().filter(|it| it["name"].as_str() == Some(name)) {
            let version = package["version"].as_str().unwrap();
            assert!(number(version) >= number(least), "{name} {version} is older than {least}");
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
    // Unmaintained or with known holes, and never needed.
    for name in ["tokio-tar", "async-tar", "astral-tokio-tar", "krata-tokio-tar"] {
        assert!(packages.iter().all(|it| it["name"].as_str() != Some(name)), "{name}");
    }
}

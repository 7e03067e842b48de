//! `mamba-hub reconcile` as an operator runs it, on a store that no hub has open.

use mamba_core::{
    clock::UnixMs,
    db::{DataDir, Store, StoreOptions},
    fact::Quantities,
    ids::{ServerId, TenantId},
};
use mamba_hub::store::{HOURS, HourRecord, KIND};
use std::{
    path::Path,
    process::{Command, Output},
};

fn hub(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mamba-hub"));
    command.arg("--data").arg(data).args(args).output().unwrap()
}

/// Adds an hour that nobody measured.
async fn invent_an_hour(data: &Path) {
    let dir = DataDir::open(data, KIND).unwrap();
    let store = Store::open(&dir, 0, StoreOptions::EDGE).unwrap();
    let key = (TenantId::from_bytes([1; 16]), ServerId::from_bytes([2; 16]), UnixMs(3_600_000));
    let billed = Quantities { egress: 7, ..Quantities::default() };
    let hour = HourRecord { billed, updated_at: UnixMs(0) };
    let put = store.write(move |txn| txn.put(HOURS, &key, &hour)).await;
    put.unwrap();
    store.close().await;
}

#[tokio::test]
async fn the_exit_code_tells_whether_the_books_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("hub");
    assert_eq!(hub(&data, &["init"]).status.code(), Some(0));
    let good = hub(&data, &["reconcile"]);
    let text = String::from_utf8(good.stdout).unwrap();
    assert_eq!(good.status.code(), Some(0), "{text}");
    assert!(text.ends_with("everything adds up\n"), "{text}");

    invent_an_hour(&data).await;
    let bad = hub(&data, &["reconcile"]);
    let text = String::from_utf8(bad.stdout).unwrap();
    assert_eq!(bad.status.code(), Some(1), "{text}");
    assert!(text.contains("WRONG: hour 1970-01-01T01:00:00.000Z of server"), "{text}");
    let json = hub(&data, &["reconcile", "--json"]);
    assert_eq!(json.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["rows"][0]["buckets"], "7");
    assert_eq!(report["problems_count"], 1);
    let today = hub(&data, &["reconcile", "--days", "1", "--json"]);
    assert_eq!(today.status.code(), Some(1), "what is not shown is checked, too");
}

//! Verified copies.

use super::*;
use std::fs;

fn fill(store: &Store, rows: u32) {
    run(async {
        for first in (0..rows).step_by(400) {
            store
                .write(move |txn| {
                    for row in first..rows.min(first + 400) {
                        txn.put(ROWS, &(row % 7, row), &row.to_be_bytes().repeat(50))?;
                    }
                    count_up(txn, "chunks")
                })
                .await
                .unwrap();
        }
    });
}

#[test]
fn a_backup_restores_to_a_store_with_the_same_digest() {
    let temp = tempfile::tempdir().unwrap();
    let store = open_in(&temp.path().join("old"));
    fill(&store, 1_500);
    let target = temp.path().join("backup.redb");
    let look = |txn: &ReadTxn| txn.get(COUNTS, &"chunks".to_owned());
    let (report, chunks) = backup(&store, KIND, &target, look).unwrap();
    assert_eq!((report.pairs_count, chunks), (1_501, Some(4)));
    // What came later is not in it.
    run(store.write(|txn| count_up(txn, "later"))).unwrap();

    let dir = DataDir::open(&temp.path().join("new"), KIND).unwrap();
    assert_eq!(restore(&target, &dir).unwrap(), report);
    let restored = Store::open(&dir, 0, StoreOptions::EDGE).unwrap();
    assert_eq!(count_of(&restored, "later"), None);
    let rows = |store: &Store| store.read(|txn| txn.range(ROWS, Span::all(), 9_999)).unwrap();
    assert_eq!(rows(&restored), rows(&store));
    let again = temp.path().join("again.redb");
    assert_eq!(backup(&restored, KIND, &again, |_| Ok(())).unwrap().0, report);
    run(restored.close());
    run(store.close());
}

#[test]
fn an_empty_store_can_be_copied() {
    let temp = tempfile::tempdir().unwrap();
    let store = open_in(&temp.path().join("old"));
    let target = temp.path().join("backup.redb");
    let (report, ()) = backup(&store, KIND, &target, |_| Ok(())).unwrap();
    assert_eq!(report.pairs_count, 0);
    let dir = DataDir::open(&temp.path().join("new"), KIND).unwrap();
    assert_eq!(restore(&target, &dir).unwrap(), report);
    run(store.close());
}

#[test]
fn wrong_sources_and_targets_are_refused_and_leave_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let store = open_in(&temp.path().join("old"));
    fill(&store, 100);
    let target = temp.path().join("backup.redb");
    backup(&store, KIND, &target, |_| Ok(())).unwrap();
    let err = backup(&store, KIND, &target, |_| Ok(())).unwrap_err();
    assert!(matches!(err, BackupError::Exists { .. }), "{err:?}");
    run(store.close());

    let check = |name: &str, kind: StoreKind, source: &std::path::Path, expected: &str| {
        let dir = DataDir::open(&temp.path().join(name), kind).unwrap();
        let err = restore(source, &dir).unwrap_err().to_string();
        assert!(err.contains(expected), "{err}");
        assert!(!dir.has_store());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "only LOCK and FORMAT");
    };
    let other = StoreKind { name: "other", version: 3 };
    check("a", other, &target, "is a backup of kind `test`, not `other`");
    let older = StoreKind { name: "test", version: 2 };
    check("b", older, &target, "has version 3, this release knows versions up to 2");
    check("c", KIND, &temp.path().join("old/store.redb"), "is not a backup");
    let damaged = temp.path().join("damaged.redb");
    fs::write(&damaged, &fs::read(&target).unwrap()[..10_000]).unwrap();
    check("d", KIND, &damaged, "could not be read");
    check("e", KIND, &temp.path().join("missing"), "could not be read");
}

//! Power cuts and failing disks: what was acknowledged is there, what was not is whole or absent.

use super::*;
use crate::db::sim::{SimDisk, SimMode};
use proptest::prelude::*;

const ROWS_PER_WRITE: u32 = 3;
const WRITES: u32 = 8;
const BALLAST_BYTES: u64 = 256 << 10;

fn start(disk: &SimDisk) -> Store {
    Store::inline(disk.clone(), StoreOptions::EDGE).unwrap()
}

/// Writes three rows and a count in one transaction. The rows are as large as `bytes`.
async fn write_group(store: &Store, group: u32, bytes: usize) -> Result<u64, WriteError<TxnError>> {
    store
        .write(move |txn| {
            for row in 0..ROWS_PER_WRITE {
                txn.put(ROWS, &(group, row), &row.to_be_bytes().repeat(bytes / 4))?;
            }
            count_up(txn, "groups")
        })
        .await
}

/// The groups in the store, after checking that each is whole and that the count agrees.
fn groups(store: &Store) -> Vec<u32> {
    let rows = store.read(|txn| txn.range(ROWS, Span::all(), usize::MAX)).unwrap();
    let keys: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
    let groups: Vec<u32> = keys.iter().filter(|key| key.1 == 0).map(|key| key.0).collect();
    let whole = groups.iter().flat_map(|&group| (0..ROWS_PER_WRITE).map(move |row| (group, row)));
    assert_eq!(keys, whole.collect::<Vec<_>>(), "a torn transaction");
    assert_eq!(count_of(store, "groups").unwrap_or(0), groups.len() as u64);
    groups
}

/// Writes groups until one fails. Returns the acknowledged ones.
fn write_until_failure(store: &Store) -> Vec<u32> {
    run(async {
        let mut acknowledged = Vec::new();
        for group in 0..WRITES {
            match write_group(store, group, 700).await {
                Ok(_) => acknowledged.push(group),
                Err(err) => {
                    assert!(err.is_retryable(), "{err:?}");
                    break;
                }
            }
        }
        acknowledged
    })
}

#[test]
fn power_cut_at_every_change_keeps_what_was_acknowledged_and_tears_nothing() {
    let mut cuts = 0;
    for cut_at in 1.. {
        let disk = SimDisk::new(BALLAST_BYTES);
        let store = start(&disk);
        disk.cut_power(cut_at);
        let acknowledged = write_until_failure(&store);
        if acknowledged.len() == WRITES as usize {
            break;
        }
        cuts += 1;
        for seed in 0..3 {
            let found = groups(&start(&disk.crash(seed)));
            let with_next: Vec<u32> = (0..).take(acknowledged.len() + 1).collect();
            assert!(
                found == acknowledged || found == with_next,
                "cut at {cut_at}, seed {seed}: acknowledged {acknowledged:?}, found {found:?}"
            );
        }
    }
    assert!(cuts > 8 * 4, "only {cuts} cuts: the disk does not see the store's changes");
}

#[test]
fn one_failure_at_every_change_is_overcome_and_a_later_power_cut_loses_nothing() {
    for fail_at in 1.. {
        let disk = SimDisk::new(BALLAST_BYTES);
        let store = start(&disk);
        disk.fail_change(fail_at);
        let acknowledged = write_until_failure(&store);
        if acknowledged.len() == WRITES as usize {
            break;
        }
        // The disk failed once: the store has reopened itself already.
        assert_eq!(*store.health().borrow(), StoreHealth::Ok, "fail at {fail_at}");
        run(write_group(&store, 1_000, 700)).unwrap();
        let found = groups(&store);
        assert!(acknowledged.iter().all(|group| found.contains(group)));
        for seed in 0..2 {
            assert_eq!(groups(&start(&disk.crash(seed))), found, "fail at {fail_at}");
        }
    }
}

/// Fills the disk until a write fails, and returns the acknowledged groups.
async fn fill(store: &Store, first: u32) -> Vec<u32> {
    let mut acknowledged = Vec::new();
    for group in first..first + 1_000 {
        match write_group(store, group, 4_000).await {
            Ok(_) => acknowledged.push(group),
            Err(WriteError::NotApplied(Fault::Full) | WriteError::Unknown(Fault::Full)) => {
                return acknowledged;
            }
            Err(err) => panic!("{err:?}"),
        }
    }
    panic!("the disk never filled up");
}

#[test]
fn full_disk_gives_up_its_ballast_and_gets_well_when_space_is_back() {
    let disk = SimDisk::new(BALLAST_BYTES);
    let store = start(&disk);
    let health = store.health();
    disk.set_capacity(Some(disk.used_bytes() + (300 << 10)));
    run(async {
        let mut acknowledged = fill(&store, 0).await;
        assert!(!acknowledged.is_empty());
        assert_eq!(*health.borrow(), StoreHealth::Full { can_write: true });
        assert!(!disk.has_ballast());
        let found = groups(&store);
        assert!(acknowledged.iter().all(|group| found.contains(group)));

        // The ballast's space is good for some more writes, deletes among them.
        store.write(|txn| txn.delete(ROWS, &(9_999, 0))).await.unwrap();
        acknowledged.extend(fill(&store, 2_000).await);
        assert!(acknowledged.iter().any(|&group| group >= 2_000));

        // Now it is really full: nothing can be written, everything can be read.
        let mut failures = 0;
        while *health.borrow() != (StoreHealth::Full { can_write: false }) {
            failures += 1;
            assert!(failures < 50, "{:?}", *health.borrow());
            write_group(&store, 5_000, 4_000).await.ok();
        }
        let found = groups(&store);
        assert!(acknowledged.iter().all(|group| found.contains(group)));

        disk.set_capacity(None);
        write_group(&store, 6_000, 4_000).await.unwrap();
        assert_eq!(*health.borrow(), StoreHealth::Ok);
        assert!(disk.has_ballast());
        assert!(groups(&store).contains(&6_000));
    });
}

#[test]
fn read_only_disk_is_named_and_still_read_even_if_the_store_needs_repair() {
    let disk = SimDisk::new(BALLAST_BYTES);
    let store = start(&disk);
    assert_eq!(write_until_failure(&store).len(), WRITES as usize);
    disk.set_mode(SimMode::ReadOnly);
    let err = run(write_group(&store, 100, 10)).unwrap_err();
    assert!(
        matches!(
            err,
            WriteError::NotApplied(Fault::ReadOnly) | WriteError::Unknown(Fault::ReadOnly)
        ),
        "{err:?}"
    );
    assert_eq!(*store.health().borrow(), StoreHealth::ReadOnly);
    assert_eq!(groups(&store).len(), WRITES as usize);

    // The power fails too: the next start finds an unclean store that it may not repair.
    let crashed = disk.crash(1);
    crashed.set_mode(SimMode::ReadOnly);
    let store = start(&crashed);
    assert_eq!(*store.health().borrow(), StoreHealth::ReadOnly);
    assert_eq!(groups(&store).len(), WRITES as usize);
    assert_eq!(crashed.changes_count(), 0);

    crashed.set_mode(SimMode::Works);
    run(write_group(&store, 100, 10)).unwrap();
    assert_eq!(*store.health().borrow(), StoreHealth::Ok);
}

#[test]
fn dead_disk_fails_everything_until_it_is_back() {
    let disk = SimDisk::new(BALLAST_BYTES);
    let store = start(&disk);
    assert_eq!(write_until_failure(&store).len(), WRITES as usize);
    disk.set_mode(SimMode::Dead);
    assert!(run(write_group(&store, 100, 10)).unwrap_err().is_retryable());
    let health = store.health().borrow().clone();
    assert!(matches!(health, StoreHealth::Failing { .. }), "{health:?}");
    assert!(store.read(|txn| txn.get(COUNTS, &"groups".to_owned())).is_err());
    disk.set_mode(SimMode::Works);
    run(write_group(&store, 100, 10)).unwrap();
    assert_eq!(groups(&store).len(), WRITES as usize + 1);
}

#[test]
fn the_writer_thread_reopens_a_store_by_itself() {
    let disk = SimDisk::new(BALLAST_BYTES);
    let store = Store::start(disk.clone(), StoreOptions::EDGE).unwrap();
    run(async {
        write_group(&store, 1, 10).await.unwrap();
        disk.set_mode(SimMode::Dead);
        assert!(write_group(&store, 2, 10).await.unwrap_err().is_retryable());
        let mut health = store.health();
        assert!(!health.borrow().can_write());
        disk.set_mode(SimMode::Works);
        // Nobody writes: the thread's own alarm has to notice.
        health.wait_for(StoreHealth::can_write).await.unwrap();
        write_group(&store, 3, 10).await.unwrap();
        assert_eq!(groups(&store), [1, 3]);
        store.close().await;
    });
}

#[test]
fn a_failure_that_only_a_reader_met_is_overcome_too() {
    let disk = SimDisk::new(BALLAST_BYTES);
    assert_eq!(write_until_failure(&start(&disk)).len(), WRITES as usize);
    let without_cache = StoreOptions { cache_bytes: 0, ..StoreOptions::EDGE };
    let store = Store::start(disk.clone(), without_cache).unwrap();
    run(async {
        disk.set_mode(SimMode::Dead);
        assert!(store.read(|txn| txn.range(ROWS, Span::all(), 100)).is_err());
        disk.set_mode(SimMode::Works);
        // Nobody writes: the reader alone has told the engine.
        let read = || store.read(|txn| txn.range(ROWS, Span::all(), 100)).is_ok();
        assert!((0..10_000_000).any(|_| {
            std::thread::yield_now();
            read()
        }));
        assert_eq!(groups(&store).len(), WRITES as usize);
        store.close().await;
    });
}

#[test]
fn damaged_and_newer_files_are_told_apart() {
    for (offset, bytes, is_newer) in [
        (0, [0; 9].as_slice(), false),
        // The format version in front of both commit slots.
        (64, &[9], true),
        (192, &[9], true),
    ] {
        let disk = SimDisk::new(0);
        let store = start(&disk);
        run(write_group(&store, 1, 10)).unwrap();
        run(store.close());
        disk.damage(offset, bytes);
        match Store::inline(disk, StoreOptions::EDGE) {
            Err(Fault::Newer { found: 9, known: 3 }) => assert!(is_newer),
            Err(Fault::Corrupt { .. }) => assert!(!is_newer),
            other => panic!("offset {offset}: {:?}", other.err()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever bytes are damaged, opening and reading ends: with the data, or with an error.
    #[test]
    fn damage_anywhere_never_kills_the_process(at in 0..1_000_usize, bytes: [u8; 16]) {
        check_damage(at, &bytes);
    }
}

#[test]
fn a_damaged_page_that_redb_panics_on_is_told_as_damage() {
    let mut bytes = [0; 16];
    bytes[15] = 1;
    check_damage(759, &bytes);
}

#[track_caller]
fn check_damage(at: usize, bytes: &[u8; 16]) {
    let disk = SimDisk::new(0);
    let store = start(&disk);
    write_until_failure(&store);
    run(store.close());
    let used = usize::try_from(disk.used_bytes()).unwrap();
    disk.damage((used - bytes.len()) * at / 1_000, bytes);
    if let Ok(store) = Store::inline(disk, StoreOptions::EDGE) {
        store.read(|txn| txn.range(ROWS, Span::all(), 100)).ok();
        run(write_group(&store, 100, 10)).ok();
    }
}

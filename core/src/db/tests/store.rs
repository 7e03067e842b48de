//! The store on a real disk: group commit, isolation, limits.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug, thiserror::Error)]
enum TestError {
    #[error("refused on purpose")]
    OnPurpose,
    #[error(transparent)]
    Txn(#[from] TxnError),
}

#[test]
fn a_write_is_read_back_and_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let store = open_in(dir.path());
        let revision = store.subscribe();
        let opened = *revision.borrow();
        assert_eq!(store.write(|txn| count_up(txn, "a")).await.unwrap(), 1);
        assert_eq!(*revision.borrow(), opened + 1, "before the writer is told");
        assert_eq!(store.write(|txn| count_up(txn, "a")).await.unwrap(), 2);
        assert_eq!(*revision.borrow(), opened + 2);
        store.write(|txn| txn.get(COUNTS, &"a".to_owned())).await.unwrap();
        assert_eq!(*revision.borrow(), opened + 2, "what only reads moves nothing");
        assert_eq!(*store.health().borrow(), StoreHealth::Ok);
        store.close().await;
        let err = store.write(|txn| count_up(txn, "a")).await.unwrap_err();
        assert!(matches!(err, WriteError::NotApplied(Fault::Closed)), "{err:?}");
        let store = open_in(dir.path());
        assert_eq!(count_of(&store, "a"), Some(2));
        store.close().await;
    });
}

#[test]
fn commands_that_wait_together_share_a_commit_and_a_failing_one_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let store = open_in(dir.path());
        let mut writes = tokio::task::JoinSet::new();
        for number in 0..300_u32 {
            let store = store.clone();
            writes.spawn(async move {
                let result = store
                    .write(move |txn| -> Result<u64, TestError> {
                        txn.put(ROWS, &(1, number), &vec![1])?;
                        let count = count_up(txn, "all")?;
                        match number % 3 {
                            0 => Err(TestError::OnPurpose),
                            1 => Ok(count),
                            _ => panic!("on purpose"),
                        }
                    })
                    .await;
                (number, result)
            });
        }
        let mut counts = Vec::new();
        while let Some(joined) = writes.join_next().await {
            match joined.unwrap() {
                (number, Err(WriteError::Refused(TestError::OnPurpose))) => {
                    assert_eq!(number % 3, 0);
                }
                (number, Ok(count)) => {
                    assert_eq!(number % 3, 1);
                    counts.push(count);
                }
                (number, Err(WriteError::Panicked)) => assert_eq!(number % 3, 2),
                other => panic!("{other:?}"),
            }
        }
        counts.sort_unstable();
        assert_eq!(counts, (1..=100).collect::<Vec<_>>(), "each saw the ones before it");
        let revision = *store.subscribe().borrow();
        assert!(revision < 50, "revision {revision}");
        let rows = store.read(|txn| txn.prefix(ROWS, &(1,), 1_000)).unwrap();
        let numbers: Vec<u32> = rows.iter().map(|((_, number), _)| *number).collect();
        assert_eq!(numbers, (0..300).filter(|number| number % 3 == 1).collect::<Vec<_>>());
        store.close().await;
    });
}

#[test]
fn a_transaction_above_the_limits_applies_nothing_even_if_it_returns_ok() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path(), KIND).unwrap();
    let txn = TxnLimits { ops_max: 3, bytes_max: 100 };
    let options = StoreOptions { txn, ..StoreOptions::EDGE };
    let store = Store::open(&data, 0, options).unwrap();
    run(async {
        for (rows, bytes, is_fine) in [(3, 10, true), (4, 10, false), (1, 200, false)] {
            let result = store
                .write(move |txn| -> Result<(), TestError> {
                    for row in 0..rows {
                        txn.put(ROWS, &(bytes, row), &vec![0; bytes as usize]).ok();
                        // Writing the same key again takes no second place.
                        txn.put(ROWS, &(bytes, row), &vec![0; bytes as usize]).ok();
                    }
                    Ok(())
                })
                .await;
            match result {
                Ok(()) => assert!(is_fine),
                Err(WriteError::TooLarge(err)) => assert!(!is_fine, "{err}"),
                Err(err) => panic!("{err:?}"),
            }
        }
        assert_eq!(store.read(|txn| txn.range(ROWS, Span::all(), 10)).unwrap().len(), 3);
        store.close().await;
    });
}

#[test]
fn closures_can_be_run_twice_without_doing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path(), KIND).unwrap();
    let options = StoreOptions { runs_twice: true, ..StoreOptions::EDGE };
    let store = Store::inline(FileDisk::new(data, 0), options).unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&runs);
    let count = run(store.write(move |txn| {
        counter.fetch_add(1, Ordering::Relaxed);
        count_up(txn, "a")
    }));
    assert_eq!(count.unwrap(), 1);
    assert_eq!(runs.load(Ordering::Relaxed), 2);
}

#[test]
fn a_held_snapshot_does_not_keep_the_store_from_closing_and_opening() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let store = open_in(dir.path());
        store.write(|txn| count_up(txn, "a")).await.unwrap();
        let old = store.snapshot().unwrap();
        store.close().await;
        let store = open_in(dir.path());
        assert_eq!(store.write(|txn| count_up(txn, "a")).await.unwrap(), 2);
        assert!(matches!(old.get(COUNTS, &"a".to_owned()), Err(_) | Ok(Some(1))));
        store.close().await;
    });
}

#[test]
fn a_dropped_caller_leaves_the_store_working() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let store = open_in(dir.path());
        for _ in 0..50 {
            let write = store.write(|txn| count_up(txn, "dropped"));
            // Polled once, so it is queued, and then forgotten.
            tokio::select! { biased; _ = write => {}, () = std::future::ready(()) => {} }
        }
        // Whatever was queued comes before this one.
        store.write(|txn| count_up(txn, "a")).await.unwrap();
        assert!(count_of(&store, "dropped").unwrap() <= 50);
        assert_eq!(count_of(&store, "a"), Some(1));
        store.close().await;
    });
}

#[test]
fn followers_hear_of_their_tables_only_and_of_what_they_missed() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let store = open_in(dir.path());
        store.write(|txn| count_up(txn, "before")).await.unwrap();
        let mut counts = store.follow(&[COUNTS.def()]);
        let mut rows = store.follow(&[ROWS.def()]);
        let put = |txn: &mut Txn<'_>| {
            count_up(txn, "a")?;
            txn.put(ROWS, &(1, 2), &vec![7])
        };
        store.write(put).await.unwrap();
        let refused = |txn: &mut Txn<'_>| {
            count_up(txn, "refused")?;
            Err::<(), _>(TestError::OnPurpose)
        };
        store.write(refused).await.unwrap_err();
        store.write(|txn| txn.delete(ROWS, &(1, 2))).await.unwrap();
        let Some(Followed::Keys(keys)) = counts.next().await else { panic!("nothing told") };
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[0].of(COUNTS), Some("a".to_owned()));
        assert_eq!(keys[0].of(ROWS), None);
        for _ in 0..2 {
            let Some(Followed::Keys(keys)) = rows.next().await else { panic!("nothing told") };
            assert_eq!(keys.iter().map(|key| key.of(ROWS)).collect::<Vec<_>>(), [Some((1, 2))]);
        }
        for _ in 0..300 {
            store.write(|txn| count_up(txn, "a")).await.unwrap();
        }
        assert_eq!(counts.next().await, Some(Followed::Missed));
        assert!(matches!(counts.next().await, Some(Followed::Keys(_))), "it goes on after that");
        store.close().await;
    });
}

//! Transactions against a plain model.

use super::*;
use crate::db::sim::SimDisk;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Put(u32, u8),
    Delete(u32),
    Page(u32, u32, usize),
    Last(u32, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..8_u32, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        (0..8_u32).prop_map(Step::Delete),
        (0..9_u32, 0..9_u32, 0..5_usize)
            .prop_map(|(low, high, limit)| Step::Page(low, high, limit)),
        (0..9_u32, 0..9_u32).prop_map(|(low, high)| Step::Last(low, high)),
    ];
    prop::collection::vec(step, 0..24)
}

type Model = BTreeMap<(u32, u32), Vec<u8>>;

fn within(model: &Model, low: u32, high: u32) -> Vec<((u32, u32), Vec<u8>)> {
    let pairs = model.iter().filter(|((_, row), _)| (low..high).contains(row));
    pairs.map(|(key, value)| (*key, value.clone())).collect()
}

/// Runs the steps on both and compares each answer.
fn run_steps(steps: &[Step], txn: &mut Txn<'_>, model: &mut Model) -> Result<(), TxnError> {
    for step in steps {
        match *step {
            Step::Put(key, value) => {
                txn.put(ROWS, &(1, key), &vec![value])?;
                model.insert((1, key), vec![value]);
            }
            Step::Delete(key) => {
                txn.delete(ROWS, &(1, key))?;
                model.remove(&(1, key));
            }
            Step::Page(low, high, limit) => {
                let page = txn.range(ROWS, Span::keys((1, low)..(1, high)), limit)?;
                let mut expected = within(model, low, high);
                expected.truncate(limit);
                assert_eq!(page, expected, "{step:?}");
            }
            Step::Last(low, high) => {
                let last = txn.last(ROWS, Span::keys((1, low)..(1, high)))?;
                assert_eq!(last, within(model, low, high).pop(), "{step:?}");
            }
        }
        for key in 0..8 {
            assert_eq!(txn.get(ROWS, &(1, key))?.as_ref(), model.get(&(1, key)));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn transactions_agree_with_a_map(batches in prop::collection::vec((steps(), any::<bool>()), 1..5)) {
        let store = Store::inline(SimDisk::new(0), StoreOptions::EDGE).unwrap();
        // Neighbours in other groups and tables must never show.
        run(store.write(|txn| {
            txn.put(ROWS, &(0, u32::MAX), &vec![0])?;
            txn.put(ROWS, &(2, 0), &vec![2])?;
            count_up(txn, "neighbour")
        })).unwrap();
        let mut model = Model::new();
        for (steps, is_kept) in batches {
            let before = model.clone();
            let result = run(store.write(move |txn| {
                let mut model = before.clone();
                run_steps(&steps, txn, &mut model)?;
                if is_kept { Ok(model) } else { Err(TxnError::Storage(Fault::Closed)) }
            }));
            match result {
                Ok(after) => model = after,
                Err(WriteError::Refused(_)) => prop_assert!(!is_kept),
                Err(err) => panic!("{err:?}"),
            }
            let stored = store.read(|txn| txn.prefix(ROWS, &(1,), 100)).unwrap();
            prop_assert_eq!(stored.into_iter().collect::<Model>(), model.clone());
        }
    }
}

#[test]
fn reads_of_the_snapshot_are_recorded_and_own_writes_are_not() {
    let store = Store::inline(SimDisk::new(0), StoreOptions::EDGE).unwrap();
    let reads = run(store.write(|txn| {
        txn.put(ROWS, &(1, 1), &vec![1])?;
        txn.get(ROWS, &(1, 1))?;
        assert_eq!(txn.reads(), []);
        txn.get(ROWS, &(1, 2))?;
        txn.prefix(ROWS, &(3,), 10)?;
        Ok::<_, TxnError>(txn.reads())
    }))
    .unwrap();
    let key = |group: u32, row: u32| [&[0, 2][..], &(group, row).to_key_bytes()].concat();
    assert_eq!(reads.len(), 2);
    assert!(reads[0].contains(&key(1, 2)) && !reads[0].contains(&key(1, 1)));
    assert!(reads[1].contains(&key(3, 0)) && reads[1].contains(&key(3, u32::MAX)));
    assert!(!reads[1].contains(&key(4, 0)));

    let folded = run(store.write(|txn| {
        for row in 0..10_000 {
            txn.get(ROWS, &(1, row))?;
        }
        Ok::<_, TxnError>(txn.reads())
    }))
    .unwrap();
    assert!(folded.len() <= 4_096);
    for row in 0..10_000 {
        assert!(folded.iter().any(|span| span.contains(&key(1, row))) || row == 1);
    }
}

#[test]
fn undecodable_pairs_name_their_table() {
    const NUMBERS: Table<u64, u64> = Table::new(2, "numbers over rows");
    let store = Store::inline(SimDisk::new(0), StoreOptions::EDGE).unwrap();
    run(store.write(|txn| txn.put(ROWS, &(1, 1), &vec![0xff; 9]))).unwrap();
    let err = store.read(|txn| txn.get(NUMBERS, &((1 << 32) | 1))).unwrap_err();
    assert_eq!(err.to_string(), "a record of table `numbers over rows` could not be converted");
    const SHORT: Table<u32, u64> = Table::new(2, "short keys");
    let err = store.read(|txn| txn.first(SHORT, Span::all())).unwrap_err();
    assert_eq!(err.to_string(), "a key of table `short keys` could not be decoded");
}

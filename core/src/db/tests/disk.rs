//! A real file system that fills up: needs an empty one of at most 64 MiB.

use super::*;
use std::fs;
use std::path::PathBuf;

const VARIABLE: &str = "MAMBA_TEST_SMALL_DISK";
const BALLAST_BYTES: u64 = 1 << 20;
const FILLER_BYTES: usize = 16 << 10;

async fn put_row(store: &Store, row: u32) -> Result<(), WriteError<TxnError>> {
    store.write(move |txn| txn.put(ROWS, &(1, row), &vec![7; 50_000])).await
}

/// Takes all the space that is left.
fn fill_up(path: &std::path::Path) {
    use std::io::Write;
    let mut filler = fs::File::create(path).unwrap();
    while filler.write_all(&[1; FILLER_BYTES]).is_ok() {}
    filler.sync_all().ok();
}

#[test]
fn full_file_system_is_survived_and_noticed_when_it_has_space_again() {
    let Some(disk) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        println!("skipped: {VARIABLE} names no small file system");
        return;
    };
    let data = disk.join("data");
    fs::remove_dir_all(&data).ok();
    let filler = disk.join("filler");
    let dir = DataDir::open(&data, KIND).unwrap();
    let store = Store::open(&dir, BALLAST_BYTES, StoreOptions::EDGE).unwrap();
    let health = store.health();
    run(async {
        put_row(&store, 0).await.unwrap();
        assert_eq!(*health.borrow(), StoreHealth::Ok);
        fill_up(&filler);
        let mut acknowledged = vec![0];
        for row in 1..2_000 {
            match put_row(&store, row).await {
                Ok(()) => acknowledged.push(row),
                Err(WriteError::NotApplied(Fault::Full) | WriteError::Unknown(Fault::Full)) => {
                    println!("row {row}: full, health {:?}", *health.borrow());
                    if !health.borrow().can_write() {
                        break;
                    }
                }
                Err(err) => panic!("{err:?}"),
            }
        }
        assert!(matches!(*health.borrow(), StoreHealth::Full { can_write: false }));
        assert!(!data.join("ballast").exists());
        let rows = |store: &Store| -> Vec<u32> {
            let rows = store.read(|txn| txn.prefix(ROWS, &(1,), 9_999)).unwrap();
            rows.into_iter().map(|((_, row), _)| row).collect()
        };
        let found = rows(&store);
        assert!(acknowledged.iter().all(|row| found.contains(row)), "{acknowledged:?} {found:?}");

        // A second start on the full disk works as far as a full disk lets it.
        store.close().await;
        drop(dir);
        let dir = DataDir::open(&data, KIND).unwrap();
        let store = Store::open(&dir, BALLAST_BYTES, StoreOptions::EDGE).unwrap();
        assert_eq!(rows(&store), found);
        assert!(matches!(*store.health().borrow(), StoreHealth::Full { .. }));

        fs::remove_file(&filler).unwrap();
        let mut health = store.health();
        let wait = health.wait_for(|health| *health == StoreHealth::Ok);
        tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.unwrap().unwrap();
        put_row(&store, 5_000).await.unwrap();
        assert!(data.join("ballast").exists());
        store.close().await;
    });
}

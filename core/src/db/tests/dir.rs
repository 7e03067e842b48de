//! Data directories: one owner, one kind, private.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn text(result: Result<DataDir, DirError>) -> String {
    result.map(|_| ()).map_err(|err| err.to_string()).unwrap_err()
}

#[test]
fn second_process_is_refused_with_the_id_of_the_first() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("data");
    let dir = DataDir::open(&path, KIND).unwrap();
    let expected =
        format!("data directory `{}` is in use by process {}", path.display(), std::process::id());
    assert_eq!(text(DataDir::open(&path, KIND)), expected);
    assert_eq!(text(DataDir::peek(&path, KIND)), expected);
    // The store keeps the lock when the directory's handle is gone.
    let store = Store::open(&dir, 0, StoreOptions::EDGE).unwrap();
    drop(dir);
    assert_eq!(text(DataDir::open(&path, KIND)), expected);
    run(store.close());
    DataDir::open(&path, KIND).unwrap();
}

#[test]
fn directory_is_private_and_one_that_is_not_becomes_so() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a").join("data");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    drop(DataDir::open(&path, KIND).unwrap());
    assert_eq!(mode(), 0o700);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let dir = DataDir::open(&path, KIND).unwrap();
    assert_eq!(mode(), 0o700);
    run(Store::open(&dir, 4_096, StoreOptions::EDGE).unwrap().close());
    for file in ["LOCK", "store.redb", "ballast"] {
        let mode = fs::metadata(path.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    assert_eq!(fs::metadata(path.join("ballast")).unwrap().len(), 4_096);
}

#[test]
fn unusable_directories_are_told_apart() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path();
    let shown = path.display();
    drop(DataDir::open(path, KIND).unwrap());
    assert_eq!(fs::read_to_string(path.join("FORMAT")).unwrap(), "mamba test 3\n");
    for (format, expected) in [
        (
            "mamba test 4\n",
            format!("data directory `{shown}` has version 4, this release knows versions up to 3"),
        ),
        (
            "mamba hub 3\n",
            format!("data directory `{shown}` holds a store of kind `hub`, not `test`"),
        ),
        ("mamba test\n", format!("data directory `{shown}` has a damaged FORMAT file")),
        ("", format!("data directory `{shown}` has a damaged FORMAT file")),
    ] {
        fs::write(path.join("FORMAT"), format).unwrap();
        assert_eq!(text(DataDir::open(path, KIND)), expected);
        assert_eq!(text(DataDir::peek(path, KIND)), expected);
    }
    // An older one is taken over.
    fs::write(path.join("FORMAT"), "mamba test 2\n").unwrap();
    drop(DataDir::open(path, KIND).unwrap());
    assert_eq!(fs::read_to_string(path.join("FORMAT")).unwrap(), "mamba test 3\n");
    // A store without FORMAT is not ours to guess about.
    fs::remove_file(path.join("FORMAT")).unwrap();
    fs::write(path.join("store.redb"), "x").unwrap();
    let expected = format!("data directory `{shown}` has a damaged FORMAT file");
    assert_eq!(text(DataDir::open(path, KIND)), expected);

    let file = path.join("file");
    fs::write(&file, "").unwrap();
    let expected = format!("`{}` is not a directory", file.display());
    assert_eq!(text(DataDir::open(&file, KIND)), expected);
    let missing = path.join("missing");
    let expected =
        format!("data directory `{}` does not exist or was never used", missing.display());
    assert_eq!(text(DataDir::peek(&missing, KIND)), expected);
    assert!(!missing.exists());
}

#[test]
fn peeking_reads_a_stopped_store_and_changes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path();
    run(async {
        let store = open_in(path);
        store.write(|txn| count_up(txn, "a")).await.unwrap();
        // As left behind by a process that was killed: not closed.
        let killed = tempfile::tempdir().unwrap();
        for file in ["LOCK", "FORMAT", "store.redb"] {
            fs::copy(path.join(file), killed.path().join(file)).unwrap();
        }
        let before = fs::read(killed.path().join("store.redb")).unwrap();
        let dir = DataDir::peek(killed.path(), KIND).unwrap();
        let peek = Store::inline(FileDisk::new(dir, 1 << 20), StoreOptions::EDGE).unwrap();
        assert_eq!(count_of(&peek, "a"), Some(1));
        assert_eq!(*peek.health().borrow(), StoreHealth::ReadOnly);
        let err = peek.write(|txn| count_up(txn, "a")).await.unwrap_err();
        assert!(matches!(err, WriteError::NotApplied(Fault::ReadOnly)), "{err:?}");
        assert_eq!(fs::read(killed.path().join("store.redb")).unwrap(), before);
        assert!(!killed.path().join("ballast").exists());
        drop(peek);

        // A look at a damaged or missing store names the damage, not the missing right to write.
        fs::write(killed.path().join("store.redb"), "not a store").unwrap();
        let peek = || {
            let dir = DataDir::peek(killed.path(), KIND).unwrap();
            Store::inline(FileDisk::new(dir, 0), StoreOptions::EDGE).err().unwrap()
        };
        assert!(matches!(peek(), Fault::Corrupt { .. }), "{:?}", peek());
        fs::remove_file(killed.path().join("store.redb")).unwrap();
        assert!(matches!(peek(), Fault::Io(_)), "{:?}", peek());
        store.close().await;
    });
}

#[test]
fn damaged_store_is_set_aside_and_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path();
    let dir = DataDir::open(path, KIND).unwrap();
    fs::write(path.join("store.redb"), vec![7; 100_000]).unwrap();
    let err = Store::open(&dir, 0, StoreOptions::EDGE).err().unwrap();
    assert!(matches!(err, Fault::Corrupt { .. }), "{err:?}");
    let aside = dir.set_store_aside().unwrap();
    assert_eq!(fs::read(&aside).unwrap(), vec![7; 100_000]);
    let store = Store::open(&dir, 0, StoreOptions::EDGE).unwrap();
    assert_eq!(count_of(&store, "a"), None);
    run(store.close());
    assert_ne!(dir.set_store_aside().unwrap(), aside);
}

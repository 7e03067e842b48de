//! Tests of sealing, its binding to a place, and the replacement of the master key.

use super::*;
use mamba_core::{
    clock::SystemEntropy,
    db::{DataDir, StoreOptions},
};
use std::{path::Path, sync::Arc};

const CANARY: &[u8] = b"canary-5e1ed-secret";

fn store(dir: &Path) -> Store {
    let data = DataDir::open(&dir.join("hub"), crate::store::KIND).unwrap();
    Store::open(&data, 0, StoreOptions::EDGE).unwrap()
}

fn place(number: u8) -> Place {
    Place { table: 171, id: vec![number; 3] }
}

async fn fill(store: &Store, vault: &Vault, count: u8) {
    for number in 0..count {
        let vault = vault.clone();
        let put = move |txn: &mut mamba_core::db::Txn<'_>| {
            vault.put(txn, &SystemEntropy, &place(number), &[CANARY, &[number]].concat())
        };
        store.write(put).await.unwrap();
    }
}

fn all_open(store: &Store, vault: &Vault, count: u8) -> bool {
    store
        .read(|view| {
            let found = (0..count).map(|number| vault.get(view, &place(number)));
            let right = found.enumerate().all(|(number, secret)| {
                let expected = [CANARY, &[u8::try_from(number).unwrap()]].concat();
                secret.is_ok_and(|it| it.is_some_and(|it| *it == expected))
            });
            Ok::<_, HubError>(right)
        })
        .unwrap()
}

#[tokio::test]
async fn secrets_are_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    assert!(matches!(load(&store), Err(SecretsError::Missing)));
    create(&store, UnixMs(1_800_000_000_000), &SystemEntropy).await.unwrap();
    let first = load(&store).unwrap().envelopes.public();
    create(&store, UnixMs(1_800_000_000_001), &SystemEntropy).await.unwrap();
    assert_eq!(load(&store).unwrap().envelopes.public(), first);
}

#[test]
fn a_sealed_secret_opens_at_its_place_and_nowhere_else() {
    let vault = Vault::in_memory([1; 32]);
    let sealed = vault.seal(&SystemEntropy, &place(1), CANARY).unwrap();
    assert_eq!(*vault.reveal(&place(1), &sealed).unwrap(), CANARY);
    assert!(matches!(vault.reveal(&place(2), &sealed), Err(VaultError::Damaged)));
    let elsewhere = Place { table: 172, ..place(1) };
    assert!(matches!(vault.reveal(&elsewhere, &sealed), Err(VaultError::Damaged)));
    let other = Vault::in_memory([2; 32]);
    assert!(matches!(other.reveal(&place(1), &sealed), Err(VaultError::UnknownKey { .. })));
    let twice = vault.seal(&SystemEntropy, &place(1), CANARY).unwrap();
    assert!(twice != sealed, "each time another key and nonce");
    let long = vec![0; SECRET_BYTES_MAX + 1];
    assert!(matches!(
        vault.seal(&SystemEntropy, &place(1), &long),
        Err(VaultError::TooLarge { .. })
    ));
}

#[test]
fn each_flipped_bit_of_a_sealed_secret_is_noticed() {
    use mamba_core::db::Record as _;
    let vault = Vault::in_memory([1; 32]);
    let bytes = vault.seal(&SystemEntropy, &place(1), b"short").unwrap().to_record_bytes().unwrap();
    for index in 1..bytes.len() {
        let mut broken = bytes.clone();
        broken[index] ^= 1;
        let opened = Sealed::from_record_bytes(&broken).map(|it| vault.reveal(&place(1), &it));
        assert!(!matches!(opened, Ok(Ok(_))), "byte {index}");
    }
}

#[tokio::test]
async fn no_byte_of_a_secret_or_of_its_key_is_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let vault = Vault::open(dir.path(), &SystemEntropy).unwrap();
    fill(&store, &vault, 3).await;
    let master = std::fs::read_to_string(dir.path().join("master.key")).unwrap();
    store.close().await;
    for entry in std::fs::read_dir(dir.path().join("hub")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        let has = |text: &[u8]| bytes.windows(text.len()).any(|it| it == text);
        assert!(!has(CANARY) && !has(master.trim().as_bytes()));
    }
    assert!(!format!("{vault:?}").contains(master.trim()));
}

#[tokio::test]
async fn a_rotation_wraps_all_secrets_and_forgets_the_old_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let vault = Vault::open(dir.path(), &SystemEntropy).unwrap();
    fill(&store, &vault, 60).await;
    let before = std::fs::read_to_string(dir.path().join("master.key")).unwrap();
    let done = vault.rotate(&store, Arc::new(SystemEntropy)).await.unwrap();
    assert_eq!(done.rewrapped, 60);
    let after = std::fs::read_to_string(dir.path().join("master.key")).unwrap();
    assert!(after.lines().count() == 1 && after != before);
    let again = Vault::open(dir.path(), &SystemEntropy).unwrap();
    assert!(all_open(&store, &again, 60));
    // The old key alone opens nothing, and such a hub does not start.
    std::fs::write(dir.path().join("master.key"), before).unwrap();
    let old = Vault::open(dir.path(), &SystemEntropy).unwrap();
    assert!(matches!(store.read(|view| old.check(view)), Err(HubError::Refused(_))));
}

/// Crashed between any two steps: both keys are in the file, some secrets are wrapped with each.
#[tokio::test]
async fn a_rotation_that_was_cut_off_goes_on_with_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let first = Vault::open(dir.path(), &SystemEntropy).unwrap();
    fill(&store, &first, 40).await;
    let file = dir.path().join("master.key");
    let old = std::fs::read_to_string(&file).unwrap();
    let new = "ab".repeat(32);
    std::fs::write(&file, format!("{new}\n{old}")).unwrap();
    let cut_off = Vault::open(dir.path(), &SystemEntropy).unwrap();
    fill(&store, &cut_off, 7).await; // Sealed with the new key.
    assert!(all_open(&store, &cut_off, 40));
    let done = cut_off.rotate(&store, Arc::new(SystemEntropy)).await.unwrap();
    assert_eq!(done.rewrapped, 33);
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), new);
    assert!(all_open(&store, &Vault::open(dir.path(), &SystemEntropy).unwrap(), 40));
}

#[test]
fn keys_of_the_environment_come_before_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (new, old) = ("11".repeat(32), "22".repeat(32));
    let variables = |name: &str| match name {
        VARIABLE => Some(new.clone()),
        VARIABLE_OLD => Some(old.clone()),
        _ => None,
    };
    let (home, keys) = master::read(dir.path(), variables, &SystemEntropy).unwrap();
    assert_eq!((home, keys.len()), (master::Home::Environment, 2));
    assert!(!dir.path().join("master.key").exists());
    let bad = master::read(dir.path(), |_| Some("xy".to_owned()), &SystemEntropy);
    assert!(matches!(bad, Err(VaultError::Variable { .. })));
    std::fs::write(dir.path().join("master.key"), "nonsense").unwrap();
    let bad = master::read(dir.path(), |_| None, &SystemEntropy);
    assert!(matches!(bad, Err(VaultError::Malformed { .. })));
}

#[test]
fn no_two_tables_of_the_hub_share_an_id_or_name() {
    let all = [
        crate::store::TABLES,
        crate::identity::TABLES,
        crate::mail::TABLES,
        crate::tenants::TABLES,
        crate::audit::TABLES,
        crate::api::TABLES,
        crate::blueprints::TABLES,
        crate::registries::TABLES,
        crate::status::TABLES,
        crate::control::transfer::TABLES,
        TABLES,
    ];
    assert_eq!(mamba_core::db::duplicate_table(&all.concat()), None);
}

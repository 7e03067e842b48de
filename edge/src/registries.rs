//! Logins of image registries that the hub told: kept on disk, so that images are also pulled while the
//! hub is away, and after a restart of the daemon.
//!
//! Table 60 `registries` holds one row for each host. As the variables of servers, which are no less secret,
//! they are readable for the owner of the data directory only. Nothing here is told to anybody but the engine.

use crate::store::EdgeStore;
use mamba_core::{
    db::{Snapshot, Span, Table, TableDef, TxnError, WriteError},
    record,
    registry::{LOGINS_MAX, Login},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// Logins by host.
const REGISTRIES: Table<String, LoginRecord> = Table::new(60, "registries");

/// All tables of this module.
pub const TABLES: [TableDef; 1] = [REGISTRIES.def()];

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LoginRecord {
    user: String,
    password: String,
}
record!(LoginRecord, 1);

/// What the hub told last. All clones share it.
#[derive(Clone, Default)]
pub struct HubRegistries(Arc<RwLock<BTreeMap<String, Login>>>);

impl fmt::Debug for HubRegistries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubRegistries(..)")
    }
}

impl HubRegistries {
    /// Reads what was told before.
    ///
    /// # Errors
    /// When the store fails.
    pub fn load(read: &impl Snapshot) -> Result<Self, TxnError> {
        let found = read.range(REGISTRIES, Span::all(), LOGINS_MAX)?;
        let login = |(host, LoginRecord { user, password })| Login { host, user, password };
        let all = Self::default();
        all.set(found.into_iter().map(login).collect());
        Ok(all)
    }

    /// Takes all logins in place of those before: at once for pulls, then on disk. Those that break a rule
    /// are left out.
    ///
    /// # Errors
    /// When the store cannot take them; they are used until the daemon ends.
    pub async fn learn(
        &self,
        store: &EdgeStore,
        logins: Vec<Login>,
    ) -> Result<(), WriteError<TxnError>> {
        let logins: Vec<Login> = logins.into_iter().filter(|it| it.check().is_ok()).collect();
        self.set(logins.clone());
        // What is on disk counts, for it may not have taken what came before.
        let kept = store.raw().read(|txn| txn.range(REGISTRIES, Span::all(), LOGINS_MAX));
        let wanted: BTreeMap<String, LoginRecord> = logins
            .into_iter()
            .map(|Login { host, user, password }| (host, LoginRecord { user, password }))
            .collect();
        if kept.is_ok_and(|kept| kept.into_iter().eq(wanted.clone())) {
            return Ok(());
        }
        let write = store.raw().write(move |txn| {
            for (host, _) in txn.range(REGISTRIES, Span::all(), LOGINS_MAX)? {
                txn.delete(REGISTRIES, &host)?;
            }
            for (host, record) in &wanted {
                txn.put(REGISTRIES, host, record)?;
            }
            Ok(())
        });
        write.await
    }

    /// Returns the login for exactly this host.
    #[must_use]
    pub fn login(&self, host: &str) -> Option<Login> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    /// Takes all logins in place of those before, in memory alone.
    pub fn set(&self, logins: Vec<Login>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *all = logins.into_iter().map(|it| (it.host.clone(), it)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::db::{DataDir, Store, StoreOptions};

    fn login(host: &str, password: &str) -> Login {
        let (host, user) = (host.to_owned(), "bot".to_owned());
        Login { host, user, password: password.to_owned() }
    }

    #[tokio::test]
    async fn what_the_hub_told_is_there_after_a_restart_and_gone_when_it_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path(), crate::store::KIND).unwrap();
        let store = Store::open(&data, 0, StoreOptions::EDGE).unwrap();
        let edge = EdgeStore::new(store.clone());
        let told = store.read(HubRegistries::load).unwrap();
        assert_eq!(told.login("ghcr.io"), None);
        let bad = login("https://ghcr.io", "no");
        told.learn(&edge, vec![login("ghcr.io", "one"), login("quay.io", "two"), bad])
            .await
            .unwrap();
        assert_eq!(told.login("ghcr.io"), Some(login("ghcr.io", "one")));
        assert_eq!(told.login("https://ghcr.io"), None);
        assert!(!format!("{told:?}").contains("one"));
        let again = store.read(HubRegistries::load).unwrap();
        assert_eq!(again.login("quay.io"), Some(login("quay.io", "two")));
        again.learn(&edge, vec![login("ghcr.io", "new")]).await.unwrap();
        let again = store.read(HubRegistries::load).unwrap();
        assert_eq!(again.login("ghcr.io"), Some(login("ghcr.io", "new")));
        assert_eq!(again.login("quay.io"), None, "taken back by the hub");
        again.learn(&edge, Vec::new()).await.unwrap();
        assert_eq!(store.read(HubRegistries::load).unwrap().login("ghcr.io"), None);
    }
}

//! The domain: pure decisions. Feature `db` adds the ordered store.

//! Pure: the keys that somebody holds for one server, as they are stored and sent.

use super::ServerKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A set of keys in one number: a bit for each, by its place in the table. A bit without a key in this
/// program's table is of a newer one, and allows nothing here.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ServerKeys(u64);

const _: () = assert!(ServerKey::ALL.len() < 64, "every key has a bit");

impl ServerKeys {
    /// No key.
    pub const NONE: Self = Self(0);
    /// All that there are.
    pub const ALL: Self = Self((1 << ServerKey::ALL.len()) - 1);

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a key is among them.
    #[must_use]
    pub const fn contains(self, key: ServerKey) -> bool {
        self.0 & bit(key) != 0
    }

    /// Goes through those of this program's table, in its order.
    pub fn iter(self) -> impl Iterator<Item = ServerKey> {
        ServerKey::ALL.iter().copied().filter(move |key| self.contains(*key))
    }

    /// Returns those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the others.
    #[must_use]
    pub const fn without(self, key: ServerKey) -> Self {
        Self(self.0 & !bit(key))
    }
}

impl FromIterator<ServerKey> for ServerKeys {
    fn from_iter<I: IntoIterator<Item = ServerKey>>(keys: I) -> Self {
        Self(keys.into_iter().fold(0, |held, key| held | bit(key)))
    }
}

impl fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(ServerKey::name)).finish()
    }
}

const fn bit(key: ServerKey) -> u64 {
    1 << key as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_in_a_set_of_its_own_and_in_no_other() {
        for key in ServerKey::ALL.iter().copied() {
            let only = ServerKeys::from_iter([key]);
            assert_eq!(only.iter().collect::<Vec<_>>(), [key]);
            assert_eq!(only.without(key), ServerKeys::NONE);
            assert!(!ServerKeys::ALL.without(key).contains(key));
            assert_eq!(ServerKeys::ALL.and(only), only);
            assert_eq!(format!("{only:?}"), format!("{{{:?}}}", key.name()));
        }
        assert_eq!(ServerKeys::from_iter(ServerKey::ALL.iter().copied()), ServerKeys::ALL);
        assert_eq!(ServerKeys(1 << 63).iter().next(), None);
    }
}

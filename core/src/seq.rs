//! Pure: numbers that only grow. Each is its own type so that none can stand in for another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident($inner:ty)),+ $(,)?) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// Returns the next number.
            ///
            /// # Panics
            /// When the type is exhausted, which no lifetime of the product reaches.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+ };
}

counters! {
    /// Counts the changes of what is wanted of one server. The first is 1.
    Generation(u64),
    /// Counts the lives of a hub's database: one more after each restore from a backup.
    Incarnation(u32),
    /// Numbers the facts of one outbox stream and epoch. The first is 1, there are no gaps; 0 means
    /// "none yet".
    Seq(u64),
    /// Numbers the lines of one server's console. The first is 1; 0 means "none yet".
    LineNumber(u64),
}

/// Tells two fillings of the same table apart: drawn at random when the table is made.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

//! Pure: sizes and rates as integers with their unit in the type.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes in one mebibyte.
pub const MIB: u64 = 1 << 20;

/// Memory or disk in mebibytes (1024 x 1024 bytes).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Mib(pub u32);

impl Mib {
    /// Returns the size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.0) * MIB
    }
}

/// CPU in thousandths of one core.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Millicores(pub u32);

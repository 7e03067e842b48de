//! Pure: stored values, each with its version in front.
//!
//! A value is `version u8 | body`. The body of a type made with [`record!`](crate::record) is
//! postcard. A released version stays decodable: a change of a type raises `VERSION`, keeps the old
//! shape frozen under a name of its own, and turns it into the new one in `migrate`.

/// Why a stored value is not a record of the expected type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The value has not even a version.
    #[error("record is empty")]
    Empty,
    /// Written by a newer release than this one.
    #[error("record has version {found}, this release knows versions up to {known}")]
    Newer {
        /// The version in front of the value.
        found: u8,
        /// The newest version that this release can read.
        known: u8,
    },
    /// An old version that is no longer, or was never, understood.
    #[error("record version {found} cannot be migrated")]
    Unmigratable {
        /// The version in front of the value.
        found: u8,
    },
    /// The body is not what its version promises.
    #[error("record of version {version} has an invalid body")]
    Body {
        /// The version in front of the value.
        version: u8,
        /// What the decoder said.
        #[source]
        source: postcard::Error,
    },
    /// Bytes are left over after the body.
    #[error("record of version {version} has {bytes} bytes too many")]
    TooLong {
        /// The version in front of the value.
        version: u8,
        /// How many bytes are left over.
        bytes: usize,
    },
    /// The value refused to be serialised.
    #[error("record could not be encoded")]
    Encode(#[source] postcard::Error),
}

/// A type that can be a stored value.
pub trait Record: Sized {
    /// The version that is written. Versions below go through [`Record::migrate`].
    const VERSION: u8;

    /// Appends the body, without the version.
    ///
    /// # Errors
    /// `Encode` when the value cannot be serialised, which is a bug of its type.
    fn encode_body(&self, out: &mut Vec<u8>) -> Result<(), RecordError>;

    /// Decodes a body of the current version.
    ///
    /// # Errors
    /// `Body` or `TooLong`.
    fn decode_body(body: &[u8]) -> Result<Self, RecordError>;

    /// Decodes a body of an older version.
    ///
    /// # Errors
    /// `Unmigratable` for a version that was never released, else as [`Record::decode_body`].
    fn migrate(version: u8, _body: &[u8]) -> Result<Self, RecordError> {
        Err(RecordError::Unmigratable { found: version })
    }

    /// Returns version and body.
    ///
    /// # Errors
    /// As [`Record::encode_body`].
    fn to_record_bytes(&self) -> Result<Vec<u8>, RecordError> {
        let mut out = vec![Self::VERSION];
        self.encode_body(&mut out)?;
        Ok(out)
    }

    /// Decodes a stored value of this or an older version.
    ///
    /// # Errors
    /// `Empty`, `Newer`, or as [`Record::decode_body`] and [`Record::migrate`].
    fn from_record_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let (&found, body) = bytes.split_first().ok_or(RecordError::Empty)?;
        match found.cmp(&Self::VERSION) {
            std::cmp::Ordering::Equal => Self::decode_body(body),
            std::cmp::Ordering::Less => Self::migrate(found, body),
            std::cmp::Ordering::Greater => Err(RecordError::Newer { found, known: Self::VERSION }),
        }
    }
}

/// Makes a serde type a record: `record!(Node, 1)`, or `record!(Node, 2, migrate_node)` where
/// `migrate_node(version: u8, body: &[u8]) -> Result<Node, RecordError>` reads what came before
/// (with [`decode_postcard`] and the frozen old types).
#[macro_export]
macro_rules! record {
    ($name:ty, $version:expr) => {
        $crate::record!(@impl $name, $version,);
    };
    ($name:ty, $version:expr, $migrate:path) => {
        $crate::record!(@impl $name, $version,
            fn migrate(version: u8, body: &[u8]) -> Result<Self, $crate::db::RecordError> {
                $migrate(version, body)
            }
        );
    };
    (@impl $name:ty, $version:expr, $($migrate:item)?) => {
        impl $crate::db::Record for $name {
            const VERSION: u8 = $version;
            fn encode_body(&self, out: &mut Vec<u8>) -> Result<(), $crate::db::RecordError> {
                $crate::db::encode_postcard(self, out)
            }
            fn decode_body(body: &[u8]) -> Result<Self, $crate::db::RecordError> {
                $crate::db::decode_postcard(Self::VERSION, body)
            }
            $($migrate)?
        }
    };
}

/// Appends the postcard encoding of `value` to `out`.
///
/// # Errors
/// `Encode` when `value` refuses to be serialised.
pub fn encode_postcard<T: serde::Serialize>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), RecordError> {
    *out = postcard::to_extend(value, std::mem::take(out)).map_err(RecordError::Encode)?;
    Ok(())
}

/// Decodes a whole body from postcard; `version` is only named in errors.
///
/// # Errors
/// `Body` when it is not a `T`, `TooLong` when bytes are left over.
pub fn decode_postcard<T: serde::de::DeserializeOwned>(
    version: u8,
    body: &[u8],
) -> Result<T, RecordError> {
    let (value, rest) =
        postcard::take_from_bytes(body).map_err(|source| RecordError::Body { version, source })?;
    match rest.len() {
        0 => Ok(value),
        bytes => Err(RecordError::TooLong { version, bytes }),
    }
}

record!((), 1);
record!(bool, 1);
record!(u32, 1);
record!(u64, 1);
record!(u128, 1);
record!(String, 1);
record!([u8; 32], 1);

/// Stored as it is, without a length.
impl Record for Vec<u8> {
    const VERSION: u8 = 1;
    fn encode_body(&self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        out.extend_from_slice(self);
        Ok(())
    }
    fn decode_body(body: &[u8]) -> Result<Self, RecordError> {
        Ok(body.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct NodeV1 {
        memory_mib: u32,
    }
    record!(NodeV1, 1);

    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Node {
        memory_mib: u32,
        cordoned: bool,
    }
    record!(Node, 2, migrate_node);

    fn migrate_node(version: u8, body: &[u8]) -> Result<Node, RecordError> {
        match version {
            1 => decode_postcard::<NodeV1>(1, body)
                .map(|old| Node { memory_mib: old.memory_mib, cordoned: false }),
            found => Err(RecordError::Unmigratable { found }),
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<Node, RecordError>) {
        assert_eq!(Node::from_record_bytes(bytes), expected);
    }

    #[test]
    fn each_version_is_decoded_migrated_or_refused_by_name() {
        check(&[2, 5, 1], Ok(Node { memory_mib: 5, cordoned: true }));
        check(&[1, 5], Ok(Node { memory_mib: 5, cordoned: false }));
        check(&[0, 5], Err(RecordError::Unmigratable { found: 0 }));
        check(&[3, 5, 1, 9], Err(RecordError::Newer { found: 3, known: 2 }));
        check(&[], Err(RecordError::Empty));
        check(&[2, 5, 1, 0], Err(RecordError::TooLong { version: 2, bytes: 1 }));
        check(
            &[2, 5],
            Err(RecordError::Body {
                version: 2,
                source: postcard::Error::DeserializeUnexpectedEnd,
            }),
        );
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were(memory_mib: u32, cordoned: bool, raw: Vec<u8>) {
            let node = Node { memory_mib, cordoned };
            let bytes = node.to_record_bytes().unwrap();
            assert_eq!(bytes[0], 2);
            assert_eq!(Node::from_record_bytes(&bytes), Ok(node));
            let stored = raw.to_record_bytes().unwrap();
            assert_eq!(stored.len(), raw.len() + 1);
            assert_eq!(Vec::<u8>::from_record_bytes(&stored), Ok(raw));
        }
    }
}

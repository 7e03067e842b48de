//! Pure: every kind of id is its own type. Nothing here draws a random number.

use crate::clock::UnixMs;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt, str::FromStr};
use uuid::Uuid;

/// An id that is not a UUID in hyphenated form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id: expected a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")]
pub struct IdError(pub String);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => { $(
        $(#[$doc])*
        ///
        /// A UUID. As text it is hyphenated lower case; in binary formats it is 16 bytes, so that
        /// the order of bytes is the order of ids and, for version 7, the order of making.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a version 7 id from the time and ten random bytes.
            #[must_use]
            pub fn new(now: UnixMs, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(now.0, &random).into_uuid())
            }

            /// Wraps 16 bytes that were an id before.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the 16 bytes of the id.
            #[must_use]
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.as_hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                // Only one spelling is accepted, so that an id can be compared as text.
                match Uuid::try_parse(text) {
                    Ok(id) if text.len() == 36 => Ok(Self(id)),
                    _ => Err(IdError(text.chars().take(64).collect())),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() {
                    to.collect_str(self)
                } else {
                    self.to_bytes().serialize(to)
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }

            fn schema_id() -> Cow<'static, str> {
                Cow::Borrowed(concat!(module_path!(), "::", stringify!($name)))
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "format": "uuid",
                    "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
                })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    let text = <Cow<'de, str>>::deserialize(from)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(from).map(Self::from_bytes)
                }
            }
        }
    )+ };
}

ids! {
    /// One address and port range entry that a server can be given.
    AllocationId,
    /// One game definition.
    BlueprintId,
    /// One event in the activity log.
    EventId,
    /// One run of a daemon, from start to exit.
    InstanceId,
    /// One recorded wish of a user.
    IntentId,
    /// One invitation into a tenant or to a server.
    InvitationId,
    /// One machine running an edge.
    NodeId,
    /// One role that a tenant made.
    RoleId,
    /// One game server, for its whole life, on whatever node.
    ServerId,
    /// One signed-in session of a user.
    SessionId,
    /// One customer.
    TenantId,
    /// One issued token: join token, console ticket.
    TokenId,
    /// One hand-over of a server from node to node.
    TransferId,
    /// One person with an account.
    UserId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_binary_forms_round_trip() {
        let id = ServerId::new(UnixMs(1_700_000_000_000), [7; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<ServerId>(&json).unwrap(), id);
        let bytes = postcard::to_stdvec(&id).unwrap();
        assert_eq!(bytes.len(), 16);
        assert_eq!(postcard::from_bytes::<ServerId>(&bytes).unwrap(), id);
    }

    #[test]
    fn later_ids_sort_later() {
        assert!(NodeId::new(UnixMs(1), [255; 10]) < NodeId::new(UnixMs(2), [0; 10]));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in
            ["", "x", "01890a5dac96774bbcceb302099a8057", "{01890a5d-ac96-774b-bcce-b302099a8057}"]
        {
            assert!(text.parse::<TenantId>().is_err(), "{text}");
        }
    }
}

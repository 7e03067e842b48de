//! Pure: the domain's ids and numbers as keys.

use super::codec::{Key, KeyError};
use crate::clock::UnixMs;
use crate::ids::{
    AllocationId, BlueprintId, EventId, InstanceId, IntentId, InvitationId, NodeId, RoleId,
    ServerId, SessionId, TenantId, TokenId, TransferId, UserId,
};
use crate::impl_key_newtype;
use crate::seq::{Epoch, Generation, Incarnation, LineNumber, Seq};

macro_rules! id_keys {
    ($($name:ident),+ $(,)?) => { $(
        impl_key_newtype!($name, [u8; 16], |id| id.to_bytes(), $name::from_bytes);
    )+ };
}
id_keys!(
    AllocationId,
    BlueprintId,
    EventId,
    InstanceId,
    IntentId,
    InvitationId,
    NodeId,
    RoleId,
    ServerId,
    SessionId,
    TenantId,
    TokenId,
    TransferId,
    UserId,
);

macro_rules! number_keys {
    ($($name:ident($inner:ty)),+ $(,)?) => { $(
        impl Key for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
            fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
                <$inner>::decode(input).map(Self)
            }
        }
    )+ };
}
number_keys!(Epoch(u64), Generation(u64), Incarnation(u32), LineNumber(u64), Seq(u64), UnixMs(u64),);

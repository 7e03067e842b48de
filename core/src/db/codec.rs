//! Pure: keys as bytes whose order is the order of the values.
//!
//! | type | bytes |
//! |---|---|
//! | `u8` ... `u128`, `bool` | big endian |
//! | `i64` | big endian with the sign bit flipped |
//! | `[u8; N]`, `Uuid` | as they are |
//! | `String`, `Vec<u8>` | `00` becomes `00 ff`, then `00 01` ends the value |
//! | tuples of 1 to 5 | one after the other; `()` is empty |
//!
//! No encoding of a type is a proper prefix of another one of the same type. So a leading part of a
//! tuple is a prefix of exactly the keys that start with it, which is what [`KeyPrefix`] relies on.
//! A stored encoding never changes: a new order is a new type in a new table.

use uuid::Uuid;

const ESCAPE: u8 = 0x00;
const ESCAPED_ZERO: u8 = 0xff;
const TERMINATOR: u8 = 0x01;
const I64_SIGN: u64 = 1 << 63;

/// Why bytes are not a key of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes end inside a value.
    #[error("key ends early")]
    EndsEarly,
    /// Bytes are left over after the last value.
    #[error("key has {bytes} bytes too many")]
    TooLong {
        /// How many bytes are left over.
        bytes: usize,
    },
    /// A value that the type cannot have, such as a `bool` of 2 or text that is not UTF-8.
    #[error("key holds an impossible value")]
    Impossible,
}

/// A type that can be a key: `a < b` exactly when `encode(a) < encode(b)`.
pub trait Key: Sized {
    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes one value off the front of `input`.
    ///
    /// # Errors
    /// When `input` does not start with an encoding of this type; `input` is then unspecified.
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError>;

    /// Returns the encoding as a vector of its own.
    fn to_key_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Decodes a whole key.
    ///
    /// # Errors
    /// `TooLong` when bytes are left over, else as [`Key::decode`].
    fn from_key_bytes(mut bytes: &[u8]) -> Result<Self, KeyError> {
        let key = Self::decode(&mut bytes)?;
        match bytes.len() {
            0 => Ok(key),
            bytes => Err(KeyError::TooLong { bytes }),
        }
    }
}

/// A tuple of the leading components of the key `K`.
pub trait KeyPrefix<K: Key>: Key {}

/// Makes a newtype a key by the encoding of what it wraps.
///
/// `impl_key_newtype!(ServerId, Uuid)` needs `ServerId` to be a tuple struct whose field is visible;
/// `impl_key_newtype!(ServerId, Uuid, |id| id.uuid(), ServerId::from_uuid)` names the conversions.
#[macro_export]
macro_rules! impl_key_newtype {
    ($name:ty, $inner:ty) => {
        impl $crate::db::Key for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                <$inner as $crate::db::Key>::encode(&self.0, out);
            }
            fn decode(input: &mut &[u8]) -> Result<Self, $crate::db::KeyError> {
                <$inner as $crate::db::Key>::decode(input).map(Self)
            }
        }
    };
    ($name:ty, $inner:ty, $get:expr, $make:expr) => {
        impl $crate::db::Key for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                let get: fn(&$name) -> $inner = $get;
                <$inner as $crate::db::Key>::encode(&get(self), out);
            }
            fn decode(input: &mut &[u8]) -> Result<Self, $crate::db::KeyError> {
                let make: fn($inner) -> $name = $make;
                <$inner as $crate::db::Key>::decode(input).map(make)
            }
        }
    };
}

macro_rules! impl_key_uint {
    ($($name:ty),+) => { $(
        impl Key for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
                <[u8; size_of::<$name>()]>::decode(input).map(Self::from_be_bytes)
            }
        }
    )+ };
}
impl_key_uint!(u8, u16, u32, u64, u128);

impl Key for i64 {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.cast_unsigned() ^ I64_SIGN).encode(out);
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        u64::decode(input).map(|bits| (bits ^ I64_SIGN).cast_signed())
    }
}

impl Key for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        match u8::decode(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(KeyError::Impossible),
        }
    }
}

impl<const N: usize> Key for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        let (head, rest) = input.split_first_chunk::<N>().ok_or(KeyError::EndsEarly)?;
        *input = rest;
        Ok(*head)
    }
}

impl Key for Uuid {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_bytes().encode(out);
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        <[u8; 16]>::decode(input).map(Self::from_bytes)
    }
}

impl Key for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_escaped(self, out);
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        let mut value = Self::new();
        loop {
            match u8::decode(input)? {
                ESCAPE => match u8::decode(input)? {
                    ESCAPED_ZERO => value.push(0),
                    TERMINATOR => return Ok(value),
                    _ => return Err(KeyError::Impossible),
                },
                byte => value.push(byte),
            }
        }
    }
}

impl Key for String {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_escaped(self.as_bytes(), out);
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        let bytes = Vec::<u8>::decode(input)?;
        Self::from_utf8(bytes).map_err(|_| KeyError::Impossible)
    }
}

fn encode_escaped(value: &[u8], out: &mut Vec<u8>) {
    for &byte in value {
        out.push(byte);
        if byte == ESCAPE {
            out.push(ESCAPED_ZERO);
        }
    }
    out.extend_from_slice(&[ESCAPE, TERMINATOR]);
}

impl Key for () {
    fn encode(&self, _out: &mut Vec<u8>) {}
    fn decode(_input: &mut &[u8]) -> Result<Self, KeyError> {
        Ok(())
    }
}

macro_rules! impl_key_tuple {
    ($($part:ident $index:tt),+) => {
        impl<$($part: Key),+> Key for ($($part,)+) {
            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$index.encode(out);)+
            }
            fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
                Ok(($($part::decode(input)?,)+))
            }
        }
    };
}
impl_key_tuple!(A 0);
impl_key_tuple!(A 0, B 1);
impl_key_tuple!(A 0, B 1, C 2);
impl_key_tuple!(A 0, B 1, C 2, D 3);
impl_key_tuple!(A 0, B 1, C 2, D 3, E 4);

impl<A: Key, B: Key> KeyPrefix<(A, B)> for (A,) {}
impl<A: Key, B: Key, C: Key> KeyPrefix<(A, B, C)> for (A,) {}
impl<A: Key, B: Key, C: Key> KeyPrefix<(A, B, C)> for (A, B) {}
impl<A: Key, B: Key, C: Key, D: Key> KeyPrefix<(A, B, C, D)> for (A,) {}
impl<A: Key, B: Key, C: Key, D: Key> KeyPrefix<(A, B, C, D)> for (A, B) {}
impl<A: Key, B: Key, C: Key, D: Key> KeyPrefix<(A, B, C, D)> for (A, B, C) {}
impl<A: Key, B: Key, C: Key, D: Key, E: Key> KeyPrefix<(A, B, C, D, E)> for (A,) {}
impl<A: Key, B: Key, C: Key, D: Key, E: Key> KeyPrefix<(A, B, C, D, E)> for (A, B) {}
impl<A: Key, B: Key, C: Key, D: Key, E: Key> KeyPrefix<(A, B, C, D, E)> for (A, B, C) {}
impl<A: Key, B: Key, C: Key, D: Key, E: Key> KeyPrefix<(A, B, C, D, E)> for (A, B, C, D) {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Debug;

    #[track_caller]
    fn check<K: Key + Ord + Debug>(a: &K, b: &K) {
        let (a_bytes, b_bytes) = (a.to_key_bytes(), b.to_key_bytes());
        assert_eq!(a.cmp(b), a_bytes.cmp(&b_bytes), "{a:?} {b:?}");
        assert_eq!(K::from_key_bytes(&a_bytes).as_ref(), Ok(a));
        assert_eq!(a == b, b_bytes.starts_with(&a_bytes), "a key is a prefix of another");
    }

    /// Bytes that are nearly always special ones.
    fn tricky() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0, 1, 2, 0x61, 0xfe, 0xff]), 0..6)
    }

    proptest! {
        #[test]
        fn order_of_integers_is_kept(a: (u8, u16, u32, u64, u128), b: (u8, u16, u32, u64, u128)) {
            check(&a, &b);
        }

        #[test]
        fn order_of_signed_is_kept(a: (i64, bool), b: (i64, bool)) {
            check(&a, &b);
        }

        #[test]
        fn order_of_bytes_is_kept(a in (tricky(), tricky()), b in (tricky(), tricky())) {
            check(&a, &b);
        }

        #[test]
        fn order_of_text_is_kept(
            a in ("[\0\u{1}aé]{0,5}", any::<u8>(), "[\0a]{0,3}"),
            b in ("[\0\u{1}aé]{0,5}", any::<u8>(), "[\0a]{0,3}"),
        ) {
            check(&a, &b);
        }

        #[test]
        fn order_of_ids_is_kept(a: ([u8; 16], i64), b: ([u8; 16], i64)) {
            check(&(Uuid::from_bytes(a.0), a.1), &(Uuid::from_bytes(b.0), b.1));
        }

        #[test]
        fn any_bytes_decode_to_an_error_or_to_a_value_with_these_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..40)
        ) {
            if let Ok(key) = <(String, bool, u64)>::from_key_bytes(&bytes) {
                assert_eq!(key.to_key_bytes(), bytes);
            }
        }
    }

    #[test]
    fn left_over_and_missing_bytes_are_refused() {
        assert_eq!(u16::from_key_bytes(&[1]), Err(KeyError::EndsEarly));
        assert_eq!(u16::from_key_bytes(&[1, 2, 3]), Err(KeyError::TooLong { bytes: 1 }));
        assert_eq!(String::from_key_bytes(b"abc"), Err(KeyError::EndsEarly));
        assert_eq!(bool::from_key_bytes(&[2]), Err(KeyError::Impossible));
        assert_eq!(String::from_key_bytes(&[0xc3, 0, 1]), Err(KeyError::Impossible));
    }

    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct PlainId(u64);
    impl_key_newtype!(PlainId, u64);

    mod sealed {
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) struct SealedId(u64);
        impl SealedId {
            pub(super) fn new(value: u64) -> Self {
                Self(value)
            }
            pub(super) fn value(&self) -> u64 {
                self.0
            }
        }
    }
    impl_key_newtype!(sealed::SealedId, u64, |id| id.value(), sealed::SealedId::new);

    #[test]
    fn newtypes_are_encoded_like_what_they_wrap() {
        check(&PlainId(3), &PlainId(256));
        check(&sealed::SealedId::new(3), &sealed::SealedId::new(256));
        assert_eq!(PlainId(7).to_key_bytes(), 7_u64.to_key_bytes());
        assert_eq!(sealed::SealedId::new(7).to_key_bytes(), 7_u64.to_key_bytes());
    }

    #[test]
    fn encodings_are_golden() {
        let key = (1_u16, -1_i64, String::from("a\0"), true);
        let golden = [0, 1, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'a', 0, 0xff, 0, 1, 1];
        assert_eq!(key.to_key_bytes(), golden);
    }
}

//! Keys: bytes in order are values in order, and each value has one form.

use mamba_core::{
    clock::UnixMs,
    db::Key,
    ids::{NodeId, ServerId, TenantId},
    seq::{Epoch, Seq},
};

/// Takes two keys of each shape, cut from the middle of the input.
pub fn check(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let (a, b) = rest.split_at(rest.len() / 2);
    match choice % 6 {
        0 => in_order::<(u8, u16, u32, u64, u128)>(a, b),
        1 => in_order::<(String, i64, bool)>(a, b),
        2 => in_order::<(Vec<u8>, Vec<u8>)>(a, b),
        3 => in_order::<(NodeId, u8, Epoch, Seq)>(a, b),
        4 => in_order::<(TenantId, ServerId, UnixMs, Epoch, Seq)>(a, b),
        _ => in_order::<(Vec<u8>, String, u8)>(a, b),
    }
}

fn in_order<K: Key + Ord + std::fmt::Debug>(a: &[u8], b: &[u8]) {
    let one = |bytes: &[u8]| {
        let key = K::from_key_bytes(bytes).ok()?;
        assert_eq!(key.to_key_bytes(), bytes, "{key:?} has two forms");
        Some(key)
    };
    if let (Some(first), Some(second)) = (one(a), one(b)) {
        assert_eq!(first.cmp(&second), a.cmp(b), "{first:?} {second:?}");
        assert!(first == second || !b.starts_with(a), "a key is the beginning of another");
    }
}

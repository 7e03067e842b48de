//! A letter of every kind, for tests: those of this crate, and those with a real server beside it.

use super::{Letter, Way};

/// Returns one of each kind, in which users chose every `text`.
pub(super) fn letters(text: &str, link: &str) -> Vec<Letter> {
    let (text, link) = (|| text.to_owned(), || link.to_owned());
    let all = vec![
        Letter::Verify { link: link() },
        Letter::Register { link: link() },
        Letter::AlreadyRegistered,
        Letter::Reset { link: link() },
        Letter::AccountMade { link: link() },
        Letter::MustReset { link: link() },
        Letter::AccountEnded,
        Letter::PasswordChanged,
        Letter::AddressChanged { to: text() },
        Letter::SecondFactorOn,
        Letter::SecondFactorOff,
        Letter::WayAdded { way: Way::Passkey, name: text() },
        Letter::WayRemoved { way: Way::SshKey, name: text() },
        Letter::NewDevice { device: text(), address: text(), at: text() },
        Letter::Invitation { by: text(), to: text(), link: link() },
        Letter::Added { to: text() },
        Letter::Removed { from: text() },
        Letter::ServerDeleted { server: text() },
        Letter::ServerInstalled { server: text() },
        Letter::InstallFailed { server: text() },
        Letter::ServerCrashed { server: text(), reason: text() },
    ];
    assert!(all.iter().map(number).eq(0..all.len()), "each kind once, in order");
    all
}

/// Numbers the kinds: a new one does not compile until it is here, where its place among [`letters`] is seen.
fn number(letter: &Letter) -> usize {
    match letter {
        Letter::Verify { .. } => 0,
        Letter::Register { .. } => 1,
        Letter::AlreadyRegistered => 2,
        Letter::Reset { .. } => 3,
        Letter::AccountMade { .. } => 4,
        Letter::MustReset { .. } => 5,
        Letter::AccountEnded => 6,
        Letter::PasswordChanged => 7,
        Letter::AddressChanged { .. } => 8,
        Letter::SecondFactorOn => 9,
        Letter::SecondFactorOff => 10,
        Letter::WayAdded { .. } => 11,
        Letter::WayRemoved { .. } => 12,
        Letter::NewDevice { .. } => 13,
        Letter::Invitation { .. } => 14,
        Letter::Added { .. } => 15,
        Letter::Removed { .. } => 16,
        Letter::ServerDeleted { .. } => 17,
        Letter::ServerInstalled { .. } => 18,
        Letter::InstallFailed { .. } => 19,
        Letter::ServerCrashed { .. } => 20,
    }
}

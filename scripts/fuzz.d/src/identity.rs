//! What a stranger can send before it is known: join tokens, certificate requests, certificates.

use mamba_wire::{
    link::token::{JoinToken, check_address},
    net::authority::{NodeCertificate, read_csr},
};

/// The first byte chooses the form.
pub fn check(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    match choice % 4 {
        0 => {
            let text = String::from_utf8_lossy(rest);
            if let Ok(token) = text.parse::<JoinToken>() {
                assert_eq!(token.to_string(), text.trim(), "a token has one form");
                assert_eq!(token.to_string().parse(), Ok(token));
            }
        }
        1 => {
            let text = String::from_utf8_lossy(rest);
            if let Ok(address) = check_address(&text) {
                assert_eq!(check_address(&address), Ok(address.clone()));
            }
        }
        2 => drop(read_csr(rest)),
        _ => drop(NodeCertificate::read(rest)),
    }
}

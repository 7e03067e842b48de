//! Pure: the join token, with which a machine becomes a node once.
//!
//! ```text
//! mamba1.<86 characters base64url>[@host:port]
//! ```
//! The characters are 64 bytes without padding: a secret of 32 random bytes, then BLAKE3 of the hub
//! CA's certificate, by which the edge knows the hub before it trusts any certificate. The address,
//! where the edge finds the hub, may be left out and given otherwise. The hub keeps only a hash of
//! the secret.

use std::{fmt, str::FromStr};

const PREFIX: &str = "mamba1.";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Characters of 64 bytes in base64 without padding.
const CHARACTERS: usize = 86;
/// Longest address: a DNS name has 253 characters, a port 5.
const ADDRESS_BYTES_MAX: usize = 260;

/// BLAKE3 of a CA certificate's DER form.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct CaHash(pub [u8; 32]);

impl CaHash {
    /// Returns the hash of a certificate.
    #[must_use]
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(*blake3::hash(certificate_der).as_bytes())
    }
}

/// What the hub keeps of a token's secret.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct SecretHash(pub [u8; 32]);

/// A secret of 256 random bits. Prints as stars.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct JoinSecret(pub [u8; 32]);

impl JoinSecret {
    /// Returns the form in which the hub stores it. A plain hash is enough for 256 random bits.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(blake3::derive_key("mamba 2026 join token secret", &self.0))
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret(***)")
    }
}

/// A join token. Its text form is a secret: print it only for the person who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// Proves that the bearer may join.
    pub secret: JoinSecret,
    /// The hub's CA.
    pub hub_ca: CaHash,
    /// `host:port` of the hub.
    pub address: Option<String>,
}

/// Which rule a text breaks that should be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It begins otherwise.
    #[error("join token must begin with `{PREFIX}`")]
    Prefix,
    /// Too short or too long, for example cut when it was copied.
    #[error("join token must have {CHARACTERS} characters between `{PREFIX}` and `@`, not {found}")]
    Length {
        /// How many there are.
        found: usize,
    },
    /// A character that base64url does not have.
    #[error("join token may hold letters, digits, `-` and `_`, not what is at position {at}")]
    Character {
        /// Which character counted from 1, `mamba1.` included.
        at: usize,
    },
    /// The part behind `@`.
    #[error("address in the join token must be `host:port` of at most {ADDRESS_BYTES_MAX} bytes")]
    Address,
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.secret.0);
        bytes[32..].copy_from_slice(&self.hub_ca.0);
        write!(f, "{PREFIX}{}", encode(&bytes))?;
        self.address.as_ref().map_or(Ok(()), |address| write!(f, "@{address}"))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let rest = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        let (code, address) = match rest.split_once('@') {
            None => (rest, None),
            Some((code, address)) => (code, Some(address)),
        };
        let bytes = decode(code)?;
        let (secret, hub_ca) = halves(&bytes);
        let address = address.map(check_address).transpose()?;
        Ok(Self { secret: JoinSecret(secret), hub_ca: CaHash(hub_ca), address })
    }
}

/// Checks `host:port`, host being a name, an IPv4 address or an IPv6 address in brackets.
///
/// # Errors
/// `Address`.
pub fn check_address(text: &str) -> Result<String, TokenError> {
    let (host, port) = text.rsplit_once(':').ok_or(TokenError::Address)?;
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let is_good = !host.is_empty()
        && text.len() <= ADDRESS_BYTES_MAX
        && (is_bracketed || !host.contains([':', '[', ']']))
        && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@' || c == '/')
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_good { Ok(text.to_owned()) } else { Err(TokenError::Address) }
}

fn halves(bytes: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut first, mut second) = ([0; 32], [0; 32]);
    first.copy_from_slice(&bytes[..32]);
    second.copy_from_slice(&bytes[32..]);
    (first, second)
}

fn encode(bytes: &[u8; 64]) -> String {
    let group = |part: &[u8]| {
        part.iter().enumerate().fold(0_u32, |sum, (i, byte)| sum | u32::from(*byte) << (16 - 8 * i))
    };
    let text = bytes.chunks(3).flat_map(|part| {
        let bits = group(part);
        (0..=part.len()).map(move |i| ALPHABET[(bits >> (18 - 6 * i) & 63) as usize])
    });
    text.map(char::from).collect()
}

fn decode(text: &str) -> Result<[u8; 64], TokenError> {
    let found = text.chars().count();
    if found != CHARACTERS {
        return Err(TokenError::Length { found });
    }
    let mut bytes = [0; 64];
    let mut used = 0;
    let (mut bits, mut count) = (0_u32, 0);
    for (i, c) in text.chars().enumerate() {
        let at = i + 1 + PREFIX.len();
        let value = ALPHABET.iter().zip(0_u32..).find(|(known, _)| char::from(**known) == c);
        let (_, value) = value.ok_or(TokenError::Character { at })?;
        bits = bits << 6 | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes[used] = u8::try_from(bits >> count).unwrap_or(u8::MAX);
            bits &= (1 << count) - 1;
            used += 1;
        }
    }
    // Left-over bits must be zero, so that each token has one spelling.
    if bits == 0 { Ok(bytes) } else { Err(TokenError::Character { at: PREFIX.len() + CHARACTERS }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(secret: [u8; 32], hub_ca: [u8; 32], address: Option<&str>) -> JoinToken {
        let address = address.map(str::to_owned);
        JoinToken { secret: JoinSecret(secret), hub_ca: CaHash(hub_ca), address }
    }

    #[test]
    fn the_text_form_is_fixed() {
        let text = token([0; 32], [0xff; 32], Some("hub.example:4443")).to_string();
        let code = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD__________________________________________w";
        assert_eq!(text, format!("mamba1.{code}@hub.example:4443"));
    }

    #[test]
    fn a_bad_token_names_its_rule() {
        let good = token([1; 32], [2; 32], None).to_string();
        let with = |address: &str| format!("{good}@{address}");
        let check = |text: &str, rule| assert_eq!(text.parse::<JoinToken>(), Err(rule), "{text}");
        check("", TokenError::Prefix);
        check("mamba2.AAAA", TokenError::Prefix);
        check("mamba1.AAAA", TokenError::Length { found: 4 });
        check(&good[..good.len() - 1], TokenError::Length { found: 85 });
        check(&good.replacen("mamba1.A", "mamba1.+", 1), TokenError::Character { at: 8 });
        let other_spelling = format!("{}h", &good[..good.len() - 1]);
        check(&other_spelling, TokenError::Character { at: 93 });
        for bad in ["", "host", "host:", "host:0", "host:70000", ":1", "a b:1", "::1:2", "a/b:1"] {
            check(&with(bad), TokenError::Address);
        }
        for fine in ["host:1", "[::1]:4443", "10.0.0.1:65535"] {
            assert_eq!(with(fine).parse::<JoinToken>().unwrap().address.as_deref(), Some(fine));
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert!(!format!("{:?}", token([7; 32], [0; 32], None)).contains("7, 7"));
    }

    proptest! {
        #[test]
        fn every_token_round_trips(secret: [u8; 32], hub_ca: [u8; 32]) {
            let token = token(secret, hub_ca, None);
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }
    }
}

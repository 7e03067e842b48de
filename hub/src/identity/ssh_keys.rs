//! SSH keys of accounts, as edges will ask for them.

use super::{
    Caller, Identity, IdentityError, factors,
    records::{Owned, SSH_KEY_IDS, SSH_KEYS, SshKeyRecord},
    trail::note,
};
use crate::mail::{Letter, Way};
use base64::{
    Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::STANDARD_NO_PAD,
};
use mamba_core::{
    audit::Change,
    clock::draw,
    db::Snapshot as _,
    error::Invalid,
    ids::{TokenId, UserId},
    server::{NAME_BYTES_MAX, check_text},
};
use mamba_wire::api::account::{AddSshKey, SshKey};

/// Keys of one account.
pub const SSH_KEYS_MAX: usize = 50;
/// Longest key as text: RSA of 16384 bits.
const TEXT_BYTES_MAX: usize = 4_096;
/// Shortest modulus of RSA.
const RSA_BITS_MIN: usize = 3_072;

/// A key that can be used, without its comment.
#[derive(Debug, PartialEq, Eq)]
struct PublicKey {
    text: String,
    fingerprint: [u8; 32],
}

impl Identity {
    /// Returns the SSH keys of a caller, oldest first.
    ///
    /// # Errors
    /// What the store says.
    pub fn ssh_keys(&self, caller: &Caller) -> Result<Vec<SshKey>, IdentityError> {
        let found = self.inner.store.read(|view| {
            Ok::<_, IdentityError>(view.prefix(SSH_KEYS, &(caller.user,), SSH_KEYS_MAX)?)
        })?;
        Ok(found.into_iter().map(|((_, id), record)| shown(id, record)).collect())
    }

    /// Adds an SSH key.
    ///
    /// # Errors
    /// `Invalid`, `Refused` when an account has it or there are too many, or what the store says.
    pub async fn add_ssh_key(
        &self,
        caller: &Caller,
        new: AddSshKey,
    ) -> Result<SshKey, IdentityError> {
        check_text("name", &new.name, 1, NAME_BYTES_MAX)?;
        let key = parse(&new.public_key)?;
        let (user, now) = (caller.user, self.inner.clock.wall());
        let id = TokenId::new(now, draw(&*self.inner.entropy));
        let PublicKey { text: public_key, fingerprint } = key;
        let record = SshKeyRecord { name: new.name, public_key, fingerprint, made_at: now };
        let (row, who, letter) = (record.clone(), caller.who(), self.draw_id(now));
        self.inner
            .store
            .write(move |txn| {
                if txn.contains(SSH_KEY_IDS, &fingerprint)? {
                    return Err(IdentityError::Refused("an account has this key already"));
                }
                if txn.prefix(SSH_KEYS, &(user,), SSH_KEYS_MAX)?.len() >= SSH_KEYS_MAX {
                    return Err(IdentityError::Refused("the account has too many SSH keys"));
                }
                txn.put(SSH_KEY_IDS, &fingerprint, &Owned { user, id })?;
                txn.put(SSH_KEYS, &(user, id), &row)?;
                note(txn, now, who, "user:ssh-key.create", described(&row))?;
                let added = Letter::WayAdded { way: Way::SshKey, name: row.name.clone() };
                factors::tell(txn, now, letter, user, added)
            })
            .await?;
        Ok(shown(id, record))
    }

    /// Removes an SSH key.
    ///
    /// # Errors
    /// `NotFound`, or what the store says.
    pub async fn remove_ssh_key(&self, caller: &Caller, id: TokenId) -> Result<(), IdentityError> {
        let (user, who, now) = (caller.user, caller.who(), self.inner.clock.wall());
        self.inner
            .store
            .write(move |txn| {
                let found = txn.get(SSH_KEYS, &(user, id))?;
                let record = found.ok_or(IdentityError::NotFound("SSH key"))?;
                txn.delete(SSH_KEYS, &(user, id))?;
                txn.delete(SSH_KEY_IDS, &record.fingerprint)?;
                note(txn, now, who, "user:ssh-key.delete", described(&record))
            })
            .await?;
        Ok(())
    }

    /// Returns whose SSH key has this SHA-256 fingerprint.
    ///
    /// # Errors
    /// What the store says.
    pub fn ssh_key_owner(&self, fingerprint: &[u8; 32]) -> Result<Option<UserId>, IdentityError> {
        let found = self
            .inner
            .store
            .read(|view| Ok::<_, IdentityError>(view.get(SSH_KEY_IDS, fingerprint)?))?;
        Ok(found.map(|owned| owned.user))
    }
}

fn described(record: &SshKeyRecord) -> [Change; 2] {
    let print = fingerprint_text(&record.fingerprint);
    [Change::set("name", record.name.clone()), Change::set("fingerprint", print)]
}

fn fingerprint_text(fingerprint: &[u8; 32]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(fingerprint))
}

fn shown(id: TokenId, record: SshKeyRecord) -> SshKey {
    SshKey {
        key: id,
        name: record.name,
        fingerprint: fingerprint_text(&record.fingerprint),
        public_key: record.public_key,
        made_at: record.made_at,
    }
}

/// Reads one line of `authorized_keys`, without options.
fn parse(line: &str) -> Result<PublicKey, Invalid> {
    let rule = |rule: &str| Invalid::new("public_key", rule);
    if line.len() > TEXT_BYTES_MAX || line.trim().contains(['\n', '\r']) {
        return Err(rule("must be one line of at most 4096 bytes"));
    }
    let mut words = line.split_whitespace();
    let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let decoded =
        STANDARD.decode(blob).map_err(|_| rule("must be a type, Base64, and a comment"))?;
    let broken = || rule("is damaged");
    let mut rest = decoded.as_slice();
    if field(&mut rest).ok_or_else(broken)? != kind.as_bytes() {
        return Err(broken());
    }
    match kind {
        "ssh-ed25519" => {
            let point = field(&mut rest).ok_or_else(broken)?;
            (point.len() == 32).then_some(()).ok_or_else(broken)?;
        }
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => {
            let curve = field(&mut rest).ok_or_else(broken)?;
            let point = field(&mut rest).ok_or_else(broken)?;
            let length = match curve {
                b"nistp256" => 65,
                b"nistp384" => 97,
                _ => 133,
            };
            let is_named = kind.as_bytes().ends_with(curve) && curve.len() == 8;
            let is_point = point.len() == length && point.first() == Some(&4);
            (is_named && is_point).then_some(()).ok_or_else(broken)?;
        }
        "ssh-rsa" => {
            let _exponent = field(&mut rest).ok_or_else(broken)?;
            let modulus = field(&mut rest).ok_or_else(broken)?;
            if bits(modulus) < RSA_BITS_MIN {
                return Err(rule("must be RSA of at least 3072 bits"));
            }
        }
        _ => return Err(rule("must be `ssh-ed25519`, `ecdsa-sha2-nistp..` or `ssh-rsa`")),
    }
    if !rest.is_empty() {
        return Err(broken());
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &decoded);
    let fingerprint = digest.as_ref().try_into().map_err(|_| broken())?;
    Ok(PublicKey { text: format!("{kind} {blob}"), fingerprint })
}

/// Takes one length-prefixed field off the front (RFC 4251).
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (found, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(found)
}

/// Bits of a number without its leading zeros.
fn bits(number: &[u8]) -> usize {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let significant = &number[start..];
    let zeros = significant.first().map_or(0, |byte| byte.leading_zeros());
    significant.len() * 8 - usize::try_from(zeros).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(fields: &[&[u8]]) -> String {
        let mut out = Vec::new();
        for field in fields {
            out.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            out.extend_from_slice(field);
        }
        STANDARD.encode(out)
    }

    #[test]
    fn keys_of_accepted_kinds_lose_their_comment() {
        // Made by `ssh-keygen -t ed25519`; the fingerprint is what `ssh-keygen -l` says.
        let text =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICJBBAx+aJxHZasHzFLZNw/C2ym+4UHs4ii2HU9fF+W/";
        let key = parse(&format!("  {text} me@here ")).unwrap();
        assert_eq!(key.text, text);
        let fingerprint = STANDARD_NO_PAD.encode(key.fingerprint);
        assert_eq!(fingerprint, "u4sF5IqEqW0XP8YWqRy44qQ39/g5ZLMIN2susGrcG5A");
        let point: Vec<u8> = std::iter::once(4).chain([7; 64]).collect();
        let ecdsa = blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &point]);
        assert!(parse(&format!("ecdsa-sha2-nistp256 {ecdsa}")).is_ok());
        let rsa = blob(&[b"ssh-rsa", &[1, 0, 1], &[0x80; 384]]);
        assert!(parse(&format!("ssh-rsa {rsa}")).is_ok());
    }

    #[test]
    fn weak_and_damaged_keys_are_refused() {
        let point: Vec<u8> = std::iter::once(4).chain([7; 64]).collect();
        for (kind, blob, rule) in [
            ("ssh-rsa", blob(&[b"ssh-rsa", &[1, 0, 1], &[0x80; 256]]), "3072"),
            (
                "ssh-rsa",
                blob(&[b"ssh-rsa", &[1, 0, 1], &[&[0; 200][..], &[1; 200]].concat()]),
                "3072",
            ),
            ("ssh-dss", blob(&[b"ssh-dss", &[1; 20]]), "ssh-ed25519"),
            ("ssh-ed25519", blob(&[b"ssh-ed25519", &[1; 31]]), "damaged"),
            ("ssh-ed25519", blob(&[b"ssh-ed25519", &[1; 32], b"more"]), "damaged"),
            ("ssh-ed25519", blob(&[b"ssh-rsa", &[1; 32]]), "damaged"),
            (
                "ecdsa-sha2-nistp384",
                blob(&[b"ecdsa-sha2-nistp384", b"nistp256", &point]),
                "damaged",
            ),
            ("ssh-ed25519", "!!".to_owned(), "Base64"),
            ("ssh-ed25519", String::new(), "damaged"),
        ] {
            let err = parse(&format!("{kind} {blob}")).unwrap_err().to_string();
            assert!(err.contains(rule), "{kind}: {err}");
        }
        assert!(parse("ssh-ed25519 AAAA\nssh-ed25519 AAAA").is_err());
    }
}

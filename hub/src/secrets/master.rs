//! The master keys: where they come from and where they are kept.
//!
//! In the environment [`VARIABLE`] holds 64 hexadecimal digits, and [`VARIABLE_OLD`] the key before
//! it while a rotation is under way. Without it the keys are lines of [`FILE`] in the data directory,
//! newest first, readable for its owner only. The file is not part of a backup: a copy of the store
//! alone reveals nothing that is sealed, so keep a copy of the file elsewhere.

use super::vault::{MasterKey, VaultError};
use mamba_core::clock::{Entropy, draw};
use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Holds the master key.
pub const VARIABLE: &str = "MAMBA_HUB_MASTER_KEY";
/// Holds the master key before it.
pub const VARIABLE_OLD: &str = "MAMBA_HUB_MASTER_KEY_OLD";
/// Name of the file in the data directory.
pub(super) const FILE: &str = "master.key";
/// Most keys of a file: the newest, and the one that a rotation replaces.
const KEYS_MAX: usize = 2;

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// In the environment: somebody else changes them.
    Environment,
    /// In a file that the hub keeps.
    File(PathBuf),
    /// Nowhere but in memory: tests.
    Memory,
}

/// Reads the keys, newest first; makes the first one of a new data directory.
pub(super) fn read(
    dir: &Path,
    variables: impl Fn(&str) -> Option<String>,
    entropy: &dyn Entropy,
) -> Result<(Home, Vec<MasterKey>), VaultError> {
    let given = |name: &'static str| {
        let text = variables(name).map(Zeroizing::new);
        text.map(|text| parse(&text).ok_or(VaultError::Variable { name })).transpose()
    };
    if let Some(newest) = given(VARIABLE)? {
        let keys = std::iter::once(newest).chain(given(VARIABLE_OLD)?);
        return Ok((Home::Environment, keys.collect()));
    }
    let path = dir.join(FILE);
    let failed = |step, source| VaultError::File { step, path: path.clone(), source };
    let keys = match fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(text) => {
            let keys: Option<Vec<MasterKey>> = text.lines().map(parse).collect();
            keys.filter(|keys| (1..=KEYS_MAX).contains(&keys.len()))
                .ok_or_else(|| VaultError::Malformed { path: path.clone() })?
        }
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
            let keys = vec![MasterKey::new(draw(entropy))];
            write(&path, &keys).map_err(|err| failed("written", err))?;
            keys
        }
        Err(err) => return Err(failed("read", err)),
    };
    Ok((Home::File(path), keys))
}

/// Replaces the file, whole or not at all.
pub(super) fn write(path: &Path, keys: &[MasterKey]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    for key in keys {
        file.write_all(key.text().as_bytes())?;
        file.write_all(b"\n")?;
    }
    file.sync_all()?;
    fs::rename(&draft, path)?;
    // The name is durable only with its directory.
    path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
}

fn parse(text: &str) -> Option<MasterKey> {
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    for (byte, at) in key.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(MasterKey::new(*key))
}

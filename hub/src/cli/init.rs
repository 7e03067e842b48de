//! `init`: a data directory with keys and an administrator.

use super::{CliError, Output};
use crate::{
    Hub, HubParts,
    app::BALLAST_BYTES,
    identity::{self, AccessKey, IdentityError, NewAccount},
    secrets::{self, Vault},
    store::KIND,
};
use mamba_core::{
    clock::{Clock as _, SystemClock, SystemEntropy, draw},
    db::{DataDir, Store, StoreOptions, TxnError},
};
use serde_json::json;
use std::{path::Path, sync::Arc};
use zeroize::Zeroizing;

/// Makes what is missing. A hub that has an administrator is left alone.
pub(super) async fn run(
    data: &Path,
    email: String,
    password_file: Option<&Path>,
) -> Result<Output, CliError> {
    let failed = |err: &dyn std::error::Error| CliError::failed(err);
    let given = password_file.map(read_password).transpose()?;
    let dir = DataDir::open(data, KIND).map_err(|err| failed(&err))?;
    let options = StoreOptions { cache_bytes: 16 << 20, ..StoreOptions::HUB };
    let store = Store::open(&dir, BALLAST_BYTES, options).map_err(|err| failed(&err))?;
    let has_admin = store.read(identity::has_admin);
    if has_admin.map_err(|err: TxnError| failed(&err))? {
        store.close().await;
        let why = format!("`{}` is already initialised", data.display());
        return Err(CliError::Refused(why));
    }
    let clock = Arc::new(SystemClock::new().map_err(|err| failed(&err))?);
    let now = clock.wall();
    secrets::create(&store, now, &SystemEntropy).await.map_err(|err| failed(&err))?;
    AccessKey::open(dir.path(), &SystemEntropy).map_err(|err| failed(&err))?;
    let keys = secrets::load(&store).map_err(|err| failed(&err))?;
    let entropy = Arc::new(SystemEntropy);
    let vault = Vault::open(dir.path(), &*entropy).map_err(|err| failed(&err))?;
    let parts = HubParts { store: store.clone(), keys, vault, clock, entropy };
    Hub::open(parts).await.map_err(|err| failed(&err))?;
    // The administrator comes last: there is one only when everything else is there.
    let shown = if given.is_none() { Some(make_password()) } else { None };
    let password = given.or_else(|| shown.clone()).unwrap_or_default();
    let new = NewAccount { email: email.clone(), password };
    let made = identity::create_admin(&store, now, &SystemEntropy, new).await;
    store.close().await;
    made.map_err(|err| match err {
        IdentityError::Invalid(err) => CliError::Usage(err.to_string()),
        other => failed(&other),
    })?;
    let shown = shown.as_deref();
    let mut text = format!("initialised    {}\nadministrator  {email}\n", data.display());
    if let Some(password) = shown {
        text.push_str(&format!("password       {password}  (not shown again)\n"));
    }
    let json = json!({ "data": data, "admin": email, "password": shown });
    Ok(Output { text, json: format!("{json}\n"), is_good: true })
}

pub(super) fn read_password(file: &Path) -> Result<Zeroizing<String>, CliError> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(|err| {
        CliError::Usage(format!("password file `{}` could not be read: {err}", file.display()))
    })?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// Makes a password of 24 letters and digits that are not mistaken for each other: 120 random bits.
pub(super) fn make_password() -> Zeroizing<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let random: [u8; 24] = draw(&SystemEntropy);
    Zeroizing::new(random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

//! Pure: what people do with their own account.

use super::{RequestBody, auth::FinishPasskeySignIn, params::params};
use mamba_core::{
    access::{AdminRight, Rights},
    clock::UnixMs,
    ids::{SessionId, TenantId, TokenId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::IpAddr};

/// Letters that somebody wants. Those about the account's own safety always go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Letters {
    /// When it is given access to a tenant or server, and when that is taken back.
    pub access: bool,
    /// When a server of a tenant that it owns is installed, cannot be installed, or stays off after crashes.
    pub servers: bool,
}

/// How an account is protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// E-mail address.
    pub email: String,
    /// When its owner proved to read mail there; `null` when not yet.
    pub email_verified_at: Option<UnixMs>,
    /// Since when signing in takes an authenticator app; `null` when it does not.
    pub totp_since: Option<UnixMs>,
    /// Recovery codes that were not used.
    pub recovery_codes_left: u32,
    /// Whether it has a password; without one a letter sets it.
    pub has_password: bool,
    /// Passkeys that it has.
    pub passkeys: u32,
    /// Whether the account must have a second factor.
    pub second_factor_required: bool,
    /// Letters that it wants.
    pub letters: Letters,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Its id.
    pub session: SessionId,
    /// What the client calls itself (`user-agent`).
    pub device: String,
    /// Where it was when it was used last.
    pub address: IpAddr,
    /// When it was begun.
    pub made_at: UnixMs,
    /// When it was used last, to a quarter of an hour.
    pub used_at: UnixMs,
    /// When it ends unless it is used before.
    pub until: UnixMs,
    /// Whether it was begun with a second factor.
    pub has_second_factor: bool,
    /// Whether this request came from it.
    pub is_this: bool,
}

/// Body of what needs the password again.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The account's password.
    pub password: String,
}

/// Body of what needs the password and a second factor again.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FullProof {
    /// The account's password.
    pub password: String,
    /// What the authenticator app shows, or a recovery code.
    pub code: String,
}

/// A proof that whoever signed in is there: one of those that the account has.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confirmation {
    /// The account's password.
    Password(String),
    /// What the authenticator app shows, or a recovery code.
    Code(String),
    /// What a passkey signed, for the challenge of [`super::table::BeginConfirm`].
    Passkey(FinishPasskeySignIn),
}

/// Body of [`super::table::ChangePassword`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The present password.
    pub password: String,
    /// The next.
    pub new_password: String,
}

/// Body of [`super::table::ChangeAddress`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeAddress {
    /// The account's password.
    pub password: String,
    /// The address, which may be the present one: a mail goes there, and its link does the rest.
    pub email: String,
}

/// An authenticator app to be set up.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewTotp {
    /// Goes into [`ConfirmTotp`], within ten minutes.
    pub setup: String,
    /// What to type into the app.
    pub secret: String,
    /// What to show it as a QR code.
    pub url: String,
}

/// Body of [`super::table::ConfirmTotp`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmTotp {
    /// From [`NewTotp`].
    pub setup: String,
    /// What the app shows.
    pub code: String,
}

/// Codes that stand in for a lost authenticator app, each once. They are not shown again.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryCodes {
    /// The codes.
    pub codes: Vec<String>,
}

/// One SSH key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SshKey {
    /// Its id.
    pub key: TokenId,
    /// What its owner calls it.
    pub name: String,
    /// As in `authorized_keys`, without a comment.
    pub public_key: String,
    /// As `ssh-keygen -l` shows it: `SHA256:..`.
    pub fingerprint: String,
    /// When it was added.
    pub made_at: UnixMs,
}

/// Body of [`super::table::AddSshKey`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddSshKey {
    /// What to call it, 1 to 64 bytes.
    pub name: String,
    /// As in `authorized_keys`: Ed25519, ECDSA, or RSA of 3072 bits and more.
    pub public_key: String,
}

/// One passkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Passkey {
    /// Its id.
    pub key: TokenId,
    /// What its owner calls it.
    pub name: String,
    /// When it was added.
    pub made_at: UnixMs,
    /// When it was used last; `null` when never.
    pub used_at: Option<UnixMs>,
}

/// Body of [`super::table::AddPasskey`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddPasskey {
    /// From [`super::auth::PasskeyChallenge`].
    pub challenge: String,
    /// What to call it, 1 to 64 bytes.
    pub name: String,
    /// What `create` gave, binary values in unpadded base64url.
    pub credential: serde_json::Value,
}

/// Body of [`super::table::RenamePasskey`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// What to call it, 1 to 64 bytes.
    pub name: String,
}

/// An account elsewhere that signs in here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkedAccount {
    /// Short name of the provider.
    pub provider: String,
    /// What the account is called there.
    pub name: String,
    /// When it was linked.
    pub made_at: UnixMs,
}

/// What an API key may do, and where; never more than its owner may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKey {
    /// Its id.
    pub key: SessionId,
    /// What its owner calls it.
    pub name: String,
    /// How it begins, to recognise it.
    pub prefix: String,
    /// Rights over the installation.
    pub admin: BTreeSet<AdminRight>,
    /// Rights in tenants.
    pub rights: Rights,
    /// The only tenant it reaches; `null` when all of its owner's.
    pub tenant: Option<TenantId>,
    /// The only networks it may be used from, such as `192.0.2.0/24`; all when there is none.
    pub networks: Vec<String>,
    /// When it was made.
    pub made_at: UnixMs,
    /// When it ends; `null` when never.
    pub until: Option<UnixMs>,
    /// When it was used last, to some minutes; `null` when never.
    pub used_at: Option<UnixMs>,
}

/// Body of [`super::table::CreateApiKey`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// What to call it, 1 to 64 bytes.
    pub name: String,
    /// Rights over the installation.
    #[serde(default)]
    pub admin: BTreeSet<AdminRight>,
    /// Rights in tenants.
    #[serde(default)]
    pub rights: Rights,
    /// The only tenant it reaches: one that its owner is a member of, or that shares a server with it.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// The only networks it may be used from, at most 32.
    #[serde(default)]
    pub networks: Vec<String>,
    /// When it ends.
    #[serde(default)]
    pub until: Option<UnixMs>,
}

/// A new API key.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewApiKey {
    /// Goes into `authorization: Bearer ..`. It is not shown again.
    pub token: String,
    /// What it is.
    pub key: ApiKey,
}

impl RequestBody for Confirmation {}
impl RequestBody for Letters {}
impl RequestBody for CreateApiKey {}
impl RequestBody for AddPasskey {}
impl RequestBody for Rename {}
impl RequestBody for Proof {}
impl RequestBody for FullProof {}
impl RequestBody for ChangePassword {}
impl RequestBody for ChangeAddress {}
impl RequestBody for ConfirmTotp {}
impl RequestBody for AddSshKey {}

params! {
    /// Names a session.
    SessionPath {
        /// Which.
        session: SessionId,
    }

    /// Names an API key.
    ApiKeyPath {
        /// Which.
        key: SessionId,
    }

    /// Names a provider.
    ProviderPath {
        /// Which, by its short name.
        provider: String,
    }

    /// Names a key of an account.
    KeyPath {
        /// Which.
        key: TokenId,
    }
}

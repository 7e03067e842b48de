//! Pure: signing in and out.

use super::RequestBody;
use mamba_core::{
    access::{Administration, Role},
    clock::UnixMs,
    ids::{SessionId, TenantId, UserId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Body of [`super::table::Login`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// E-mail address, in any case.
    pub email: String,
    /// Password.
    pub password: String,
}

/// Body of [`super::table::SecondFactor`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondFactor {
    /// From [`SecondFactorNeeded`].
    pub challenge: String,
    /// What the authenticator app shows, or a recovery code.
    pub code: String,
}

/// Body of [`super::table::Refresh`].
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The newest refresh token of the session; a browser has it in a cookie. An older one ends the
    /// session, for somebody copied it, except that the same client may repeat a request within ten
    /// seconds and gets the same tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

/// Body of [`super::table::Register`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// E-mail address, in any case.
    pub email: String,
    /// Password.
    pub password: String,
}

/// Body of [`super::table::RequestReset`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestReset {
    /// E-mail address, in any case.
    pub email: String,
}

/// Body of [`super::table::ResetPassword`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetPassword {
    /// From the mail.
    pub token: String,
    /// The new password.
    pub password: String,
}

/// Body of [`super::table::ConfirmRegistration`] and [`super::table::ConfirmAddress`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailToken {
    /// From the mail.
    pub token: String,
}

/// Body of [`super::table::BeginPasskeySignIn`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginPasskeySignIn {
    /// E-mail address, in any case.
    pub email: String,
}

/// What goes to `navigator.credentials`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct PasskeyChallenge {
    /// Comes back with the credential, within ten minutes.
    pub challenge: String,
    /// Argument of `create` or `get`, binary values in unpadded base64url.
    pub options: serde_json::Value,
}

/// Body of [`super::table::FinishPasskeySignIn`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishPasskeySignIn {
    /// From [`PasskeyChallenge`].
    pub challenge: String,
    /// What `get` gave, binary values in unpadded base64url.
    pub credential: serde_json::Value,
}

/// Where people may sign in elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provider {
    /// Its short name.
    pub provider: String,
    /// Its name for people.
    pub name: String,
}

/// Body of [`super::table::BeginVisit`] and [`super::table::BeginLink`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginVisit {
    /// Short name of the provider.
    pub provider: String,
}

/// A visit that was begun.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// Stays with this page, and comes back with what the provider gives.
    pub binding: String,
}

/// Body of [`super::table::FinishVisit`] and [`super::table::FinishLink`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishVisit {
    /// From the provider.
    pub state: String,
    /// From the provider.
    pub code: String,
    /// From [`Begun`].
    pub binding: String,
}

impl RequestBody for BeginPasskeySignIn {}
impl RequestBody for FinishPasskeySignIn {}
impl RequestBody for BeginVisit {}
impl RequestBody for FinishVisit {}
impl RequestBody for Login {}
impl RequestBody for SecondFactor {}
impl RequestBody for Refresh {}
impl RequestBody for Register {}
impl RequestBody for RequestReset {}
impl RequestBody for ResetPassword {}
impl RequestBody for MailToken {}

/// What a right password gives.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SignIn {
    /// The account is signed in.
    SignedIn(Tokens),
    /// It takes a second factor.
    SecondFactor(SecondFactorNeeded),
}

impl SignIn {
    /// Returns the tokens, unless a second factor is needed.
    #[must_use]
    pub fn tokens(self) -> Option<Tokens> {
        match self {
            Self::SignedIn(tokens) => Some(tokens),
            Self::SecondFactor(_) => None,
        }
    }
}

/// What is needed besides a password.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct SecondFactorNeeded {
    /// Goes into [`SecondFactor`], within ten minutes.
    pub challenge: String,
    /// What will do.
    pub methods: Vec<Method>,
}

/// A second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A code of an authenticator app.
    Totp,
    /// A recovery code.
    RecoveryCode,
}

/// What tokens are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenPurpose {
    /// Everything that the account may do.
    Api,
    /// To set up the second factor that the account must have: nothing else is served until then.
    SetUp,
}

/// What a client holds while it is signed in.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// Goes into `authorization: Bearer ..`.
    pub access_token: String,
    /// End of the access token.
    pub access_until: UnixMs,
    /// What it is for.
    pub purpose: TokenPurpose,
    /// Gives the next pair, once. A browser, which sends `origin`, gets it as a cookie that no script
    /// can read, and nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// End of the session unless it is refreshed before.
    pub refresh_until: UnixMs,
    /// Who is signed in.
    pub me: Me,
}

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    /// The account.
    pub user: UserId,
    /// Its e-mail address.
    pub email: String,
    /// Its part in running the hub: `"none"`, `"root"` or `{"some": [rights]}`.
    pub admin: Administration,
    /// Tenants that it is a member of, oldest first.
    pub tenants: Vec<Membership>,
    /// This session.
    pub session: SessionId,
}

/// A tenant that somebody is a member of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Membership {
    /// The tenant.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// The member's part.
    pub role: Role,
}

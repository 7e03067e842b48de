//! Speaks to a provider: discovery, the exchange of a code, and who that makes it.

#[cfg(test)]
mod tests;

use super::{IdentityError, settings::is_safe};
use crate::mail::Secret;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use mamba_core::clock::UnixMs;
use reqwest::{Client, RequestBuilder, Url, redirect};
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;

/// Time for one request to a provider.
const ANSWER_MS_MAX: u64 = 10_000;
/// Longest answer: key sets have some kilobytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How wrong the provider's clock may be.
const CLOCK_MS_MAX: u64 = 60_000;
/// What issuers sign with: asymmetric ones, for nobody here shares a key with them.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

/// A provider, as the config names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Short name, which is part of what is stored.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// How it is spoken to.
    pub kind: ProviderKind,
    /// What it calls this hub.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret,
}

/// How a provider is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// OpenID Connect, found by its issuer. Google is `https://accounts.google.com`.
    Oidc {
        /// Exactly as it calls itself.
        issuer: String,
    },
    /// Discord, which has its own way to say who somebody is.
    Discord {
        /// `https://discord.com`; tests have their own.
        base: String,
    },
}

/// Where a provider is asked what.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Endpoints {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    /// How it wants to be told the secret; in the header, when it does not say.
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Endpoints {
    /// Whether the secret has to stand in the form: where nothing but that is offered.
    fn takes_secret_in_form(&self) -> bool {
        let offered = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let has = |name: &str| offered.iter().any(|it| it == name);
        has("client_secret_post") && !has("client_secret_basic")
    }

    /// Whether nothing that is asked of it travels in the clear.
    fn are_safe(&self) -> bool {
        let all = [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri];
        all.into_iter().all(|it| it.parse().is_ok_and(|url| is_safe(&url)))
    }
}

/// Somebody, as a provider vouches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) subject: String,
    pub(super) name: String,
    /// An address that the provider has proved.
    pub(super) verified_email: Option<String>,
}

#[derive(Deserialize)]
struct TokenReply {
    access_token: Option<String>,
    id_token: Option<String>,
}

#[derive(Deserialize)]
struct IdToken {
    iss: String,
    sub: String,
    exp: u64,
    nonce: Option<String>,
    email: Option<String>,
    email_verified: Option<serde_json::Value>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct DiscordUser {
    id: String,
    username: String,
    email: Option<String>,
    #[serde(default)]
    verified: bool,
}

impl Provider {
    /// Asks where the provider is asked.
    pub(super) async fn endpoints(&self) -> Result<Endpoints, IdentityError> {
        let issuer = match &self.kind {
            ProviderKind::Oidc { issuer } => issuer,
            ProviderKind::Discord { base } => {
                return Ok(Endpoints {
                    issuer: base.clone(),
                    authorization_endpoint: format!("{base}/oauth2/authorize"),
                    token_endpoint: format!("{base}/api/oauth2/token"),
                    jwks_uri: String::new(),
                    token_endpoint_auth_methods_supported: None,
                });
            }
        };
        let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let found: Endpoints = ask(http()?.get(at)).await?;
        if found.issuer != *issuer {
            return Err(elsewhere("the issuer calls itself differently"));
        }
        if !found.are_safe() {
            return Err(elsewhere("it wants to be asked without encryption"));
        }
        Ok(found)
    }

    /// Returns where to send a browser.
    pub(super) fn authorization_url(
        &self,
        endpoints: &Endpoints,
        redirect_uri: &str,
        own: &[(&str, &str)],
    ) -> Result<String, IdentityError> {
        let scope = match self.kind {
            ProviderKind::Oidc { .. } => "openid email profile",
            ProviderKind::Discord { .. } => "identify email",
        };
        let mut url = Url::parse(&endpoints.authorization_endpoint)
            .map_err(|_| elsewhere("its authorisation endpoint is no URL"))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", scope)
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(own);
        Ok(url.into())
    }

    /// Exchanges a code for who somebody is.
    pub(super) async fn exchange(
        &self,
        now: UnixMs,
        redirect_uri: &str,
        code: &str,
        verifier: &str,
        nonce: &str,
    ) -> Result<Remote, IdentityError> {
        let endpoints = self.endpoints().await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        let Secret(secret) = &self.client_secret;
        let mut request = http()?.post(&endpoints.token_endpoint);
        if endpoints.takes_secret_in_form() {
            form.push(("client_id", &self.client_id));
            form.push(("client_secret", secret.as_str()));
        } else {
            request = request.basic_auth(&self.client_id, Some(secret.as_str()));
        }
        let reply: TokenReply = ask(request.form(&form)).await?;
        match &self.kind {
            ProviderKind::Oidc { .. } => {
                let token = reply.id_token.ok_or_else(|| elsewhere("it gave no id token"))?;
                let keys: JwkSet = ask(http()?.get(&endpoints.jwks_uri)).await?;
                self.read(now, &endpoints.issuer, &keys, &token, nonce)
            }
            ProviderKind::Discord { base } => {
                let token = reply.access_token.ok_or_else(|| elsewhere("it gave no token"))?;
                let request = http()?.get(format!("{base}/api/users/@me")).bearer_auth(token);
                let user: DiscordUser = ask(request).await?;
                let verified_email = user.email.filter(|_| user.verified);
                Ok(Remote { subject: user.id, name: user.username, verified_email })
            }
        }
    }

    /// Reads an id token that is genuine, for this hub, for this visit, and valid now.
    fn read(
        &self,
        now: UnixMs,
        issuer: &str,
        keys: &JwkSet,
        token: &str,
        nonce: &str,
    ) -> Result<Remote, IdentityError> {
        let bad = |why: &'static str| move |_| elsewhere(why);
        let header = decode_header(token).map_err(bad("its id token is none"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(elsewhere("its id token is signed in a way that is not accepted"));
        }
        let key = match &header.kid {
            Some(id) => keys.find(id),
            None => keys.keys.first(),
        };
        let key = key.ok_or_else(|| elsewhere("its id token is signed by an unknown key"))?;
        let key = DecodingKey::from_jwk(key).map_err(bad("its key cannot be used"))?;
        let mut rules = Validation::new(header.alg);
        rules.validate_exp = false; // By our clock, below.
        rules.set_audience(&[&self.client_id]);
        rules.set_required_spec_claims(&["aud", "iss", "sub", "exp"]);
        let claims = decode::<IdToken>(token, &key, &rules);
        let claims = claims.map_err(bad("its id token does not hold"))?.claims;
        if claims.iss != issuer {
            return Err(elsewhere("its id token is of another issuer"));
        }
        if claims.nonce.as_deref() != Some(nonce) {
            return Err(elsewhere("its id token is of another visit"));
        }
        if now.0 > claims.exp.saturating_mul(1_000).saturating_add(CLOCK_MS_MAX) {
            return Err(elsewhere("its id token has expired"));
        }
        // Some send the word instead of the value.
        let is_verified =
            claims.email_verified.is_some_and(|it| it == true || it.as_str() == Some("true"));
        let verified_email = claims.email.clone().filter(|_| is_verified);
        let name = claims.name.or(claims.email).unwrap_or_else(|| claims.sub.clone());
        Ok(Remote { subject: claims.sub, name, verified_email })
    }
}

fn http() -> Result<Client, IdentityError> {
    Client::builder()
        .timeout(Duration::from_millis(ANSWER_MS_MAX))
        // An answer from elsewhere is no answer of the provider.
        .redirect(redirect::Policy::none())
        .user_agent(concat!("mamba-hub/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|err| IdentityError::Broken(Box::new(err)))
}

/// Sends a request and reads its JSON, of which no more than is bounded.
async fn ask<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, IdentityError> {
    let mut reply = request.send().await.map_err(|_| elsewhere("it does not answer"))?;
    if !reply.status().is_success() {
        return Err(elsewhere("it refused"));
    }
    let mut body = Vec::new();
    while let Some(part) = reply.chunk().await.map_err(|_| elsewhere("its answer broke off"))? {
        body.extend_from_slice(&part);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(elsewhere("its answer is too long"));
        }
    }
    serde_json::from_slice(&body).map_err(|_| elsewhere("its answer is not what was agreed"))
}

fn elsewhere(why: &'static str) -> IdentityError {
    IdentityError::Elsewhere(why)
}

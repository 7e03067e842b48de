//! Signing in, staying signed in, signing out.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    identity::{Client, PublicUrl},
};
use mamba_wire::api::{
    Code,
    auth::{self, Me, SignIn, Tokens},
    member::{Joined, RegisterInvited},
    table,
};
use serde::Serialize;
use warp::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    reply::{Reply as _, Response},
};
use zeroize::Zeroizing;

/// The cookie in which a browser keeps its refresh token.
const COOKIE: &str = "mamba_refresh";
/// The only paths that get it.
const COOKIE_PATH: &str = "/api/v1/auth";

/// Where a client keeps its refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// It gets it in the body: a program.
    Body,
    /// In a cookie that no script reads and no other site sends: a browser.
    Cookie,
}

impl Keeping {
    /// Browsers send `origin` with every request that changes something: then it must be ours.
    fn of(headers: &HeaderMap, public_url: &PublicUrl) -> Result<Self, ApiError> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(Self::Body) };
        if origin.to_str().is_ok_and(|origin| public_url.accepts(origin)) {
            return Ok(Self::Cookie);
        }
        let detail = format!("browsers sign in at {public_url} (`public_url` of the hub)");
        Err(ApiError::new(Code::Forbidden, detail))
    }

    /// Returns an answer that holds tokens, the refresh token where it is kept.
    fn answer<T: Serialize>(
        self,
        public_url: &PublicUrl,
        mut body: T,
        tokens: impl FnOnce(&mut T) -> Option<&mut Tokens>,
    ) -> Served<T> {
        let token = match self {
            Self::Body => return Served::Json(body),
            Self::Cookie => tokens(&mut body).and_then(|tokens| tokens.refresh_token.take()),
        };
        let mut response = warp::reply::json(&body).into_response();
        if let Some(token) = token {
            set_cookie(&mut response, public_url, &token, crate::identity::REFRESH_TTL_MS);
        }
        Served::Whole(response)
    }
}

fn set_cookie(response: &mut Response, public_url: &PublicUrl, value: &str, ttl_ms: u64) {
    let secure = if public_url.is_encrypted() { "; Secure" } else { "" };
    let text = format!(
        "{COOKIE}={value}; Path={COOKIE_PATH}; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        ttl_ms / 1_000
    );
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    all.flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
        .map(ToOwned::to_owned)
}

/// Returns who asks, as far as a client says it.
pub(super) fn client(context: &Context) -> Client {
    let device = context.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Client::new(context.peer, device.unwrap_or("unknown device"))
}

impl Handle<table::Login> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: auth::Login,
    ) -> Result<Served<SignIn>, ApiError> {
        let url = &self.identity().settings().public_url;
        let keeping = Keeping::of(&context.headers, url)?;
        let password = Zeroizing::new(body.password);
        let reply = self.identity().login(client(&context), &body.email, password).await?;
        Ok(keeping.answer(url, reply, |reply| match reply {
            SignIn::SignedIn(tokens) => Some(tokens),
            SignIn::SecondFactor(_) => None,
        }))
    }
}

impl Handle<table::SecondFactor> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: auth::SecondFactor,
    ) -> Result<Served<Tokens>, ApiError> {
        let url = &self.identity().settings().public_url;
        let keeping = Keeping::of(&context.headers, url)?;
        let client = client(&context);
        let tokens = self.identity().second_factor(client, &body.challenge, &body.code).await?;
        Ok(keeping.answer(url, tokens, |tokens| Some(tokens)))
    }
}

impl Handle<table::FinishPasskeySignIn> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: auth::FinishPasskeySignIn,
    ) -> Result<Served<Tokens>, ApiError> {
        let url = &self.identity().settings().public_url;
        let keeping = Keeping::of(&context.headers, url)?;
        let auth::FinishPasskeySignIn { challenge, credential } = body;
        let client = client(&context);
        let tokens = self.identity().finish_passkey_sign_in(client, &challenge, credential).await?;
        Ok(keeping.answer(url, tokens, |tokens| Some(tokens)))
    }
}

impl Handle<table::FinishVisit> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: auth::FinishVisit,
    ) -> Result<Served<SignIn>, ApiError> {
        let url = &self.identity().settings().public_url;
        let keeping = Keeping::of(&context.headers, url)?;
        let auth::FinishVisit { state, code, binding } = body;
        let client = client(&context);
        let reply = self.identity().finish_visit(client, &state, &binding, &code).await?;
        Ok(keeping.answer(url, reply, |reply| match reply {
            SignIn::SignedIn(tokens) => Some(tokens),
            SignIn::SecondFactor(_) => None,
        }))
    }
}

impl Handle<table::Refresh> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: auth::Refresh,
    ) -> Result<Served<Tokens>, ApiError> {
        let url = &self.identity().settings().public_url;
        let keeping = Keeping::of(&context.headers, url)?;
        let kept = || cookie(&context.headers).filter(|_| keeping == Keeping::Cookie);
        let token = body.refresh_token.or_else(kept).ok_or_else(ApiError::not_signed_in)?;
        let tokens = self.identity().refresh(client(&context), &token).await?;
        Ok(keeping.answer(url, tokens, |tokens| Some(tokens)))
    }
}

impl Handle<table::Logout> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<()>, ApiError> {
        let url = &self.identity().settings().public_url;
        let keeping = Keeping::of(&context.headers, url).unwrap_or(Keeping::Body);
        self.identity().logout(context.caller()?).await?;
        if keeping == Keeping::Body {
            return Ok(Served::Json(()));
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        set_cookie(&mut response, url, "", 0);
        Ok(Served::Whole(response))
    }
}

impl Handle<table::WhoAmI> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<Me>, ApiError> {
        Ok(Served::Json(self.identity().who(context.caller()?)?))
    }
}

impl Handle<table::Register> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: auth::Register,
    ) -> Result<Served<()>, ApiError> {
        let password = Zeroizing::new(body.password);
        self.identity().register(client(&context), &body.email, password).await?;
        Ok(Served::Json(()))
    }
}

impl Handle<table::ConfirmRegistration> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: auth::MailToken,
    ) -> Result<Served<()>, ApiError> {
        self.identity().confirm_registration(client(&context), &body.token).await?;
        Ok(Served::Json(()))
    }
}

impl Handle<table::RequestReset> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: auth::RequestReset,
    ) -> Result<Served<()>, ApiError> {
        self.identity().request_reset(client(&context), &body.email).await?;
        Ok(Served::Json(()))
    }
}

impl Handle<table::ResetPassword> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: auth::ResetPassword,
    ) -> Result<Served<()>, ApiError> {
        let password = Zeroizing::new(body.password);
        self.identity().reset_password(client(&context), &body.token, password).await?;
        Ok(Served::Json(()))
    }
}

impl Handle<table::RegisterInvited> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: RegisterInvited,
    ) -> Result<Served<Joined>, ApiError> {
        let RegisterInvited { token, password } = body;
        let made = self.identity().register_invited(client(&context), &token, password.into());
        Ok(Served::Json(Joined { email: made.await? }))
    }
}

impl Handle<table::ConfirmAddress> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: auth::MailToken,
    ) -> Result<Served<()>, ApiError> {
        self.identity().confirm_address(client(&context), &body.token).await?;
        Ok(Served::Json(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn a_browser_of_another_origin_is_refused() {
        let url = PublicUrl::parse("https://panel.example.org").unwrap();
        let keeping = |pairs: &[_]| Keeping::of(&headers(pairs), &url).ok();
        assert_eq!(keeping(&[]), Some(Keeping::Body));
        assert_eq!(keeping(&[("origin", "https://panel.example.org")]), Some(Keeping::Cookie));
        for origin in ["null", "https://evil.example", "https://panel.example.org.evil.example", ""]
        {
            assert_eq!(keeping(&[("origin", origin)]), None, "{origin}");
        }
    }

    #[test]
    fn the_cookie_is_for_no_script_no_other_site_and_no_other_path() {
        let url = PublicUrl::parse("https://panel.example.org").unwrap();
        let mut response = StatusCode::OK.into_response();
        set_cookie(&mut response, &url, "a.1.b", 60_000);
        let expected = "mamba_refresh=a.1.b; Path=/api/v1/auth; HttpOnly; SameSite=Strict; \
                        Max-Age=60; Secure";
        assert_eq!(response.headers()[header::SET_COOKIE], expected);
        let sent = headers(&[("cookie", "other=1; mamba_refresh=a.1.b")]);
        assert_eq!(cookie(&sent).as_deref(), Some("a.1.b"));
        assert_eq!(cookie(&headers(&[("cookie", "xmamba_refresh=1")])), None);
    }
}

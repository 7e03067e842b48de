//! One HTTP request to the hub.

use super::{Failure, glue::early_answer};
use crate::time;
use mamba_wire::api::{Endpoint, Problem, RequestBody as _, target};
use std::rc::Rc;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, RequestCache, RequestCredentials, RequestInit, Response};

/// How long an answer may take: a little more than the hub allows itself.
const ANSWER_MS_MAX: u32 = 25_000;
const NOT_MODIFIED: u16 = 304;
const NO_CONTENT: u16 = 204;

/// A request, ready to be sent.
pub(crate) struct Ask {
    method: &'static str,
    target: String,
    body: Option<String>,
    key: Option<String>,
    /// Access token.
    pub(crate) token: Option<String>,
    /// Tag of what is known already.
    pub(crate) known: Option<String>,
}

/// What came back.
pub(crate) struct Answer {
    text: String,
    /// Names this version of what was read.
    pub(crate) etag: Option<String>,
    /// Whether what is known already is still so; then there is no text.
    pub(crate) is_unchanged: bool,
}

impl Ask {
    /// Describes a request to an endpoint.
    pub(crate) fn of<E: Endpoint>(path: &E::Path, query: &E::Query, body: &E::Body) -> Self {
        let body = E::Body::EXPECTED.then(|| serde_json::to_string(body).unwrap_or_default());
        Self {
            method: E::METHOD.name(),
            target: target::<E>(path, query),
            body,
            key: E::KEYED.then(random_key),
            token: None,
            known: None,
        }
    }

    /// Whether it does no harm to send it twice.
    pub(crate) fn may_be_repeated(&self) -> bool {
        self.key.is_some() || matches!(self.method, "GET" | "PUT")
    }
}

impl Answer {
    /// Reads the text.
    pub(crate) fn read<E: Endpoint>(&self) -> Result<E::Out, Failure> {
        serde_json::from_str(&self.text).map_err(|_| Failure::Strange(E::STATUS))
    }
}

/// Returns a text that no other request has.
fn random_key() -> String {
    let part = || time::whole(js_sys::Math::random() * 1e15);
    format!("{:x}-{:x}", part(), part())
}

/// Sends a request and waits for its answer.
pub(crate) async fn exchange(ask: &Ask) -> Result<Answer, Failure> {
    let response = send(ask).await.map_err(|_| Failure::Unreachable)?;
    let header = |name: &str| response.headers().get(name).ok().flatten();
    if let Some(date) = header("date") {
        time::learn(&date);
    }
    let status = response.status();
    if status == NOT_MODIFIED {
        return Ok(Answer { text: String::new(), etag: ask.known.clone(), is_unchanged: true });
    }
    let reading = response.text().map_err(|_| Failure::Unreachable)?;
    let text = JsFuture::from(reading).await.map_err(|_| Failure::Unreachable)?;
    let text = text.as_string().unwrap_or_default();
    if response.ok() {
        let text = if status == NO_CONTENT { "null".to_owned() } else { text };
        return Ok(Answer { text, etag: header("etag"), is_unchanged: false });
    }
    match serde_json::from_str::<Problem>(&text) {
        Ok(problem) => Err(Failure::Refused(Rc::new(problem))),
        // A proxy whose hub is away answers so.
        Err(_) if matches!(status, 502..=504) => Err(Failure::Unreachable),
        Err(_) => Err(Failure::Strange(status)),
    }
}

async fn send(ask: &Ask) -> Result<Response, JsValue> {
    if let Some(early) = early_answer(ask.method, &ask.target) {
        return JsFuture::from(early).await?.dyn_into();
    }
    let headers = Headers::new()?;
    let set = |name: &str, value: &Option<String>| match value {
        Some(value) => headers.set(name, value),
        None => Ok(()),
    };
    set("authorization", &ask.token.as_ref().map(|token| format!("Bearer {token}")))?;
    set("if-none-match", &ask.known)?;
    set("idempotency-key", &ask.key)?;
    set("content-type", &ask.body.as_ref().map(|_| "application/json".to_owned()))?;
    let init = RequestInit::new();
    init.set_method(ask.method);
    init.set_headers(&headers);
    init.set_cache(RequestCache::NoStore);
    init.set_credentials(RequestCredentials::SameOrigin);
    init.set_signal(Some(&AbortSignal::timeout_with_u32(ANSWER_MS_MAX)));
    if let Some(body) = &ask.body {
        init.set_body(&JsValue::from_str(body));
    }
    let fetching = sycamore::web::window().fetch_with_str_and_init(&ask.target, &init);
    JsFuture::from(fetching).await?.dyn_into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::ids::ServerId;
    use mamba_wire::api::{
        auth::Refresh, page::PAGE_ITEMS_MAX, params::ServerPath, server::ServerQuery, table,
    };

    #[test]
    fn what_is_asked_early_is_what_the_first_pages_ask() {
        const BEGIN: &str = include_str!("../../js/src/begin.js");
        let check = |ask: &Ask, expected: &str| {
            assert!(BEGIN.contains(expected), "{expected}");
            expected.contains(&ask.target).then_some(()).expect(&ask.target);
        };
        let refresh = Ask::of::<table::Refresh>(&(), &(), &Refresh::default());
        assert_eq!(refresh.body.as_deref(), Some("{}"));
        check(
            &refresh,
            r#"ask("POST", "/api/v1/auth/refresh", { "content-type": "application/json" }, "{}")"#,
        );
        let providers = Ask::of::<table::ListProviders>(&(), &(), &());
        check(&providers, r#"ask("GET", "/api/v1/auth/providers")"#);
        let all = ServerQuery { limit: Some(PAGE_ITEMS_MAX), ..ServerQuery::ALL };
        let list = Ask::of::<table::ListServers>(&(), &all, &());
        check(&list, r#"LIST = "/api/v1/servers?limit=200""#);
        let server = ServerId::from_bytes([1; 16]);
        let one = Ask::of::<table::ShowServer>(&ServerPath { server }, &(), &());
        assert_eq!(one.target, format!("/api/v1/servers/{server}"));
        assert!(BEGIN.contains("`/api/v1/servers/${server}`"));
    }
}

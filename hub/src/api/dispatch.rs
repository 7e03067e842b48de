//! One warp filter for the whole API: it takes a request apart, and never rejects.

use super::{
    Api, ApiError, Context, Served, body, docs,
    idempotency::{self, Begin},
    limit::{Allowance, network},
    origin::origin,
    panel, precondition,
    routes::{Found, Input, Routes},
};
use crate::identity::Caller;
use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use mamba_core::{clock::draw, db::riding, error::chain};
use mamba_wire::api::{Code, Permission, Problem, Row, etag::Etag, problem};
use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use warp::{
    Filter,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    hyper::body::Body as _,
    reply::Response,
    ws::Ws,
};

/// Time for a request once its body is here: the slowest is a sign-in behind 63 others.
const REQUEST_MS_MAX: u64 = 20_000;
/// Longest request id that is taken over from a client.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// Answers of JSON: not to be stored, framed, sniffed or run.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Who is at the other end of the connection. Put into each request by the accept loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// A request body as it comes.
pub(super) type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>;

/// A request, taken apart.
struct Raw {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    peer: SocketAddr,
    ws: Option<Ws>,
    body: BodyStream,
}

/// The filter.
pub(super) fn filter(
    api: Arc<Api>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let routes = Arc::new(Routes::new());
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let ws = warp::ws().map(Some).or(warp::any().map(|| None)).unify();
    warp::any()
        .and(warp::method())
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Peer>())
        .and(ws)
        .and(warp::body::stream())
        .then(move |method, path: warp::path::FullPath, query, headers, peer: Peer, ws, body| {
            let (api, routes) = (api.clone(), routes.clone());
            let path = path.as_str().to_owned();
            let raw = Raw { method, path, query, headers, peer: peer.0, ws, body: boxed(body) };
            async move { dispatch(&api, &routes, raw).await }
        })
        .recover(|_| async { Ok::<_, Infallible>(unparsable()) })
        .unify()
}

fn boxed<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static) -> BodyStream {
    let whole = |mut part: B| part.copy_to_bytes(part.remaining());
    Box::pin(body.map(move |part| part.map(whole)))
}

/// A request that lacks what every connection puts into it: never seen outside a broken build.
fn unparsable() -> Response {
    let err = ApiError::bug("request without a peer");
    refusal(err, "-")
}

async fn dispatch(api: &Arc<Api>, routes: &Routes, raw: Raw) -> Response {
    let id = request_id(api, &raw.headers);
    let (method, path) = (raw.method.clone(), raw.path.clone());
    let started = api.clock().boot();
    let peer = origin(raw.peer.ip(), &raw.headers, &api.parts.trusted_proxies);
    let mut allowance = api.addresses.take(started, network(peer));
    let found = routes.find(method.as_str(), &path);
    let name = found.as_ref().map_or("-", |found| found.route.row.name);
    let page = docs::find(&method, &path).or_else(|| match &found {
        Ok(_) => None,
        Err(_) => panel::find(&method, &path, &raw.headers),
    });
    let result = match (within(allowance), page, found) {
        (Err(err), ..) => Err(err),
        (Ok(()), Some(page), _) => Ok(page),
        (Ok(()), None, Ok(found)) => serve(api, found, raw, peer, &mut allowance).await,
        (Ok(()), None, Err(err)) => Err(err),
    };
    let (mut response, cause) = match result {
        Ok(response) => (response, None),
        Err(mut err) => {
            let cause = err.cause.take();
            (refusal(err, &id), cause)
        }
    };
    allowance.put(response.headers_mut());
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    let (status, ms) = (response.status().as_u16(), api.clock().boot().since(started));
    api.parts.hub.requests().note(status, ms);
    match cause {
        Some(cause) => tracing::error!(id, %method, endpoint = name, status, ms, cause, "request"),
        None if method == Method::GET => {
            tracing::debug!(id, %method, endpoint = name, status, ms, "request");
        }
        None => tracing::info!(id, %method, endpoint = name, status, ms, "request"),
    }
    response
}

/// Refuses a request that is one too many.
fn within(allowance: Allowance) -> Result<(), ApiError> {
    let Some(seconds) = allowance.retry_after_s else { return Ok(()) };
    let mut err = ApiError::new(Code::Throttled, "too many requests");
    err.retry_after_s = Some(seconds);
    Err(err)
}

/// Checks a request in the order of what it costs, and calls its handler.
async fn serve(
    api: &Arc<Api>,
    found: Found<'_>,
    raw: Raw,
    peer: IpAddr,
    allowance: &mut Allowance,
) -> Result<Response, ApiError> {
    let row = found.route.row;
    let caller = authenticate(api, &row, peer, &raw.headers)?;
    if let Some(caller) = &caller {
        *allowance = allowance.tighter(api.accounts.take(api.clock().boot(), caller.user));
        within(*allowance)?;
    }
    let scope = match &caller {
        Some(caller) => {
            api.admit(caller, &row, &found.path)?.map(|scope| scope.from(caller.origin))
        }
        None => None,
    };
    body::check_head(&raw.headers, &row)?;
    let body = if row.has_body { body::read(raw.body, &row).await? } else { Vec::new() };
    let key = match caller.as_ref().filter(|_| row.keyed) {
        Some(caller) => idempotency::key(&raw.headers, caller, &row, &raw.path, &body)?,
        None => None,
    };
    let Raw { headers, ws, query, .. } = raw;
    let input = Input { path: found.path.clone(), query, body };
    let context = Context { caller, scope, peer, headers, ws };
    let work = answer(api, &found, context, input, key);
    match tokio::time::timeout(Duration::from_millis(REQUEST_MS_MAX), work).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::new(Code::NoAnswer, "what was asked for may still happen")),
    }
}

/// Does what is asked for, once where there is a key, and unless `if-match` forbids it.
async fn answer(
    api: &Arc<Api>,
    found: &Found<'_>,
    context: Context,
    input: Input,
    key: Option<idempotency::Key>,
) -> Result<Response, ApiError> {
    let Found { route, object, .. } = found;
    let row = route.row;
    let headers = context.headers.clone();
    let mut _held = None;
    if row.is_change() && row.needs_token() {
        if let Some(object) = object {
            let is_alone = headers.contains_key(header::IF_MATCH);
            _held = Some(api.objects.hold(object, &input, is_alone).await);
        }
        precondition::check(api, *object, &context, &input).await?;
    }
    let calling = (route.call)(api.clone(), context, input);
    let result = match &key {
        None => calling.await,
        Some(key) => match api.keys.begin(api.clock().wall(), key).await? {
            Begin::Fresh(_run) => {
                let result = riding(idempotency::rider(key), calling).await;
                api.keys.finish(key, row.status, &result).await;
                result
            }
            Begin::Replay(status, body) => {
                let mut response = json(status, body);
                let yes = HeaderValue::from_static("true");
                response.headers_mut().insert("idempotent-replay", yes);
                return Ok(response);
            }
        },
    };
    Ok(match result? {
        Served::Json(body) | Served::Ready(body) if row.is_tagged() => {
            let tag = if route.is_list { Some(Etag::of_page(&body)) } else { Etag::of(&body) };
            precondition::tag(&headers, tag, body, |body| json(row.status, body))
        }
        Served::Json(body) | Served::Ready(body) if found.answers_with_object() => {
            let tag = Etag::of(&body);
            precondition::tag(&HeaderMap::new(), tag, body, |body| json(row.status, body))
        }
        Served::Json(body) | Served::Ready(body) => json(row.status, body),
        Served::JsonAs(status, body) => json(status, body),
        Served::Whole(response) => response,
    })
}

/// Finds out who asks.
pub(super) fn authenticate(
    api: &Api,
    row: &Row,
    peer: IpAddr,
    headers: &HeaderMap,
) -> Result<Option<Caller>, ApiError> {
    match row.permission {
        Permission::Public | Permission::Ticket => return Ok(None),
        Permission::SettingUp
        | Permission::SignedIn
        | Permission::Admin(_)
        | Permission::Tenant(_)
        | Permission::Server(_) => {}
    }
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let token = token.ok_or_else(ApiError::not_signed_in)?;
    let caller = api.identity().authenticate(peer, token)?;
    if caller.is_limited && row.permission != Permission::SettingUp {
        return Err(ApiError::new(Code::Forbidden, "set up a second factor first"));
    }
    if caller.is_key && !is_open_to_keys(row) {
        return Err(ApiError::new(Code::Forbidden, "an API key does not reach the account"));
    }
    if row.confirmed && !caller.is_present(api.clock().wall()) {
        let why = "confirm with password, second factor or passkey that it is you, then ask again";
        return Err(ApiError::new(Code::ConfirmFirst, why));
    }
    Ok(Some(caller))
}

/// Whether API keys may ask it at all: not what is the account's own, its sessions and other keys,
/// for which there is no right that a key could have been given.
fn is_open_to_keys(row: &Row) -> bool {
    let is_of_account = matches!(row.permission, Permission::SettingUp | Permission::SignedIn);
    !is_of_account || !(row.is_change() || row.path.starts_with("/api/v1/account"))
}

/// Takes over the client's request id, or makes one.
fn request_id(api: &Api, headers: &HeaderMap) -> String {
    let is_fit = |id: &&str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(fits)
    };
    let given = headers.get("x-request-id").and_then(|value| value.to_str().ok()).filter(is_fit);
    given.map_or_else(
        || format!("{:032x}", u128::from_be_bytes(draw(api.entropy()))),
        ToOwned::to_owned,
    )
}

fn json(status: u16, body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    if response.body().size_hint().exact() != Some(0) {
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

fn refusal(err: ApiError, id: &str) -> Response {
    let mut problem = Problem::new(err.code, err.detail, id);
    problem.errors = err.errors;
    let body = serde_json::to_vec(&problem).unwrap_or_else(|err| chain(&err).into_bytes());
    let mut response = json(problem.status, body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
    if problem.status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = err.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = err.allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
        headers.insert(header::ALLOW, allow);
    }
    response
}

//! `if-match` and `if-none-match`: see `wire::api::etag` for what a tag means.
//!
//! A change with `if-match` reads the object through its own endpoint, as the same caller, and goes
//! on when the version is the wanted one. Meanwhile no other request changes that object: changes
//! without the header hold its place together, one with it alone. Objects share a fixed number of
//! places by a hash of the endpoint that shows them and the names in its path; two that share one
//! only wait for each other. What changes no object holds no place, whatever its headers say.

use super::{
    Api, ApiError, Context, Served,
    dispatch::authenticate,
    routes::{Input, Route},
};
use mamba_core::error::Invalid;
use mamba_wire::api::{Code, etag::Etag};
use std::sync::Arc;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use warp::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    reply::Response,
};

/// Places; far more than changes at one time, so that who holds one alone stands in nobody's way.
const PLACES: usize = 4_096;

/// Places of objects that are being changed.
pub(super) struct Objects([RwLock<()>; PLACES]);

/// A held place.
pub(super) enum Held<'a> {
    /// With other changes.
    Together(#[expect(dead_code, reason = "held, not looked at")] RwLockReadGuard<'a, ()>),
    /// Alone.
    Alone(#[expect(dead_code, reason = "held, not looked at")] RwLockWriteGuard<'a, ()>),
}

impl Objects {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| RwLock::new(())))
    }

    /// Waits for the place of an object. Cancelled, nothing is held.
    pub(super) async fn hold(&self, object: &Route, input: &Input, is_alone: bool) -> Held<'_> {
        let place = &self.0[place_of(object, input)];
        if is_alone { Held::Alone(place.write().await) } else { Held::Together(place.read().await) }
    }
}

/// Pure: the place of the object that an endpoint shows and a request names.
fn place_of(object: &Route, input: &Input) -> usize {
    let mut hasher = blake3::Hasher::new();
    hasher.update(object.row.name.as_bytes());
    for (_, value) in names_of(object, input) {
        hasher.update(&[0]).update(value.as_bytes());
    }
    let [first, second, ..] = *hasher.finalize().as_bytes();
    usize::from(u16::from_be_bytes([first, second])) % PLACES
}

/// The part of a request's path that names the object.
fn names_of<'a>(
    object: &Route,
    input: &'a Input,
) -> impl Iterator<Item = &'a (String, String)> + use<'a> {
    let names = object.row.path_names;
    input.path.iter().filter(move |(name, _)| names.contains(&name.as_str()))
}

/// Checks `if-match`; `object` is the endpoint that shows what `input` changes.
///
/// # Errors
/// `PreconditionFailed`, `Invalid` when there is nothing to compare with, or what reading it says.
pub(super) async fn check(
    api: &Arc<Api>,
    object: Option<&Route>,
    context: &Context,
    input: &Input,
) -> Result<(), ApiError> {
    let Some(wanted) = text(&context.headers, header::IF_MATCH) else { return Ok(()) };
    let Some(object) = object else {
        let rule = "is not known here: this endpoint changes nothing that has a version";
        return Err(Invalid::new("if-match", rule).into());
    };
    let path: Vec<_> = names_of(object, input).cloned().collect();
    let caller = authenticate(api, &object.row, context.peer, &context.headers)?;
    let scope = match &caller {
        Some(caller) => api.admit(caller, &object.row, &path)?,
        None => None,
    };
    let headers = context.headers.clone();
    let context = Context { caller, scope, peer: context.peer, headers, ws: None };
    let read = Input { path, query: String::new(), body: Vec::new() };
    let shown = match (object.call)(api.clone(), context, read).await? {
        Served::Json(body) | Served::JsonAs(_, body) | Served::Ready(body) => Etag::of(&body),
        Served::Whole(_) => None,
    };
    match shown {
        Some(tag) if tag.has_version_of(&wanted) => Ok(()),
        Some(_) | None => Err(ApiError::new(
            Code::PreconditionFailed,
            "it was changed since this version: read it again",
        )),
    }
}

/// Puts the tag on an answer; makes it 304 when the client has it already.
pub(super) fn tag(
    headers: &HeaderMap,
    tag: Option<Etag>,
    body: Vec<u8>,
    json: impl FnOnce(Vec<u8>) -> Response,
) -> Response {
    let known = text(headers, header::IF_NONE_MATCH);
    let is_known = tag.zip(known).is_some_and(|(tag, known)| tag.is_named_by(&known));
    let mut response = if is_known {
        let mut response = Response::new(Vec::new().into());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        json(body)
    };
    if let Some(value) = tag.and_then(|tag| HeaderValue::from_str(&tag.text()).ok()) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// All lines of a header with commas between; what is not text is nothing.
fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    let lines: Vec<&str> = lines.map(|line| line.to_str().unwrap_or_default()).collect();
    Some(lines.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::routes::Routes;

    #[test]
    fn a_place_is_of_one_object_and_of_nothing_else() {
        let routes = Routes::new();
        let place = |method: &str, path: &str| {
            let found = routes.find(method, path).ok().unwrap();
            let input = Input { path: found.path, query: String::new(), body: Vec::new() };
            found.object.map(|object| place_of(object, &input))
        };
        let tenant = place("PATCH", "/api/v1/tenants/a");
        assert!(tenant.is_some());
        assert_eq!(tenant, place("DELETE", "/api/v1/tenants/a"));
        assert_ne!(tenant, place("PATCH", "/api/v1/tenants/b"));
        // What makes something changes no object: it waits for nobody and holds nobody up.
        assert_eq!(place("POST", "/api/v1/servers"), None);
        assert_eq!(place("POST", "/api/v1/account/api-keys"), None);
    }
}

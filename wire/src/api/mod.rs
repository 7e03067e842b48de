//! Pure: the HTTP contract. Every endpoint is declared once, in [`table`].
//!
//! The hub's routes, its permission and isolation tests and every typed client come from that table:
//! what is not in it cannot be served, what is in it without a handler does not compile.
//!
//! # Conventions
//! - Everything lives under `/api/v1`, except `/healthz` and `/readyz` for load balancers and the contract itself,
//!   `/api/openapi.json`. Within a version fields
//!   and endpoints are only added; a client skips fields that it does not know.
//! - Requests are JSON (`content-type: application/json`), at most [`BODY_BYTES_MAX`] bytes; an
//!   unknown field or query parameter is refused by its name.
//! - A token of [`auth::Tokens`] goes in as `authorization: Bearer ..`.
//! - Times are milliseconds since 1970-01-01 UTC. Quantities that can exceed 2^53 are decimal
//!   strings.
//! - Everything that is not a 2xx is a [`Problem`] (RFC 9457) with a `code` for programs, except a
//!   failed WebSocket after its upgrade, which ends with a close code.
//! - Each answer carries `x-request-id`, the one of the request when it sent an acceptable one.
//! - Lists are pages: see [`page`].
//! - An endpoint whose row says `keyed` takes `idempotency-key` (1 to [`KEY_BYTES_MAX`] visible ASCII
//!   characters): within [`KEY_TTL_MS`] the same key with the same body gives the first answer again
//!   and does nothing, with another body it is refused with 409.
//!   A ticket is not `keyed`: it opens one socket within half a minute, and whoever lost the answer asks for
//!   another one rather than for the same, which might be used by then.
//! - A read answers with an `etag`: `if-none-match` with it gives 304 while nothing changed, and
//!   `if-match` on a change of that object 412 when another change came in between: see [`etag`]. A
//!   change of what has no version of its own refuses `if-match`.
//! - An endpoint whose row says `confirmed` is for who proved within ten minutes to be there, by signing
//!   in or with [`table::Confirm`]: anybody else gets 403 `confirm_first`, may confirm, and ask again.
//! - Every answer tells the rate limit in `ratelimit-limit`, `ratelimit-remaining` and
//!   `ratelimit-reset`; above it there is 429 with `retry-after`.
//! - What belongs to another tenant answers exactly like what does not exist: 404.

mod encode;
pub mod etag;
pub mod openapi;
pub mod problem;
pub mod page;
pub mod params;
pub mod auth;
pub mod account;
pub mod mail;
pub mod node;
pub mod registry;
pub mod blueprint;
pub mod tenant;
pub mod member;
pub mod server;
pub mod runtime;
pub mod permission;
pub mod startup;
pub mod transfer;
pub mod allocation;
pub mod console;
pub mod feed;
pub mod activity;
pub mod audit;
pub mod usage;
pub mod health;
pub mod status;
pub mod legal;
pub mod hub;
pub mod user;
pub mod table;

pub use page::{Freshness, LinkState, Page, PageQuery};
pub use params::Params;
pub use problem::{Code, Problem};
pub use table::{AREAS, ENDPOINTS};

use mamba_core::access::{AdminRight, ServerKey, TenantRight, Wanted};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use std::any::TypeId;

/// Most bytes of a request body: a server with all its variables fits; nothing else comes near.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest idempotency key in bytes: a UUID, or two with a word between.
pub const KEY_BYTES_MAX: usize = 128;
/// How long a key is remembered: a client that retries longer than a day has given up.
pub const KEY_TTL_MS: u64 = 24 * 3_600_000;

/// One endpoint: what goes in, what comes out and who may ask.
pub trait Endpoint: 'static {
    /// Its name: that of its type.
    const NAME: &'static str;
    /// Tag of its [`Area`].
    const TAG: &'static str;
    /// The HTTP method. GET endpoints also answer HEAD.
    const METHOD: Method;
    /// The path with `{names}`, which are those of `Path`, in order.
    const PATH: &'static str;
    /// What it does, in one sentence.
    const SUMMARY: &'static str;
    /// Who may ask.
    const PERMISSION: Permission;
    /// Status of success. With 204 there is no body and `Out` is `()`.
    const STATUS: u16;
    /// Whether it takes an idempotency key.
    const KEYED: bool;
    /// Whether who asks must have proved a short while ago to be there: what it makes outlives its session.
    const CONFIRMED: bool;
    /// Codes of refusals that do not follow from the rest of the row: see [`Row::codes`].
    const CODES: &'static [Code];
    /// Parts of the path.
    type Path: Params;
    /// Query parameters.
    type Query: Params;
    /// The request body.
    type Body: RequestBody;
    /// The body of a success.
    type Out: Serialize + DeserializeOwned + JsonSchema + Send;
}

/// HTTP methods in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes something or causes something.
    Post,
    /// Puts a whole value in place of what is there; twice is like once.
    Put,
    /// Changes the fields that are given.
    Patch,
    /// Ends something.
    Delete,
}

impl Method {
    /// Returns the method as HTTP writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everybody.
    Public,
    /// Everybody with a valid token, also one with which only a second factor may be set up.
    SettingUp,
    /// Everybody with a valid token.
    SignedIn,
    /// Administrators with this right.
    Admin(AdminRight),
    /// Who has this right over the tenant in the path, or over the tenant of the server in the path.
    Tenant(TenantRight),
    /// Who has this key for the server in the path; a list holds the servers for which the caller
    /// has the key.
    Server(ServerKey),
    /// The holder of a single-use console ticket in the query; the connection becomes a WebSocket.
    Ticket,
}

impl Permission {
    /// Returns the key that a caller needs, if one is enough to say it.
    #[must_use]
    pub const fn wanted(self) -> Option<Wanted> {
        match self {
            Self::Public | Self::SettingUp | Self::SignedIn | Self::Ticket => None,
            Self::Admin(right) => Some(Wanted::Admin(right)),
            Self::Tenant(right) => Some(Wanted::Tenant(right)),
            Self::Server(key) => Some(Wanted::Server(key)),
        }
    }
}

/// A request body.
pub trait RequestBody: Serialize + DeserializeOwned + JsonSchema + Send {
    /// Whether there is a body at all.
    const EXPECTED: bool = true;
    /// Most bytes of it.
    const BYTES_MAX: usize = BODY_BYTES_MAX;
}

/// No body.
impl RequestBody for () {
    const EXPECTED: bool = false;
}

/// Endpoints about one subject.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Its short name in the documentation.
    pub tag: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its endpoints.
    pub rows: &'static [Row],
}

/// One endpoint as a value, for programs that go through all of them.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// See [`Endpoint::NAME`].
    pub name: &'static str,
    /// See [`Endpoint::TAG`].
    pub tag: &'static str,
    /// See [`Endpoint::METHOD`].
    pub method: Method,
    /// See [`Endpoint::PATH`].
    pub path: &'static str,
    /// See [`Endpoint::SUMMARY`].
    pub summary: &'static str,
    /// See [`Endpoint::PERMISSION`].
    pub permission: Permission,
    /// See [`Endpoint::STATUS`].
    pub status: u16,
    /// See [`Endpoint::KEYED`].
    pub keyed: bool,
    /// See [`Endpoint::CONFIRMED`].
    pub confirmed: bool,
    /// See [`Endpoint::CODES`].
    pub own_codes: &'static [Code],
    /// Names in the path, in order.
    pub path_names: &'static [&'static str],
    /// Names of the query parameters.
    pub query_names: &'static [&'static str],
    /// Whether it takes a body.
    pub has_body: bool,
    /// Most bytes of its body.
    pub body_bytes_max: usize,
    /// Makes the schema of its body, complete in itself.
    pub body_schema: fn() -> serde_json::Value,
    /// The type of its answer.
    pub out: fn() -> TypeId,
    /// Describes its types.
    pub describe: fn(&mut openapi::Schemas) -> openapi::Described,
}

impl Row {
    /// Describes an endpoint.
    #[must_use]
    pub const fn of<E: Endpoint>() -> Self {
        Self {
            name: E::NAME,
            tag: E::TAG,
            method: E::METHOD,
            path: E::PATH,
            summary: E::SUMMARY,
            permission: E::PERMISSION,
            status: E::STATUS,
            keyed: E::KEYED,
            confirmed: E::CONFIRMED,
            own_codes: E::CODES,
            path_names: <E::Path as Params>::NAMES,
            query_names: <E::Query as Params>::NAMES,
            has_body: <E::Body as RequestBody>::EXPECTED,
            body_bytes_max: <E::Body as RequestBody>::BYTES_MAX,
            body_schema: openapi::body_schema::<E>,
            out: TypeId::of::<E::Out>,
            describe: openapi::describe::<E>,
        }
    }

    /// Returns whether it changes something.
    #[must_use]
    pub fn is_change(&self) -> bool {
        match self.method {
            Method::Get => false,
            Method::Post | Method::Put | Method::Patch | Method::Delete => true,
        }
    }

    /// Returns whether a token is needed.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        match self.permission {
            Permission::Public | Permission::Ticket => false,
            Permission::SettingUp
            | Permission::SignedIn
            | Permission::Admin(_)
            | Permission::Tenant(_)
            | Permission::Server(_) => true,
        }
    }

    /// Returns whether its answer carries an `etag`.
    #[must_use]
    pub fn is_tagged(&self) -> bool {
        self.method == Method::Get && self.status == 200 && self.needs_token()
    }

    /// Returns the endpoint that shows the object which this one changes: that of the same path, or
    /// of the longest beginning of it that ends with a name, if the change answers with that very
    /// object. Its `etag` is what `if-match` means. Without one there is nothing to compare with: what
    /// is only listed, or lies below an object without being part of it, has no version.
    #[must_use]
    pub fn object(&self) -> Option<&'static Self> {
        let shows = |row: &&'static Self| {
            let is_of_path = self.method != Method::Post && row.path == self.path;
            let rest = self.path.strip_prefix(row.path);
            let is_above = row.path.ends_with('}') && rest.is_some_and(|it| it.starts_with('/'));
            row.is_tagged() && (is_of_path || (is_above && (row.out)() == (self.out)()))
        };
        if !self.is_change() {
            return None;
        }
        ENDPOINTS.iter().filter(shows).max_by_key(|row| row.path.len())
    }

    /// Returns every code that a refusal may carry, in their order.
    #[must_use]
    pub fn codes(&self) -> Vec<Code> {
        let always = [
            Code::Malformed,
            Code::Invalid,
            Code::Throttled,
            Code::Unavailable,
            Code::NoAnswer,
            Code::Bug,
        ];
        let mut codes = always.to_vec();
        match self.permission {
            Permission::Public => {}
            // An API key reaches nothing of the account.
            Permission::SettingUp
            | Permission::SignedIn
            | Permission::Ticket
            | Permission::Admin(_)
            | Permission::Tenant(_)
            | Permission::Server(_) => {
                codes.extend([Code::NotSignedIn, Code::Forbidden]);
            }
        }
        if !self.path_names.is_empty() {
            codes.push(Code::NotFound);
        }
        if self.has_body {
            codes.extend([Code::TooLarge, Code::NotJson, Code::Timeout]);
        }
        if self.keyed {
            codes.extend([Code::Conflict, Code::KeyReused, Code::KeyPending]);
        }
        if self.confirmed {
            codes.push(Code::ConfirmFirst);
        }
        if self.object().is_some() {
            codes.push(Code::PreconditionFailed);
        }
        codes.extend(self.own_codes);
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}

/// Returns path and query of one request to an endpoint, percent-encoded.
#[must_use]
pub fn target<E: Endpoint>(path: &E::Path, query: &E::Query) -> String {
    let mut out = String::with_capacity(E::PATH.len() + 64);
    let values = path.values();
    for part in E::PATH.split('/').skip(1) {
        out.push('/');
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => {
                let value = values.iter().find(|(its, _)| *its == name);
                encode::encode(value.map_or("", |(_, value)| value), &mut out);
            }
            None => out.push_str(part),
        }
    }
    for (index, (name, value)) in query.values().into_iter().enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        encode::encode(&value, &mut out);
    }
    out
}

pub use encode::{decode_query, decode_segment};

#[cfg(test)]
mod tests;

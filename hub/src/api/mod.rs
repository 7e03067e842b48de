//! The HTTP API: the contract table of `wire::api`, served.
//!
//! A request goes `serve` (connection) -> `dispatch` (who, what, how large, how long, how often) -> `routes`
//! (which endpoint, its types) -> a `Handle` in `handlers`, which calls the hub and decides nothing
//! about HTTP. Every refusal becomes a problem in `error`. A row of the table without a handler does
//! not compile. What is no endpoint and asked for by a browser is a page of the `panel`.

mod error;
mod ask;
mod body;
mod shape;
mod idempotency;
mod limit;
mod precondition;
mod cursor;
mod pages;
mod routes;
mod dispatch;
mod origin;
mod docs;
mod panel;
mod tls;
mod gate;
mod stall;
mod serve;
mod resolve;
mod handlers;

pub(crate) use error::ApiError;
pub use gate::ConnectionLimits;
pub use idempotency::TABLES;
pub use limit::RequestLimits;
pub use serve::serve;
pub use tls::{Certificates, TlsError, TlsFiles};

use crate::{
    Hub,
    identity::{Caller, Identity, Tickets},
    legal::Legal,
    relay::{NodeDoor, Sockets},
};
use bytes::Bytes;
use idempotency::Keys;
use limit::Buckets;
use mamba_core::{
    clock::{BootMs, Clock, Entropy, UnixMs},
    db::Store,
    ids::UserId,
    scope::{AdminScope, TenantScope},
};
use mamba_wire::{
    api::{Code, Endpoint, hub::Setting, openapi, status::Status},
    node::{Ask, Asker, NodeRequest},
};
use pages::Pages;
use precondition::Objects;
use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use warp::{http::HeaderMap, reply::Response, ws::Ws};

/// What the API is made of.
pub struct ApiParts {
    /// The hub.
    pub hub: Hub,
    /// Accounts and sessions.
    pub identity: Identity,
    /// Ways to connected nodes.
    pub links: Arc<dyn NodeDoor>,
    /// Open consoles.
    pub consoles: Arc<Sockets>,
    /// Open feeds.
    pub feeds: Arc<Sockets>,
    /// Host and port that go into join tokens.
    pub public_link_address: String,
    /// Where edges connect, as bound.
    pub link_listen: SocketAddr,
    /// Peers whose word is taken for where a request came from.
    pub trusted_proxies: Vec<IpAddr>,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
    /// How many requests may come.
    pub request_limits: RequestLimits,
    /// Legal pages.
    pub legal: Legal,
    /// What administrators are told of the settings.
    pub settings: Vec<Setting>,
}

/// Serves every endpoint.
pub struct Api {
    parts: ApiParts,
    tickets: Mutex<Tickets>,
    addresses: Buckets<IpAddr>,
    accounts: Buckets<UserId>,
    objects: Objects,
    keys: Keys,
    pages: Pages,
    /// What the status page was last, and when that was looked at.
    status: Mutex<Option<(BootMs, Status)>>,
    /// The contract as JSON.
    contract: Bytes,
    started_at: UnixMs,
    started_boot: BootMs,
}

/// Serves one endpoint.
pub(crate) trait Handle<E: Endpoint> {
    /// Does what the endpoint says. Path, query and body are read; the caller is known and has the
    /// row's permission.
    fn handle(
        &self,
        context: Context,
        path: E::Path,
        query: E::Query,
        body: E::Body,
    ) -> impl Future<Output = Result<Served<E::Out>, ApiError>> + Send;
}

/// Answer of a handler.
pub(crate) enum Served<T> {
    /// With the row's status.
    Json(T),
    /// With another status.
    JsonAs(u16, T),
    /// With the row's status, and already in JSON.
    Ready(Vec<u8>),
    /// Something else than JSON: an upgrade.
    Whole(Response),
}

/// Around a request.
pub(crate) struct Context {
    /// Who asks; `None` when the row is public.
    pub(crate) caller: Option<Caller>,
    /// The tenant of the object in the path; `None` when the path names none.
    pub(crate) scope: Option<TenantScope>,
    /// Where from, as far as it is known: see `origin`.
    pub(crate) peer: IpAddr,
    pub(crate) headers: HeaderMap,
    /// There when the client wants a WebSocket.
    pub(crate) ws: Option<Ws>,
}

impl Context {
    pub(crate) fn caller(&self) -> Result<&Caller, ApiError> {
        self.caller.as_ref().ok_or_else(ApiError::not_signed_in)
    }

    pub(crate) fn admin(&self) -> Result<AdminScope, ApiError> {
        let caller = self.caller()?;
        // Which right it needs was checked for the row.
        if caller.access.admin.is_empty() {
            return Err(ApiError::new(Code::Forbidden, "only an administrator may do that"));
        }
        Ok(AdminScope::granted(caller.user).from(caller.origin))
    }

    /// The scope in which the object of the path lies. The row's permission over it was checked.
    pub(crate) fn scope(&self) -> Result<&TenantScope, ApiError> {
        self.scope.as_ref().ok_or_else(|| ApiError::bug("a handler without an object in its path"))
    }

    /// Asks a node for something of the server in the path, on the caller's behalf.
    pub(crate) fn ask(&self, request: NodeRequest) -> Result<Ask, ApiError> {
        let (user, keys) = (self.caller()?.user, self.scope()?.keys());
        Ok(Ask { by: Asker::User { user, keys }, request })
    }
}

impl Api {
    /// Makes it; the time it counts as the start is now.
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        let (started_at, started_boot) = (parts.hub.clock().wall(), parts.hub.clock().boot());
        let document = openapi::document(env!("CARGO_PKG_VERSION"));
        Self {
            addresses: Buckets::new(parts.request_limits.per_address),
            accounts: Buckets::new(parts.request_limits.per_account),
            objects: Objects::new(),
            keys: Keys::new(
                parts.hub.store().clone(),
                parts.hub.vault().clone(),
                parts.hub.shared_entropy(),
            ),
            pages: Pages::new(parts.hub.store().subscribe()),
            status: Mutex::default(),
            // Maps of text never fail to become JSON.
            contract: serde_json::to_vec(&document).unwrap_or_default().into(),
            parts,
            tickets: Mutex::default(),
            started_at,
            started_boot,
        }
    }

    fn hub(&self) -> &Hub {
        &self.parts.hub
    }

    fn identity(&self) -> &Identity {
        &self.parts.identity
    }

    fn store(&self) -> &Store {
        self.parts.hub.store()
    }

    fn clock(&self) -> &dyn Clock {
        self.parts.hub.clock()
    }

    fn entropy(&self) -> &dyn Entropy {
        self.parts.hub.entropy()
    }

    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! How the hub is. Public, so it says nothing that an attacker could use.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_core::db::StoreHealth;
use mamba_wire::api::{
    health::{Health, Healthz, Part},
    openapi, table,
};
use warp::{
    http::{HeaderValue, header},
    reply::Response,
};

/// Status of a hub that cannot serve.
const UNWELL: u16 = 503;

impl Api {
    fn health(&self) -> Health {
        let store = self.store().health().borrow().clone();
        let detail = match &store {
            StoreHealth::Ok => "reads and writes",
            StoreHealth::NoBallast { .. } => "reads and writes, without a reserve for a full disk",
            StoreHealth::Full { can_write: true } => "disk is full, writes on its reserve",
            StoreHealth::Full { can_write: false } => "disk is full",
            StoreHealth::ReadOnly => "disk refuses writes",
            StoreHealth::Corrupt { .. } => "store is damaged",
            StoreHealth::Failing { .. } => "disk is failing",
            StoreHealth::Closed => "store is closed",
        };
        let is_ok = store.can_write();
        let link = format!("listens on UDP port {}", self.parts.link_listen.port());
        let connected = self.hub().live().connected().len();
        Health {
            ok: is_ok,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            uptime_ms: self.clock().boot().since(self.started_boot),
            store: Part { ok: is_ok, detail: detail.to_owned() },
            link: Part { ok: true, detail: link },
            nodes_connected: u32::try_from(connected).unwrap_or(u32::MAX),
        }
    }
}

impl Handle<table::ShowHealth> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<Health>, ApiError> {
        let health = self.health();
        Ok(if health.ok { Served::Json(health) } else { Served::JsonAs(UNWELL, health) })
    }
}

impl Handle<table::ShowReadyz> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<Healthz>, ApiError> {
        let health = self.health();
        let ok = health.store.ok && health.link.ok;
        Ok(if ok { Served::Json(Healthz { ok }) } else { Served::JsonAs(UNWELL, Healthz { ok }) })
    }
}

impl Handle<table::ShowHealthz> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<Healthz>, ApiError> {
        let ok = self.health().ok;
        Ok(if ok { Served::Json(Healthz { ok }) } else { Served::JsonAs(UNWELL, Healthz { ok }) })
    }
}

impl Handle<table::ShowContract> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<openapi::Document>, ApiError> {
        let mut response = Response::new(self.contract.clone().into());
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(Served::Whole(response))
    }
}

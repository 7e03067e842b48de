//! What everybody may read: the status of the installation, and legal pages.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_wire::api::{
    legal::{LegalPage, LegalPath},
    status::Status,
    table,
};
use std::sync::PoisonError;

/// How long a status is good: a crowd that looks at it costs one look.
const STATUS_MS: u64 = 10_000;

impl Handle<table::ShowStatus> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<Status>, ApiError> {
        // Held while it is looked at: who comes meanwhile gets the same.
        let mut last = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let boot = self.clock().boot();
        if let Some((at, status)) = &*last
            && boot.since(*at) < STATUS_MS
        {
            return Ok(Served::Json(status.clone()));
        }
        let status = self.hub().status()?;
        *last = Some((boot, status.clone()));
        Ok(Served::Json(status))
    }
}

impl Handle<table::ShowLegal> for Api {
    async fn handle(
        &self,
        _context: Context,
        path: LegalPath,
        (): (),
        (): (),
    ) -> Result<Served<LegalPage>, ApiError> {
        let page = self.parts.legal.page(&path.page);
        Ok(Served::Json(page.ok_or_else(|| ApiError::not_found("legal page"))?.clone()))
    }
}

//! The hub itself: findings, alarms, settings.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_wire::{
    api::{
        Page, PageQuery,
        hub::{Alarm, AlarmPath, Setting},
        table,
    },
    node::Check,
};

impl Handle<table::ListChecks> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<Page<Check>>, ApiError> {
        Ok(Served::Json(Page { items: self.hub().check()?, next: None }))
    }
}

impl Handle<table::ListAlarms> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<Alarm>>, ApiError> {
        Ok(Served::Json(self.hub().alarms(&context.admin()?, &query)?))
    }
}

impl Handle<table::ClearAlarm> for Api {
    async fn handle(
        &self,
        context: Context,
        path: AlarmPath,
        (): (),
        (): (),
    ) -> Result<Served<()>, ApiError> {
        Ok(Served::Json(self.hub().clear_alarm(&context.admin()?, path.alarm).await?))
    }
}

impl Handle<table::ListSettings> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<Page<Setting>>, ApiError> {
        Ok(Served::Json(Page { items: self.parts.settings.clone(), next: None }))
    }
}

//! Mails that were not sent.

use crate::{
    HubError,
    api::{Api, ApiError, Context, Handle, Served},
    control::Cut,
    mail::{self, Shown},
};
use mamba_core::{db::WriteError, ids::EventId};
use mamba_wire::api::{Page, PageQuery, mail as wire, table};

impl Handle<table::ListMails> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<wire::Mail>>, ApiError> {
        let cut = Cut::<EventId>::new(&query)?;
        let shown = if self.identity().settings().has_smtp {
            Shown::Outside
        } else if self.identity().is_root(context.caller()?)? {
            Shown::Whole
        } else {
            Shown::WithoutLink
        };
        let found = mail::list(self.store(), cut.after, cut.fetch(), shown);
        let found = found.map_err(HubError::from)?;
        Ok(Served::Json(cut.page(found.into_iter().map(|it| (it.mail, it)).collect())))
    }
}

impl Handle<table::DeleteMail> for Api {
    async fn handle(
        &self,
        _context: Context,
        path: wire::MailPath,
        (): (),
        (): (),
    ) -> Result<Served<()>, ApiError> {
        let removed = self.store().write(move |txn| {
            let is_there = mail::remove(txn, path.mail).map_err(HubError::from)?;
            is_there.then_some(()).ok_or(HubError::NotFound { what: "mail" })
        });
        removed.await.map_err(|err: WriteError<HubError>| HubError::from(err))?;
        Ok(Served::Json(()))
    }
}

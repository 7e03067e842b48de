//! Mails that were not sent.

use crate::{
    HubError,
    api::{Api, ApiError, Context, Handle, Served},
    control::Cut,
    mail,
};
use mamba_core::{db::WriteError, ids::EventId};
use mamba_wire::api::{Page, PageQuery, mail as wire, table};

impl Handle<table::ListMails> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<wire::Mail>>, ApiError> {
        let cut = Cut::<EventId>::new(&query)?;
        let with_text = !self.identity().settings().has_smtp;
        let found = mail::list(self.store(), cut.after, cut.fetch(), with_text);
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

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
        query: wire::MailQuery,
        (): (),
    ) -> Result<Served<Page<wire::Mail>>, ApiError> {
        let wire::MailQuery { to, waiting, after, limit } = query;
        let cut = Cut::<EventId>::new(&PageQuery { after, limit })?;
        let to = to.map(|it| it.to_lowercase());
        let shown = if self.identity().settings().has_smtp {
            Shown::Outside
        } else if self.identity().is_root(context.caller()?)? {
            Shown::Whole
        } else {
            Shown::WithoutLink
        };
        let read = |most| {
            let found = mail::list(self.store(), cut.after, most, shown).map_err(HubError::from)?;
            Ok(found.into_iter().map(|it| (it.mail, it)).collect())
        };
        let fits = |it: &wire::Mail| {
            to.as_ref().is_none_or(|to| it.to.contains(to))
                && waiting.is_none_or(|waiting| waiting == it.next_at.is_some())
        };
        let is_filtered = to.is_some() || waiting.is_some();
        let page =
            cut.sift(is_filtered, read, |_, it| Ok::<_, HubError>(fits(&it).then_some(it)))?;
        Ok(Served::Json(page))
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

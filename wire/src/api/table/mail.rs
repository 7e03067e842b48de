//! Pure: mails that were not sent.

use super::prelude::*;
use crate::api::mail;

endpoints! {
    /// Mails that were not sent.
    MAIL "mail" for_each_mail_endpoint;

    /// Lists mails that wait for a server, or that none took, newest first.
    ListMails: Get "/api/v1/mails", Permission::Admin(AdminRight::MailRead), 200,
        ((), mail::MailQuery, ()) -> Page<mail::Mail>;
    /// Deletes a mail that was not sent.
    DeleteMail: Delete "/api/v1/mails/{mail}", Permission::Admin(AdminRight::MailWrite), 204,
        (mail::MailPath, (), ()) -> ();
}

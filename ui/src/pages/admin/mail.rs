//! Mails that were not sent.

use crate::{
    i18n::{fill, t},
    parts::{
        Action, Badge, Icon, Kind, Question, Toasts, Tone, ask, dialog, empty, head, loading,
        nothing, notice, table,
    },
    reactive::selector,
    remote::Pages,
    session::Session,
    time::Age,
};
use mamba_core::access::AdminRight;
use mamba_wire::api::{
    PageQuery,
    mail::{Mail, MailPath},
    page::PAGE_ITEMS_DEFAULT,
    table,
};
use sycamore::prelude::*;

/// The page.
#[component]
pub(super) fn Mails() -> View {
    let session = use_context::<Session>();
    let may_write = session.may_admin(AdminRight::MailWrite);
    let pages = Pages::<Mail>::open::<table::ListMails>(|after| {
        ((), PageQuery { after, limit: Some(PAGE_ITEMS_DEFAULT) }.into())
    });
    let again = view! { Action(label=t().admin.again, task=pages.task, run=move || pages.again()) };
    let head = head(Vec::new(), t().admin.mail, again);
    let items = pages.items;
    let is_empty = selector(move || items.with(Vec::is_empty));
    view! {
        (head)
        p(class="muted") { (t().admin.mail_text) }
        (if !is_empty.get() {
            let lines = view! {
                Keyed(list=items, key=|it: &Mail| it.mail, view=move |it| view! {
                    Line(pages=pages, mail=it, may_write=may_write)
                })
            };
            let texts = &t().admin;
            let heads = [texts.mail_to, texts.subject, texts.state, texts.written, ""];
            table(texts.mail, &heads, lines)
        } else if pages.task.busy.get() {
            loading()
        } else if pages.task.failure.with(Option::is_some) {
            nothing()
        } else {
            empty(Icon::Check, t().admin.mail_none, t().admin.mail_none_text, nothing())
        })
        (match pages.task.failure.get_clone() {
            Some(failure) => notice(Tone::Bad, failure.text()),
            None => nothing(),
        })
        (if pages.has_more() {
            view! { div { Action(label=t().servers.older, task=pages.task, run=move || pages.more()) } }
        } else { nothing() })
    }
}

#[component(inline_props)]
fn Line(pages: Pages<Mail>, mail: Mail, may_write: bool) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let Mail { mail: id, to, subject, text, made_at, tries, next_at, last_error } = mail;
    let (reading, deleting) = (create_signal(false), create_signal(false));
    let what = Question {
        title: t().admin.mail_delete.to_owned(),
        text: fill(t().admin.mail_delete_text, &[("to", &to), ("subject", &subject)]),
        label: t().admin.delete,
        typed: None,
    };
    let delete = ask(deleting, what, move |task| {
        let call = session.call::<table::DeleteMail>(MailPath { mail: id }, (), ());
        task.run(call, move |()| {
            toasts.done(t().admin.deleted);
            deleting.set(false);
            pages.items.update(|all| all.retain(|it| it.mail != id));
        });
    });
    let has_text = text.is_some();
    let letter = dialog(reading, subject.clone(), move || {
        let text = text.clone().unwrap_or_default();
        view! { div(class="body") { pre(class="letter", tabindex="0") { (text) } } }
    });
    let (tone, word) = match next_at {
        Some(_) if tries == 0 => (Tone::Calm, t().admin.mail_waits.to_owned()),
        Some(_) => (Tone::Busy, fill(t().admin.mail_tried, &[("n", &tries)])),
        None => (Tone::Bad, fill(t().admin.mail_given_up, &[("n", &tries)])),
    };
    let error = last_error.unwrap_or_default();
    view! {
        tr {
            td(class="cut") { (to) }
            td(class="cut") { (subject) }
            td(class="wrap") { Badge(tone=tone, label=word) div(class="muted") { (error) } }
            td(class="muted") { Age(at=made_at) }
            td(class="end") {
                div(class="actions end") {
                    (if has_text { view! {
                        Action(label=t().admin.mail_read, kind=Kind::Quiet, run=move || reading.set(true))
                    } } else { nothing() })
                    (if may_write { view! {
                        Action(label=t().admin.delete, kind=Kind::Quiet, run=move || deleting.set(true))
                    } } else { nothing() })
                }
                (letter) (delete)
            }
        }
    }
}

//! Open invitations: sent, looked after, withdrawn.

use super::{
    members::{Roles, named, role_field, role_of, role_value},
    page::Seen,
};
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{
        Action, Badge, Copyable, Field, Icon, Kind, Question, Submit, Toasts, Tone, ask, complaint,
        confirm, dialog, listing, nothing, shown,
    },
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
    time,
};
use mamba_core::access::{Role, TenantRight};
use mamba_wire::api::{
    Page, PageQuery,
    member::{CreateInvitation, Invitation, InvitationPath, InvitedTo, LetterState},
    page::PAGE_ITEMS_MAX,
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The card below the members.
#[component(inline_props)]
pub(super) fn Invitations(seen: Seen, roles: Roles) -> View {
    let remote = watch::<table::ListInvitations>(remote::RARELY_MS, move || {
        Some((seen.path(), PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) }))
    });
    let inviting = create_signal(false);
    let invite = invite_dialog(seen, remote, roles, inviting);
    let may = selector(move || seen.may(TenantRight::MemberWrite));
    view! {
        section(class="card") {
            header {
                h2 { (t().tenant.invited) }
                (if may.get() { view! {
                    Action(label=t().tenant.invite, kind=Kind::Primary, picture=Icon::Plus,
                        run=move || inviting.set(true))
                } } else { nothing() })
            }
            (shown(remote, move |page| list(seen, remote, roles, page)))
        }
        (invite)
    }
}

fn list(
    seen: Seen,
    remote: Remote<Page<Invitation>>,
    roles: Roles,
    page: ReadSignal<Rc<Page<Invitation>>>,
) -> View {
    let items = selector(move || page.with(|it| it.items.clone()));
    view! {
        (if items.with(Vec::is_empty) {
            view! { div(class="body") { p(class="muted") { (t().tenant.invited_none) } } }
        } else {
            let rows = view! {
                Indexed(list=items, view=move |it| view! { Line(seen=seen, remote=remote, roles=roles, it=it) })
            };
            let texts = &t().tenant;
            listing(&[t().sign_in.email, texts.role, texts.letter, texts.until, ""], rows)
        })
    }
}

#[component(inline_props)]
fn Line(seen: Seen, remote: Remote<Page<Invitation>>, roles: Roles, it: Invitation) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let revoking = create_signal(false);
    let path = InvitationPath { tenant: seen.id, invitation: it.invitation };
    let question = Question {
        title: t().tenant.revoke.to_owned(),
        text: fill(t().tenant.revoke_text, &[("email", &it.email)]),
        label: t().tenant.revoke,
        typed: None,
    };
    let revoke = ask(revoking, question, move |task| {
        task.run(session.call::<table::RevokeInvitation>(path.clone(), (), ()), move |()| {
            toasts.done(t().tenant.revoked);
            revoking.set(false);
            remote.reload();
        });
    });
    let may = selector(move || seen.may(TenantRight::MemberWrite));
    let (tone, letter) = letter(it.letter);
    let member = match it.to {
        InvitedTo::Member(role) => Some(role),
        InvitedTo::SubUser { .. } => None,
    };
    let to = move || {
        member.map_or_else(|| t().tenant.invite_to_server.to_owned(), |role| named(roles, role))
    };
    let (email, until) = (it.email, time::local(it.until));
    view! {
        tr {
            td(class="cut") { (email) }
            td { (to()) }
            td { Badge(tone=tone, label=letter) }
            td(class="muted") { (until) }
            td(class="end") {
                (if may.get() { view! {
                    Action(label=t().tenant.revoke, kind=Kind::Danger, run=move || revoking.set(true))
                } } else { nothing() })
                (revoke)
            }
        }
    }
}

fn letter(state: LetterState) -> (Tone, &'static str) {
    let texts = &t().tenant;
    match state {
        LetterState::Waits => (Tone::Busy, texts.letter_waits),
        LetterState::GivenUp => (Tone::Bad, texts.letter_given_up),
        LetterState::Left => (Tone::Calm, texts.letter_left),
    }
}

fn invite_dialog(
    seen: Seen,
    remote: Remote<Page<Invitation>>,
    roles: Roles,
    open: Signal<bool>,
) -> View {
    let session = use_context::<Session>();
    dialog(open, t().tenant.invite, move || {
        let (task, email) = (Task::new(), create_signal(String::new()));
        let chosen = create_signal(role_value(Role::Viewer));
        let made = create_signal(None::<(String, String)>);
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let Some(role) = chosen.with(|it| role_of(it)) else { return };
            let email = email.get_clone_untracked().trim().to_owned();
            let body = CreateInvitation { email, role };
            let call = session.call::<table::CreateInvitation>(seen.path(), (), body);
            task.run(call, move |it| {
                made.set(Some((it.invitation.email, it.token)));
                remote.reload();
            });
        };
        let form = move || {
            let wrong = complaint(task.failure, &["email", "role"]);
            let role = role_field(roles, chosen, task);
            let footer = confirm(open, view! { Submit(label=t().tenant.invite, task=task) });
            view! {
                form(on:submit=submit, novalidate=true) {
                    (wrong)
                    Field(label=t().sign_in.email, name="email", value=email, kind="email", inputmode="email",
                        autofocus=true, failure=task.failure)
                    (role)
                    (footer)
                }
            }
        };
        view! { (match made.get_clone() { Some((email, token)) => invited(&email, &token), None => form() }) }
    })
}

/// Returns the link that accepts an invitation: it is shown once.
fn invited(email: &str, token: &str) -> View {
    let origin = window().location().origin().unwrap_or_default();
    let link = format!("{origin}/invitation#{token}");
    let text = fill(t().tenant.invite_done, &[("email", &email)]);
    view! { div(class="body") { p { (text) } Copyable(text=link) } }
}

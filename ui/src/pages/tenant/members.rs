//! Members of a tenant, and what part each plays.

use super::{invitations::Invitations, page::Seen};
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{
        Action, Badge, Choice, Icon, Kind, Question, Select, Submit, Toasts, Tone, ask, complaint,
        confirm, dialog, empty, listing, nothing, shown,
    },
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
    time::Age,
};
use mamba_core::access::{Role, TenantRight};
use mamba_wire::api::{
    Page, PageQuery,
    member::{Member, MemberPath, RoleItem, UpdateMember},
    page::PAGE_ITEMS_MAX,
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// Roles of a tenant, where one may see them.
pub(super) type Roles = Remote<Page<RoleItem>>;

/// The tab.
#[component(inline_props)]
pub(super) fn Members(seen: Seen) -> View {
    let remote = watch::<table::ListMembers>(remote::RARELY_MS, move || {
        Some((seen.path(), PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) }))
    });
    let roles = watch::<table::ListRoles>(remote::RARELY_MS, move || {
        seen.may(TenantRight::RoleRead).then(|| (seen.path(), ()))
    });
    view! {
        (shown(remote, move |page| list(seen, remote, roles, page)))
        Invitations(seen=seen, roles=roles)
    }
}

fn list(
    seen: Seen,
    remote: Remote<Page<Member>>,
    roles: Roles,
    page: ReadSignal<Rc<Page<Member>>>,
) -> View {
    let items = selector(move || page.with(|it| it.items.clone()));
    let heads = [t().sign_in.email, t().tenant.role, t().tenant.since, ""];
    view! {
        (if items.with(Vec::is_empty) {
            empty(Icon::People, t().tenant.members_none, t().tenant.members_none_text, nothing())
        } else {
            let rows = view! {
                Indexed(list=items, view=move |it| view! { Line(seen=seen, remote=remote, roles=roles, member=it) })
            };
            listing(&heads, rows)
        })
    }
}

#[component(inline_props)]
fn Line(seen: Seen, remote: Remote<Page<Member>>, roles: Roles, member: Member) -> View {
    let session = use_context::<Session>();
    let is_me = session.me().is_some_and(|me| me.user == member.user);
    let (changing, removing) = (create_signal(false), create_signal(false));
    let change = change_dialog(seen, remote, roles, &member, changing);
    let remove = remove_dialog(seen, remote, &member, removing);
    let may = selector(move || seen.may(TenantRight::MemberWrite));
    let Member { email, role, since, .. } = member;
    let tone = if role == Role::Owner { Tone::Good } else { Tone::Calm };
    view! {
        tr {
            td(class="cut") { (email) span(class="tag", hidden=!is_me) { (t().tenant.you) } }
            td { (view! { Badge(tone=tone, label=named(roles, role)) }) }
            td(class="muted") { Age(at=since) }
            td(class="end") {
                (if may.get() { view! { div(class="actions end") {
                    Action(label=t().tenant.role_change, run=move || changing.set(true))
                    Action(label=t().general.remove, kind=Kind::Danger, run=move || removing.set(true))
                } } } else { nothing() })
                (change) (remove)
            }
        }
    }
}

fn path(seen: Seen, member: &Member) -> MemberPath {
    MemberPath { tenant: seen.id, user: member.user }
}

fn remove_dialog(
    seen: Seen,
    remote: Remote<Page<Member>>,
    member: &Member,
    open: Signal<bool>,
) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let path = path(seen, member);
    let question = Question {
        title: t().tenant.member_remove.to_owned(),
        text: fill(t().tenant.member_remove_text, &[("email", &member.email)]),
        label: t().general.remove,
        typed: None,
    };
    ask(open, question, move |task| {
        task.run(session.call::<table::RemoveMember>(path.clone(), (), ()), move |()| {
            toasts.done(t().tenant.member_removed);
            open.set(false);
            remote.reload();
        });
    })
}

fn change_dialog(
    seen: Seen,
    remote: Remote<Page<Member>>,
    roles: Roles,
    member: &Member,
    open: Signal<bool>,
) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (path, role) = (path(seen, member), member.role);
    dialog(open, member.email.clone(), move || {
        let (task, chosen) = (Task::new(), create_signal(role_value(role)));
        let path = path.clone();
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let Some(role) = chosen.with(|it| role_of(it)) else { return };
            let call = session.call::<table::UpdateMember>(path.clone(), (), UpdateMember { role });
            task.run(call, move |_| {
                toasts.done(t().general.saved);
                open.set(false);
                remote.reload();
                // One's own part may be another now.
                sycamore::futures::spawn_local(async move {
                    session.renew().await;
                });
            });
        };
        let (wrong, field) = (complaint(task.failure, &["role"]), role_field(roles, chosen, task));
        let footer = confirm(open, view! { Submit(label=t().general.save, task=task) });
        view! { form(on:submit=submit, novalidate=true) { (wrong) (field) (footer) } }
    })
}

/// Returns the field that chooses a role, with what the chosen one allows.
pub(super) fn role_field(roles: Roles, chosen: Signal<String>, task: Task) -> View {
    let choices = selector(move || {
        let own = roles.value.with(|it| {
            let items = it.iter().flat_map(|it| &it.items);
            let own = items.filter(|it| matches!(it.role, Role::Custom(_)));
            own.map(|it| (it.role, it.name.clone())).collect::<Vec<_>>()
        });
        let built_in = Role::BUILT_IN.into_iter().map(|it| (it, role_name(it)));
        let all = built_in.chain(own);
        all.map(|(role, name)| Choice::new(role_value(role), name)).collect::<Vec<_>>()
    });
    let about = selector(move || chosen.with(|it| role_of(it)).map_or("", role_text));
    view! {
        Select(label=t().tenant.role, name="role", value=chosen, choices=choices, failure=task.failure)
        p(class="hint") { (about.get()) }
    }
}

/// Returns a role's name: that of the tenant's own from its list.
pub(super) fn named(roles: Roles, role: Role) -> String {
    let own = roles.value.with(|it| {
        let found = it.iter().flat_map(|it| &it.items).find(|it| it.role == role);
        found.filter(|it| matches!(it.role, Role::Custom(_))).map(|it| it.name.clone())
    });
    own.unwrap_or_else(|| role_name(role))
}

/// Returns a role's name for people.
pub(super) fn role_name(role: Role) -> String {
    let texts = &t().tenant;
    let name = match role {
        Role::Owner => texts.role_owner,
        Role::Admin => texts.role_admin,
        Role::Billing => texts.role_billing,
        Role::Support => texts.role_support,
        Role::Viewer => texts.role_viewer,
        Role::Custom(_) => texts.role_own,
    };
    name.to_owned()
}

/// Returns what a role allows, in words.
pub(super) fn role_text(role: Role) -> &'static str {
    let texts = &t().tenant;
    match role {
        Role::Owner => texts.role_owner_text,
        Role::Admin => texts.role_admin_text,
        Role::Billing => texts.role_billing_text,
        Role::Support => texts.role_support_text,
        Role::Viewer => texts.role_viewer_text,
        Role::Custom(_) => texts.role_own_text,
    }
}

/// Returns what a form holds for a role.
pub(super) fn role_value(role: Role) -> String {
    match role {
        Role::Owner => "owner".to_owned(),
        Role::Admin => "admin".to_owned(),
        Role::Billing => "billing".to_owned(),
        Role::Support => "support".to_owned(),
        Role::Viewer => "viewer".to_owned(),
        Role::Custom(id) => id.to_string(),
    }
}

/// Returns the role of such a value.
pub(super) fn role_of(value: &str) -> Option<Role> {
    let built_in = Role::BUILT_IN.into_iter().find(|it| role_value(*it) == value);
    built_in.or_else(|| value.parse().ok().map(Role::Custom))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_forms_mean_roles() {
        let own = Role::Custom("01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap());
        for role in Role::BUILT_IN.into_iter().chain([own]) {
            assert_eq!(role_of(&role_value(role)), Some(role));
        }
        assert_eq!(role_of("root"), None);
    }
}

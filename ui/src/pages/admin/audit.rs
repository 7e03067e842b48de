//! The audit trail of the installation.

use crate::{
    i18n::t,
    parts::{head, nothing, trail},
    remote::{self, watch},
    session::Session,
};
use mamba_core::access::AdminRight;
use mamba_wire::api::{page::PAGE_ITEMS_MAX, table, user::UserQuery};
use std::collections::BTreeMap;
use sycamore::prelude::*;

/// The page. Accounts have names as far as they may be seen and are among the first.
#[component]
pub(super) fn HubTrail() -> View {
    let session = use_context::<Session>();
    let sees_users = session.may_admin(AdminRight::UsersRead);
    let users = watch::<table::ListUsers>(remote::NEVER_MS, move || {
        let query = UserQuery { email: None, after: None, limit: Some(PAGE_ITEMS_MAX) };
        sees_users.then_some(((), query))
    });
    let own = session.me().map(|it| (it.user, it.email.clone()));
    let names = create_memo(move || {
        users.value.with(|page| {
            let items = page.iter().flat_map(|it| &it.items);
            let known = items.map(|it| (it.user, it.email.clone()));
            known.chain(own.clone()).collect::<BTreeMap<_, _>>()
        })
    });
    let head = head(Vec::new(), t().admin.audit, nothing());
    let trail = trail::<table::ListHubAudit>((), names, Vec::new());
    view! { (head) p(class="muted") { (t().admin.audit_text) } (trail) }
}

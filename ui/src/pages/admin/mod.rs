//! The administration: machines, games, customers, accounts, and how the installation is.
//!
//! Each page shows what the account's rights allow; the hub decides again.

mod allocations;
mod audit;
mod blueprint;
mod blueprints;
mod capacity;
mod enrol;
mod health;
mod mail;
mod node;
mod node_link;
mod node_settings;
mod nodes;
mod overview;
mod ports;
mod quota;
mod registries;
mod route;
mod settings;
mod tenants;
mod tokens;
mod user_edit;
mod users;
mod part;

pub(crate) use route::{AdminRoute, Section};

use crate::{
    i18n::{fill, t},
    parts::{Icon, empty, head, nothing},
    reactive::selector,
    remote,
    session::Session,
};
use mamba_core::access::AdminRight;
use mamba_wire::api::{PageQuery, page::PAGE_ITEMS_MAX};
use route::NodeTab;
use sycamore::prelude::*;

/// Says that a list has more than is read of it.
fn cut() -> String {
    fill(t().admin.cut, &[("n", &(remote::PAGES_MAX * PAGE_ITEMS_MAX as usize))])
}

/// As much of a list as one request gives.
const ALL: PageQuery = PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) };

/// The administration. One node stays on the screen while its tabs change.
#[component(inline_props)]
pub(crate) fn Admin(route: ReadSignal<AdminRoute>) -> View {
    let session = use_context::<Session>();
    let tab = selector(move || match route.get_clone() {
        AdminRoute::Node(_, tab) => tab,
        _ => NodeTab::Machine,
    });
    let page = selector(move || match route.get_clone() {
        AdminRoute::Node(node, _) => AdminRoute::Node(node, NodeTab::Machine),
        other => other,
    });
    view! {
        (match missing(session, page.with(AdminRoute::section)) {
            Some(right) => forbidden(page.with(AdminRoute::section), right),
            None => match page.get_clone() {
                AdminRoute::Section(section) => show(section),
                AdminRoute::Node(node, _) => view! { node::NodePage(id=node, tab=tab) },
                AdminRoute::Blueprint(name) => view! { blueprint::BlueprintPage(name=name) },
            },
        })
    }
}

fn show(section: Section) -> View {
    match section {
        Section::Overview => view! { overview::Overview() },
        Section::Nodes => view! { nodes::Nodes() },
        Section::Blueprints => view! { blueprints::Blueprints() },
        Section::Tenants => view! { tenants::Tenants() },
        Section::Users => view! { users::Users() },
        Section::Allocations => view! { allocations::Allocations() },
        Section::Mail => view! { mail::Mails() },
        Section::Audit => view! { audit::HubTrail() },
        Section::Health => view! { health::Health() },
        Section::Settings => view! { settings::Settings() },
    }
}

/// Returns what the account lacks for a section.
fn missing(session: Session, section: Section) -> Option<&'static str> {
    match section.right() {
        Some(right) => (!session.may_admin(right)).then(|| right.name()),
        None => {
            let is_admin = AdminRight::ALL.iter().any(|right| session.may_admin(*right));
            (!is_admin).then_some("admin")
        }
    }
}

fn forbidden(section: Section, right: &'static str) -> View {
    let head = head(Vec::new(), section.title(), nothing());
    let text = fill(t().admin.forbidden_text, &[("right", &right)]);
    let next = view! { a(class="btn", href="/servers") { (t().general.home) } };
    let empty = empty(Icon::Key, t().admin.forbidden, text, next);
    view! { (head) (empty) }
}

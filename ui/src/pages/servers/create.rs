//! The wizard that makes a server: one page, from the game down to the node.

use super::{
    left::{self, Left},
    limits::{Amounts, LimitFields, Wanted},
    variables::{Values, Variables},
};
use crate::reactive::{effect, selector};
use crate::{
    i18n::t,
    nav::Place,
    parts::{
        Choice, Crumb, Field, Icon, Select, Submit, Toasts, complaint, empty, head, nothing, shown,
    },
    remote::{self, Remote, watch, watch_all},
    session::Session,
    task::Task,
};
use mamba_core::{
    ids::{AllocationId, NodeId},
    server::Limits,
    units::{Mib, Millicores},
};
use mamba_wire::api::{
    Page,
    allocation::AllocationQuery,
    blueprint::Blueprint,
    node::{Node, Standing},
    page::PAGE_ITEMS_MAX,
    params::TenantPath,
    server::CreateServer,
    table,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// What a new server may use unless something else is typed: enough for most games.
const FIRST_LIMITS: Limits = Limits {
    memory_mib: Mib(1_024),
    swap_mib: Mib(0),
    cpu_millicores: Millicores(1_000),
    disk_mib: Mib(4_096),
    pids: 512,
    sharing: mamba_core::server::Sharing::USUAL,
};

/// The page.
#[component]
pub(crate) fn Create() -> View {
    let blueprints = watch_all::<table::ListBlueprints, _>(remote::NEVER_MS, None, true);
    let head = head(vec![Crumb::new(t().servers.title, "/servers")], t().servers.new, nothing());
    view! { (head) (shown(blueprints, |page| view! { Wizard(blueprints=page) })) }
}

#[component(inline_props)]
fn Wizard(blueprints: ReadSignal<Rc<Page<Blueprint>>>) -> View {
    let chosen = create_signal(None::<String>);
    let items = blueprints.with_untracked(|it| it.items.clone());
    if items.is_empty() {
        return empty(
            Icon::Book,
            t().servers.no_blueprints,
            t().servers.no_blueprints_text,
            nothing(),
        );
    }
    let cards: Vec<View> = items.into_iter().map(|it| card(&it, chosen)).collect();
    let cards = View::from(cards);
    view! {
        section(class="card") {
            header { h2 { (t().servers.choose_game) } }
            div(class="body") { div(class="choices", role="radiogroup", aria-label=t().servers.choose_game) { (cards) } }
        }
        (match chosen.get_clone() {
            Some(name) => {
                let found = blueprints.with_untracked(|page| {
                    page.items.iter().find(|it| it.blueprint == name).cloned()
                });
                found.map_or_else(nothing, |it| view! { Form(blueprint=it) })
            }
            None => nothing(),
        })
    }
}

fn card(blueprint: &Blueprint, chosen: Signal<Option<String>>) -> View {
    let name = blueprint.blueprint.clone();
    let own = name.clone();
    let is_chosen = selector(move || chosen.with(|it| it.as_ref() == Some(&own)));
    let (title, about) = (blueprint.title.clone(), blueprint.description.clone());
    let value = name.clone();
    view! {
        label(class="pick", data-chosen=is_chosen.get().then_some("yes")) {
            input(r#type="radio", name="blueprint", value=value, prop:checked=is_chosen.get(),
                on:change=move |_| chosen.set(Some(name.clone())))
            span { strong { (title) } span(class="muted") { (about) } }
        }
    }
}

/// What is typed.
#[derive(Clone, Copy)]
struct Draft {
    name: Signal<String>,
    tenant: Signal<String>,
    region: Signal<String>,
    node: Signal<String>,
    allocation: Signal<String>,
    image: Signal<String>,
    values: Values,
    amounts: Amounts,
}

impl Draft {
    fn new(blueprint: &Blueprint) -> Self {
        let text = || create_signal(String::new());
        Self {
            name: text(),
            tenant: text(),
            region: text(),
            node: text(),
            allocation: text(),
            image: text(),
            values: Values::new(&blueprint.variables, &BTreeMap::new()),
            amounts: Amounts::new(&Wanted { limits: FIRST_LIMITS, ports: 0, backups: 0 }),
        }
    }

    /// Whether everything is there that can be told here.
    fn is_ready(self) -> bool {
        let has_owner = !self.tenant.with(String::is_empty);
        self.values.is_right() && self.amounts.read().is_some() && has_owner
    }

    fn read(self, blueprint: &str) -> Option<CreateServer> {
        let Wanted { limits, ports, backups } = self.amounts.read()?;
        let text = |it: Signal<String>| Some(it.get_clone_untracked()).filter(|it| !it.is_empty());
        let allocation = text(self.allocation).and_then(|it| it.parse::<AllocationId>().ok());
        let node = text(self.node).and_then(|it| it.parse().ok());
        // Of a node that was chosen the region is known.
        let region = text(self.region).filter(|_| node.is_none());
        Some(CreateServer {
            name: self.name.get_clone_untracked().trim().to_owned(),
            tenant: self.tenant.with_untracked(|it| it.parse().ok())?,
            node,
            blueprint: blueprint.to_owned(),
            limits,
            image: text(self.image),
            variables: self.values.all(),
            allocations: allocation.into_iter().collect(),
            auto_start: None,
            restart: None,
            region,
            tags: BTreeSet::new(),
            description: None,
            external_id: None,
            skip_scripts: false,
            allocation_limit: ports,
            backup_limit: backups,
        })
    }
}

#[component(inline_props)]
fn Form(blueprint: Blueprint) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let place = use_context::<Place>();
    let draft = Draft::new(&blueprint);
    let task = Task::new();
    let short_name = blueprint.blueprint.clone();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some(body) = draft.read(&short_name) else { return };
        task.run(session.call::<table::CreateServer>((), (), body), move |made| {
            toasts.done(t().servers.made);
            place.go(&format!("/servers/{}", made.server.server));
        });
    };
    let images: Vec<Choice> =
        blueprint.images.iter().map(|it| Choice::new(&it.image, &it.label)).collect();
    let has_images = images.len() > 1;
    let images = create_signal(images);
    let has_variables = !blueprint.variables.is_empty();
    let wrong = complaint(task.failure, &[]);
    let nodes = watch_all::<table::ListNodes, _>(remote::RARELY_MS, None, true);
    let left = room(draft, nodes);
    let not_ready = selector(move || !draft.is_ready());
    view! {
        form(class="form-wide", on:submit=submit, novalidate=true) {
            section(class="card") {
                header { h2 { (t().servers.who) } }
                div(class="body") { div(class="columns") {
                    Field(label=t().servers.name, name="name", value=draft.name, failure=task.failure)
                    Owners(tenant=draft.tenant)
                } }
            }
            (if has_variables { view! {
                section(class="card") {
                    header { h2 { (t().servers.variables) } }
                    div(class="body") { Variables(values=draft.values, all=true, failure=task.failure) }
                }
            } } else { nothing() })
            section(class="card") {
                header { h2 { (t().servers.limits) } }
                div(class="body") {
                    LimitFields(amounts=draft.amounts, failure=task.failure, left=left)
                    (if has_images { view! {
                        div(class="columns") {
                            Select(label=t().servers.image, name="image", value=draft.image, choices=*images,
                                failure=task.failure)
                        }
                    } } else { nothing() })
                }
            }
            section(class="card") {
                header { h2 { (t().servers.where_to) } }
                div(class="body") { Places(draft=draft, nodes=nodes) }
            }
            (wrong)
            div(class="actions") {
                Submit(label=t().servers.make, task=task)
                span(class="muted", hidden=!not_ready.get()) { (t().servers.not_ready) }
            }
        }
    }
}

/// Follows what is left for it: of its owner's quota, and where it may run.
fn room(draft: Draft, nodes: Remote<Page<Node>>) -> ReadSignal<Left> {
    let quota = watch::<table::ShowQuota>(remote::RARELY_MS, move || {
        Some((TenantPath { tenant: draft.tenant.with(|it| it.parse().ok())? }, ()))
    });
    selector(move || {
        let page = nodes.value.get_clone();
        let all = page.iter().flat_map(|it| &it.items);
        let node = match draft.node.with(|it| it.parse::<NodeId>().ok()) {
            Some(node) => all.into_iter().find(|it| it.node == node).and_then(left::of_node),
            None => draft
                .region
                .with(|region| left::most(all.filter(|it| left::is_eligible(it, region)))),
        };
        Left { quota: quota.value.with(|it| it.as_ref().map(|it| left::of_quota(it))), node }
    })
}

/// Whose it will be.
#[component(inline_props)]
fn Owners(tenant: Signal<String>) -> View {
    let tenants = watch_all::<table::ListTenants, _>(remote::NEVER_MS, None, true);
    let choices = create_memo(move || {
        let mut all = vec![Choice::new("", t().servers.choose)];
        tenants.value.with(|page| {
            let items = page.iter().flat_map(|it| &it.items);
            all.extend(items.map(|it| Choice::new(it.tenant.to_string(), &it.name)));
        });
        all
    });
    view! { Select(label=t().servers.owner, name="tenant", value=tenant, choices=choices) }
}

/// Where it will run: chosen by the hub, or a node and one of its free ports.
#[component(inline_props)]
fn Places(draft: Draft, nodes: Remote<Page<Node>>) -> View {
    let Draft { region, node, allocation, .. } = draft;
    let regions = watch::<table::ListRegions>(remote::NEVER_MS, || Some(((), ())));
    let region_choices = create_memo(move || {
        let mut all = vec![Choice::new("", t().servers.any_region)];
        regions.value.with(|it| {
            all.extend(it.iter().flat_map(|it| &it.regions).map(|it| Choice::new(it, it)));
        });
        all
    });
    // A node of another region is no choice any more.
    effect(move || {
        region.track();
        untrack(|| {
            node.set(String::new());
            allocation.set(String::new());
        });
    });
    let has_regions = selector(move || region_choices.with(|it| it.len() > 1));
    let free = watch::<table::ListAllocations>(remote::NEVER_MS, move || {
        let node = node.with(|it| it.parse().ok())?;
        Some((
            (),
            AllocationQuery {
                node: Some(node),
                port: None,
                taken: Some(false),
                sort: None,
                after: None,
                limit: Some(PAGE_ITEMS_MAX),
            },
        ))
    });
    let node_choices = create_memo(move || {
        let mut all = vec![Choice::new("", t().servers.any_node)];
        nodes.value.with(|page| {
            let region = region.get_clone();
            let items = page.iter().flat_map(|it| &it.items);
            let items = items.filter(|it| it.standing == Standing::Active);
            let items = items
                .filter(|it| region.is_empty() || it.settings.region.as_ref() == Some(&region));
            all.extend(items.map(|it| Choice::new(it.node.to_string(), &it.name)));
        });
        all
    });
    let port_choices = create_memo(move || {
        let mut all = vec![Choice::new("", t().servers.any_port)];
        free.value.with(|page| {
            let items = page.iter().flat_map(|it| &it.items).filter(|it| it.server.is_none());
            all.extend(items.map(|it| {
                Choice::new(it.allocation.to_string(), format!("{}:{}", it.ip, it.port))
            }));
        });
        all
    });
    let has_node = selector(move || !node.with(String::is_empty));
    view! {
        div(class="columns") {
            (if has_regions.get() { view! {
                Select(label=t().servers.region, name="region", value=region, choices=region_choices)
            } } else { nothing() })
            Select(label=t().servers.node, name="node", value=node, choices=node_choices,
                hint=t().servers.node_hint)
            (if has_node.get() { view! {
                Select(label=t().servers.port, name="allocations", value=allocation, choices=port_choices)
            } } else { nothing() })
        }
    }
}

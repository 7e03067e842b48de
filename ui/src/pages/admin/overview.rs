//! How the installation is, at a glance: every number with its age.

use super::{ALL, Section, capacity, health};
use crate::{
    i18n::{fill, t},
    parts::{Badge, Icon, Tone, empty, head, icon, nothing, shown, size},
    reactive::selector,
    remote::{self, Remote, watch, watch_all, watch_told},
    session::Session,
    time::{self, Age},
};
use mamba_core::{access::AdminRight, clock::UnixMs, units::MIB};
use mamba_wire::{
    api::{
        LinkState, Page,
        feed::Topic,
        node::{Node, Standing},
        table,
    },
    node::{Check, CheckLevel},
};
use std::rc::Rc;
use sycamore::prelude::*;

/// The page.
#[component]
pub(super) fn Overview() -> View {
    let session = use_context::<Session>();
    let head = head(Vec::new(), t().admin.overview_title, nothing());
    let sees_nodes = session.may_admin(AdminRight::NodesRead);
    view! {
        (head)
        (if sees_nodes { view! { Machines() Findings() } } else { nothing() })
        Ways()
    }
}

/// The nodes in numbers.
#[component]
fn Machines() -> View {
    let nodes = watch_all::<table::ListNodes, _>(remote::OFTEN_MS, Some(Topic::Nodes), true);
    shown(nodes, move |page| {
        let is_empty = selector(move || page.with(|it| it.items.is_empty()));
        view! {
            (if is_empty.get() {
                let next = view! {
                    a(class="btn", data-kind="primary", href="/admin/nodes") { (t().admin.enrol) }
                };
                empty(Icon::Servers, t().admin.nodes_none, t().admin.nodes_none_text, next)
            } else {
                numbers(nodes, page)
            })
        }
    })
}

fn numbers(nodes: Remote<Page<Node>>, page: ReadSignal<Rc<Page<Node>>>) -> View {
    let stats = view! {
        (page.with(|page| {
            let active: Vec<&Node> =
                page.items.iter().filter(|it| it.standing == Standing::Active).collect();
            stats(&active)
        }).into_iter().map(|it| stat(it, nodes)).collect::<Vec<_>>())
    };
    view! { div(class="stats") { (stats) } }
}

/// One number.
#[derive(Clone)]
struct Stat {
    title: &'static str,
    number: String,
    tone: Tone,
    text: String,
    /// When the oldest word was said that it is made of; that of the hub's answer without.
    as_of: Option<UnixMs>,
}

/// Pure: returns the numbers about nodes that may connect.
fn stats(nodes: &[&Node]) -> Vec<Stat> {
    let texts = &t().admin;
    let with = |link: LinkState| nodes.iter().filter(|it| it.freshness.link == link).count();
    let names = |link: LinkState| {
        let found = nodes.iter().filter(|it| it.freshness.link == link);
        found.map(|it| it.name.clone()).take(3).collect::<Vec<_>>().join(", ")
    };
    let link = |title, link: LinkState, tone| Stat {
        title,
        number: with(link).to_string(),
        tone: if with(link) == 0 { Tone::Calm } else { tone },
        text: names(link),
        as_of: None,
    };
    // A node that is cut off cannot tell anything newer: its age says so.
    let as_of = nodes.iter().filter_map(|it| it.freshness.as_of).min();
    let (waiting, oldest) = nodes.iter().fold((0, 0), |(count, age), it| {
        let (own, its) = capacity::waiting(it);
        (count + own, age.max(its))
    });
    let promised: u64 = nodes.iter().map(|it| it.promised.memory_mib).sum();
    let memory: u64 = nodes.iter().filter_map(|it| Some(it.machine.as_ref()?.memory_bytes)).sum();
    let servers: u32 = nodes.iter().map(|it| it.servers).sum();
    vec![
        link(texts.connected, LinkState::Live, Tone::Good),
        link(texts.delayed, LinkState::Delayed, Tone::Busy),
        link(texts.unreachable, LinkState::Unreachable, Tone::Bad),
        Stat {
            title: texts.lag,
            number: if waiting == 0 { "0 s".to_owned() } else { time::span(oldest) },
            tone: if oldest > health::LAG_MS_MAX { Tone::Busy } else { Tone::Good },
            text: fill(texts.facts_wait, &[("n", &waiting)]),
            as_of,
        },
        Stat {
            title: texts.servers_placed,
            number: servers.to_string(),
            tone: Tone::Calm,
            text: fill(texts.on_nodes, &[("n", &nodes.len())]),
            as_of: None,
        },
        Stat {
            title: texts.memory_promised,
            number: size(promised.saturating_mul(MIB)),
            tone: Tone::Calm,
            text: fill(texts.of_machines, &[("all", &size(memory))]),
            as_of,
        },
    ]
}

fn stat(stat: Stat, nodes: Remote<Page<Node>>) -> View {
    let Stat { title, number, tone, text, as_of } = stat;
    let tone = tone.name();
    let age = move || match as_of.or_else(|| nodes.read_at.get()) {
        Some(at) => view! { Age(at=at) },
        None => nothing(),
    };
    view! {
        section(class="stat", data-tone=tone) {
            h2 { (title) }
            p(class="big") { (number) }
            p(class="muted cut") { (text) }
            p(class="muted") { (age()) }
        }
    }
}

/// What the hub found when it looked itself over, and what waits for somebody.
#[component]
fn Findings() -> View {
    let checks = watch::<table::ListChecks>(remote::RARELY_MS, || Some(((), ())));
    let alarms = watch_told::<table::ListAlarms>(remote::RARELY_MS, Topic::Administration, || {
        Some(((), ALL))
    });
    let checked = shown(checks, move |page| view! { (found(&page.get_clone().items)) });
    let raised = shown(alarms, move |page| view! { (health::few(&page.get_clone())) });
    let ages = |at: ReadSignal<Option<UnixMs>>| {
        view! { (at.get().map_or_else(nothing, |at| view! { span(class="muted") { Age(at=at) } })) }
    };
    let (checked_at, raised_at) = (ages(*checks.read_at), ages(*alarms.read_at));
    view! {
        div(class="halves") {
            section(class="card") {
                header { h2 { (t().admin.checks) } (checked_at) }
                (checked)
            }
            section(class="card") {
                header { h2 { (t().admin.alarms) } (raised_at) }
                (raised)
            }
        }
    }
}

/// Returns findings, those that need somebody first.
fn found(checks: &[Check]) -> View {
    let mut checks = checks.to_vec();
    checks.sort_by_key(|it| std::cmp::Reverse(it.level));
    let lines: View = checks.iter().map(check).collect::<Vec<_>>().into();
    view! { ul(class="findings") { (lines) } }
}

/// Returns one finding.
pub(super) fn check(check: &Check) -> View {
    let texts = &t().admin;
    let (tone, word) = match check.level {
        CheckLevel::Ok => (Tone::Good, texts.check_ok),
        CheckLevel::Warn => (Tone::Busy, texts.check_warn),
        CheckLevel::Fail => (Tone::Bad, texts.check_fail),
    };
    let (name, text) = (check.name.clone(), check.text.clone());
    view! {
        li {
            (view! { Badge(tone=tone, label=word) })
            span { strong { (name) } " " (text) }
        }
    }
}

/// The sections that the account may see.
#[component]
fn Ways() -> View {
    let session = use_context::<Session>();
    let ways: View = Section::ALL
        .into_iter()
        .filter(|it| it.right().is_some_and(|right| session.may_admin(right)))
        .map(|section| {
            let (to, title, picture) = (section.path(), section.title(), icon(section.icon()));
            let about = about(section);
            view! {
                a(class="way", href=to) { (picture) span { strong { (title) } span(class="muted") { (about) } } }
            }
        })
        .collect::<Vec<_>>()
        .into();
    view! { nav(class="ways", aria-label=t().admin.sections) { (ways) } }
}

fn about(section: Section) -> &'static str {
    let texts = &t().admin;
    match section {
        Section::Overview => texts.overview_title,
        Section::Nodes => texts.about_nodes,
        Section::Blueprints => texts.about_blueprints,
        Section::Tenants => texts.about_tenants,
        Section::Users => texts.about_users,
        Section::Allocations => texts.about_allocations,
        Section::Mail => texts.about_mail,
        Section::Audit => texts.about_audit,
        Section::Health => texts.about_health,
        Section::Settings => texts.about_settings,
    }
}

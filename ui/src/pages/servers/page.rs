//! One server: its head with power and freshness, and its tabs.

use super::{
    Tab, activity::Happened, condition, console::Console, gauges::Now, install::Progress,
    network::Network, people::People, power::Powers, settings::Settings, startup::Startup,
    usage::Used,
};
use crate::reactive::selector;
use crate::{
    feed::Feed,
    i18n::t,
    parts::{
        self, Crumb, Fresh, Icon, Tone, badge, empty, head, icon, nothing, notice, refused, shown,
    },
    remote::{self, Remote, watch, watch_told},
    session::Session,
};
use mamba_core::{
    access::{AdminRight, Rights, ServerKey, TenantRight},
    ids::ServerId,
    lifecycle::NotRunning,
};
use mamba_wire::api::{LinkState, feed::Topic, params::ServerPath, server::Server, table};
use std::rc::Rc;
use sycamore::prelude::*;

/// What every tab gets.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// Which server.
    pub(super) id: ServerId,
    /// What the caller may do with it and its owner.
    pub(super) rights: ReadSignal<Rc<Rights>>,
    /// It, kept fresh.
    pub(super) server: ReadSignal<Rc<Server>>,
    /// To be told of a change.
    pub(super) remote: Remote<Server>,
}

impl Seen {
    /// Whether the caller has a key for it.
    pub(super) fn may(self, key: ServerKey) -> bool {
        self.rights.with(|it| it.server.contains(&key))
    }

    /// Whether the caller may see something of a tab.
    fn may_open(self, tab: Tab) -> bool {
        let session = use_context::<Session>();
        match tab.key() {
            Some(key) => self.may(key),
            None if tab == Tab::Settings => {
                self.may(ServerKey::SettingsRename)
                    || self.may(ServerKey::SettingsReinstall)
                    || self.may_tenant(TenantRight::ServerDelete)
                    || session.may_admin(AdminRight::ServersRead)
                    || session.may_admin(AdminRight::MountsWrite)
            }
            None => true,
        }
    }

    /// Whether the caller has a right over its owner.
    pub(super) fn may_tenant(self, right: TenantRight) -> bool {
        self.rights.with(|it| it.tenant.contains(&right))
    }
}

/// The page.
#[component(inline_props)]
pub(crate) fn Page(id: ServerId, tab: ReadSignal<Tab>) -> View {
    let remote = watch_told::<table::ShowServer>(remote::OFTEN_MS, Topic::Server(id), move || {
        Some((ServerPath { server: id }, ()))
    });
    let rights = watch::<table::ShowServerRights>(remote::RARELY_MS, move || {
        Some((ServerPath { server: id }, ()))
    });
    shown(remote, move |server| {
        shown(rights, move |rights| {
            let seen = Seen { id, rights, server, remote };
            view! { Whole(seen=seen, tab=tab) }
        })
    })
}

#[component(inline_props)]
fn Whole(seen: Seen, tab: ReadSignal<Tab>) -> View {
    let server = seen.server;
    let name = selector(move || server.with(|it| it.name.clone()));
    let condition = selector(move || server.with(|it| condition::of(it)));
    let freshness = selector(move || server.with(|it| it.freshness));
    let place = selector(move || server.with(|it| condition::address(it)).unwrap_or_default());
    let blueprint = selector(move || server.with(|it| it.blueprint.clone()));
    let is_old = selector(move || freshness.with(|it| it.link == LinkState::Unreachable));
    let globe = icon(Icon::Globe);
    let gauges = use_context::<Feed>().gauges(seen.id);
    let texts = &t().servers;
    view! {
        ({
            let crumbs = vec![Crumb::new(t().servers.title, "/servers")];
            head(crumbs, name.get_clone(), view! { Powers(seen=seen) })
        })
        div(class="server-line", data-old=is_old.get().then_some("")) {
            (badge(condition.get().tone, condition.get().word))
            span(class="pending") { (condition.get().pending) }
            Fresh(freshness=freshness)
            span(class="tag") { (blueprint.get_clone()) }
            span(class="server-address", hidden=place.with(String::is_empty)) { (globe) code { (place.get_clone()) } }
        }
        Now(seen=seen, series=gauges)
        Why(server=server)
        Progress(seen=seen)
        (tabs(seen, tab.get()))
        (if !seen.may_open(tab.get()) { refused() } else { match tab.get() {
            Tab::Console => view! { Console(seen=seen) },
            Tab::Usage => view! { Used(seen=seen) },
            Tab::Startup => view! { Startup(seen=seen) },
            Tab::Network => view! { Network(seen=seen) },
            Tab::Files => later(texts.later_files, texts.later_files_text),
            Tab::Backups => later(texts.later_backups, texts.later_backups_text),
            Tab::Schedules => later(texts.later_schedules, texts.later_schedules_text),
            Tab::People => view! { People(seen=seen) },
            Tab::Activity => view! { Happened(seen=seen) },
            Tab::Settings => view! { Settings(seen=seen) },
        } })
    }
}

/// Returns what stands at a place that waits for its part: what there is instead.
fn later(title: &'static str, text: &'static str) -> View {
    let said = empty(Icon::Info, title, text, nothing());
    view! { section(class="card") { (said) } }
}

fn tabs(seen: Seen, here: Tab) -> View {
    let links = Tab::ALL
        .into_iter()
        .filter(|tab| seen.may_open(*tab))
        .map(|tab| (tab.path(seen.id), tab.title(), tab == here))
        .collect();
    parts::menu(t().servers.parts, links)
}

/// Says why a server does not run as wanted, and that what is seen is old.
#[component(inline_props)]
fn Why(server: ReadSignal<Rc<Server>>) -> View {
    let why = selector(move || server.with(|it| reason(it)));
    let is_cut_off =
        selector(move || server.with(|it| it.freshness.link == LinkState::Unreachable));
    view! {
        (if is_cut_off.get() { notice(Tone::Busy, t().servers.cut_off) } else { nothing() })
        (match why.get_clone() {
            Some((tone, text)) => notice(tone, text),
            None => nothing(),
        })
    }
}

/// Returns what should be known beyond the state's word.
fn reason(server: &Server) -> Option<(Tone, String)> {
    use crate::{i18n::fill, time::local};
    let texts = &t().servers;
    if let Some(at) = server.deleted_at {
        return Some((Tone::Busy, fill(texts.why_deleted, &[("at", &local(at))])));
    }
    if server.suspended {
        return Some((Tone::Busy, texts.why_suspended.to_owned()));
    }
    let observed = server.observed.as_ref()?;
    if let Some(refused) = &observed.refused {
        return Some((Tone::Bad, fill(texts.why_refused, &[("error", &refused.error)])));
    }
    let exit = observed.last_exit.as_ref();
    let code = exit.map_or(0, |it| it.code);
    let oom = exit.is_some_and(|it| it.oom_killed);
    Some(match observed.not_running.as_ref()? {
        NotRunning::RestartDue { crashes, .. } if oom => {
            (Tone::Bad, fill(texts.why_memory, &[("n", crashes)]))
        }
        NotRunning::RestartDue { crashes, .. } => {
            (Tone::Bad, fill(texts.why_crashed, &[("code", &code), ("n", crashes)]))
        }
        NotRunning::GaveUp { crashes } => (Tone::Bad, fill(texts.why_gave_up, &[("n", crashes)])),
        NotRunning::CrashedNoRestart => (Tone::Bad, fill(texts.why_no_restart, &[("code", &code)])),
        NotRunning::StepFailed { step, error, .. } => {
            (Tone::Bad, fill(texts.why_step, &[("step", step), ("error", error)]))
        }
        NotRunning::EngineUnreachable { error } => {
            (Tone::Bad, fill(texts.why_engine, &[("error", error)]))
        }
        NotRunning::EntitlementEnded { at } => {
            (Tone::Busy, fill(texts.why_entitlement, &[("at", &local(*at))]))
        }
        NotRunning::NotBefore { at } => {
            (Tone::Busy, fill(texts.why_not_before, &[("at", &local(*at))]))
        }
        NotRunning::Queued => (Tone::Calm, texts.why_queued.to_owned()),
        NotRunning::Moving => (Tone::Busy, texts.why_moving.to_owned()),
        NotRunning::NotWanted
        | NotRunning::Stopped { .. }
        | NotRunning::Ended { .. }
        | NotRunning::Suspended => return None,
        // Told with the output of the script.
        NotRunning::InstallFailed { .. } | NotRunning::InstallCancelled { .. } => return None,
    })
}

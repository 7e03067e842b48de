//! What is wrong, and how the hub itself is.

use super::{ALL, overview};
use crate::{
    i18n::{fill, t},
    parts::{
        Action, Badge, Icon, Kind, Question, Toasts, Tone, ask, empty, head, nothing, shown, table,
    },
    reactive::selector,
    remote::{self, Remote, watch, watch_told},
    session::Session,
    task::Task,
    time::{self, Age},
};
use mamba_core::access::AdminRight;
use mamba_wire::api::{
    Page,
    feed::Topic,
    health::{self, Part},
    hub::{Alarm, AlarmPath},
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;

/// Age of the oldest fact on a node from which on it is worth a word, as the hub counts it too.
pub(super) const LAG_MS_MAX: u64 = 15 * 60_000;
/// Alarms on the overview.
const FEW: usize = 5;

/// The page.
#[component]
pub(super) fn Health() -> View {
    let hub = watch::<table::ShowHealth>(remote::RARELY_MS, || Some(((), ())));
    let checks = watch::<table::ListChecks>(remote::RARELY_MS, || Some(((), ())));
    let alarms = watch_told::<table::ListAlarms>(remote::RARELY_MS, Topic::Administration, || {
        Some(((), ALL))
    });
    let head = head(Vec::new(), t().admin.health, nothing());
    let hub = shown(hub, move |health| view! { (parts(&health.get_clone())) });
    let checked_at = checks.read_at;
    let checked = shown(checks, move |page| {
        view! { ul(class="findings") {
            (page.get_clone().items.iter().map(overview::check).collect::<Vec<_>>())
        } }
    });
    let raised = shown(alarms, move |page| raised(alarms, page));
    view! {
        (head)
        (hub)
        section(class="card") {
            header {
                h2 { (t().admin.checks) }
                (checked_at.get().map_or_else(nothing, |at| view! { span(class="muted") { Age(at=at) } }))
            }
            (checked)
        }
        section(class="card") { header { h2 { (t().admin.alarms) } } (raised) }
    }
}

/// Returns version, age and parts of the hub.
fn parts(health: &health::Health) -> View {
    let texts = &t().admin;
    let part = |title: &'static str, part: &Part| {
        let tone = if part.ok { Tone::Good } else { Tone::Bad };
        stat(
            title,
            part.detail.clone(),
            tone,
            if part.ok { texts.check_ok } else { texts.check_fail },
        )
    };
    let stats = View::from(vec![
        part(texts.store, &health.store),
        part(texts.listener, &health.link),
        stat(
            texts.version,
            fill(texts.up_since, &[("span", &time::span(health.uptime_ms))]),
            Tone::Calm,
            &health.version,
        ),
        stat(texts.connected, String::new(), Tone::Calm, &health.nodes_connected.to_string()),
    ]);
    view! { div(class="stats") { (stats) } }
}

fn stat(title: &'static str, text: String, tone: Tone, big: &str) -> View {
    let (tone, big) = (tone.name(), big.to_owned());
    view! {
        section(class="stat", data-tone=tone) {
            h2 { (title) } p(class="big") { (big) } p(class="muted") { (text) }
        }
    }
}

fn raised(remote: Remote<Page<Alarm>>, page: ReadSignal<Rc<Page<Alarm>>>) -> View {
    let items = selector(move || page.with(|it| it.items.clone()));
    let is_empty = selector(move || items.with(Vec::is_empty));
    view! {
        (if is_empty.get() {
            empty(Icon::Check, t().admin.alarms_none, t().admin.alarms_none_text, nothing())
        } else {
            let lines = view! {
                Keyed(list=items, key=|it: &Alarm| (it.alarm, it.count), view=move |alarm| view! {
                    Line(remote=remote, alarm=alarm)
                })
            };
            let texts = &t().admin;
            table(texts.alarms, &[texts.what, texts.about, texts.times, texts.last, ""], lines)
        })
    }
}

#[component(inline_props)]
fn Line(remote: Remote<Page<Alarm>>, alarm: Alarm) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let may_clear = session.may_admin(AdminRight::NodesWrite);
    let clearing = create_signal(false);
    let id = alarm.alarm;
    let what = Question {
        title: t().admin.alarm_clear_sure.to_owned(),
        text: alarm.text.clone(),
        label: t().admin.alarm_clear,
        typed: None,
    };
    let clear = ask(clearing, what, move |task: Task| {
        let call = session.call::<table::ClearAlarm>(AlarmPath { alarm: id }, (), ());
        task.run(call, move |()| {
            toasts.done(t().admin.alarm_cleared);
            clearing.set(false);
            remote.reload();
        });
    });
    let about = subject(&alarm);
    let (text, count, last) = (alarm.text, alarm.count, alarm.last_at);
    view! {
        tr {
            td(class="wrap") { (text) }
            td { (about) }
            td(class="num") { (count) }
            td(class="muted") { Age(at=last) }
            td(class="end") {
                (if may_clear { view! {
                    Action(label=t().admin.alarm_clear, kind=Kind::Quiet, run=move || clearing.set(true))
                } } else { nothing() })
                (clear)
            }
        }
    }
}

/// Returns links to what an alarm is about.
fn subject(alarm: &Alarm) -> View {
    let server = alarm.server.map(|it| (format!("/servers/{it}"), t().admin.alarm_server));
    let node = alarm.node.map(|it| (format!("/admin/nodes/{it}"), t().admin.alarm_node));
    let links =
        server.into_iter().chain(node).map(|(to, text)| view! { a(href=to) { (text) } " " });
    links.collect::<Vec<_>>().into()
}

/// Returns the newest alarms in short.
pub(super) fn few(page: &Page<Alarm>) -> View {
    if page.items.is_empty() {
        return empty(Icon::Check, t().admin.alarms_none, t().admin.alarms_none_text, nothing());
    }
    let more = page.items.len().saturating_sub(FEW);
    let more = fill(t().admin.alarms_all, &[("n", &(more + FEW))]);
    let lines: View = page
        .items
        .iter()
        .take(FEW)
        .map(|alarm| {
            let (text, at) = (alarm.text.clone(), alarm.last_at);
            view! {
                li {
                    (view! { Badge(tone=Tone::Busy, label=t().admin.alarm) })
                    span { (text) " " span(class="muted") { Age(at=at) } }
                }
            }
        })
        .collect::<Vec<_>>()
        .into();
    let has_more = page.items.len() > FEW;
    view! {
        ul(class="findings") { (lines) }
        (if has_more {
            let more = more.clone();
            view! { p(class="findings-more") { a(href="/admin/health") { (more) } } }
        } else { nothing() })
    }
}

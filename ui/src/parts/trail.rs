//! The audit trail of the installation or of a tenant: filtered, read page by page, given as a file.

use super::{
    Action, Choice, Field, Icon, Kind, Select, Toasts, Tone,
    changes::{Names, changes},
    listed, nothing, notice, table,
};
use crate::{
    i18n::{fill, t},
    net::{Failure, save_text},
    reactive::selector,
    remote::Pages,
    session::Session,
    task::Task,
    time::{self, Age},
};
use mamba_core::{
    audit::{AuditActor, Change, Door},
    ids::UserId,
};
use mamba_wire::api::{
    Endpoint, Page,
    audit::{AuditItem, AuditQuery},
    page::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX},
};
use std::{collections::BTreeMap, pin::Pin, rc::Rc};
use sycamore::prelude::*;

/// Most pages in one file: 10,000 entries of some hundred bytes. More is asked for by time.
const EXPORT_PAGES_MAX: usize = 50;
const DAY_MS: u64 = 24 * 3_600_000;

/// Reads one page.
type Read =
    Rc<dyn Fn(AuditQuery) -> Pin<Box<dyn Future<Output = Result<Page<AuditItem>, Failure>>>>>;

/// What the list is cut by, as typed.
#[derive(Clone, Copy)]
struct Sieve {
    event: Signal<String>,
    actor: Signal<String>,
    from: Signal<String>,
    until: Signal<String>,
}

impl Sieve {
    /// Returns the query; follows what is typed.
    fn query(self, after: Option<String>, limit: u32) -> AuditQuery {
        let event = self.event.with(|it| it.trim().to_owned());
        AuditQuery {
            actor: self.actor.with(|it| it.parse().ok()),
            event: Some(event).filter(|it| !it.is_empty()),
            server: None,
            from: self.from.with(|it| time::day(it)),
            until: self.until.with(|it| time::day(it)).map(|it| it.plus(DAY_MS)),
            after,
            limit: Some(limit),
        }
    }
}

/// Shows the trail that an endpoint gives. `names` say what ids stand for, as far as that is known. One of
/// `areas` is chosen to narrow it; without any the beginning of an event is typed.
pub(crate) fn trail<E>(path: E::Path, names: Names, areas: Vec<Choice>) -> View
where
    E: Endpoint<Query = AuditQuery, Body = (), Out = Page<AuditItem>>,
    E::Path: Clone + 'static,
{
    let session = use_context::<Session>();
    let text = || create_signal(String::new());
    let sieve = Sieve { event: text(), actor: text(), from: text(), until: text() };
    let asked = path.clone();
    let pages = Pages::<AuditItem>::open::<E>(move |after| {
        (asked.clone(), sieve.query(after, PAGE_ITEMS_DEFAULT))
    });
    let read: Read = Rc::new(move |query| {
        let path = path.clone();
        Box::pin(session.call::<E>(path, query, ()))
    });
    whole(sieve, pages, read, names, areas)
}

fn whole(
    sieve: Sieve,
    pages: Pages<AuditItem>,
    read: Read,
    names: Names,
    areas: Vec<Choice>,
) -> View {
    let actors = create_memo(move || {
        let mut all = vec![Choice::new("", t().trail.anybody)];
        names.with(|it| {
            all.extend(it.users.iter().map(|(user, name)| Choice::new(user.to_string(), name)));
        });
        all
    });
    let items = pages.items;
    let event = if areas.is_empty() {
        view! {
            Field(label=t().trail.event_begins, name="event", value=sieve.event, optional=true,
                placeholder="node:")
        }
    } else {
        let areas = create_signal(areas);
        view! { Select(label=t().trail.event, name="event", value=sieve.event, choices=*areas) }
    };
    let export = export(sieve, read, names);
    let none = (Icon::Log, t().trail.none, t().trail.none_text);
    let list = listed(pages, none, move || {
        let lines = view! {
            Keyed(list=items, key=|it: &AuditItem| it.number, view=move |it| line(&it, names))
        };
        let texts = &t().trail;
        table(
            texts.title,
            &[texts.when, texts.event, texts.who, texts.origin, texts.changes],
            lines,
        )
    });
    view! {
        div(class="columns filters") {
            (event)
            Select(label=t().trail.who, name="actor", value=sieve.actor, choices=actors)
            Field(label=t().trail.from, name="from", value=sieve.from, kind="date", optional=true)
            Field(label=t().trail.until, name="until", value=sieve.until, kind="date", optional=true)
        }
        (export)
        (list)
    }
}

fn line(item: &AuditItem, names: Names) -> View {
    let entry = &item.entry;
    let (at, event) = (entry.at, entry.event.clone());
    let (_, id) = actor(&entry.actor, &BTreeMap::new());
    let by = entry.actor.clone();
    // Names may come later than the entries.
    let who = selector(move || names.with(|it| actor(&by, &it.users).0));
    let origin = origin(entry.door, entry.address.map(|it| it.to_string()));
    let node = match &entry.actor {
        AuditActor::Node(node) => Some(node.to_string()),
        _ => None,
    };
    let who = selector(move || {
        let named = node.as_ref().and_then(|it| names.with(|names| names.of(it)));
        named.map_or_else(|| who.get_clone(), |it| it.0)
    });
    let server = entry.server.map_or_else(nothing, |it| {
        let id = it.to_string();
        let link = format!("/servers/{id}");
        let name = selector(move || {
            let known = names.with(|names| names.of(&id));
            known.map_or_else(|| t().trail.server.to_owned(), |it| it.0)
        });
        view! { a(href=link) { (name.get_clone()) } }
    });
    let changes = changes(&entry.changes, names);
    view! {
        tr {
            td(class="muted") { Age(at=at) }
            td { code { (event) } div(class="about") { (server) } }
            td(class="cut", title=id) { (who.get_clone()) }
            td(class="muted") { (origin) }
            td(class="wrap") { (changes) }
        }
    }
}

/// Returns what something was and is.
fn values(change: &Change) -> String {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (None, Some(after)) => after.clone(),
        (Some(before), None) => format!("{before} → –"),
        (None, None) => String::new(),
    }
}

/// Returns who it was for people, and by its id.
fn actor(actor: &AuditActor, names: &BTreeMap<UserId, String>) -> (String, String) {
    let texts = &t().trail;
    let name = |user: &UserId| names.get(user).cloned().unwrap_or_else(|| texts.account.to_owned());
    match actor {
        AuditActor::Account(user) => (name(user), user.to_string()),
        AuditActor::ApiKey { user, key } => {
            (fill(texts.by_key, &[("name", &name(user))]), format!("{user} {key}"))
        }
        AuditActor::Node(node) => (texts.by_node.to_owned(), node.to_string()),
        AuditActor::Operator(name) => (fill(texts.by_operator, &[("name", name)]), name.clone()),
        AuditActor::System => (texts.by_hub.to_owned(), String::new()),
    }
}

fn origin(door: Door, address: Option<String>) -> String {
    let texts = &t().trail;
    let door = match door {
        Door::Api => texts.door_api,
        Door::Local => texts.door_local,
        Door::Node => texts.door_node,
        Door::Inside => texts.door_inside,
    };
    address.unwrap_or_else(|| door.to_owned())
}

/// The buttons that give the list as a file.
fn export(sieve: Sieve, read: Read, names: Names) -> View {
    let toasts = use_context::<Toasts>();
    let task = Task::new();
    let save = move |is_csv: bool| {
        let read = read.clone();
        task.run(collect(sieve, read), move |(items, is_cut)| {
            let count = items.len();
            if is_csv {
                let text = names.with_untracked(|it| csv(&items, &it.users));
                save_text("audit.csv", "text/csv", &text);
            } else {
                // Entries are text and numbers, which always have a JSON form.
                let text = serde_json::to_string_pretty(&items).unwrap_or_default();
                save_text("audit.json", "application/json", &text);
            }
            let text = if is_cut { t().trail.saved_cut } else { t().trail.saved };
            toasts.done(fill(text, &[("n", &count)]));
        });
    };
    let as_json = save.clone();
    view! {
        div(class="actions") {
            Action(label=t().trail.csv, kind=Kind::Plain, task=task, run=move || save(true))
            Action(label=t().trail.json, kind=Kind::Plain, task=task, run=move || as_json(false))
            (match task.failure.get_clone() {
                Some(failure) => notice(Tone::Bad, failure.text()),
                None => nothing(),
            })
        }
    }
}

/// Reads every page up to the limit, and says whether there are more.
async fn collect(sieve: Sieve, read: Read) -> Result<(Vec<AuditItem>, bool), Failure> {
    let first = sieve.query(None, PAGE_ITEMS_MAX);
    let (mut items, mut after) = (Vec::new(), None);
    for _ in 0..EXPORT_PAGES_MAX {
        let page = read(AuditQuery { after, ..first.clone() }).await?;
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok((items, false));
        }
    }
    Ok((items, true))
}

/// Returns entries as a table for spreadsheets (RFC 4180).
fn csv(items: &[AuditItem], names: &BTreeMap<UserId, String>) -> String {
    let mut out = String::from("number,time,event,actor,actor_id,door,address,server,changes\r\n");
    for item in items {
        let entry = &item.entry;
        let (who, id) = actor(&entry.actor, names);
        let changes: Vec<String> =
            entry.changes.iter().map(|it| format!("{}: {}", it.field, values(it))).collect();
        let cells = [
            item.number.to_string(),
            entry.at.to_string(),
            entry.event.clone(),
            who,
            id,
            origin(entry.door, None),
            entry.address.map(|it| it.to_string()).unwrap_or_default(),
            entry.server.map(|it| it.to_string()).unwrap_or_default(),
            changes.join("; "),
        ];
        out.push_str(&cells.map(|it| cell(&it)).join(","));
        out.push_str("\r\n");
    }
    out
}

/// Returns a value as a cell. Spreadsheets run what begins like a formula: that is made text.
fn cell(text: &str) -> String {
    let mark = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{mark}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::lifecycle::Actor;
    use mamba_core::{
        audit::{AuditEntry, Origin},
        clock::UnixMs,
    };

    #[test]
    fn a_cell_runs_nothing_and_ends_nowhere_else() {
        for (text, expected) in [
            ("plain", "\"plain\""),
            ("a,\"b\"\n", "\"a,\"\"b\"\"\n\""),
            ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
            ("@x", "\"'@x\""),
            ("-1", "\"'-1\""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }

    #[test]
    fn an_entry_is_one_line_of_the_table() {
        let user = UserId::from_bytes([1; 16]);
        let entry =
            AuditEntry::new(UnixMs(0), &Actor::User(user), Origin::default(), "node:update");
        let change = Change::new("name", Some("a"), Some("b"));
        let items = [AuditItem { number: 7, entry: entry.with([change]) }];
        let text = csv(&items, &[(user, "who@example.org".to_owned())].into());
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with("\"7\",\"1970-01-01"), "{line}");
        assert!(line.contains(",\"node:update\",\"who@example.org\","), "{line}");
        assert!(line.ends_with(",\"name: a → b\""), "{line}");
    }
}

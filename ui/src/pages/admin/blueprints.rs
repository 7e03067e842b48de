//! Game definitions: the list, and how files of them come in.

use super::cut;
use crate::{
    i18n::{fill, t},
    parts::{Badge, FileDrop, Icon, Tone, empty, head, icon, nothing, notice, shown, table},
    reactive::selector,
    remote::{self, Remote, watch_all},
    session::Session,
};
use mamba_core::{access::AdminRight, blueprint::egg::Note};
use mamba_wire::api::{
    Page,
    blueprint::{Blueprint, ImportBlueprint, ImportedBlueprint},
    feed::Topic,
    table,
};
use std::rc::Rc;
use sycamore::{futures::spawn_local, prelude::*};
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

/// Most files at one time: each is a request and a line of the report.
const FILES_MAX: usize = 50;
/// Largest file that is sent: the hub takes one of a mebibyte, in a JSON text.
const FILE_BYTES_MAX: f64 = 900_000.0;

/// The page.
#[component]
pub(super) fn Blueprints() -> View {
    let session = use_context::<Session>();
    let may_write = session.may_admin(AdminRight::BlueprintsWrite);
    let list =
        watch_all::<table::ListBlueprints, _>(remote::NEVER_MS, Some(Topic::Administration), true);
    let head = head(Vec::new(), t().admin.blueprints, nothing());
    let found = shown(list, |page| view! { Found(page=page) });
    view! {
        (head)
        (if may_write { view! { Import(list=list) } } else { nothing() })
        (found)
    }
}

/// One file of the report.
#[derive(Clone, PartialEq)]
struct Line {
    number: usize,
    file: String,
    outcome: Outcome,
}

#[derive(Clone, PartialEq)]
enum Outcome {
    Waiting,
    Done(Rc<ImportedBlueprint>),
    Failed(String),
}

/// The place for files, and what became of each.
#[component(inline_props)]
fn Import(list: Remote<Page<Blueprint>>) -> View {
    let session = use_context::<Session>();
    let report = create_signal(Vec::<Line>::new());
    let take = Rc::new(move |files: Vec<File>| {
        let first = report.with_untracked(Vec::len);
        let files: Vec<(usize, File)> = files
            .into_iter()
            .take(FILES_MAX)
            .enumerate()
            .map(|(at, it)| (first + at, it))
            .collect();
        report.update(|all| {
            all.extend(files.iter().map(|(number, file)| Line {
                number: *number,
                file: file.name(),
                outcome: Outcome::Waiting,
            }));
        });
        // Not bound to the page: what was given is imported, also when somebody looks elsewhere meanwhile.
        spawn_local(async move {
            for (number, file) in files {
                let outcome = import(session, &file).await;
                if !report.is_alive() {
                    continue;
                }
                report.update(|all| {
                    if let Some(line) = all.iter_mut().find(|it| it.number == number) {
                        line.outcome = outcome;
                    }
                });
                list.reload();
            }
        });
    });
    let lines = selector(move || {
        let mut lines = report.get_clone();
        lines.reverse();
        lines
    });
    let is_empty = selector(move || report.with(Vec::is_empty));
    view! {
        FileDrop(label=t().admin.import, hint=t().admin.import_hint,
            accept=".json,.yaml,.yml,application/json,application/yaml", take=take)
        (if is_empty.get() { nothing() } else { view! {
            section(class="card") {
                header { h2 { (t().admin.import_report) } }
                ul(class="findings", aria-live="polite") { Indexed(list=lines, view=|it| line(&it)) }
            }
        } })
    }
}

async fn import(session: Session, file: &File) -> Outcome {
    if file.size() > FILE_BYTES_MAX {
        return Outcome::Failed(t().admin.import_large.to_owned());
    }
    let Ok(text) = JsFuture::from(file.text()).await else {
        return Outcome::Failed(t().admin.import_unread.to_owned());
    };
    let body = ImportBlueprint { content: text.as_string().unwrap_or_default() };
    match session.call::<table::ImportBlueprint>((), (), body).await {
        Ok(done) => Outcome::Done(Rc::new(done)),
        Err(failure) => Outcome::Failed(failure.text()),
    }
}

fn line(line: &Line) -> View {
    let file = line.file.clone();
    let (tone, word) = match &line.outcome {
        Outcome::Waiting => (Tone::Busy, t().admin.import_waits),
        Outcome::Done(done) if done.is_new => (Tone::Good, t().admin.import_new),
        Outcome::Done(_) => (Tone::Calm, t().admin.import_same),
        Outcome::Failed(_) => (Tone::Bad, t().admin.import_failed),
    };
    let detail = match &line.outcome {
        Outcome::Waiting => nothing(),
        Outcome::Done(done) => imported(done),
        Outcome::Failed(why) => {
            let why = why.clone();
            view! { div { (why) } }
        }
    };
    view! {
        li {
            (view! { Badge(tone=tone, label=word) })
            div(class="grow") { strong { (file) } (detail) }
        }
    }
}

/// Returns what an import made, and what was changed on the way.
pub(super) fn imported(done: &ImportedBlueprint) -> View {
    let to = format!("/admin/blueprints/{}", done.blueprint);
    let values = [("version", &done.version as _), ("format", &done.format as _)];
    let (name, text) = (done.blueprint.clone(), fill(t().admin.import_as, &values));
    let notes: View = done.notes.iter().map(note).collect::<Vec<_>>().into();
    view! {
        div { a(href=to) { (name) } " " span(class="muted") { (text) } }
        (notes)
    }
}

fn note(note: &Note) -> View {
    let (path, text) = (note.path.clone(), note.text.clone());
    view! { div(class="muted") { code { (path) } " " (text) } }
}

#[component(inline_props)]
fn Found(page: ReadSignal<Rc<Page<Blueprint>>>) -> View {
    let text = create_signal(String::new());
    let rows = create_memo(move || {
        let text = text.with(|it| it.trim().to_lowercase());
        let mut rows: Vec<Blueprint> = page.with(|it| it.items.clone());
        rows.retain(|it| fits(it, &text));
        rows.sort_by_key(|it| it.title.to_lowercase());
        rows
    });
    let is_empty = selector(move || page.with(|it| it.items.is_empty()));
    let magnifier = icon(Icon::Search);
    let lines = view! { Indexed(list=rows, view=|it| row(&it)) };
    let texts = &t().admin;
    let heads = [
        texts.game,
        texts.short_name,
        texts.version,
        texts.author,
        texts.images,
        t().servers.variables,
        texts.tags,
    ];
    let found = table(texts.blueprints, &heads, lines);
    let none =
        empty(Icon::Book, t().admin.blueprints_none, t().admin.blueprints_none_text, nothing());
    let is_cut = selector(move || page.with(|it| it.next.is_some()));
    view! {
        (if is_cut.get() { notice(Tone::Calm, cut()) } else { nothing() })
        div(class="pane", hidden=!is_empty.get()) { (none) }
        div(class="toolbar", hidden=is_empty.get()) {
            label(class="search") {
                (magnifier) span(class="sr") { (t().admin.blueprints_search) }
                input(r#type="search", placeholder=t().admin.blueprints_search, bind:value=text)
            }
        }
        div(class="pane", hidden=is_empty.get()) { (found) }
    }
}

fn row(blueprint: &Blueprint) -> View {
    let to = format!("/admin/blueprints/{}", blueprint.blueprint);
    let Blueprint { blueprint: name, title, version, author, images, variables, tags, .. } =
        blueprint.clone();
    let is_ours = version == 0;
    let version = if is_ours { t().admin.shipped.to_owned() } else { version.to_string() };
    let tags: View = tags
        .into_iter()
        .map(|it| view! { span(class="tag") { (it) } " " })
        .collect::<Vec<_>>()
        .into();
    let (images, variables) = (images.len(), variables.len());
    view! {
        tr {
            td(class="cut") { a(href=to) { (title) } }
            td { code { (name) } }
            td(class="num muted") { (version) }
            td(class="cut muted") { (author) }
            td(class="num") { (images) }
            td(class="num") { (variables) }
            td { (tags) }
        }
    }
}

fn fits(blueprint: &Blueprint, text: &str) -> bool {
    let has = |it: &str| it.to_lowercase().contains(text);
    text.is_empty()
        || has(&blueprint.title)
        || has(&blueprint.blueprint)
        || has(&blueprint.author)
        || blueprint.tags.iter().any(|it| has(it))
}

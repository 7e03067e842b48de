//! Folders of its node that a server sees beside its own data: for administrators.

use super::page::Seen;
use crate::{
    i18n::{fill, t},
    parts::{Submit, TextArea, Toasts, Tone, complaint, notice, shown},
    remote::{self, watch},
    session::Session,
    task::Task,
};
use mamba_core::server::Mount;
use mamba_wire::api::{params::ServerPath, server, table};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The card.
#[component(inline_props)]
pub(super) fn Mounts(seen: Seen) -> View {
    let id = seen.id;
    let remote =
        watch::<table::ShowMounts>(remote::NEVER_MS, move || Some((ServerPath { server: id }, ())));
    let content = shown(remote, move |mounts| form(seen, mounts));
    view! {
        section(class="card") { header { h2 { (t().servers.mounts) } } (content) }
    }
}

fn form(seen: Seen, mounts: ReadSignal<Rc<server::Mounts>>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let text = create_signal(mounts.with_untracked(|it| write(&it.mounts)));
    let wrong_line = create_signal(None::<String>);
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        match text.with_untracked(|it| read(it)) {
            Err(line) => wrong_line.set(Some(line)),
            Ok(mounts) => {
                wrong_line.set(None);
                let path = ServerPath { server: seen.id };
                let call = session.call::<table::SetMounts>(path, (), server::Mounts { mounts });
                task.run(call, move |stored| {
                    toasts.done(t().servers.startup_saved);
                    text.set(write(&stored.mounts));
                    seen.remote.reload();
                });
            }
        }
    };
    let wrong = complaint(task.failure, &[]);
    let told = move || match wrong_line.get_clone() {
        Some(line) => notice(Tone::Bad, fill(t().servers.mounts_wrong, &[("line", &line)])),
        None => view! {},
    };
    view! {
        form(class="body", on:submit=submit, novalidate=true) {
            (wrong)
            (told())
            TextArea(label=t().servers.mounts_label, name="mounts", value=text, hint=t().servers.mounts_hint)
            div(class="actions") {
                Submit(label=t().general.save, task=task)
                span(class="muted") { (t().servers.startup_hint) }
            }
        }
    }
}

/// Returns mounts as lines.
fn write(mounts: &[Mount]) -> String {
    let line = |it: &Mount| {
        let mode = if it.read_only { ":ro" } else { "" };
        format!("{}:{}{mode}", it.source, it.target)
    };
    mounts.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Reads lines; what else is wrong with a mount is for the hub to say.
///
/// # Errors
/// The first line that is none.
fn read(text: &str) -> Result<Vec<Mount>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (paths, read_only) = match line.strip_suffix(":ro") {
                Some(paths) => (paths, true),
                None => (line, false),
            };
            match paths.split(':').collect::<Vec<_>>().as_slice() {
                [source, target] if source.starts_with('/') && target.starts_with('/') => {
                    let (source, target) = ((*source).to_owned(), (*target).to_owned());
                    Ok(Mount { source, target, read_only })
                }
                _ => Err(line.to_owned()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let mount = |source: &str, target: &str, read_only| Mount {
            source: source.to_owned(),
            target: target.to_owned(),
            read_only,
        };
        let all = vec![mount("/srv/maps", "/mnt/maps", true), mount("/srv/a b", "/b", false)];
        assert_eq!(read(&write(&all)), Ok(all));
        assert_eq!(read(" \n"), Ok(vec![]));
        for wrong in ["maps:/mnt", "/srv", "/srv:/mnt:rw", "/a:/b:/c:ro", "/srv:mnt"] {
            assert_eq!(read(wrong), Err(wrong.to_owned()));
        }
    }
}

//! The install script of a server: how far it is, what it says, how it is ended and run again.

use super::page::Seen;
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{
        Action, Choice, Field, Kind, Select, Submit, Toasts, Tone, complaint, confirm, dialog,
        nothing,
    },
    remote::{self, watch},
    session::Session,
    task::Task,
    time::{self, Ticking},
};
use mamba_core::{access::ServerKey, server::InstallFiles};
use mamba_wire::api::{
    params::ServerPath,
    server::{Install, InstallLog, InstallState, Reinstall, Server},
    table,
};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// Newest lines of the log that are shown: the console has all of them.
const LINES_SHOWN: usize = 200;

/// Whether a server has a script that could be run again.
pub(super) fn has_script(server: &Server) -> bool {
    server.install.state != InstallState::None
}

/// How an install script that runs, waits or failed is doing, with its output.
#[component(inline_props)]
pub(super) fn Progress(seen: Seen) -> View {
    let state = selector(move || seen.server.with(|it| it.install.state));
    let is_told = selector(move || match state.get() {
        InstallState::None | InstallState::Done => false,
        InstallState::Waiting
        | InstallState::Running
        | InstallState::Failed
        | InstallState::Cancelled => true,
    });
    view! { (if is_told.get() { told(seen, state) } else { nothing() }) }
}

fn told(seen: Seen, state: ReadSignal<InstallState>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let ticking = use_context::<Ticking>().0;
    let text = selector(move || seen.server.with(|it| words(&it.install)));
    // Apart from the words, so that it is not read aloud each second.
    let span = selector(move || {
        let begun = seen.server.with(|it| it.install.begun_at);
        let begun = begun.filter(|_| state.get() == InstallState::Running);
        begun.map(|begun| time::span(ticking.get().since(begun))).unwrap_or_default()
    });
    let tone = move || match state.get() {
        InstallState::Failed | InstallState::Cancelled => Tone::Bad.name(),
        _ => Tone::Busy.name(),
    };
    let may_end = seen.may(ServerKey::SettingsReinstall);
    let is_open =
        selector(move || matches!(state.get(), InstallState::Running | InstallState::Waiting));
    let task = Task::new();
    let end = move || {
        let call = session.call::<table::CancelInstall>(ServerPath { server: seen.id }, (), ());
        task.run(call, move |server| {
            toasts.done(t().servers.install_end_asked);
            seen.remote.put(server);
        });
    };
    let wrong = complaint(task.failure, &[]);
    let log = if seen.may(ServerKey::ControlReadConsole) { output(seen, state) } else { nothing() };
    view! {
        section(class="card install", data-tone=tone()) {
            header {
                h2 { (t().servers.install_title) }
                p {
                    span(role="status") { (text.get_clone()) } " "
                    span(class="num") { (span.get_clone()) }
                }
                (if may_end && is_open.get() {
                    view! { Action(label=t().servers.install_end, kind=Kind::Danger, task=task, run=end) }
                } else { nothing() })
            }
            (wrong)
            (log)
        }
    }
}

fn words(install: &Install) -> String {
    let texts = &t().servers;
    match install.state {
        InstallState::Waiting => texts.install_waiting.to_owned(),
        InstallState::Running => texts.install_running.to_owned(),
        InstallState::Failed => {
            let error = install.error.clone().unwrap_or_default();
            fill(texts.install_failed, &[("error", &error)])
        }
        InstallState::Cancelled => texts.install_cancelled.to_owned(),
        InstallState::None | InstallState::Done => String::new(),
    }
}

fn output(seen: Seen, state: ReadSignal<InstallState>) -> View {
    let is_running = selector(move || state.get() == InstallState::Running);
    let log = watch::<table::ShowInstallLog>(remote::OFTEN_MS, move || {
        // The log of a run that is over is read once more, and that one of a run that waits is another's.
        is_running.track();
        (state.get() != InstallState::Waiting).then_some((ServerPath { server: seen.id }, ()))
    });
    let text = selector(move || log.value.get_clone().map(|it| newest(&it)).unwrap_or_default());
    let away = selector(move || log.failure.with(|it| it.as_ref().map(|it| it.text())));
    view! {
        div(class="body", hidden=text.with(String::is_empty) && away.with(Option::is_none)) {
            p(class="muted", hidden=away.with(Option::is_none)) { (away.get_clone().unwrap_or_default()) }
            pre(class="log", tabindex="0", aria-label=t().servers.install_log) { (text.get_clone()) }
        }
    }
}

/// Returns the newest lines as one text.
fn newest(log: &InstallLog) -> String {
    let skipped = log.lines.len().saturating_sub(LINES_SHOWN);
    let mut text = String::new();
    if skipped > 0 || log.is_cut {
        text += t().servers.install_cut;
        text.push('\n');
    }
    for line in &log.lines[skipped..] {
        // Escape sequences are for terminals.
        text.extend(line.text.chars().filter(|it| !it.is_control()));
        text.push('\n');
    }
    text
}

/// Returns the dialog that has the server installed again. The name has to be typed.
pub(super) fn reinstall_dialog(seen: Seen, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    dialog(open, t().servers.reinstall, move || {
        let name = seen.server.with_untracked(|it| it.name.clone());
        let (typed, files) = (create_signal(String::new()), create_signal("keep".to_owned()));
        let task = Task::new();
        let text = fill(t().servers.reinstall_sure, &[("name", &name)]);
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            if typed.with_untracked(|it| *it != name) {
                return;
            }
            let is_wiped = files.with_untracked(|it| it == "wipe");
            let files = if is_wiped { InstallFiles::Wipe } else { InstallFiles::Keep };
            let path = ServerPath { server: seen.id };
            let call = session.call::<table::ReinstallServer>(path, (), Reinstall { files });
            task.run(call, move |server| {
                toasts.done(t().servers.reinstall_asked);
                open.set(false);
                seen.remote.put(server);
            });
        };
        let choices = create_signal(vec![
            Choice::new("keep", t().servers.reinstall_keep),
            Choice::new("wipe", t().servers.reinstall_wipe),
        ]);
        let wrong = complaint(task.failure, &[]);
        let footer = confirm(
            open,
            view! { Submit(label=t().servers.reinstall, kind=Kind::Danger, task=task) },
        );
        view! {
            form(on:submit=submit, novalidate=true) {
                p { (text) }
                (wrong)
                Select(label=t().servers.reinstall_files, name="files", value=files, choices=*choices)
                Field(label=t().servers.delete_type, name="confirm", value=typed, autofocus=true)
                (footer)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::clock::UnixMs;
    use mamba_wire::node::{ConsoleLine, LineSource};

    #[test]
    fn a_log_is_cut_at_its_beginning_and_moves_no_cursor() {
        let line = |n: usize| ConsoleLine {
            at: UnixMs(1),
            source: LineSource::Install,
            text: format!("\x1b[2Jline {n}"),
        };
        let log = InstallLog { is_cut: false, lines: (0..LINES_SHOWN + 5).map(line).collect() };
        let text = newest(&log);
        assert_eq!(text.lines().count(), LINES_SHOWN + 1);
        assert!(text.lines().nth(1).is_some_and(|it| it.ends_with("line 5")));
        assert!(!text.contains('\x1b'));
        let short = InstallLog { is_cut: false, lines: vec![line(1)] };
        assert_eq!(newest(&short).lines().count(), 1);
    }

    #[test]
    fn what_is_not_done_is_told() {
        let install = |state| Install {
            state,
            begun_at: Some(UnixMs(1_000)),
            ended_at: None,
            code: None,
            error: Some("exit code 3".to_owned()),
        };
        let says = |state| words(&install(state));
        assert!(says(InstallState::Running).contains("runs"));
        assert!(says(InstallState::Failed).contains("exit code 3"));
        assert_eq!(says(InstallState::Done), "");
    }
}

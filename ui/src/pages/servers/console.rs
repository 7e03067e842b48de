//! The console: what the game says, and what people type.

use super::{
    needs::{Needed, Needs},
    page::Seen,
};
use crate::reactive::{effect, selector};
use crate::{
    i18n::{fill, t},
    net::{Failure, Socket, Terminal, terminal},
    parts::{Action, Icon, Kind, copier},
    session::Session,
    time,
};
use mamba_core::{access::ServerKey, clock::UnixMs, ids::ServerId};
use mamba_wire::{
    api::{
        console::{
            CLOSE_NO_SERVER, CLOSE_NODE_OFFLINE, ConsoleMessage, ConsoleSend, CreateTicket, Gap,
            Line,
        },
        params::ServerPath,
        table,
    },
    node::LineSource,
};
use std::{cell::RefCell, rc::Rc};
use sycamore::{futures::spawn_local_scoped, prelude::*};
use web_sys::{KeyboardEvent, SubmitEvent};

/// Lines that wait for the screen: what comes faster than it is shown is skipped, and the screen says so.
const WAITING_MAX: usize = 4_000;
/// How often the screen is written to.
const FRAME_MS: u32 = 40;
/// Typed lines that can be called back.
const TYPED_MAX: usize = 100;
/// Pause before a lost console is opened again, and the longest.
const REOPEN_MS_MIN: u32 = 1_000;
const REOPEN_MS_MAX: u32 = 15_000;

/// How the console is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Live,
    NodeAway,
    NotThere,
    Lost,
}

/// What came and was not shown yet.
#[derive(Default)]
struct Inbox {
    text: String,
    lines: usize,
    skipped: usize,
    /// The newest line that was taken: after a pause the hub tells the last ones again.
    newest: Option<(u64, UnixMs)>,
}

/// One open console.
#[derive(Clone, Copy)]
struct Wire {
    id: ServerId,
    may_write: bool,
    state: Signal<State>,
    socket: Signal<Option<Socket>>,
    inbox: Signal<Rc<RefCell<Inbox>>>,
    needs: Needs,
    /// Set when the socket ended, with its code.
    ended: Signal<Option<u16>>,
}

/// The tab.
#[component(inline_props)]
pub(super) fn Console(seen: Seen) -> View {
    let wire = Wire {
        id: seen.id,
        may_write: seen.may(ServerKey::ControlConsole),
        state: create_signal(State::Opening),
        socket: create_signal(None),
        inbox: create_signal(Rc::default()),
        needs: Needs::new(seen),
        ended: create_signal(None),
    };
    let node = create_node_ref();
    let screen = create_signal(None::<Terminal>);
    terminal(node, move |it| screen.set(Some(it)));
    spawn_local_scoped(keep_open(use_context::<Session>(), wire));
    spawn_local_scoped(show(wire, screen));
    let find = create_signal(String::new());
    let is_missing = create_signal(false);
    let search = move |event: SubmitEvent| {
        event.prevent_default();
        if let Some(screen) = screen.get_clone_untracked() {
            let text = find.get_clone_untracked();
            is_missing.set(!text.is_empty() && !screen.find(&text, true));
        }
    };
    effect(move || {
        find.track();
        is_missing.set(false);
    });
    let copy = copier(move || screen.get_clone_untracked().map(|it| it.text()));
    let clear = move || {
        if let Some(screen) = screen.get_clone_untracked() {
            screen.clear();
        }
    };
    let state = selector(move || match wire.state.get() {
        State::Opening => ("busy", t().servers.console_opening),
        State::Live => ("good", t().servers.console_live),
        State::NodeAway => ("bad", t().servers.console_node_away),
        State::NotThere => ("calm", t().servers.console_not_there),
        State::Lost => ("bad", t().servers.console_lost),
    });
    let can_type = selector(move || wire.may_write && wire.state.get() == State::Live);
    view! {
        Needed(needs=wire.needs)
        section(class="console", aria-label=t().servers.console) {
            div(class="console-bar") {
                span(class="fresh", data-tone=state.get().0, role="status") { (state.get().1) }
                form(class="console-search", role="search", on:submit=search) {
                    span(class="console-none", role="status") {
                        (if is_missing.get() { t().servers.console_none } else { "" })
                    }
                    input(r#type="search", aria-label=t().servers.console_search,
                        placeholder=t().servers.console_search, bind:value=find)
                }
                (copy)
                Action(label=t().servers.console_clear, kind=Kind::Quiet, picture=Icon::Trash, run=clear)
            }
            div(class="screen") { div(class="screen-inner", r#ref=node) {} }
            Prompt(wire=wire, can_type=can_type)
        }
    }
}

/// Where one types, with what was typed before under the arrow keys.
#[component(inline_props)]
fn Prompt(wire: Wire, can_type: ReadSignal<bool>) -> View {
    let text = create_signal(String::new());
    let typed = create_signal(Vec::<String>::new());
    let at = create_signal(0_usize);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let line = text.get_clone_untracked();
        let message = serde_json::to_string(&ConsoleSend::Input(line.clone())).unwrap_or_default();
        let is_sent =
            wire.socket.with_untracked(|it| it.as_ref().is_some_and(|it| it.send(&message)));
        if !is_sent {
            return;
        }
        typed.update(|typed| {
            if !line.is_empty() && typed.last() != Some(&line) {
                typed.push(line);
            }
            if typed.len() > TYPED_MAX {
                typed.remove(0);
            }
        });
        at.set(typed.with_untracked(Vec::len));
        text.set(String::new());
    };
    let recall = move |event: KeyboardEvent| {
        let count = typed.with_untracked(Vec::len);
        let next = match event.key().as_str() {
            "ArrowUp" => at.get_untracked().checked_sub(1),
            "ArrowDown" => Some((at.get_untracked() + 1).min(count)),
            _ => None,
        };
        if let Some(next) = next {
            event.prevent_default();
            at.set(next);
            text.set(typed.with_untracked(|it| it.get(next).cloned().unwrap_or_default()));
        }
    };
    let hint =
        if wire.may_write { t().servers.console_type } else { t().servers.console_read_only };
    view! {
        form(class="prompt", on:submit=submit) {
            span(aria-hidden="true") { "›" }
            input(r#type="text", name="command", aria-label=t().servers.console_type, placeholder=hint,
                autocomplete="off", autocapitalize="none", "spellcheck"="false", bind:value=text,
                disabled=!can_type.get(), on:keydown=recall)
        }
    }
}

/// Opens the console, and again when it was lost.
async fn keep_open(session: Session, wire: Wire) {
    let mut pause = REOPEN_MS_MIN;
    loop {
        wire.ended.set(None);
        wire.state.set(State::Opening);
        let body = CreateTicket { write: wire.may_write };
        let path = ServerPath { server: wire.id };
        match session.call::<table::CreateConsoleTicket>(path, (), body).await {
            Ok(ticket) => {
                wire.open(&ticket.target);
                while wire.ended.get_untracked().is_none() {
                    time::sleep(FRAME_MS).await;
                }
                if wire.state.get_untracked() == State::Live {
                    pause = REOPEN_MS_MIN;
                }
                let code = wire.ended.get_untracked().unwrap_or_default();
                wire.state.set(match code {
                    CLOSE_NODE_OFFLINE => State::NodeAway,
                    CLOSE_NO_SERVER => State::NotThere,
                    _ => State::Lost,
                });
            }
            Err(Failure::Unreachable) => wire.state.set(State::Lost),
            Err(failure) => {
                wire.inbox.get_clone_untracked().borrow_mut().say(&failure.text());
                wire.state.set(State::Lost);
            }
        }
        wire.socket.set(None);
        time::sleep(pause).await;
        pause = (pause * 2).min(REOPEN_MS_MAX);
    }
}

impl Wire {
    fn open(self, target: &str) {
        let inbox = self.inbox.get_clone_untracked();
        let received = move |text: String| {
            // What a newer hub says beside this is not for this page.
            let Ok(message) = serde_json::from_str::<ConsoleMessage>(&text) else { return };
            match message {
                ConsoleMessage::Lines(lines) => {
                    for line in &lines {
                        inbox.borrow_mut().line(line);
                        self.needs.line(line);
                    }
                }
                ConsoleMessage::Gap(gap) => inbox.borrow_mut().gap(gap),
                ConsoleMessage::Error(text) => inbox.borrow_mut().say(&text),
                ConsoleMessage::CaughtUp(_) => self.state.set(State::Live),
                ConsoleMessage::State(_) => {}
            }
        };
        let socket = Socket::open(target, received, move |code| self.ended.set(Some(code)));
        if socket.is_none() {
            self.ended.set(Some(0));
        }
        self.socket.set(socket);
    }
}

/// Writes what came to the screen, in pieces that leave the page time for everything else. While the screen
/// is behind, what comes waits in the inbox, which has a bound.
async fn show(wire: Wire, screen: Signal<Option<Terminal>>) {
    let inbox = wire.inbox.get_clone_untracked();
    loop {
        if let Some(screen) = screen.get_clone_untracked()
            && !screen.is_busy()
            && let Some(text) = inbox.borrow_mut().take()
        {
            screen.write(&text);
        }
        time::sleep(FRAME_MS).await;
    }
}

impl Inbox {
    fn line(&mut self, line: &Line) {
        if let Some((newest, at)) = self.newest {
            // A lower number at a later time: the node began to count anew.
            if line.n.0 <= newest && line.at <= at {
                return;
            }
        }
        self.newest = Some((line.n.0, line.at));
        if self.lines >= WAITING_MAX {
            self.skipped += 1;
            return;
        }
        self.lines += 1;
        match line.source {
            LineSource::Stdout | LineSource::Stderr | LineSource::Install => {
                self.text += &line.text
            }
            LineSource::Input => self.own("\x1b[36m", &format!("› {}", line.text)),
            LineSource::Edge => self.own("\x1b[33m", &line.text),
        }
        self.text += "\x1b[0m\n";
    }

    fn gap(&mut self, gap: Gap) {
        self.newest = None;
        self.own("\x1b[2m", &fill(t().servers.console_gap, &[("n", &gap.count)]));
        self.text += "\x1b[0m\n";
    }

    fn say(&mut self, text: &str) {
        self.own("\x1b[31m", text);
        self.text += "\x1b[0m\n";
    }

    /// Adds words that no game wrote: nothing in them moves the cursor.
    fn own(&mut self, colour: &str, text: &str) {
        self.text += colour;
        self.text.extend(text.chars().filter(|it| !it.is_control()));
    }

    fn take(&mut self) -> Option<String> {
        if self.skipped > 0 {
            let skipped = std::mem::take(&mut self.skipped);
            self.own("\x1b[2m", &fill(t().servers.console_skipped, &[("n", &skipped)]));
            self.text += "\x1b[0m\n";
        }
        self.lines = 0;
        (!self.text.is_empty()).then(|| std::mem::take(&mut self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::seq::LineNumber;

    fn line(n: u64, source: LineSource, text: &str) -> Line {
        Line { n: LineNumber(n), at: UnixMs(n), source, text: text.to_owned() }
    }

    #[test]
    fn lines_that_are_told_again_are_shown_once() {
        let mut inbox = Inbox::default();
        for n in [1, 2, 1, 2, 3] {
            inbox.line(&line(n, LineSource::Stdout, &format!("line {n}")));
        }
        let text = inbox.take().unwrap();
        assert_eq!(text.matches("line").count(), 3);
        assert_eq!(inbox.take(), None);
    }

    #[test]
    fn a_flood_is_cut_and_says_how_much_is_missing() {
        let mut inbox = Inbox::default();
        for n in 1..=5_000 {
            inbox.line(&line(n, LineSource::Stdout, "x"));
        }
        assert!(inbox.take().unwrap().contains("1000"));
    }

    #[test]
    fn what_somebody_typed_cannot_move_the_cursor() {
        let mut inbox = Inbox::default();
        inbox.line(&line(1, LineSource::Input, "a\x1b[2Jb"));
        assert!(!inbox.take().unwrap().contains("\x1b[2J"));
    }
}

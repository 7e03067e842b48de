//! What can be done with several servers at once, and what came of it for each.

use super::fleet::Row;
use crate::{
    i18n::{fill, t},
    parts::{Action, Icon, IconButton, Kind, Toasts, Tone, badge},
    reactive::selector,
    session::Session,
};
use mamba_core::{ids::ServerId, lifecycle::PowerAction};
use mamba_wire::api::{params::ServerPath, server::Power, table};
use std::collections::BTreeSet;
use sycamore::{futures::spawn_local_scoped, prelude::*};

/// Most wishes that are under way at one time: a line with a long way is used, and the hub has time for
/// others.
const UNDER_WAY_MAX: usize = 4;

/// What is known of one wish.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    /// The hub was not asked yet.
    Waiting,
    /// It was asked and has not answered.
    UnderWay,
    /// It is recorded.
    Recorded,
    /// It is not, and why.
    Refused(String),
    /// The hub was not asked: somebody stopped that.
    LeftOut,
}

/// A wish for one server.
#[derive(Clone, Debug, PartialEq)]
struct Wish {
    server: ServerId,
    name: String,
    outcome: Outcome,
}

/// What was wished for several servers at once, in the order of the list.
#[derive(Clone, Debug, Default, PartialEq)]
struct Round {
    /// The action, as its button calls it.
    label: &'static str,
    wishes: Vec<Wish>,
}

impl Round {
    fn new(label: &'static str, servers: impl Iterator<Item = (ServerId, String)>) -> Self {
        let wish = |(server, name)| Wish { server, name, outcome: Outcome::Waiting };
        Self { label, wishes: servers.map(wish).collect() }
    }

    /// Returns the place of the next wish, which the caller then asks the hub for.
    fn begin_next(&mut self) -> Option<(usize, ServerId)> {
        let is_waiting = |it: &Wish| it.outcome == Outcome::Waiting;
        let place = self.wishes.iter().position(is_waiting)?;
        self.wishes[place].outcome = Outcome::UnderWay;
        Some((place, self.wishes[place].server))
    }

    /// Leaves out what the hub was not asked for yet.
    fn stop(&mut self) {
        for wish in self.wishes.iter_mut().filter(|it| it.outcome == Outcome::Waiting) {
            wish.outcome = Outcome::LeftOut;
        }
    }

    /// How many wishes have an end, and how many there are.
    fn progress(&self) -> (usize, usize) {
        let is_open = |it: &&Wish| matches!(it.outcome, Outcome::Waiting | Outcome::UnderWay);
        let all = self.wishes.len();
        (all - self.wishes.iter().filter(is_open).count(), all)
    }

    fn is_under_way(&self) -> bool {
        let (done, all) = self.progress();
        done < all
    }

    /// Returns the servers for which it is recorded.
    fn recorded(&self) -> impl Iterator<Item = ServerId> {
        let recorded = self.wishes.iter().filter(|it| it.outcome == Outcome::Recorded);
        recorded.map(|it| it.server)
    }

    /// Returns what came of it in a sentence.
    fn told(&self) -> String {
        let (count, all) = (self.recorded().count(), self.wishes.len());
        let counts = [("action", &self.label as _), ("n", &count as _), ("all", &all as _)];
        fill(t().servers.bulk_told, &counts)
    }

    /// Returns the same when all of it is recorded.
    fn success(&self) -> Option<String> {
        (self.recorded().count() == self.wishes.len()).then(|| self.told())
    }
}

/// What can be done with the servers in `acted`: those that are chosen and in the list as it is filtered.
#[component(inline_props)]
pub(super) fn Bulk(chosen: Signal<BTreeSet<ServerId>>, acted: ReadSignal<Vec<Row>>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let count = selector(move || acted.with(Vec::len));
    let hidden = selector(move || chosen.with(BTreeSet::len).saturating_sub(count.get()));
    let text = selector(move || {
        let (count, hidden) = (count.get(), hidden.get());
        let text = if hidden == 0 { t().servers.selected } else { t().servers.selected_cut };
        fill(text, &[("n", &count), ("hidden", &hidden)])
    });
    let round = create_signal(Round::default());
    let is_under_way = selector(move || round.with(Round::is_under_way));
    let is_idle = selector(move || !is_under_way.get());
    let is_off = selector(move || count.get() == 0 || is_under_way.get());
    let is_shown = selector(move || chosen.with(|it| !it.is_empty()) || is_under_way.get());
    let progress = selector(move || {
        let (done, all) = round.with(Round::progress);
        fill(t().servers.bulk_progress, &[("n", &done), ("all", &all)])
    });
    let texts = &t().servers;
    let button = move |label: &'static str, picture: Icon, action: PowerAction| {
        let run = move || {
            let named = |row: &Row| (row.id, row.server.with_untracked(|it| it.name.clone()));
            round.set(acted.with_untracked(|rows| Round::new(label, rows.iter().map(named))));
            begin(round, session, action, move || {
                // What is not recorded stays chosen: one may try it again.
                chosen.update(|chosen| {
                    for server in round.with_untracked(|it| it.recorded().collect::<Vec<_>>()) {
                        chosen.remove(&server);
                    }
                });
                if let Some(text) = round.with_untracked(Round::success) {
                    toasts.done(text);
                }
            });
        };
        view! { Action(label=label, picture=picture, disabled=is_off, run=run) }
    };
    let start = button(texts.start, Icon::Play, PowerAction::Start);
    let stop = button(texts.stop, Icon::Stop, PowerAction::Stop);
    let restart = button(texts.restart, Icon::Restart, PowerAction::Restart);
    let report = report(round);
    view! {
        div(class="bulk", hidden=!is_shown.get()) {
            span(class="muted", role="status", hidden=is_under_way.get()) { (text.get_clone()) }
            span(class="muted num", role="status", hidden=is_idle.get()) { (progress.get_clone()) }
            (start) (stop) (restart)
            (if is_under_way.get() {
                view! { Action(label=t().servers.bulk_stop, run=move || round.update(Round::stop)) }
            } else {
                view! { Action(label=t().general.cancel, kind=Kind::Quiet, run=move || chosen.set(BTreeSet::new())) }
            })
        }
        (report)
    }
}

/// Asks the hub for the wishes of a round, some at a time, until all have an end; then runs `done`. It ends
/// with the page.
fn begin(
    round: Signal<Round>,
    session: Session,
    action: PowerAction,
    done: impl Fn() + Copy + 'static,
) {
    for _ in 0..UNDER_WAY_MAX {
        spawn_local_scoped(async move {
            while let Some((place, server)) = round.update(Round::begin_next) {
                let (path, body) = (ServerPath { server }, Power { action, expires_in_ms: None });
                let result = session.call::<table::Power>(path, (), body).await;
                let outcome = match result {
                    Ok(_) => Outcome::Recorded,
                    Err(failure) => Outcome::Refused(failure.text()),
                };
                round.update(|it| it.wishes[place].outcome = outcome);
                if !round.with_untracked(Round::is_under_way) {
                    done();
                }
            }
        });
    }
}

/// Returns what came of each wish, until somebody closes it.
fn report(round: Signal<Round>) -> View {
    let ended = create_memo(move || {
        round.with(|it| if it.is_under_way() { Round::default() } else { it.clone() })
    });
    let is_none = selector(move || ended.with(|it| it.wishes.is_empty()));
    let title = selector(move || ended.with(Round::told));
    let wishes = selector(move || ended.with(|it| it.wishes.clone()));
    let line = |it: Wish| {
        let Wish { server, name, outcome } = it;
        let to = format!("/servers/{server}");
        let texts = &t().servers;
        let (tone, word, why) = match outcome {
            Outcome::Recorded => (Tone::Good, texts.bulk_recorded, String::new()),
            Outcome::Refused(why) => (Tone::Bad, texts.bulk_refused, why),
            Outcome::Waiting | Outcome::UnderWay | Outcome::LeftOut => {
                (Tone::Calm, texts.bulk_left, String::new())
            }
        };
        let said = badge(tone, word);
        view! { li { a(href=to) { (name) } " " (said) " " span(class="muted") { (why) } } }
    };
    view! {
        section(class="card bulk-report", hidden=is_none.get(), aria-label=t().servers.bulk_title) {
            header {
                h2 { (title.get_clone()) }
                IconButton(label=t().general.close, picture=Icon::Close, run=move || round.set(Round::default()))
            }
            ul(class="body") { Indexed(list=wishes, view=line) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(n: u8) -> ServerId {
        ServerId::from_bytes([n; 16])
    }

    fn round() -> Round {
        Round::new("Start", (1..=4).map(|n| (server(n), format!("server-{n}"))))
    }

    #[test]
    fn each_is_asked_for_once_and_has_an_end() {
        let mut round = round();
        assert_eq!(round.progress(), (0, 4));
        let asked: Vec<_> = std::iter::from_fn(|| round.begin_next()).collect();
        assert_eq!(asked, [1, 2, 3, 4].map(|n| (usize::from(n) - 1, server(n))));
        assert_eq!(round.progress(), (0, 4), "nobody answered yet");
        // Answers come in any order.
        round.wishes[2].outcome = Outcome::Recorded;
        round.wishes[0].outcome = Outcome::Refused("no".to_owned());
        assert_eq!((round.progress(), round.is_under_way()), ((2, 4), true));
        round.wishes[1].outcome = Outcome::Recorded;
        round.wishes[3].outcome = Outcome::Recorded;
        assert!(!round.is_under_way());
        assert_eq!(round.recorded().collect::<Vec<_>>(), [server(2), server(3), server(4)]);
        assert_eq!(round.told(), "Start: 3 of 4 recorded");
    }

    #[test]
    fn a_stop_leaves_out_what_was_not_asked_and_waits_for_what_was() {
        let mut round = round();
        let first = round.begin_next();
        round.stop();
        assert_eq!((first, round.begin_next()), (Some((0, server(1))), None));
        assert_eq!((round.progress(), round.is_under_way()), ((3, 4), true));
        round.wishes[0].outcome = Outcome::Recorded;
        assert!(!round.is_under_way());
        let left = round.wishes.iter().filter(|it| it.outcome == Outcome::LeftOut).count();
        assert_eq!((left, round.told().as_str()), (3, "Start: 1 of 4 recorded"));
    }
}

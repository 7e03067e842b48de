//! SIGKILL at random moments of edge and hub under load, again and again.

use super::{
    checks::{self, CONVERGED_MAX, RUNNING_MAX, Recovery, spread},
    dice::Dice,
    ledger::Ledger,
    load::{self, Promises},
    scene::{self, READY_MAX, Set},
};
use crate::{
    docker,
    edge::EdgeSettings,
    games::Game,
    hub::HubPlace,
    report::{Played, Report, Stopped, seconds},
    stage::Stage,
};
use std::{
    cell::Cell,
    fmt::{self, Display},
    time::Duration,
};

/// Cycles after which everybody signs in again (a token lives for 15 minutes), all games have to
/// answer, and every single event is compared.
const DEEP_EVERY: u32 = 20;
/// Longest start of a daemon on busy cores.
const START_MAX: Duration = seconds(60);
/// Longest load before the kill.
const LOAD_MAX_MS: usize = 2_000;
/// Longest absence.
const AWAY_MAX_MS: usize = 1_000;
/// Ports for servers that are made in a cycle.
const PORTS: usize = 2;

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Edge,
    Hub,
    Both,
    /// The edge with all games, as by a power cut.
    Node,
}

impl Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edge => "the edge",
            Self::Hub => "the hub",
            Self::Both => "both",
            Self::Node => "the edge and all games",
        })
    }
}

impl Victim {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(10) {
            0..4 => Self::Edge,
            4..7 => Self::Hub,
            7..9 => Self::Both,
            _ => Self::Node,
        }
    }

    fn is_edge(self) -> bool {
        matches!(self, Self::Edge | Self::Both | Self::Node)
    }

    fn is_hub(self) -> bool {
        matches!(self, Self::Hub | Self::Both)
    }
}

/// What lasts over the cycles.
struct Course {
    set: Set,
    dice: Dice,
    promises: Promises,
    ledger: Ledger,
    kills: u32,
    running: Vec<Duration>,
    converged: Vec<Duration>,
}

/// Plays the cycles.
pub(super) async fn play(
    report: &mut Report,
    stage: &mut Stage,
    cycles: u32,
    seed: u64,
) -> Result<(), Stopped> {
    report.act(&format!("SIGKILL: {cycles} cycles, seed {seed}"), Vec::new());
    let assembled = async {
        let edge = EdgeSettings::plain("kill-edge", "10.213.0.0/17");
        let set = scene::assemble(stage, "kill", HubPlace::default(), edge, &Game::ALL).await?;
        set.cast.all_answer(READY_MAX).await?;
        Ok((set, String::new()))
    };
    let set = report.step("a hub, an edge and four games", assembled).await?;
    report.act("SIGKILL under load", set.cast.logs());
    let mut course = Course {
        set,
        dice: Dice::new(seed),
        promises: Promises::default(),
        ledger: Ledger::default(),
        kills: 0,
        running: Vec::new(),
        converged: Vec::new(),
    };
    for cycle in 1..=cycles {
        let name = format!("cycle {cycle} of {cycles}");
        let played = async { Ok(((), course.cycle(stage).await?)) };
        report.step(&name, played).await?;
        if cycle % DEEP_EVERY == 0 || cycle == cycles {
            let looked = async { Ok(((), course.look_closely().await?)) };
            report.step("every game answers, every event is at the hub once", looked).await?;
        }
    }
    let (kills, asked, done) = (course.kills, course.promises.asked, course.promises.done);
    report.say(&format!(
        "       {cycles} cycles with {kills} kills under {asked} requests, {done} of them done"
    ));
    report.say(&format!("       all runs that should: {}", spread(course.running)));
    report.say(&format!("       hub and edge agree: {}", spread(course.converged)));
    let cast = course.set.cast;
    cast.leave(report).await
}

impl Course {
    /// One cycle: load, a kill in its middle, and everything that must hold after it.
    async fn cycle(&mut self, stage: &mut Stage) -> Played<String> {
        let victim = Victim::draw(&mut self.dice);
        let ports = (0..PORTS).map(|_| stage.port()).collect::<Played<Vec<u16>>>()?;
        let (asked, done) = (self.promises.asked, self.promises.done);
        let stop = Cell::new(false);
        let (users, mut dice) = (self.set.users()?, self.dice.split());
        let worked = load::work(users, &mut self.promises, ports, &mut dice, &stop);
        let (set, dice, kills) = (&mut self.set, &mut self.dice, &mut self.kills);
        let killed = async {
            let killed = kill(set, dice, kills, victim).await;
            stop.set(true);
            killed
        };
        let (killed, ()) = tokio::join!(killed, worked);
        killed?;
        let Recovery { running, converged } =
            checks::recovered(&self.set.cast, self.set.node).await?;
        self.running.push(running);
        self.converged.push(converged);
        self.promises.are_kept(&self.set.cast).await?;
        let figures = self.ledger.agrees(&self.set.cast).await?;
        let (asked, done) = (self.promises.asked - asked, self.promises.done - done);
        Ok(format!(
            "{victim} killed under {asked} requests ({done} done), well after {:.1} s; {} facts once",
            converged.as_secs_f64(),
            figures.custody,
        ))
    }

    async fn look_closely(&mut self) -> Played<String> {
        let games = checks::games_answer(&self.set.cast).await?;
        // First what the look itself caused, which is told as well.
        let figures = self.ledger.agrees(&self.set.cast).await?;
        let events = self.ledger.same_events(&self.set.cast).await?;
        self.set.cast.sign_in().await?;
        Ok(format!(
            "{games} games, {events} events, {} usage facts with {} gaps, {} KiB kept on the edge",
            figures.usage,
            self.ledger.gaps(),
            figures.outbox_bytes / 1_024,
        ))
    }
}

/// Kills at a random moment, and starts again after a random absence; one time in three it is killed
/// again while it starts.
async fn kill(set: &mut Set, dice: &mut Dice, kills: &mut u32, victim: Victim) -> Played {
    tokio::time::sleep(dice.wait(LOAD_MAX_MS)).await;
    end(set, victim).await?;
    *kills += 1;
    tokio::time::sleep(dice.wait(AWAY_MAX_MS)).await;
    begin(set, victim)?;
    if dice.one_in(3) {
        tokio::time::sleep(dice.wait(AWAY_MAX_MS)).await;
        end(set, victim).await?;
        *kills += 1;
        begin(set, victim)?;
    }
    set.cast.hub.serves(START_MAX).await?;
    for edge in &mut set.cast.edges {
        edge.answers(START_MAX).await?;
    }
    Ok(())
}

async fn end(set: &mut Set, victim: Victim) -> Played {
    if victim.is_hub() {
        set.cast.hub.kill().await?;
    }
    if victim.is_edge() {
        for edge in &mut set.cast.edges {
            edge.kill().await?;
        }
    }
    if matches!(victim, Victim::Node) {
        docker::kill_running(&set.node.to_string()).await?;
    }
    Ok(())
}

fn begin(set: &mut Set, victim: Victim) -> Played {
    if victim.is_hub() {
        set.cast.hub.spawn()?;
    }
    if victim.is_edge() {
        for edge in &mut set.cast.edges {
            edge.spawn()?;
        }
    }
    Ok(())
}

const _: () = assert!(RUNNING_MAX.as_secs() <= CONVERGED_MAX.as_secs());

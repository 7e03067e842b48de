//! People who use hub and edge while these are killed, and what they were promised.

use super::{dice::Dice, scene::Users};
use crate::{
    acts::cast::{self, Cast, NewServer, Role},
    api::whole_page,
    console::Console,
    games::Game,
    report::{Played, ensure, seconds, until},
};
use mamba_core::{
    ids::{IntentId, ServerId},
    lifecycle::PowerAction,
    server::Limits,
    units::{Mib, Millicores},
};
use mamba_wire::api::{
    params::ServerPath,
    server::{DeleteQuery, IntentState, Power, UpdateLimits},
    table,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Longest pause between two requests of one person.
const PAUSE_MAX_MS: usize = 400;
/// Pause after a refusal: the daemon is probably gone.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// Servers that exist only for a while, at most.
const EXTRAS_MAX: usize = 3;
/// Longest life of what was asked before it must have been carried out or have expired.
const INTENTS_MAX: Duration = seconds(90);

/// What was promised to somebody, or may have happened although nobody was told.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// Requests that were answered well, and all.
    pub(super) done: u32,
    pub(super) asked: u32,
    /// Power actions that the hub took.
    intents: BTreeMap<IntentId, ServerId>,
    /// Limits that a server may have: the last promised ones, and those whose answer was lost since.
    limits: BTreeMap<ServerId, Vec<Limits>>,
    /// Whether a server has to run by the last word at the edge; `None` when an answer was lost.
    wishes: BTreeMap<ServerId, Option<bool>>,
    /// Made, and not yet deleted.
    extras: Vec<Role>,
    /// Perhaps made.
    unsure: Vec<(String, Game, u16)>,
    /// Surely deleted.
    deleted: BTreeSet<ServerId>,
    names: u32,
}

/// One round of requests.
struct Round<'a> {
    users: Users,
    /// Ports for new servers.
    ports: RefCell<Vec<u16>>,
    promises: RefCell<&'a mut Promises>,
    stop: &'a Cell<bool>,
}

/// Lets people work until `stop`; every request that was begun is ended.
pub(super) async fn work(
    users: Users,
    promises: &mut Promises,
    ports: Vec<u16>,
    dice: &mut Dice,
    stop: &Cell<bool>,
) {
    let (ports, promises) = (RefCell::new(ports), RefCell::new(promises));
    let round = Round { users, ports, promises, stop };
    let (a, b, c, d, e) = (dice.split(), dice.split(), dice.split(), dice.split(), dice.split());
    tokio::join!(
        round.repeat(a, Round::power_at_hub),
        round.repeat(b, Round::power_at_edge),
        round.repeat(c, Round::change_limits),
        round.repeat(d, Round::type_into_console),
        round.repeat(e, Round::make_or_delete),
    );
}

impl Round<'_> {
    /// Asks again and again until the round ends.
    async fn repeat(&self, mut dice: Dice, ask: impl AsyncFn(&Self, &mut Dice) -> Played) {
        while !self.stop.get() {
            self.promises.borrow_mut().asked += 1;
            if ask(self, &mut dice).await.is_ok() {
                self.promises.borrow_mut().done += 1;
                tokio::time::sleep(dice.wait(PAUSE_MAX_MS)).await;
            } else {
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }

    /// Servers with an even number are powered through the hub, the others at the edge: whose word
    /// was last is then known.
    fn pick(&self, dice: &mut Dice, odd: usize) -> Option<&Role> {
        let all: Vec<&Role> = self.users.roles.iter().skip(odd).step_by(2).collect();
        dice.pick(&all).copied()
    }

    async fn power_at_hub(&self, dice: &mut Dice) -> Played {
        let role = self.pick(dice, 0).ok_or("no server")?;
        let actions =
            [PowerAction::Start, PowerAction::Start, PowerAction::Stop, PowerAction::Restart];
        let action = *dice.pick(&actions).ok_or("no action")?;
        let wish = Power { action, expires_in_ms: Some(30_000) };
        let intent = self.users.owner.power(role.server, &wish).await?;
        self.promises.borrow_mut().intents.insert(intent.intent, role.server);
        Ok(())
    }

    async fn power_at_edge(&self, dice: &mut Dice) -> Played {
        let role = self.pick(dice, 1).ok_or("no server")?;
        let all = [("start", true), ("start", true), ("stop", false), ("restart", true)];
        let &(action, runs) = dice.pick(&all).ok_or("no action")?;
        self.promises.borrow_mut().wishes.insert(role.server, None);
        self.users.edge.must(&["power", &role.name, action]).await?;
        self.promises.borrow_mut().wishes.insert(role.server, Some(runs));
        Ok(())
    }

    async fn change_limits(&self, dice: &mut Dice) -> Played {
        let role = dice.pick(&self.users.roles).ok_or("no server")?;
        let more = u32::try_from(dice.below(64)).unwrap_or(0);
        let limits = limits(role.game, more);
        let path = ServerPath { server: role.server };
        let at_first = || vec![self::limits(role.game, 0)];
        self.promises.borrow_mut().limits.entry(role.server).or_insert_with(at_first).push(limits);
        self.users
            .admin
            .call::<table::UpdateLimits>(
                &path,
                &(),
                &UpdateLimits { limits, allocation_limit: None, backup_limit: None },
            )
            .await?;
        self.promises.borrow_mut().limits.insert(role.server, vec![limits]);
        Ok(())
    }

    async fn type_into_console(&self, dice: &mut Dice) -> Played {
        let talkers: Vec<&Role> =
            self.users.roles.iter().filter(|role| role.game.console().is_some()).collect();
        let role = dice.pick(&talkers).ok_or("nobody to talk to")?;
        let (line, _) = role.game.console().ok_or("no console")?;
        let ticket = Console::ticket(&self.users.owner, role.server, true).await?;
        let mut console = Console::open(self.users.owner.at(), &ticket).await?;
        console.type_line(line).await?;
        console.close().await
    }

    async fn make_or_delete(&self, dice: &mut Dice) -> Played {
        let extras = self.promises.borrow().extras.clone();
        match dice.pick(&extras) {
            Some(role) if extras.len() >= EXTRAS_MAX || dice.one_in(2) => self.delete(role).await,
            Some(_) | None => self.make(dice).await,
        }
    }

    async fn make(&self, dice: &mut Dice) -> Played {
        // A round has a few ports; when they are used up nothing more is made.
        let Some(port) = self.ports.borrow_mut().pop() else { return Ok(()) };
        let game = *dice.pick(&[Game::Teeworlds, Game::Armagetronad]).ok_or("no game")?;
        let name = {
            let mut promises = self.promises.borrow_mut();
            promises.names += 1;
            format!("extra-{}", promises.names)
        };
        let new =
            NewServer { tenant: self.users.tenant, node: self.users.node, game, name: &name, port };
        self.promises.borrow_mut().unsure.push((name.clone(), game, port));
        let server = cast::create_server(&self.users.admin, &new).await?.server;
        {
            let mut promises = self.promises.borrow_mut();
            promises.unsure.retain(|(unsure, ..)| *unsure != name);
            promises.extras.push(Role { game, name, port, edge: 0, server });
        }
        self.users.owner.power(server, &cast::start()).await.map(drop)
    }

    async fn delete(&self, role: &Role) -> Played {
        let query = DeleteQuery { after_ms: Some(0), retain_ms: Some(0), force: Some(true) };
        let path = ServerPath { server: role.server };
        self.users.admin.call::<table::DeleteServer>(&path, &query, &()).await?;
        let mut promises = self.promises.borrow_mut();
        promises.extras.retain(|extra| extra.server != role.server);
        promises.deleted.insert(role.server);
        Ok(())
    }
}

/// Limits of a game with something more; without, those it was made with.
fn limits(game: Game, more: u32) -> Limits {
    Limits {
        memory_mib: Mib(game.memory_mib() + more),
        swap_mib: Mib(0),
        cpu_millicores: Millicores(1_000 + more),
        disk_mib: Mib(128),
        pids: 64,
        sharing: mamba_core::server::Sharing::USUAL,
    }
}

impl Promises {
    /// Waits until every promise is seen kept; what nobody was told of may have happened, once.
    pub(super) async fn are_kept(&mut self, cast: &Cast) -> Played {
        self.servers_are_kept(cast).await?;
        for role in &cast.roles {
            let server = cast.owner.server(role.server).await?;
            if let Some(possible) = self.limits.get_mut(&role.server) {
                ensure(possible.contains(&server.limits), || {
                    format!("{} has {:?}, promised were {possible:?}", role.name, server.limits)
                })?;
                *possible = vec![server.limits];
            }
            let wish = self.wishes.get(&role.server).copied().flatten();
            let runs = server.observed.as_ref().map(|it| it.wish.running);
            ensure(wish.is_none() || wish == runs, || {
                format!("{}: running was set to {wish:?} and is {runs:?}", role.name)
            })?;
        }
        self.intents_are_kept(cast).await
    }

    async fn servers_are_kept(&mut self, cast: &Cast) -> Played {
        let servers = cast.admin.servers().await?;
        for (name, game, port) in self.unsure.drain(..) {
            let mut made = servers.iter().filter(|it| it.name == name);
            if let Some(it) = made.next() {
                self.extras.push(Role {
                    game,
                    name: name.clone(),
                    port,
                    edge: 0,
                    server: it.server,
                });
            }
            ensure(made.next().is_none(), || format!("{name} was made twice"))?;
        }
        // A deletion whose answer was lost has happened as a whole or not at all.
        let is_there =
            |server| servers.iter().any(|it| it.server == server && it.deleted_at.is_none());
        self.extras.retain(|extra| is_there(extra.server));
        for role in &cast.roles {
            ensure(is_there(role.server), || format!("{} is lost", role.name))?;
        }
        for server in &self.deleted {
            ensure(!is_there(*server), || format!("{server} was deleted and is back"))?;
        }
        let known = cast.roles.len() + self.extras.len();
        let there = servers.iter().filter(|it| it.deleted_at.is_none()).count();
        ensure(known == there, || format!("{known} servers were made, the hub has {there}"))
    }

    /// Each promised power action is listed, and carried out or too late.
    async fn intents_are_kept(&mut self, cast: &Cast) -> Played {
        let by_server: BTreeSet<ServerId> = self.intents.values().copied().collect();
        for server in by_server {
            until(INTENTS_MAX, async || {
                let path = ServerPath { server };
                let page = cast.owner.call::<table::ListIntents>(&path, &whole_page(), &()).await?;
                for (intent, _) in self.intents.iter().filter(|(_, about)| **about == server) {
                    let found = page.items.iter().find(|it| it.intent == *intent);
                    let state = found.map(|it| &it.state);
                    let is_settled =
                        matches!(state, Some(IntentState::Applied | IntentState::Expired));
                    ensure(is_settled, || format!("intent {intent} is {state:?}"))?;
                }
                Ok(())
            })
            .await?;
        }
        self.intents.clear();
        Ok(())
    }
}

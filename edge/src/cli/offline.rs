//! Answers from the store while the daemon is down.
//!
//! Nothing in the data directory is changed. What the store does not hold, such as the state of a
//! process, is not guessed.

use super::{
    Cli, CliError, Command, Outcome, client::ClientError, complain, find_among, show, table,
};
use crate::{
    calendar,
    data::DataDirs,
    outbox,
    store::{EdgeStore, KIND, Loaded},
    transfer::moves,
};
use mamba_core::{
    clock::{Clock as _, SystemClock, UnixMs},
    db::{DataDir, DirError, FileDisk, Store, StoreOptions},
    ids::ServerId,
};
use mamba_wire::node::{Answer, FACTS_MAX};
use serde::Serialize;

/// One server as the store knows it.
#[derive(Serialize)]
struct StoredServer {
    server: ServerId,
    name: String,
    is_wanted: bool,
    crashes: u64,
    last_exit_code: Option<i64>,
}

/// Answers a question from the store, and says on standard error that it did.
///
/// # Errors
/// `NotRunning` when the store cannot be read or does not know; the reason is said too.
pub(super) fn answer(cli: &Cli<'_>, command: &Command) -> Result<Outcome, CliError> {
    let socket = cli.config.socket();
    let is_stored = matches!(
        command,
        Command::Servers
            | Command::Server { .. }
            | Command::Outbox
            | Command::Usage { .. }
            | Command::Facts { .. }
            | Command::Moves
    );
    let not_running = || CliError::Client(ClientError::NotRunning { socket: socket.clone() });
    if !is_stored {
        return Err(not_running());
    }
    let clock = SystemClock::new().map_err(|err| CliError::Store(err.into()))?;
    let store = match open(cli) {
        Ok(Some(store)) => store,
        Ok(None) => return Err(not_running()),
        Err(err) => {
            complain(&err);
            return Err(not_running());
        }
    };
    let kept = store.read(calendar::load).map_err(|err| CliError::Store(err.into()))?;
    complain(&CliError::FromStore(age(clock.wall(), kept.map(|it| it.kept_at()))));
    let loaded = EdgeStore::new(store.clone()).load().map_err(|err| CliError::Store(err.into()))?;
    let servers = stored_servers(&loaded);
    let names = || servers.iter().map(|it| (it.server, it.name.as_str()));
    let id =
        |name: &Option<String>| name.as_ref().map(|name| find_among(names(), name)).transpose();
    let from_store = |err: outbox::OutboxError| CliError::Store(err.into());
    match command {
        Command::Servers => print_servers(cli, &servers)?,
        Command::Server { server } => {
            print_server(cli, clock.wall(), &loaded, find_among(names(), server)?)?;
        }
        Command::Outbox => {
            let lines = store.read(outbox::lines).map_err(from_store)?;
            cli.show(clock.wall(), &Answer::Outbox(lines))?;
        }
        Command::Usage { server } => {
            let server = id(server)?;
            let facts =
                store.read(|txn| outbox::usage(txn, server, FACTS_MAX)).map_err(from_store)?;
            cli.show(clock.wall(), &Answer::Usage(facts))?;
        }
        Command::Facts { server } => {
            let server = id(server)?;
            let facts =
                store.read(|txn| outbox::activity(txn, server, FACTS_MAX)).map_err(from_store)?;
            cli.show(clock.wall(), &Answer::Facts(facts))?;
        }
        Command::Moves => {
            let data = DataDirs::at(&cli.config.data_dir, cli.config.game_uid);
            let lines = moves(&data, &loaded.desired).map_err(|err| CliError::Store(err.into()))?;
            cli.show(clock.wall(), &Answer::Moves(lines))?;
        }
        Command::Run
        | Command::Enrol { .. }
        | Command::Status
        | Command::Power { .. }
        | Command::Console { .. }
        | Command::Logs { .. }
        | Command::Link
        | Command::InstallLog { .. }
        | Command::InstallCancel { .. }
        | Command::Metrics
        | Command::Doctor => return Err(not_running()),
    }
    // The answer may be old, so scripts can tell it from a live one.
    Ok(Outcome::NotRunning)
}

/// Says how old the answer is: the daemon keeps its calendar with what it stores, once a minute.
fn age(now: UnixMs, kept_at: Option<UnixMs>) -> String {
    match kept_at {
        Some(at) => format!("as it was {} at {at}", table::ago(now, at)),
        None => "of unknown age".to_owned(),
    }
}

/// Opens the store for reading; `None` when no daemon has ever run here.
fn open(cli: &Cli<'_>) -> Result<Option<Store>, CliError> {
    let dir = match DataDir::peek(&cli.config.data_dir, KIND) {
        Ok(dir) if dir.has_store() => dir,
        Ok(_) | Err(DirError::Missing { .. }) => return Ok(None),
        Err(err) => return Err(CliError::Store(err.into())),
    };
    Store::inline(FileDisk::new(dir, 0), StoreOptions::EDGE)
        .map(Some)
        .map_err(|err| CliError::Store(err.into()))
}

fn stored_servers(loaded: &Loaded) -> Vec<StoredServer> {
    let exists = |server: &ServerId| {
        let held = loaded.desired.get(server)?.newest()?;
        Some(held.envelope.open().ok()?.body.spec()?.name.clone())
    };
    let row = |server: &ServerId| {
        let life = loaded.life.get(server);
        Some(StoredServer {
            server: *server,
            name: exists(server)?,
            is_wanted: loaded.power.get(server).is_some_and(|power| power.wish.running),
            crashes: life.map_or(0, |life| life.crashes.total),
            last_exit_code: life.and_then(|life| life.ending.as_ref()).map(|it| it.exit.code),
        })
    };
    loaded.desired.keys().filter_map(row).collect()
}

/// Prints what was wanted of a server and what is known of its last process.
fn print_server(
    cli: &Cli<'_>,
    now: UnixMs,
    loaded: &Loaded,
    server: ServerId,
) -> Result<(), CliError> {
    let held = loaded.desired.get(&server).and_then(|desired| desired.newest());
    let envelope = held.and_then(|held| held.envelope.open().ok());
    let (power, life) = (loaded.power.get(&server), loaded.life.get(&server));
    if cli.json {
        let stored = serde_json::json!({
            "server": server, "wish": envelope, "power": power, "life": life,
        });
        return cli.print_json(&serde_json::json!({ "stored_server": stored }));
    }
    let mut facts = vec![("id", server.to_string())];
    if let Some(envelope) = envelope {
        facts.push(("tenant", envelope.tenant.to_string()));
        facts.push(("generation", envelope.order.generation.to_string()));
        if let Some(spec) = envelope.body.spec() {
            facts.extend([("name", spec.name.clone()), ("image", spec.image.clone())]);
        }
    }
    facts.push((
        "wanted",
        power.map_or("never asked to run".to_owned(), |power| {
            let wish = &power.wish;
            let what = if wish.running { "to run" } else { "stopped" };
            format!("{what}, by {} {}", show::actor(&wish.by), table::ago(now, wish.at))
        }),
    ));
    if let Some(life) = life {
        facts.push(("crashes", life.crashes.total.to_string()));
        let exit = life.ending.as_ref().map(|it| &it.exit);
        facts.extend(exit.map(|it| ("last exit", show::exit_text(it))));
        let failure = life.failure.as_ref();
        facts.extend(failure.map(|it| ("failed", format!("{}: {}", it.step, it.error))));
    }
    cli.print(&table::facts(&facts))
}

fn print_servers(cli: &Cli<'_>, servers: &[StoredServer]) -> Result<(), CliError> {
    if cli.json {
        return cli.print_json(&serde_json::json!({ "stored_servers": servers }));
    }
    let row = |it: &StoredServer| {
        vec![
            it.name.clone(),
            it.server.to_string(),
            if it.is_wanted { "to run" } else { "stopped" }.to_owned(),
            it.crashes.to_string(),
            it.last_exit_code.map_or("-".to_owned(), |code| code.to_string()),
        ]
    };
    let rows: Vec<Vec<String>> = servers.iter().map(row).collect();
    cli.print(&table::table(&["NAME", "ID", "WANTED", "CRASHES", "LAST EXIT CODE"], &rows))
}

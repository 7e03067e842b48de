//! What the edge keeps on its disk: its schema over the ordered store.
//!
//! Table ids of the edge: 1 to 19 here, 20 to 29 the outbox, 30 to 39 the meter, 40 to 49 installs. A change that the
//! hub has to hear of is written in one transaction with its fact. Nothing here waits for the hub,
//! and nothing here deletes a server but its tombstone.

use crate::{
    calendar::Moment,
    install::{self, INSTALLS},
    outbox,
    runtime::{
        ContainerId,
        subnet::{PoolExhausted, Subnet, SubnetPool},
    },
};
use mamba_core::{
    clock::{BootId, UnixMs},
    db::{Snapshot, Span, Store, StoreKind, Table, TableDef, Txn, TxnError, WriteError},
    desired::{EnvelopeHash, Order, SignedEnvelope, Wish},
    fact::ActivityFact,
    ids::{IntentId, ServerId, TenantId},
    lifecycle::{
        Refused,
        crash::CrashHistory,
        install::{InstallEnd, InstallRecord},
        plan::{Ending, Fingerprint, StepFailure},
        power::Power,
    },
    record,
    server::Limits,
};
use mamba_wire::link::v1::{IntentOutcome, SERVERS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Single values by name, in the form that their owner gives them. Names stand in [`meta`].
pub const META: Table<String, Vec<u8>> = Table::new(1, "meta");
/// What the hub wants of each server.
pub const DESIRED: Table<ServerId, Desired> = Table::new(2, "desired");
/// What power actions asked of each server.
pub const POWER: Table<ServerId, Power> = Table::new(3, "power");
/// What happened to each server's process.
pub const LIFE: Table<ServerId, Life> = Table::new(4, "life");
/// Intents that were answered, until a second copy can no longer come.
pub const INTENTS: Table<IntentId, IntentRecord> = Table::new(5, "intents");
/// The same by the time after which they are forgotten.
pub const INTENTS_BY_END: Table<(UnixMs, IntentId), ()> = Table::new(6, "intents_by_end");
/// The network of each tenant.
pub const SUBNETS: Table<TenantId, SubnetRecord> = Table::new(7, "subnets");
/// Data of deleted servers.
pub const TRASH: Table<ServerId, Trash> = Table::new(8, "trash");

/// All tables of this schema, for the test that no id is used twice.
pub const TABLES: [TableDef; 8] = [
    META.def(),
    DESIRED.def(),
    POWER.def(),
    LIFE.def(),
    INTENTS.def(),
    INTENTS_BY_END.def(),
    SUBNETS.def(),
    TRASH.def(),
];

/// Most rows read of a table with one row per server: those that may exist and as many tombstones.
const ROWS_MAX: usize = 8 * SERVERS_MAX;

/// Power wishes written in one transaction, two operations each on a distributed store.
const POWERS_AT_ONCE: usize = 48;
/// How long a tombstone is kept after its server was purged, so that no older envelope brings it
/// back: as long as usage. A hub that was restored from a copy older than that is not believed in.
const TOMBSTONE_KEPT_MS: u64 = 45 * 86_400_000;
/// Tombstones forgotten with each purge: more than one, so that their number falls.
const FORGET_MAX: usize = 8;

/// A table with a row per server.
pub type Rows<T> = BTreeMap<ServerId, T>;

/// Names in [`META`].
pub mod meta {
    /// 16 bytes: the boot id of the machine when the daemon ran last.
    pub const BOOT_ID: &str = "boot_id";
    /// 8 bytes big endian: when the hub was heard last, in its time.
    pub const HUB_HEARD: &str = "hub_heard";
}

/// Kind and version of the data directory that holds this.
pub const KIND: StoreKind = StoreKind { name: "edge", version: 1 };

/// What the hub wants of one server. The row of a deleted server stays long after its purge, so that
/// an older envelope cannot bring it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// The wish that is acted upon: the last good one.
    pub in_force: Option<Held>,
    /// A newer one whose time has not come.
    pub next: Option<Held>,
    /// A newer one that broke a rule.
    pub refused: Option<Refused>,
}

/// One wish with what is asked about it without opening it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its rank.
    pub order: Order,
    /// Its content.
    pub hash: EnvelopeHash,
    /// When it comes into force, by hub time.
    pub not_before: UnixMs,
    /// The wish as the hub signed it.
    pub envelope: SignedEnvelope,
}

impl Held {
    /// Whether it deletes the server.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        let opened = self.envelope.open();
        opened.is_ok_and(|envelope| matches!(envelope.body, Wish::Deleted { .. }))
    }
}

impl Desired {
    /// Returns the newest wish that is held, in force or not.
    #[must_use]
    pub fn newest(&self) -> Option<&Held> {
        self.next.as_ref().or(self.in_force.as_ref())
    }

    /// Puts the next wish into force when its time has come; a tombstone only when that is certain.
    /// Returns whether it did.
    pub fn promote(&mut self, at: Moment) -> bool {
        let is_due = |next: &Held| {
            next.not_before <= at.now && (next.not_before <= at.certain || !next.is_tombstone())
        };
        match self.next.take_if(|next| is_due(next)) {
            Some(next) => {
                self.in_force = Some(next);
                true
            }
            None => false,
        }
    }
}

/// What happened to one server's process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// The process whose end is not yet recorded.
    pub run: Option<Run>,
    /// How the last one ended.
    pub ending: Option<Ending>,
    /// Its crashes.
    pub crashes: CrashHistory,
    /// The last step, when it failed.
    pub failure: Option<StepFailure>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its container.
    pub container: ContainerId,
    /// Rank of the wish that it was made from.
    pub order: Order,
    /// Hash of the part of that wish that only a new container can change.
    pub fingerprint: Fingerprint,
    /// Limits that are set on it.
    pub limits: Limits,
    /// Number of the power action under which it was started.
    pub power: u64,
    /// When it was started, by the node's calendar.
    pub started_at: UnixMs,
    /// Whether the game said that it is ready.
    pub is_ready: bool,
}

/// What became of one intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRecord {
    /// What the hub was told.
    pub outcome: IntentOutcome,
    /// When it is forgotten, by hub time.
    pub forget_at: UnixMs,
}

/// The network of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubnetRecord(pub Subnet);

/// Data of one deleted server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trash {
    /// Rank of the tombstone.
    pub order: Order,
    /// When it was moved there, by the node's calendar.
    pub moved_at: UnixMs,
    /// When it is purged.
    pub purge_at: UnixMs,
    /// Whether it was.
    pub is_purged: bool,
}

record!(Desired, 1);
record!(Life, 1);
record!(IntentRecord, 1);
record!(SubnetRecord, 1);
record!(Trash, 1);

/// Why a change of the edge's state was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The store could not be read or take the write.
    #[error("node state could not be changed")]
    Store(#[from] TxnError),
    /// The fact that reports the change could not be written.
    #[error("fact could not be appended")]
    Fact(#[source] outbox::OutboxError),
}

/// Everything about servers that the supervisor starts from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Wishes.
    pub desired: BTreeMap<ServerId, Desired>,
    /// Power actions.
    pub power: BTreeMap<ServerId, Power>,
    /// Processes.
    pub life: BTreeMap<ServerId, Life>,
    /// Deleted data.
    pub trash: BTreeMap<ServerId, Trash>,
    /// Newest runs of install scripts.
    pub installs: BTreeMap<ServerId, InstallRecord>,
    /// Networks.
    pub subnets: BTreeMap<TenantId, Subnet>,
    /// The machine's boot when the daemon ran last. `None` before the first run.
    pub boot_id: Option<BootId>,
}

/// What happened to one server since it was stored last.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Its process, when that changed.
    pub life: Option<Life>,
    /// When its next wish came into force, when it did.
    pub promoted_at: Option<Moment>,
    /// Its power wish, when it has another than the store: a stop or kill that the store did not
    /// take, or a wish of the edge's own for what runs and nobody ever asked for. Stored unless the
    /// store has a newer one.
    pub power: Option<Power>,
    /// The newest run of its install script, when the store may not know of it.
    pub install: Option<InstallRecord>,
    /// What the hub hears of it.
    pub facts: Vec<ActivityFact>,
}

/// The edge's state. Cheap to clone.
#[derive(Clone)]
pub struct EdgeStore {
    store: Store,
}

impl EdgeStore {
    /// Wraps an open store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The store below, for the other schemas in it.
    #[must_use]
    pub fn raw(&self) -> &Store {
        &self.store
    }

    /// Reads everything about all servers.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn load(&self) -> Result<Loaded, TxnError> {
        self.store.read(|txn| {
            Ok(Loaded {
                desired: desired_rows(txn)?,
                power: txn.range(POWER, Span::all(), ROWS_MAX)?.into_iter().collect(),
                life: txn.range(LIFE, Span::all(), ROWS_MAX)?.into_iter().collect(),
                trash: txn.range(TRASH, Span::all(), ROWS_MAX)?.into_iter().collect(),
                installs: txn.range(INSTALLS, Span::all(), ROWS_MAX)?.into_iter().collect(),
                subnets: txn
                    .range(SUBNETS, Span::all(), ROWS_MAX)?
                    .into_iter()
                    .map(|(tenant, it)| (tenant, it.0))
                    .collect(),
                boot_id: txn
                    .get(META, &meta::BOOT_ID.to_owned())?
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(BootId),
            })
        })
    }

    /// Reads all wishes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn desired(&self) -> Result<BTreeMap<ServerId, Desired>, TxnError> {
        self.store.read(desired_rows)
    }

    /// Reads all wishes, and what power actions asked of each server.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn wishes(&self) -> Result<(Rows<Desired>, Rows<Power>), TxnError> {
        self.store.read(|txn| {
            let powers = txn.range(POWER, Span::all(), ROWS_MAX)?.into_iter().collect();
            Ok((desired_rows(txn)?, powers))
        })
    }

    /// Reads what power actions asked of one server.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn power(&self, server: ServerId) -> Result<Power, TxnError> {
        let power = self.store.read(|txn| txn.get(POWER, &server))?;
        Ok(power.unwrap_or_else(Power::never_asked))
    }

    /// Stores what happened to a server in one transaction with the facts that report it. Storing
    /// the same again does no harm: the hub knows facts by their ids.
    ///
    /// # Errors
    /// When the store cannot take it; nothing or, for `Unknown`, everything was stored.
    pub async fn save(&self, server: ServerId, news: News) -> Result<(), WriteError<ChangeError>> {
        self.store
            .write(move |txn| {
                if let Some(life) = &news.life {
                    txn.put(LIFE, &server, life)?;
                }
                if let Some(at) = news.promoted_at {
                    let mut desired = txn.get(DESIRED, &server)?.unwrap_or_default();
                    if desired.promote(at) {
                        txn.put(DESIRED, &server, &desired)?;
                    }
                }
                if let Some(power) = &news.power {
                    put_newer(txn, server, power)?;
                }
                if let Some(install) = &news.install
                    && !txn.contains(INSTALLS, &server)?
                {
                    txn.put(INSTALLS, &server, install)?;
                }
                append_all(txn, &news.facts)
            })
            .await
    }

    /// Stores what changed because the daemon came up: the power wishes that the servers' start-up
    /// rules changed, unless somebody asked for something since, and at last the machine's boot id.
    /// Several small transactions: a node may have more servers than one transaction writes.
    ///
    /// # Errors
    /// As [`EdgeStore::save`]; some of the power wishes may be stored, doing it again goes on.
    pub async fn save_boot(
        &self,
        boot_id: BootId,
        powers: Vec<(ServerId, Power)>,
        facts: Vec<ActivityFact>,
    ) -> Result<(), WriteError<ChangeError>> {
        for part in powers.chunks(POWERS_AT_ONCE) {
            let part = part.to_vec();
            let write = move |txn: &mut Txn<'_>| {
                for (server, power) in &part {
                    put_newer(txn, *server, power)?;
                }
                Ok(())
            };
            self.store.write(write).await?;
        }
        self.store
            .write(move |txn| {
                txn.put(META, &meta::BOOT_ID.to_owned(), &boot_id.0.to_vec())?;
                append_all(txn, &facts)
            })
            .await
    }

    /// Stores that the data of a deleted server lies in the trash, or is purged, and forgets its
    /// process. Forgets a few tombstones whose time is over at `now`.
    ///
    /// # Errors
    /// As [`EdgeStore::save`].
    pub async fn save_trash(
        &self,
        server: ServerId,
        trash: Trash,
        facts: Vec<ActivityFact>,
        now: UnixMs,
    ) -> Result<(), WriteError<ChangeError>> {
        self.store
            .write(move |txn| {
                txn.put(TRASH, &server, &trash)?;
                txn.delete(LIFE, &server)?;
                txn.delete(POWER, &server)?;
                txn.delete(INSTALLS, &server)?;
                forget_tombstones(txn, now)?;
                append_all(txn, &facts)
            })
            .await
    }

    /// Reads what is kept of a server's install script.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn install(&self, server: ServerId) -> Result<Option<InstallRecord>, TxnError> {
        self.store.read(|txn| txn.get(INSTALLS, &server))
    }

    /// Writes down that a run of an install script begins; see [`install::begin`].
    ///
    /// # Errors
    /// As [`EdgeStore::save`].
    pub async fn begin_install(
        &self,
        asked: Order,
        fact: ActivityFact,
    ) -> Result<InstallRecord, WriteError<ChangeError>> {
        self.store.write(move |txn| install::begin(txn, asked, &fact)).await
    }

    /// Writes down how a run of an install script ended; see [`install::end`].
    ///
    /// # Errors
    /// As [`EdgeStore::save`].
    pub async fn end_install(
        &self,
        asked: Order,
        end: InstallEnd,
        fact: ActivityFact,
    ) -> Result<InstallRecord, WriteError<ChangeError>> {
        self.store.write(move |txn| install::end(txn, asked, &end, &fact)).await
    }

    /// Returns the network of a tenant, giving it one that overlaps neither those of other tenants
    /// nor `foreign` ones when it has none, or when the one it has is `refused`.
    ///
    /// # Errors
    /// `Refused` with `Pool` when every network of the pool overlaps something. As
    /// [`EdgeStore::save`] otherwise.
    pub async fn subnet(
        &self,
        tenant: TenantId,
        pool: SubnetPool,
        refused: Option<Subnet>,
        foreign: Vec<Subnet>,
    ) -> Result<Subnet, WriteError<SubnetError>> {
        self.store
            .write(move |txn| {
                if let Some(SubnetRecord(subnet)) = txn.get(SUBNETS, &tenant)?
                    && Some(subnet) != refused
                {
                    return Ok(subnet);
                }
                let others = txn.range(SUBNETS, Span::all(), ROWS_MAX)?;
                let taken: Vec<Subnet> = others
                    .into_iter()
                    .map(|(_, record)| record.0)
                    .chain(refused)
                    .chain(foreign.iter().copied())
                    .collect();
                let subnet = pool.assign(&taken).map_err(SubnetError::Pool)?;
                txn.put(SUBNETS, &tenant, &SubnetRecord(subnet))?;
                Ok(subnet)
            })
            .await
    }

    /// Forgets the network of a tenant, so that others can have its addresses.
    ///
    /// # Errors
    /// As [`EdgeStore::save`].
    pub async fn forget_subnet(&self, tenant: TenantId) -> Result<(), WriteError<TxnError>> {
        self.store.write(move |txn| txn.delete(SUBNETS, &tenant)).await
    }
}

/// Stores a power wish unless the store has a newer one.
fn put_newer(txn: &mut Txn<'_>, server: ServerId, power: &Power) -> Result<(), TxnError> {
    match txn.get(POWER, &server)? {
        Some(known) if known.number >= power.number => Ok(()),
        Some(_) | None => txn.put(POWER, &server, power),
    }
}

/// Forgets servers that were purged long ago. Without that a node would be full after as many
/// servers as fit into one hello, however few of them still exist.
fn forget_tombstones(txn: &mut Txn<'_>, now: UnixMs) -> Result<(), TxnError> {
    let is_over = |it: &Trash| it.is_purged && it.purge_at.plus(TOMBSTONE_KEPT_MS) <= now;
    let rows = txn.range(TRASH, Span::all(), ROWS_MAX)?;
    for (server, trash) in rows.into_iter().filter(|(_, it)| is_over(it)).take(FORGET_MAX) {
        txn.delete(TRASH, &server)?;
        let desired = txn.get(DESIRED, &server)?;
        // One that was made again since stays.
        if desired.as_ref().and_then(Desired::newest).is_some_and(|it| it.order == trash.order) {
            txn.delete(DESIRED, &server)?;
        }
    }
    Ok(())
}

/// Why a tenant has no network.
#[derive(Debug, thiserror::Error)]
pub enum SubnetError {
    /// None is left.
    #[error("no network is free")]
    Pool(#[source] PoolExhausted),
    /// The store could not be read or take the write.
    #[error("network could not be recorded")]
    Store(#[from] TxnError),
}

/// Appends activity facts to their outbox.
///
/// # Errors
/// `Fact` when one is too large or the store cannot take it.
pub fn append_all(txn: &mut Txn<'_>, facts: &[ActivityFact]) -> Result<(), ChangeError> {
    facts.iter().try_for_each(|fact| {
        outbox::append_activity(txn, fact).map(|_| ()).map_err(ChangeError::Fact)
    })
}

/// Reads all wishes.
///
/// # Errors
/// When the store cannot be read.
pub fn desired_rows(txn: &impl Snapshot) -> Result<BTreeMap<ServerId, Desired>, TxnError> {
    Ok(txn.range(DESIRED, Span::all(), ROWS_MAX)?.into_iter().collect())
}

#[cfg(test)]
mod tests;

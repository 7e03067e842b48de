//! All servers that somebody may see, kept fresh: one signal for each, so that a change of one moves
//! nothing else.

use crate::{
    feed::Feed,
    net::Failure,
    remote::{KnownPage, OFTEN_MS, read_pages},
    session::Session,
    time,
};
use mamba_core::{clock::UnixMs, ids::ServerId};
use mamba_wire::api::{
    feed::Topic,
    page::PAGE_ITEMS_MAX,
    server::{Server, ServerQuery},
    table,
};
use std::{collections::BTreeMap, rc::Rc};
use sycamore::{futures::spawn_local_scoped, prelude::*};

/// One server of the list. Two are equal when they are the same server, however it is at the moment.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) id: ServerId,
    pub(super) server: Signal<Rc<Server>>,
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// All of them.
#[derive(Clone, Copy)]
pub(super) struct Fleet {
    /// In the order of their making.
    pub(super) rows: Signal<Vec<Row>>,
    /// Whether they were read at least once.
    pub(super) is_read: Signal<bool>,
    /// Why the last attempt failed.
    pub(super) failure: Signal<Option<Failure>>,
    /// When the hub last said that they are so.
    pub(super) read_at: Signal<Option<UnixMs>>,
    /// Whether there are more than are read.
    pub(super) is_cut: Signal<bool>,
}

impl Fleet {
    /// Reads them as long as the component lives.
    pub(super) fn watch() -> Self {
        let fleet = Self {
            rows: create_signal(Vec::new()),
            is_read: create_signal(false),
            failure: create_signal(None),
            read_at: create_signal(None),
            is_cut: create_signal(false),
        };
        let session = use_context::<Session>();
        let following = use_context::<Feed>().follow(Topic::Servers);
        let scope = use_current_scope();
        spawn_local_scoped(async move {
            let mut known = Vec::new();
            loop {
                let since = following.changes.get_untracked();
                let query =
                    |after| ServerQuery { after, limit: Some(PAGE_ITEMS_MAX), ..ServerQuery::ALL };
                let result =
                    read_pages::<table::ListServers, Server>(session, query, &mut known).await;
                let gone = scope.run_in(|| batch(|| fleet.take(result.err(), &known)));
                // Only now does no list hold them any more: what follows one was redrawn with the batch.
                gone.into_iter().for_each(|row| row.server.dispose());
                following.wait(since, OFTEN_MS).await;
                while document().hidden() {
                    time::sleep(OFTEN_MS).await;
                }
            }
        });
        fleet
    }

    /// Takes over what was read. Returns those that are gone.
    fn take(self, failure: Option<Failure>, known: &[KnownPage<Server>]) -> Vec<Row> {
        let mut gone = Vec::new();
        if failure.is_none() {
            self.is_read.set(true);
            self.read_at.set(Some(time::now()));
            let is_cut = known.last().is_some_and(|it| it.page.next.is_some());
            if self.is_cut.get_untracked() != is_cut {
                self.is_cut.set(is_cut);
            }
            gone = self.merge(known.iter().flat_map(|it| &it.page.items));
        }
        if self.failure.with_untracked(|old| *old != failure) {
            self.failure.set(failure);
        }
        gone
    }

    fn merge<'a>(self, servers: impl Iterator<Item = &'a Server>) -> Vec<Row> {
        let mut old: BTreeMap<ServerId, Row> =
            self.rows.with_untracked(|rows| rows.iter().map(|row| (row.id, *row)).collect());
        let before = self.rows.with_untracked(Vec::len);
        let mut rows = Vec::new();
        let mut is_other = false;
        for server in servers {
            let row = old.remove(&server.server).unwrap_or_else(|| {
                is_other = true;
                Row { id: server.server, server: create_signal(Rc::new(server.clone())) }
            });
            if row.server.with_untracked(|it| **it != *server) {
                row.server.set(Rc::new(server.clone()));
            }
            rows.push(row);
        }
        if is_other || rows.len() != before {
            self.rows.set(rows);
        }
        old.into_values().collect()
    }
}

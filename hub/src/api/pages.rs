//! Pages of servers as JSON, kept while nothing in the store changes.
//!
//! A list is the most asked for and the most expensive answer of the hub: hundreds of records read and
//! decoded for one page. What a page says depends on the store, on what the caller may see, on the query,
//! and on how fresh the word of each node is. So a page is kept with all it was made of: the store's
//! revision, rights and query have to be the same, and the freshness of each server is written anew into
//! each answer. Nothing that was changed before a request is missing in its answer: a change is told to
//! whoever made it after the revision has moved.

use super::ApiError;
use crate::nodes::live::Live;
use mamba_core::{access::Access, clock::UnixMs, ids::NodeId};
use mamba_wire::api::{
    Freshness, Page,
    server::{Server, ServerQuery},
};
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Bytes of all kept pages. A page of 50 takes some 60 KiB, so that this is enough for a hundred people
/// who look at their servers; above it the oldest go and are made again.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// Kept pages: each request compares its own with all of them.
const KEPT_MAX: usize = 128;
/// Room for a page from the start, so that it is not moved many times while it grows.
const PAGE_BYTES: usize = 64 << 10;
/// Room for the freshness of one server.
const FRESHNESS_BYTES: usize = 48;

/// What decides what is on a page, besides the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) access: Access,
    pub(super) query: ServerQuery,
}

/// Pages that were asked for of late.
pub(super) struct Pages {
    revision: watch::Receiver<u64>,
    // Locked for moments: what is kept is shared and written elsewhere.
    kept: Mutex<VecDeque<Arc<Kept>>>,
}

/// A page and what it was made of.
struct Kept {
    revision: u64,
    asked: Asked,
    template: Template,
}

/// A page without the freshness of its servers.
#[derive(Debug)]
struct Template {
    json: Vec<u8>,
    gaps: Vec<Gap>,
}

/// Where the freshness of a server belongs.
#[derive(Debug)]
struct Gap {
    place: usize,
    node: NodeId,
    /// When the page was made. Later it is that, or what the connected node was heard last.
    as_of: Option<UnixMs>,
    /// Whether the node was connected then: what is known of one that is not comes from the store.
    was_connected: bool,
}

impl Pages {
    /// `revision` is the store's.
    pub(super) fn new(revision: watch::Receiver<u64>) -> Self {
        Self { revision, kept: Mutex::default() }
    }

    /// Returns the page as JSON: the kept one with what is fresh in it, or a new one.
    ///
    /// # Errors
    /// What `make` says.
    pub(super) fn page(
        &self,
        live: &Live,
        now: UnixMs,
        asked: Asked,
        make: impl FnOnce(&Asked) -> Result<Page<Server>, ApiError>,
    ) -> Result<Vec<u8>, ApiError> {
        // Before anything is read: what is read may be newer, and is then made once more.
        let revision = *self.revision.borrow();
        let known = {
            let kept = self.kept();
            kept.iter().find(|it| it.revision == revision && it.asked == asked).cloned()
        };
        if let Some(json) = known.and_then(|it| it.template.fill(live, now)) {
            return Ok(json);
        }
        let page = make(&asked)?;
        let bug = |err| ApiError::bug(format!("answer has no JSON form: {err}"));
        if let Some(template) = Template::of(&page, live, now).map_err(bug)?
            && let Some(json) = template.fill(live, now)
        {
            self.keep(Kept { revision, asked, template });
            return Ok(json);
        }
        serde_json::to_vec(&page).map_err(bug)
    }

    fn keep(&self, page: Kept) {
        let mut kept = self.kept();
        kept.retain(|it| it.revision == page.revision && it.asked != page.asked);
        kept.push_back(Arc::new(page));
        let mut bytes: usize = kept.iter().map(|it| it.template.json.len()).sum();
        while bytes > KEPT_BYTES_MAX || kept.len() > KEPT_MAX {
            bytes -= kept.pop_front().map_or(bytes, |it| it.template.json.len());
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Template {
    /// Takes the freshness out of a page. `None` when it does not stand where it is looked for, or a node
    /// came or went meanwhile.
    fn of(page: &Page<Server>, live: &Live, now: UnixMs) -> serde_json::Result<Option<Self>> {
        let (mut json, mut gaps) = (Vec::with_capacity(PAGE_BYTES), Vec::new());
        json.extend_from_slice(br#"{"items":["#);
        let words = live.words(page.items.iter().map(|it| it.node), now);
        for (index, (server, word)) in page.items.iter().zip(words).enumerate() {
            if index > 0 {
                json.push(b',');
            }
            serde_json::to_writer(&mut json, server)?;
            let freshness = serde_json::to_vec(&server.freshness)?;
            let place = json.len().saturating_sub(freshness.len() + 1);
            if json.get(place..json.len() - 1) != Some(&freshness) {
                return Ok(None);
            }
            json.truncate(place);
            let (node, as_of) = (server.node, server.freshness.as_of);
            gaps.push(Gap { place, node, as_of, was_connected: word.heard.is_some() });
            json.push(b'}');
        }
        json.extend_from_slice(br#"],"next":"#);
        serde_json::to_writer(&mut json, &page.next)?;
        json.push(b'}');
        json.shrink_to_fit();
        Ok(Some(Self { json, gaps }))
    }

    /// Puts in what is known of the nodes now. `None` when one came or went: what is known of a node that
    /// is not connected is in the store, and may have been read before it went.
    fn fill(&self, live: &Live, now: UnixMs) -> Option<Vec<u8>> {
        let room = self.json.len() + FRESHNESS_BYTES * self.gaps.len();
        let (mut json, mut done) = (Vec::with_capacity(room), 0);
        let words = live.words(self.gaps.iter().map(|it| it.node), now);
        for (gap, word) in self.gaps.iter().zip(words) {
            if gap.was_connected != word.heard.is_some() {
                return None;
            }
            let newer = |at: UnixMs| word.heard.map_or(at, |heard| heard.max(at));
            let freshness = Freshness { as_of: gap.as_of.map(newer), link: word.link };
            json.extend_from_slice(self.json.get(done..gap.place)?);
            freshness.serialize(&mut serde_json::Serializer::new(&mut json)).ok()?;
            done = gap.place;
        }
        json.extend_from_slice(self.json.get(done..)?);
        Some(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{Seen, ServerChange},
        testing::{World, hello, machine, new_server, observed, tenant},
    };
    use mamba_core::{access::AdminRight, scope::NodeScope};
    use mamba_wire::{api::LinkState, link::v1::StateReport, session::SILENCE_MS};
    use std::cell::Cell;

    /// Asks for all servers; returns the answer and whether it was made for this.
    fn ask(world: &World, pages: &Pages, asked: &Asked) -> (Page<Server>, bool) {
        let is_made = Cell::new(false);
        let make = |asked: &Asked| {
            is_made.set(true);
            Ok(world.hub.list_servers(&Seen::All, &asked.query)?)
        };
        let now = world.hub.now();
        let json = pages.page(world.hub.live(), now, asked.clone(), make).ok().unwrap();
        let plain = world.hub.list_servers(&Seen::All, &asked.query).unwrap();
        assert_eq!(String::from_utf8_lossy(&json), serde_json::to_string(&plain).unwrap());
        (serde_json::from_slice(&json).unwrap(), is_made.get())
    }

    fn all() -> Asked {
        Asked {
            access: Access::default(),
            query: ServerQuery { limit: Some(2), ..ServerQuery::ALL },
        }
    }

    #[tokio::test]
    async fn a_kept_page_is_what_the_store_and_the_nodes_say_now() {
        let mut world = World::new().await;
        let pages = Pages::new(world.hub.store().subscribe());
        assert!(ask(&world, &pages, &all()).1 && !ask(&world, &pages, &all()).1, "empty too");
        let node = world.node("n1").await;
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(world.hub.create_server(&tenant(1), new_server()).await.unwrap().server);
        }
        let (page, is_made) = ask(&world, &pages, &all());
        assert!(is_made && page.next.is_some());
        let next = Asked { query: ServerQuery { after: page.next, ..all().query }, ..all() };
        assert_eq!(ask(&world, &pages, &next).0.items.len(), 1);
        assert!(!ask(&world, &pages, &next).1 && !ask(&world, &pages, &all()).1, "side by side");

        let scope = NodeScope::granted(node);
        let servers = servers.into_iter().map(observed).collect();
        let report = StateReport { complete: true, servers, node: machine() };
        world.hub.note_state(&scope, report).await.unwrap();
        assert!(ask(&world, &pages, &all()).1);
        for (pause, link) in
            [(1_000, LinkState::Live), (SILENCE_MS + 1, LinkState::Delayed), (0, LinkState::Live)]
        {
            world.clock.advance(pause);
            if pause == 0 {
                world.hub.live().heard(node, world.hub.now());
            }
            let (page, is_made) = ask(&world, &pages, &all());
            assert_eq!((page.items[0].freshness.link, is_made), (link, false));
        }
        assert_eq!(ask(&world, &pages, &all()).0.items[0].freshness.as_of, Some(world.hub.now()));
        let now = world.hub.now();
        world.hub.note_gone(&scope, hello(node, vec![]).instance, now, "test").await.unwrap();
        let (page, is_made) = ask(&world, &pages, &all());
        assert_eq!((page.items[0].freshness.link, is_made), (LinkState::Unreachable, true));
    }

    #[tokio::test]
    async fn a_change_or_another_right_asks_the_store_again() {
        let mut world = World::new().await;
        let pages = Pages::new(world.hub.store().subscribe());
        world.node("n1").await;
        let made = world.hub.create_server(&tenant(1), new_server()).await.unwrap();
        assert!(ask(&world, &pages, &all()).1 && !ask(&world, &pages, &all()).1);
        let change = ServerChange { name: Some("renamed".to_owned()), ..ServerChange::default() };
        world.hub.change_server(&tenant(1), made.server, change).await.unwrap();
        let (page, is_made) = ask(&world, &pages, &all());
        assert_eq!((page.items[0].name.as_str(), is_made), ("renamed", true));
        let admin = Access { admin: [AdminRight::ServersRead].into(), ..Access::default() };
        assert!(ask(&world, &pages, &Asked { access: admin, ..all() }).1);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_there_is_room_for() {
        let world = World::new().await;
        let pages = Pages::new(world.hub.store().subscribe());
        for number in 0..200 {
            let query = ServerQuery { name: Some(number.to_string()), ..ServerQuery::ALL };
            assert!(ask(&world, &pages, &Asked { query, ..all() }).1);
        }
        assert_eq!(pages.kept().len(), KEPT_MAX);
    }
}

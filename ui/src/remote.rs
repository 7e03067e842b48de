//! What is shown from the hub: fetched, kept fresh, and never silently old.

use crate::reactive::effect;
use crate::{
    feed::{Feed, Following},
    net::Failure,
    session::Session,
    task::Task,
    time,
};
use mamba_core::clock::UnixMs;
use mamba_wire::api::{
    Endpoint, Page, PageQuery, RequestBody, feed::Topic, page::PAGE_ITEMS_MAX, target,
};
use std::rc::Rc;
use sycamore::{futures::spawn_local_scoped, prelude::*};

/// How often a page that somebody looks at asks again. What did not change costs some hundred bytes.
pub(crate) const OFTEN_MS: u32 = 2_500;
/// The same for what changes rarely.
pub(crate) const RARELY_MS: u32 = 15_000;
/// For what only changes by what is done here.
pub(crate) const NEVER_MS: u32 = 0;
/// For what the live feed tells of, in case that it says too little.
const TOLD_MS: u32 = 60_000;
/// How soon a change is noticed by who waits for one.
const WAIT_STEP_MS: u32 = 250;
/// Longest pause after failures in a row.
const PAUSE_MS_MAX: u32 = 30_000;
/// Most pages of a list that are read: 2,000 items. More than that one looks for at the hub.
pub(crate) const PAGES_MAX: usize = 10;
/// How often a hidden page looks whether it is seen again.
const HIDDEN_MS: u32 = 500;

/// Something of the hub's.
pub(crate) struct Remote<T: 'static> {
    /// What it was when it was read last.
    pub(crate) value: Signal<Option<Rc<T>>>,
    /// Why the last attempt failed; `None` when it did not.
    pub(crate) failure: Signal<Option<Failure>>,
    /// When the hub last said that it is so.
    pub(crate) read_at: Signal<Option<UnixMs>>,
    again: Signal<u32>,
}

impl<T> Clone for Remote<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Remote<T> {}

impl<T> Remote<T> {
    /// Reads it again now.
    pub(crate) fn reload(self) {
        self.again.update(|it| *it = it.wrapping_add(1));
    }

    /// Puts in place what an answer to a change said, and reads it again.
    pub(crate) fn put(self, value: T) {
        self.value.set(Some(Rc::new(value)));
        self.reload();
    }
}

/// Reads from an endpoint as long as the component lives. `what` says what to read; what it looks at is
/// followed.
pub(crate) fn watch<E>(
    every_ms: u32,
    what: impl Fn() -> Option<(E::Path, E::Query)> + 'static,
) -> Remote<E::Out>
where
    E: Endpoint<Body = ()>,
    (): RequestBody,
{
    read::<E>(every_ms, None, what)
}

/// The same for what the live feed tells of: while it does, the hub is asked only when it changed, and once
/// in a while.
pub(crate) fn watch_told<E>(
    every_ms: u32,
    topic: Topic,
    what: impl Fn() -> Option<(E::Path, E::Query)> + 'static,
) -> Remote<E::Out>
where
    E: Endpoint<Body = ()>,
    (): RequestBody,
{
    read::<E>(every_ms, Some(use_context::<Feed>().follow(topic)), what)
}

fn read<E>(
    every_ms: u32,
    following: Option<Following>,
    what: impl Fn() -> Option<(E::Path, E::Query)> + 'static,
) -> Remote<E::Out>
where
    E: Endpoint<Body = ()>,
    (): RequestBody,
{
    let session = use_context::<Session>();
    let remote = Remote::new();
    let known = create_signal((String::new(), None::<String>));
    effect(move || {
        let every_ms = remote.pace(following, every_ms);
        let Some((path, query)) = what() else { return };
        let target = target::<E>(&path, &query);
        if known.with_untracked(|(old, _)| *old != target) {
            known.set_silent((target, None));
            remote.value.set(None);
        }
        spawn_local_scoped(keep(remote, every_ms, async move || {
            let etag = known.with_untracked(|(_, etag)| etag.clone());
            let (etag, value) = session.read::<E>(&path, &query, etag).await?;
            known.update_silent(|known| known.1 = etag);
            Ok(value)
        }));
    });
    remote
}

/// Reads a whole list, as far as [`PAGES_MAX`] pages go, as long as the component lives. With a topic the hub is
/// asked when the live feed tells of a change, and every `every_ms` while there is no feed.
pub(crate) fn watch_all<E, T>(
    every_ms: u32,
    topic: Option<Topic>,
    is_wanted: bool,
) -> Remote<Page<T>>
where
    E: Endpoint<Path = (), Body = (), Out = Page<T>>,
    E::Query: From<PageQuery>,
    T: Clone + 'static,
{
    let session = use_context::<Session>();
    let following = topic.map(|topic| use_context::<Feed>().follow(topic));
    let remote = Remote::new();
    let known = create_signal(Vec::new());
    effect(move || {
        let every_ms = remote.pace(following, every_ms);
        if !is_wanted {
            return;
        }
        spawn_local_scoped(keep(remote, every_ms, async move || {
            // What is overtaken on its way leaves nothing: then all of it is read.
            let mut pages = known.take_silent();
            let query = |after| PageQuery { after, limit: Some(PAGE_ITEMS_MAX) }.into();
            let result = read_pages::<E, T>(session, query, &mut pages).await;
            let whole = joined(&pages);
            known.set_silent(pages);
            Ok(result?.then_some(whole))
        }));
    });
    remote
}

/// What is known of one page of a list.
pub(crate) struct KnownPage<T> {
    etag: Option<String>,
    /// Its content.
    pub(crate) page: Page<T>,
}

/// Brings the pages of a list up to date, the first to the last, at most [`PAGES_MAX`]; says whether anything
/// of it is new. The last page tells of one more when the list was cut.
pub(crate) async fn read_pages<E, T>(
    session: Session,
    query: impl Fn(Option<String>) -> E::Query,
    known: &mut Vec<KnownPage<T>>,
) -> Result<bool, Failure>
where
    E: Endpoint<Path = (), Body = (), Out = Page<T>>,
{
    let (mut after, mut is_new) = (None, false);
    for index in 0..PAGES_MAX {
        let etag = known.get(index).and_then(|it| it.etag.clone());
        let (etag, page) = session.read::<E>(&(), &query(after), etag).await?;
        if let Some(page) = page {
            is_new = true;
            known.truncate(index);
            known.push(KnownPage { etag, page });
        }
        after = known.get(index).and_then(|it| it.page.next.clone());
        if after.is_none() {
            is_new |= known.len() > index + 1;
            known.truncate(index + 1);
            break;
        }
    }
    Ok(is_new)
}

/// Returns pages as one.
fn joined<T: Clone>(pages: &[KnownPage<T>]) -> Page<T> {
    let items = pages.iter().flat_map(|it| it.page.items.iter().cloned()).collect();
    Page { items, next: pages.last().and_then(|it| it.page.next.clone()) }
}

/// Reads again and again, more slowly while that fails or nobody looks.
async fn keep<T>(
    remote: Remote<T>,
    every_ms: u32,
    mut read: impl AsyncFnMut() -> Result<Option<T>, Failure>,
) {
    let mut failures = 0;
    loop {
        match read().await {
            Ok(value) => {
                failures = 0;
                if let Some(value) = value {
                    remote.value.set(Some(Rc::new(value)));
                }
                remote.settle(None);
            }
            Err(failure) => {
                failures += 1;
                remote.settle(Some(failure));
            }
        }
        if every_ms == NEVER_MS {
            return;
        }
        time::sleep(pause(every_ms, failures)).await;
        while document().hidden() {
            time::sleep(HIDDEN_MS).await;
        }
    }
}

impl Following {
    /// Returns how often to ask, and follows what changes.
    pub(crate) fn pace(self, every_ms: u32) -> u32 {
        self.changes.track();
        if self.is_told.get() { every_ms.max(TOLD_MS) } else { every_ms }
    }

    /// Waits as long as one has to before one asks again: until it changed after `since`, which is what
    /// `changes` was then, or `every_ms` while nobody tells.
    pub(crate) async fn wait(self, since: u32, every_ms: u32) {
        let mut waited_ms = 0;
        loop {
            time::sleep(WAIT_STEP_MS).await;
            waited_ms += WAIT_STEP_MS;
            let is_told = self.is_told.get_untracked();
            let end = if is_told { every_ms.max(TOLD_MS) } else { every_ms };
            if waited_ms >= end || self.changes.get_untracked() != since {
                return;
            }
        }
    }
}

impl<T> Remote<T> {
    fn new() -> Self {
        Self {
            value: create_signal(None),
            failure: create_signal(None),
            read_at: create_signal(None),
            again: create_signal(0),
        }
    }

    /// Returns how often to ask, and follows what has one ask at once.
    fn pace(self, following: Option<Following>, every_ms: u32) -> u32 {
        self.again.track();
        following.map_or(every_ms, |it| it.pace(every_ms))
    }

    fn settle(self, failure: Option<Failure>) {
        if failure.is_none() {
            self.read_at.set(Some(time::now()));
        }
        if self.failure.with_untracked(|old| *old != failure) {
            self.failure.set(failure);
        }
    }
}

/// A list that is read page by page, as somebody asks for more.
pub(crate) struct Pages<T: 'static> {
    /// What was read.
    pub(crate) items: Signal<Vec<T>>,
    /// The reading.
    pub(crate) task: Task,
    next: Signal<Option<String>>,
    read: Signal<Rc<dyn Fn(Option<String>)>>,
}

impl<T> Clone for Pages<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Pages<T> {}

impl<T: Clone> Pages<T> {
    /// Reads the first page. `what` says where the page after a cursor is; what it looks at is followed:
    /// the list begins anew when that changes.
    pub(crate) fn open<E>(what: impl Fn(Option<String>) -> (E::Path, E::Query) + 'static) -> Self
    where
        E: Endpoint<Body = (), Out = Page<T>>,
    {
        let session = use_context::<Session>();
        let (items, next, task) =
            (create_signal(Vec::new()), create_signal(None::<String>), Task::new());
        let what = Rc::new(what);
        let asks = what.clone();
        // The reading lives as long as the list, and not as a dialog that has it begin anew.
        let scope = use_current_scope();
        let read: Rc<dyn Fn(Option<String>)> = Rc::new(move |after| {
            let (path, query) = asks(after);
            scope.run_in(|| {
                task.restart(session.call::<E>(path, query, ()), move |page: Page<T>| {
                    items.update(|it| it.extend(page.items));
                    next.set(page.next);
                });
            });
        });
        let pages = Self { items, task, next, read: create_signal(read) };
        effect(move || {
            // Looked at for what it follows.
            drop(what(None));
            untrack(|| pages.again());
        });
        pages
    }

    /// Begins anew.
    pub(crate) fn again(self) {
        self.items.set(Vec::new());
        self.next.set(None);
        (self.read.get_clone_untracked())(None);
    }

    /// Reads one more page.
    pub(crate) fn more(self) {
        (self.read.get_clone_untracked())(self.next.get_clone_untracked());
    }

    /// Whether there is one.
    pub(crate) fn has_more(self) -> bool {
        self.next.with(Option::is_some)
    }
}

/// Returns how long to wait, longer after each failure in a row.
fn pause(every_ms: u32, failures: u32) -> u32 {
    every_ms.saturating_mul(1 << failures.min(5)).min(PAUSE_MS_MAX.max(every_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_that_is_away_is_asked_less_and_less_often() {
        for (failures, expected) in [(0, 2_500), (1, 5_000), (3, 20_000), (4, 30_000), (99, 30_000)]
        {
            assert_eq!(pause(OFTEN_MS, failures), expected);
        }
        assert_eq!(pause(60_000, 4), 60_000);
    }

    #[test]
    fn pages_of_a_list_are_one_that_says_when_it_was_cut() {
        let page = |items: &[u8], next: Option<&str>| KnownPage {
            etag: None,
            page: Page { items: items.to_vec(), next: next.map(ToOwned::to_owned) },
        };
        let whole = joined(&[page(&[1, 2], Some("2")), page(&[3], None)]);
        assert_eq!((whole.items, whole.next), (vec![1, 2, 3], None));
        let cut = joined(&[page(&[1], Some("1"))]);
        assert_eq!(cut.next.as_deref(), Some("1"));
        assert!(joined::<u8>(&[]).items.is_empty());
    }
}

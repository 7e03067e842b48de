//! Places, and the cutting of events into messages. The relay as a whole is tested over real
//! sockets in `tests/it`.

use super::{Sockets, run::messages};
use crate::config::ConsoleLimits;
use mamba_core::{clock::UnixMs, ids::UserId, seq::LineNumber};
use mamba_wire::{
    api::console::{ConsoleMessage, Gap},
    node::{ConsoleEvent, ConsoleLine, LineSource},
};

/// CVE-2025-69199 (GHSA-8w7m): WebSockets without a limit on how many.
#[tokio::test]
async fn places_are_bounded_per_user_and_over_all() {
    let consoles = Sockets::new(ConsoleLimits { all_max: 3, user_max: 2 });
    let (one, two) = (UserId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
    let first = consoles.enter(one).unwrap();
    let second = consoles.enter(one).unwrap();
    assert!(consoles.enter(one).is_none());
    let third = consoles.enter(two).unwrap();
    assert!(consoles.enter(two).is_none());
    drop(first);
    let fourth = consoles.enter(two).unwrap();
    let closing = {
        let consoles = consoles.clone();
        async move { consoles.close().await }
    };
    let mut closing = std::pin::pin!(closing);
    assert!(futures_util::poll!(closing.as_mut()).is_pending());
    drop(second);
    assert!(consoles.enter(one).is_none(), "nobody enters a house that closes");
    drop((third, fourth));
    closing.await;
}

/// CVE-2025-69199 (GHSA-8w7m): ten thousand at once, of one user and of many.
#[test]
fn ten_thousand_at_once_take_no_more_places_than_there_are() {
    let limits = ConsoleLimits { all_max: 400, user_max: 5 };
    for users in [1_u8, 250] {
        let sockets = Sockets::new(limits);
        let enter = |thread: usize| {
            let users_of = (0..1_250).map(|number| (thread * 1_250 + number) % usize::from(users));
            let ids = users_of.map(|it| UserId::from_bytes([u8::try_from(it).unwrap(); 16]));
            ids.filter_map(|user| sockets.enter(user)).collect::<Vec<_>>()
        };
        let held: Vec<_> = std::thread::scope(|scope| {
            let enter = &enter;
            let threads: Vec<_> = (0..8).map(|it| scope.spawn(move || enter(it))).collect();
            threads.into_iter().flat_map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(held.len(), limits.all_max.min(usize::from(users) * limits.user_max));
        drop(held);
        assert!(sockets.enter(UserId::from_bytes([0; 16])).is_some(), "all places are free again");
    }
}

#[test]
fn lines_are_cut_by_count_and_bytes_and_keep_their_numbers() {
    let line = |bytes: usize| ConsoleLine {
        at: UnixMs(1),
        source: LineSource::Stdout,
        text: "x".repeat(bytes),
    };
    let sizes = |lines: Vec<ConsoleLine>| -> Vec<(u64, usize)> {
        messages(ConsoleEvent::Lines { first: LineNumber(10), lines })
            .into_iter()
            .map(|message| match message {
                ConsoleMessage::Lines(lines) => (lines[0].n.0, lines.len()),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(sizes(vec![]), []);
    assert_eq!(sizes(vec![line(1); 450]), [(10, 200), (210, 200), (410, 50)]);
    assert_eq!(sizes(vec![line(40_000); 3]), [(10, 1), (11, 1), (12, 1)]);
    assert_eq!(sizes(vec![line(100_000)]), [(10, 1)]);
    let gap = ConsoleEvent::Gap { first: LineNumber(3), count: 4 };
    let expected = ConsoleMessage::Gap(Gap { first: LineNumber(3), count: 4 });
    assert_eq!(messages(gap), [expected]);
}

//! Letters, and the queue on a real store.

use super::*;
use mamba_core::{
    clock::{SystemEntropy, draw},
    db::{DataDir, StoreKind, StoreOptions},
};

const KIND: StoreKind = StoreKind { name: "mail-test", version: 1 };
const NOW: UnixMs = UnixMs(1_800_000_000_000);
const CANARY: &str = "<img src=x onerror=alert(1)>\"'&";

fn letters() -> Vec<Letter> {
    every::letters(CANARY, "https://panel.example.org/x#secret")
}

#[test]
fn what_users_chose_cannot_become_markup_or_a_header() {
    for letter in letters() {
        let Rendered { subject, text, html, .. } = letter.render();
        assert!(!subject.is_empty() && text.len() > 80, "{letter:?}");
        assert!(!html.contains("<img") && !html.contains("onerror=alert(1)>"), "{html}");
        assert_eq!(html.matches("<p>").count(), html.matches("</p>").count());
    }
    let split = Letter::Added { to: "a\r\nBcc: all@example.org".to_owned() }.render();
    assert!(!split.subject.contains(['\r', '\n']), "{}", split.subject);
}

#[tokio::test]
async fn the_spool_lists_newest_first_and_hides_texts_that_will_be_sent() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(&dir.path().join("hub"), KIND).unwrap();
    let store = Store::open(&data, 0, StoreOptions::EDGE).unwrap();
    let mut ids = Vec::new();
    for (index, letter) in letters().into_iter().enumerate() {
        let at = NOW.plus(index as u64);
        let id = EventId::new(at, draw(&SystemEntropy));
        ids.push(id);
        store.write(move |txn| queue(txn, at, id, "somebody@example.org", &letter)).await.unwrap();
    }
    ids.reverse();
    let shown: Vec<_> =
        list(&store, None, 100, Shown::Whole).unwrap().iter().map(|mail| mail.mail).collect();
    assert_eq!(shown, ids);
    let page = list(&store, Some(ids[0]), 1, Shown::Outside).unwrap();
    assert_eq!((page[0].mail, page[0].text.as_ref()), (ids[1], None));
    for (mail, letter) in
        list(&store, None, 100, Shown::WithoutLink).unwrap().iter().rev().zip(letters())
    {
        let text = mail.text.as_deref().unwrap();
        match letter.render().link {
            Some(link) => assert!(text.contains(HIDDEN) && !text.contains(&link), "{text}"),
            None => assert!(!text.contains(HIDDEN), "{text}"),
        }
    }
    let gone = ids[3];
    assert!(store.write(move |txn| remove(txn, gone)).await.unwrap());
    assert!(!store.write(move |txn| remove(txn, gone)).await.unwrap());
    let left = u64::try_from(letters().len() - 1).unwrap();
    assert_eq!(store.read(|view| view.get(MAILS_COUNT, &())).unwrap(), Some(left));
}

#[tokio::test]
async fn a_crowded_spool_says_so_long_before_the_oldest_letter_goes() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(&dir.path().join("hub"), KIND).unwrap();
    let store = Store::open(&data, 0, StoreOptions::EDGE).unwrap();
    let count = async |count: u64| {
        store.write(move |txn| txn.put(MAILS_COUNT, &(), &count)).await.unwrap();
    };
    let add = async |ms: u64| {
        let id = EventId::new(NOW.plus(ms), draw(&SystemEntropy));
        let write = move |txn: &mut Txn<'_>| queue(txn, NOW, id, "a@b", &Letter::AccountEnded);
        store.write(write).await.unwrap();
        id
    };
    let oldest = add(0).await;
    let is_crowded = || store.read(is_crowded).unwrap();
    for (letters, expected) in [(0, false), (CROWDED - 1, false), (CROWDED, true)] {
        count(letters).await;
        assert_eq!(is_crowded(), expected, "{letters}");
    }
    count(MAILS_MAX - 1).await;
    add(1).await;
    assert_eq!(store.read(|view| state(view, oldest)).unwrap(), LetterState::Waits);
    add(2).await;
    assert_eq!(store.read(|view| state(view, oldest)).unwrap(), LetterState::Left);
    assert_eq!(store.read(kept).unwrap(), MAILS_MAX);
}

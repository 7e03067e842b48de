//! What people type for a server, and which one it names.

use super::*;

#[track_caller]
fn check(wanted: &str, expected: Result<usize, Outcome>) {
    let ids: Vec<ServerId> = ["0198aaaa", "0198bbbb", "0198bbbc"]
        .iter()
        .map(|start| format!("{start}-0000-7000-8000-000000000000").parse().unwrap())
        .collect();
    let names = ["world", "arena", "arena"];
    let found = find_among(ids.iter().copied().zip(names), wanted);
    match (found, expected) {
        (Ok(id), Ok(index)) => assert_eq!(id, ids[index], "{wanted}"),
        (Err(err), Err(outcome)) => assert_eq!(err.outcome(), outcome, "{wanted}: {err}"),
        (found, expected) => panic!("{wanted}: {found:?}, expected {expected:?}"),
    }
}

#[test]
fn a_server_is_found_by_name_id_and_beginning_of_its_id() {
    check("world", Ok(0));
    check("0198aaaa-0000-7000-8000-000000000000", Ok(0));
    check("0198a", Ok(0));
    check("0198bbbc", Ok(2));
}

#[test]
fn what_is_unknown_or_ambiguous_is_refused() {
    check("nowhere", Err(Outcome::NotFound));
    check("019", Err(Outcome::NotFound));
    check("0198bbb", Err(Outcome::Failed));
    check("arena", Err(Outcome::Failed));
}

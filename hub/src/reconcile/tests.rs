//! Identities in tables, and books of batches that came twice, forked or stayed in doubt.

use super::{
    DAY_MS,
    books::{Books, Column, Problem, Report, complete_to},
    first_day,
};
use crate::{
    cli::shown_report_is_good,
    store::{CUSTODY, CustodyRecord, GAPS, HOURS, HourRecord, POSTINGS, QUARANTINE},
    testing::{Outbox, START, World, hello, machine, tenant},
};
use mamba_core::{
    clock::{HOUR_MS, UnixMs},
    db::{Snapshot as _, Span, Txn},
    fact::{GapReason, Meter, Quantities, Stream, UsageBody, UsageFact},
    ids::{NodeId, ServerId, TenantId},
    scope::NodeScope,
    seq::{Epoch, Seq},
    usage::window::WINDOW_MS,
};
use mamba_wire::link::v1::{OutboxState, StateReport};

fn cpu(amount: u128) -> Quantities {
    Quantities { cpu_used: amount, ..Quantities::default() }
}

const TENANT: TenantId = TenantId::from_bytes([1; 16]);
const SERVER: ServerId = ServerId::from_bytes([2; 16]);

/// Sums one meter of one day and says whether it balances.
#[track_caller]
fn check_row(columns: [u128; 5], is_balanced: bool) {
    let mut books = Books::new(START, UnixMs(0));
    let names =
        [Column::Reported, Column::Billed, Column::Clipped, Column::SetAside, Column::Buckets];
    for (column, amount) in names.into_iter().zip(columns) {
        // In two parts, to see that they are added.
        books.add(TENANT, START, column, &cpu(amount / 2));
        books.add(TENANT, START, column, &cpu(amount - amount / 2));
    }
    let report = books.finish();
    assert_eq!(report.rows.len(), usize::from(columns != [0; 5]));
    assert_eq!(report.is_balanced(), is_balanced, "{columns:?}");
}

#[test]
fn a_row_balances_when_both_identities_hold() {
    check_row([0, 0, 0, 0, 0], true);
    check_row([10, 10, 0, 0, 10], true);
    check_row([10, 7, 2, 1, 7], true);
    check_row([10, 0, 0, 10, 0], true);
    check_row([10, 7, 2, 0, 7], false);
    check_row([9, 7, 2, 1, 7], false);
    check_row([10, 7, 2, 1, 8], false);
    check_row([10, 10, 0, 0, 0], false);
    check_row([0, 0, 0, 0, 1], false);
    check_row([u128::MAX, u128::MAX, u128::MAX, 2, u128::MAX], false);
}

#[test]
fn errors_that_cancel_out_in_the_sum_are_found_by_the_hour() {
    let mut books = Books::new(START, UnixMs(0));
    let key = |hours: u64| (TENANT, SERVER, START.plus(hours * HOUR_MS));
    books.add(TENANT, START, Column::Reported, &cpu(10));
    books.add(TENANT, START, Column::Billed, &cpu(10));
    books.hour(key(0), &cpu(4), Some(&cpu(5)), &cpu(0));
    books.hour(key(1), &cpu(6), Some(&cpu(5)), &cpu(0));
    let report = books.finish();
    assert!(report.rows[0].is_balanced());
    assert!(!report.is_balanced());
    assert_eq!((report.problems_count, report.oldest_open_hour), (2, Some(START)));
}

#[test]
fn what_came_after_the_beginning_is_in_no_total() {
    let mut books = Books::new(START, UnixMs(0));
    books.add(TENANT, START, Column::Reported, &cpu(10));
    books.add(TENANT, START, Column::Billed, &cpu(10));
    books.hour((TENANT, SERVER, START), &cpu(13), Some(&cpu(13)), &cpu(3));
    assert!(books.finish().is_balanced());
}

#[test]
fn sums_that_do_not_fit_are_a_problem_unless_nobody_believed_them() {
    let mut books = Books::new(START, UnixMs(0));
    books.set_aside(TENANT, START, &cpu(u128::MAX));
    books.set_aside(TENANT, START, &cpu(1));
    books.set_aside(TENANT, START.plus(3 * DAY_MS), &cpu(1));
    books.set_aside(TENANT, UnixMs(5), &cpu(1));
    assert_eq!(books.unattributed, 3);
    books.add(TENANT, START, Column::Billed, &cpu(u128::MAX));
    books.add(TENANT, START, Column::Billed, &cpu(1));
    let report = books.finish();
    assert!(matches!(report.problems[..], [Problem::Overflow { .. }]));
    assert!(!report.is_balanced());
}

#[test]
fn a_node_is_complete_up_to_its_oldest_waiting_fact() {
    let at = START.plus(HOUR_MS);
    let table = [(0, 0, 0), (0, 9_000, 0), (3, 9_000, 9_000), (1, u64::MAX, at.0)];
    for (waiting, age_ms, expected) in table {
        let expected = at.0.saturating_sub(expected).saturating_sub(WINDOW_MS);
        assert_eq!(complete_to(at, waiting, age_ms), UnixMs(expected));
    }
}

#[test]
fn days_are_counted_with_today() {
    let today = UnixMs(START.0 - 17 * HOUR_MS);
    assert_eq!(first_day(START, None), UnixMs(0));
    assert_eq!(first_day(START, Some(0)), today);
    assert_eq!(first_day(START, Some(1)), today);
    assert_eq!(first_day(START, Some(2)), UnixMs(today.0 - DAY_MS));
    assert_eq!(first_day(START, Some(u32::MAX)), UnixMs(0));
}

fn fact(server: (TenantId, ServerId), minute: u64, minutes: u64, amount: u128) -> UsageFact {
    let from = START.plus(minute * 60_000);
    let (to, body) = (from.plus(minutes * 60_000), UsageBody::Measured(cpu(amount)));
    UsageFact { tenant: server.0, server: server.1, from, to, body }
}

fn outbox(epoch: u64, facts: &[UsageFact]) -> Outbox {
    let bodies = facts.iter().map(|it| it.encode().unwrap()).collect();
    Outbox { bodies, ..Outbox::new(Stream::Usage, epoch) }
}

struct Played {
    world: World,
    node: NodeId,
    server: (TenantId, ServerId),
}

impl Played {
    async fn greet(&self, outbox: &Outbox) {
        let peer = "127.0.0.1:1".parse().unwrap();
        let hello = hello(self.node, vec![outbox.hello(1)]);
        self.world.hub.hello(&NodeScope::granted(self.node), hello, peer).await.unwrap();
    }

    async fn send(&self, outbox: &Outbox, first: u64, last: u64) {
        let scope = NodeScope::granted(self.node);
        self.world.hub.ingest(&scope, outbox.batch(first, last)).await.unwrap();
    }

    async fn report(&self) -> Report {
        self.world.hub.reconcile(None).await.unwrap()
    }

    /// Changes the store behind the hub's back, and returns what reconciliation says then.
    async fn after(
        &self,
        damage: impl FnMut(&mut Txn<'_>) -> Result<(), crate::HubError> + Send + 'static,
    ) -> Report {
        self.world.hub.write(damage).await.unwrap();
        let report = self.report().await;
        assert!(!report.is_balanced());
        assert!(!shown_report_is_good(&report), "the command's exit code is 1");
        report
    }
}

/// A node that repeats itself, forks, and reports what cannot be believed. The two days that follow
/// are over.
async fn played() -> Played {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = (tenant(1).tenant(), world.server(&tenant(1), node).await);
    world.clock.advance(48 * HOUR_MS);
    let played = Played { world, node, server };
    let foreign = (TenantId::from_bytes([7; 16]), server.1);
    let mut facts: Vec<UsageFact> =
        (0..1_200).map(|minute| fact(server, minute, 1, u128::from(minute) + 1)).collect();
    facts.push(UsageFact { body: UsageBody::Gap(GapReason::Reboot), ..fact(server, 1_200, 4, 0) });
    facts.push(UsageFact { body: UsageBody::ClockStep { by_ms: 5 }, ..fact(server, 1_204, 0, 0) });
    // Across an hour, of another tenant's, in the future.
    facts.push(fact(server, 1_259, 2, 1_000));
    facts.push(fact(foreign, 0, 1, 50));
    facts.push(fact(server, 72 * 60, 1, 60));
    let mut first = outbox(1, &facts);
    first.bodies.push(vec![99, 1]);
    let count = first.bodies.len() as u64;
    played.greet(&first).await;
    for from in (1..=count).step_by(200) {
        let last = (from + 199).min(count);
        played.send(&first, from, last).await;
        played.send(&first, from, last).await;
    }
    // The node's disk was reverted: it measures the last spans again, in longer facts.
    let again = outbox(2, &[fact(server, 1_190, 10, 77), fact(server, 1_210, 10, 33)]);
    played.greet(&again).await;
    played.send(&again, 1, 2).await;
    played
}

#[tokio::test]
async fn repeats_forks_and_doubts_add_up() {
    let played = played().await;
    let report = played.report().await;
    assert!(report.is_balanced(), "{:?}", report.problems);
    assert!(shown_report_is_good(&report));
    let total: u128 = (1..=1_200).sum();
    let sum = |of: fn(&super::Row) -> u128| report.rows.iter().map(of).sum::<u128>();
    assert!(report.rows.iter().all(|it| it.meter == Meter::CpuUsed));
    assert_eq!(report.rows.len(), 3, "the facts lie on two days, and one in the future");
    assert_eq!(sum(|it| it.reported.0), total + 77 + 33 + 1_060);
    assert_eq!(sum(|it| it.billed.0), total + 33);
    assert_eq!(sum(|it| it.clipped.0), 77);
    assert_eq!(sum(|it| it.set_aside.0), 1_060);
    assert_eq!(sum(|it| it.buckets.0), total + 33);
    let gaps: Vec<_> = report.gaps.iter().map(|it| (it.reason, it.count, it.ms)).collect();
    assert_eq!(gaps, [(GapReason::Reboot, 1, 240_000), (GapReason::Clock, 1, 0)]);
    assert_eq!((report.facts, report.set_aside, report.unattributed), (1_208, 4, 2));
    // Fewer days show less and check the same.
    let last = played.world.hub.reconcile(Some(1)).await.unwrap();
    assert_eq!((last.rows.len(), last.facts, last.is_balanced()), (1, 1_208, true));
}

#[tokio::test]
async fn every_kind_of_damage_is_found_and_named() {
    let server = |it: &Played| (it.server.0, it.server.1);
    let p = played().await;
    let (tenant, id) = server(&p);
    let hour = (tenant, id, START.plus(2 * HOUR_MS));
    let report = p
        .after(move |txn| {
            let HourRecord { mut billed, updated_at } = txn.get(HOURS, &hour)?.unwrap();
            billed.cpu_used += 1;
            Ok(txn.put(HOURS, &hour, &HourRecord { billed, updated_at })?)
        })
        .await;
    let wrong = Problem::WrongHour { tenant, server: id, hour: hour.2 };
    assert_eq!(report.problems, [wrong]);

    let p = played().await;
    let place = (tenant, id, START.plus(60_000), Epoch(1), Seq(2));
    let report = p.after(move |txn| Ok(txn.delete(POSTINGS, &place)?)).await;
    let node = p.node;
    let lost = Problem::NotBooked { node, epoch: Epoch(1), seq: Seq(2) };
    assert_eq!(report.problems[0], lost);
    assert_eq!(report.problems_count, 2, "and the hour that it belonged to");

    let p = played().await;
    let report = p
        .after(move |txn| {
            let mut posting = txn.get(POSTINGS, &place)?.unwrap();
            posting.clipped.cpu_used += 1;
            Ok(txn.put(POSTINGS, &place, &posting)?)
        })
        .await;
    let other = Problem::BookedOtherwise { node, epoch: Epoch(1), seq: Seq(2) };
    assert_eq!(report.problems, [other]);

    let p = played().await;
    let key = (node, 0, Epoch(1), Seq(3));
    let report = p.after(move |txn| Ok(txn.delete(CUSTODY, &key)?)).await;
    let count =
        Problem::WrongCount { node, stream: 0, epoch: Epoch(1), expected: 1_206, found: 1_205 };
    let orphan = Problem::NoFact { node, epoch: Epoch(1), seq: Seq(3) };
    assert_eq!(report.problems, [count, orphan]);

    let p = played().await;
    let report = p
        .after(|txn| {
            let doubts = txn.range(QUARANTINE, Span::all(), 1)?;
            doubts.iter().try_for_each(|(key, _)| Ok(txn.delete(QUARANTINE, key)?))
        })
        .await;
    assert!(matches!(report.problems[..], [Problem::NotBooked { .. }]));

    let p = played().await;
    let report = p
        .after(|txn| {
            let gaps = txn.range(GAPS, Span::all(), 1)?;
            gaps.iter().try_for_each(|(key, _)| Ok(txn.delete(GAPS, key)?))
        })
        .await;
    assert!(matches!(report.problems[..], [Problem::NotBooked { .. }]));

    // What is not usage, or not under a watermark, is no money.
    let p = played().await;
    let beyond = CustodyRecord { received_at: START, body: vec![] };
    p.world
        .hub
        .write(move |txn| Ok(txn.put(CUSTODY, &(node, 0, Epoch(9), Seq(1)), &beyond)?))
        .await
        .unwrap();
    assert!(p.report().await.is_balanced());
}

#[tokio::test]
async fn the_oldest_open_hour_follows_the_nodes_outbox() {
    let played = played().await;
    let world = &played.world;
    let now = world.hub.now();
    let report = |unacked, oldest_age_ms| {
        let mut node = machine();
        node.outbox = vec![OutboxState { stream: Stream::Usage, unacked, oldest_age_ms }];
        StateReport { complete: true, servers: vec![], node }
    };
    let scope = NodeScope::granted(played.node);
    let silent = StateReport { complete: true, servers: vec![], node: machine() };
    world.hub.note_state(&scope, silent).await.unwrap();
    let said = played.report().await;
    assert_eq!((said.nodes[0].complete_to, said.nodes[0].reported_at), (None, Some(now)));
    for (waiting, age_ms) in [(0, 0), (4, 5 * HOUR_MS)] {
        world.hub.note_state(&scope, report(waiting, age_ms)).await.unwrap();
        let report = played.report().await;
        let complete = UnixMs(now.0 - age_ms - WINDOW_MS);
        assert_eq!(report.nodes[0].complete_to, Some(complete));
        assert_eq!(
            (report.nodes[0].waiting, report.nodes[0].lag_ms),
            (waiting, Some(now.since(complete)))
        );
        assert_eq!(report.oldest_open_hour, Some(complete.hour()));
        assert_eq!(report.oldest_open_age_ms, Some(now.since(complete.hour())));
    }
}

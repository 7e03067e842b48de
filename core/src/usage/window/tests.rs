//! Tables and a model: whatever is cut, lost or restarted, amounts add up.

use super::*;
use crate::usage::coverage::HourSpan;
use proptest::prelude::*;

const HOUR: UnixMs = UnixMs(HOUR_MS * 500_000);
const RATES: Rates = Rates { memory_bytes: 1_000, cpu_millicores: 2, disk_bytes: 50 };

fn stamp(ms: u64) -> Stamp {
    Stamp { boot: BootMs(7_000 + ms), unix: HOUR.plus(ms) }
}

fn meter(at_ms: u64) -> ServerMeter {
    let (tenant, server) = (TenantId::from_bytes([1; 16]), ServerId::from_bytes([2; 16]));
    ServerMeter::new(tenant, server, BootId([1; 16]), stamp(at_ms), RATES)
}

fn key(number: u64) -> RunKey {
    RunKey { container: "c".into(), started_at: UnixMs(number), pid: 1 }
}

fn reading(memory: u64, cpu: u64, sent: u64, disk: u64) -> Reading {
    Reading {
        memory_bytes: Some(memory),
        cpu_us: Some(cpu),
        sent_bytes: Some(sent),
        disk_bytes: Some(disk),
    }
}

/// Facts as start and end within the hour, and what they say.
fn facts(meter: &ServerMeter) -> Vec<(i64, i64, UsageBody)> {
    let ms = |at: UnixMs| at.0.cast_signed() - HOUR.0.cast_signed();
    meter.pending().iter().map(|it| (ms(it.from), ms(it.to), it.body.clone())).collect()
}

fn measured(
    memory_used: u128,
    cpu_used: u128,
    disk_used: u128,
    egress: u128,
    running_ms: u128,
    ms: u128,
) -> UsageBody {
    UsageBody::Measured(Quantities {
        memory_used,
        cpu_used,
        disk_used,
        egress,
        memory_allocated: 1_000 * running_ms,
        cpu_allocated: 2 * running_ms,
        disk_allocated: 50 * ms,
    })
}

#[test]
fn time_at_another_node_is_neither_measured_nor_a_gap() {
    let mut meter = meter(0);
    meter.advance(stamp(1_000), reading(0, 0, 0, 0));
    meter.away_until(BootId([2; 16]), stamp(9_000));
    meter.advance(stamp(10_000), reading(0, 0, 0, 0));
    meter.cut();
    let spans = facts(&meter);
    assert!(spans.iter().all(|(_, _, body)| matches!(body, UsageBody::Measured(_))), "{spans:?}");
    let spans: Vec<_> = spans.into_iter().map(|(from, to, _)| (from, to)).collect();
    assert_eq!(spans, [(0, 1_000), (9_000, 10_000)]);
}

#[test]
fn a_start_and_a_stop_cut_the_window() {
    let mut meter = meter(0);
    meter.advance(stamp(1_000), reading(0, 0, 0, 0));
    meter.start(key(1), Since::Start);
    meter.advance(stamp(3_000), reading(100, 40, 7, 10));
    meter.advance(stamp(4_000), reading(300, 50, 9, 10));
    meter.stop();
    meter.advance(stamp(5_000), reading(0, 0, 0, 10));
    meter.cut();
    assert_eq!(
        facts(&meter),
        [
            (0, 1_000, measured(0, 0, 0, 0, 0, 1_000)),
            (1_000, 4_000, measured(100_000 + 200_000, 50, 10_000 + 10_000, 9, 3_000, 3_000)),
            (4_000, 5_000, measured(0, 0, 10_000, 0, 0, 1_000)),
        ]
    );
}

#[test]
fn an_hour_splits_what_lies_across_it_without_losing_a_unit() {
    let mut meter = meter(HOUR_MS - 1_000);
    meter.start(key(1), Since::Start);
    // 7 microseconds over 3 s, of which a third falls before the hour.
    meter.advance(stamp(HOUR_MS + 2_000), reading(0, 7, 0, 0));
    meter.cut();
    let hour = HOUR_MS.cast_signed();
    assert_eq!(
        facts(&meter),
        [
            (hour - 1_000, hour, measured(0, 2, 0, 0, 1_000, 1_000)),
            (hour, hour + 2_000, measured(0, 5, 0, 0, 2_000, 2_000)),
        ]
    );
}

#[test]
fn windows_are_cut_on_a_grid() {
    let mut meter = meter(290_000);
    for ms in [299_999, 300_500, 599_000, 603_000] {
        meter.advance(stamp(ms), reading(0, 0, 0, 0));
        meter.cut_if_due(WINDOW_MS);
    }
    let spans: Vec<_> = facts(&meter).into_iter().map(|(from, to, _)| (from, to)).collect();
    assert_eq!(spans, [(290_000, 300_500), (300_500, 603_000)]);
    for (age, can_write, expected) in [
        (0, true, WINDOW_MS),
        (PATIENCE_MS, true, WINDOW_MS),
        (PATIENCE_MS + 1, true, HOUR_MS),
        (0, false, HOUR_MS),
    ] {
        assert_eq!(window_ms(age, can_write), expected);
    }
}

#[test]
fn limits_change_from_the_moment_on() {
    let mut meter = meter(0);
    meter.start(key(1), Since::Start);
    meter.advance(stamp(1_000), reading(0, 0, 0, 0));
    let rates = Rates { memory_bytes: 3_000, ..RATES };
    meter.allocate(TenantId::from_bytes([1; 16]), rates);
    meter.advance(stamp(2_000), reading(0, 0, 0, 0));
    meter.allocate(TenantId::from_bytes([1; 16]), rates);
    meter.cut();
    let allocated: Vec<u128> = meter
        .pending()
        .iter()
        .map(|fact| match &fact.body {
            UsageBody::Measured(quantities) => quantities.memory_allocated,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(allocated, [1_000_000, 3_000_000]);
}

#[test]
fn a_restarted_daemon_leaves_a_gap_in_gauges_only_when_it_was_long() {
    for (away_ms, memory_used, gap) in
        [(200_000, 100 * 200_000, None), (301_000, 0, Some((1_000, 302_000)))]
    {
        let mut meter = meter(0);
        meter.start(key(1), Since::Start);
        meter.advance(stamp(1_000), reading(200, 10, 5, 0));
        meter.cut();
        meter.forget(9);
        let bytes = postcard::to_stdvec(&meter).unwrap();
        let mut meter: ServerMeter = postcard::from_bytes(&bytes).unwrap();
        meter.resume(BootId([1; 16]), stamp(1_000 + away_ms));
        meter.advance(stamp(1_000 + away_ms), reading(100, 90, 25, 0));
        let end = i64::try_from(1_000 + away_ms).unwrap();
        let time = u128::from(away_ms);
        meter.cut();
        let mut expected = vec![(1_000, end, measured(memory_used, 80, 0, 20, time, time))];
        expected.extend(gap.map(|(from, to)| (from, to, UsageBody::Gap(GapReason::Recovered))));
        assert_eq!(facts(&meter), expected);
        // The next reading closes the gap: nothing more is written down.
        meter.forget(9);
        meter.advance(stamp(2_000 + away_ms), reading(100, 90, 25, 0));
        meter.cut();
        assert_eq!(facts(&meter).len(), 1, "{:?}", facts(&meter));
    }
}

#[test]
fn a_reboot_keeps_what_was_measured_and_writes_down_the_rest_by_the_hour() {
    let mut meter = meter(HOUR_MS - 5_000);
    meter.start(key(1), Since::Start);
    meter.advance(stamp(HOUR_MS - 2_000), reading(0, 6, 0, 0));
    let back = Stamp { boot: BootMs(10), unix: HOUR.plus(2 * HOUR_MS + 4_000) };
    meter.resume(BootId([2; 16]), back);
    assert_eq!((meter.run(), meter.at()), (None, back));
    let hour = HOUR_MS.cast_signed();
    let gap = UsageBody::Gap(GapReason::Reboot);
    assert_eq!(
        facts(&meter),
        [
            (hour - 5_000, hour - 2_000, measured(0, 6, 0, 0, 3_000, 3_000)),
            (hour - 2_000, hour, gap.clone()),
            (hour, 2 * hour, gap.clone()),
            (2 * hour, 2 * hour + 4_000, gap),
        ]
    );
}

#[test]
fn a_reboot_keeps_what_a_stopped_server_had() {
    let mut meter = meter(0);
    meter.advance(stamp(2_000), reading(0, 0, 0, 6));
    meter.resume(BootId([2; 16]), Stamp { boot: BootMs(10), unix: HOUR.plus(3_000) });
    assert_eq!(
        facts(&meter),
        [
            (0, 2_000, measured(0, 0, 6_000, 0, 0, 2_000)),
            (2_000, 3_000, UsageBody::Gap(GapReason::Reboot)),
        ]
    );
}

#[test]
fn an_endless_gap_has_a_bound() {
    let mut meter = meter(0);
    let later = Stamp { boot: BootMs(1), unix: HOUR.plus(HOUR_MS * 24 * 400 + 1) };
    meter.resume(BootId([2; 16]), later);
    assert_eq!(meter.pending().len() as u64, GAP_HOURS_MAX);
    assert_eq!(meter.pending().back().unwrap().to, later.unix);
}

#[test]
fn a_stepped_calendar_is_told_and_bills_the_time_that_passed() {
    for by_ms in [600_000_i64, -600_000, 5_000, -5_000] {
        let mut meter = meter(1_000_000);
        meter.start(key(1), Since::Start);
        meter.advance(stamp(1_001_000), reading(0, 10, 0, 0));
        let step = |ms: u64| Stamp {
            boot: stamp(ms).boot,
            unix: UnixMs(stamp(ms).unix.0.saturating_add_signed(by_ms)),
        };
        meter.advance(step(1_003_000), reading(0, 30, 0, 0));
        meter.advance(step(1_004_000), reading(0, 40, 0, 0));
        meter.cut();
        let new = 1_003_000 + by_ms;
        assert_eq!(
            facts(&meter),
            [
                (1_000_000, 1_003_000, measured(0, 30, 0, 0, 3_000, 3_000)),
                (1_003_000, 1_003_001, UsageBody::ClockStep { by_ms }),
                (new, new + 1_000, measured(0, 10, 0, 0, 1_000, 1_000)),
            ]
        );
    }
}

#[test]
fn a_calendar_that_is_held_loses_nothing() {
    let mut meter = meter(10_000);
    meter.start(key(1), Since::Start);
    meter.advance(Stamp { unix: HOUR.plus(10_000), ..stamp(11_500) }, reading(0, 5, 0, 0));
    meter.cut();
    assert_eq!(facts(&meter), []);
    meter.advance(Stamp { unix: HOUR.plus(11_000), ..stamp(12_500) }, reading(0, 9, 0, 0));
    meter.cut();
    assert_eq!(facts(&meter), [(10_000, 11_000, measured(0, 9, 0, 0, 2_500, 2_500))]);
}

#[test]
fn an_adopted_process_is_counted_from_its_first_reading() {
    let mut meter = meter(0);
    meter.lost_before(UnixMs(HOUR.0 - 1_000));
    meter.start(key(1), Since::Unknown);
    meter.advance(stamp(1_000), reading(100, 500, 500, 0));
    meter.advance(stamp(2_000), reading(100, 510, 505, 0));
    meter.cut();
    assert_eq!(
        facts(&meter),
        [
            (-1_000, 0, UsageBody::Gap(GapReason::DiskLoss)),
            (0, 1_000, UsageBody::Gap(GapReason::Recovered)),
            (0, 2_000, measured(100_000, 10, 0, 5, 2_000, 2_000)),
        ]
    );
}

#[test]
fn a_process_taken_for_ended_is_not_counted_twice() {
    let mut meter = meter(0);
    meter.start(key(1), Since::Start);
    meter.advance(stamp(1_000), reading(0, 100, 100, 0));
    meter.stop();
    meter.start(key(1), Since::Start);
    meter.advance(stamp(2_000), reading(0, 150, 100, 0));
    meter.advance(stamp(3_000), reading(0, 160, 101, 0));
    meter.cut();
    let cpu: Vec<u128> = meter
        .pending()
        .iter()
        .filter_map(|fact| match &fact.body {
            UsageBody::Measured(quantities) => Some(quantities.cpu_used),
            UsageBody::Gap(_) | UsageBody::ClockStep { .. } => None,
        })
        .collect();
    assert_eq!(cpu, [100, 10]);
}

/// What happens to a metered server.
#[derive(Clone, Debug)]
enum Op {
    /// Time passes, the process works, a reading is taken.
    Read {
        ms: u64,
        cpu: u64,
        sent: u64,
    },
    /// As before, but the cgroup could not be read.
    Miss {
        ms: u64,
    },
    Cut,
    CutIfDue,
    Restart,
    /// State and facts reach the disk.
    Commit,
    /// The daemon dies and comes back; the process goes on.
    Crash,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let ms = prop_oneof![4 => 1..20_000_u64, 1 => 20_000..400_000_u64, 1 => 400_000..8_000_000_u64];
    let op = prop_oneof![
        6 => (ms.clone(), 0..50_000_u64, 0..9_u64).prop_map(|(ms, cpu, sent)| Op::Read { ms, cpu, sent }),
        1 => ms.prop_map(|ms| Op::Miss { ms }),
        1 => Just(Op::Cut),
        3 => Just(Op::CutIfDue),
        1 => Just(Op::Restart),
        2 => Just(Op::Commit),
        1 => Just(Op::Crash),
    ];
    prop::collection::vec(op, 1..60)
}

proptest! {
    /// The disk holds a meter and its facts, always of one moment. Whatever happens, the facts that
    /// are on disk in the end add up to what the kernel counted and to the time that passed.
    #[test]
    fn no_crash_between_commits_loses_or_doubles(ops in ops()) {
        let mut live = meter(0);
        let (mut disk, mut outbox) = (live.clone(), Vec::<UsageFact>::new());
        let (mut now, mut cpu, mut sent, mut runs) = (0, 0, 0, 0);
        let (mut cpu_before, mut sent_before) = (0, 0);
        let commit = |live: &mut ServerMeter, disk: &mut ServerMeter, outbox: &mut Vec<_>| {
            outbox.extend(live.pending().iter().cloned());
            live.forget(usize::MAX);
            *disk = live.clone();
        };
        live.start(key(0), Since::Start);
        commit(&mut live, &mut disk, &mut outbox);
        for op in ops {
            match op {
                Op::Read { ms, cpu: more_cpu, sent: more_sent } => {
                    now += ms;
                    cpu += more_cpu;
                    sent += more_sent;
                    live.advance(stamp(now), reading(1_000, cpu, sent, 77));
                }
                Op::Miss { ms } => {
                    now += ms;
                    live.advance(stamp(now), Reading::default());
                }
                Op::Cut => live.cut(),
                Op::CutIfDue => live.cut_if_due(WINDOW_MS),
                // A process ends with a last reading, and the change is committed with it.
                Op::Restart => {
                    live.advance(stamp(now + 1), reading(0, cpu, sent, 77));
                    now += 1;
                    runs += 1;
                    cpu_before += cpu;
                    sent_before += sent;
                    (cpu, sent) = (0, 0);
                    live.start(key(runs), Since::Start);
                    commit(&mut live, &mut disk, &mut outbox);
                }
                Op::Commit => commit(&mut live, &mut disk, &mut outbox),
                Op::Crash => {
                    live = disk.clone();
                    live.resume(BootId([1; 16]), stamp(now));
                }
            }
        }
        live.advance(stamp(now + 1), reading(1_000, cpu, sent, 77));
        live.cut();
        commit(&mut live, &mut disk, &mut outbox);
        let mut total = Quantities::default();
        let mut end = HOUR;
        for fact in &outbox {
            prop_assert!(HourSpan::new(fact.from, fact.to).is_ok());
            if let UsageBody::Measured(quantities) = &fact.body {
                prop_assert_eq!(fact.from, end, "spans adjoin");
                end = fact.to;
                for meter in crate::fact::Meter::ALL {
                    *total.of_mut(meter) += quantities.of(meter);
                }
            }
        }
        let time = u128::from(now + 1);
        prop_assert_eq!(end, stamp(now + 1).unix);
        prop_assert_eq!(total.cpu_used, u128::from(cpu_before + cpu));
        prop_assert_eq!(total.egress, u128::from(sent_before + sent));
        prop_assert_eq!(total.memory_allocated, time * 1_000);
        prop_assert_eq!(total.cpu_allocated, time * 2);
        prop_assert_eq!(total.disk_allocated, time * 50);
        prop_assert!(total.memory_used <= time * 1_000, "a gauge is never above its highest reading");
        prop_assert!(total.disk_used <= time * 77);
    }

    /// Where windows are cut changes nothing in their sum.
    #[test]
    fn any_cutting_has_the_same_sum(
        samples in prop::collection::vec((1..60_000_u64, 0..5_000_u64, any::<bool>()), 1..50)
    ) {
        let (mut cut, mut whole) = (meter(HOUR_MS - 100_000), meter(HOUR_MS - 100_000));
        let mut now = HOUR_MS - 100_000;
        let mut cpu = 0;
        cut.start(key(0), Since::Start);
        whole.start(key(0), Since::Start);
        let mut exact_doubled = 0;
        let mut last = 0;
        for (ms, memory, is_cut) in samples {
            now += ms;
            cpu += memory;
            exact_doubled += u128::from(last + memory) * u128::from(ms);
            last = memory;
            cut.advance(stamp(now), reading(memory, cpu, 0, 0));
            whole.advance(stamp(now), reading(memory, cpu, 0, 0));
            if is_cut {
                cut.cut();
            }
        }
        cut.cut();
        whole.cut();
        let sum = |meter: &ServerMeter| {
            let mut total = Quantities::default();
            for fact in meter.pending() {
                if let UsageBody::Measured(quantities) = &fact.body {
                    for meter in crate::fact::Meter::ALL {
                        *total.of_mut(meter) += quantities.of(meter);
                    }
                }
            }
            total
        };
        prop_assert_eq!(sum(&cut), sum(&whole));
        prop_assert_eq!(sum(&cut).memory_used, exact_doubled / 2);
        prop_assert_eq!(sum(&cut).cpu_used, u128::from(cpu));
    }
}

//! Pure: a reconciliation as a table for people.

use super::show::table;
use crate::reconcile::{GapLine, NodeLine, Report, Row};
use mamba_core::{
    clock::{UnixMs, span},
    fact::{GapReason, Meter},
};

/// Lays out a report; the last line is the verdict.
pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    let head =
        ["TENANT", "DAY", "METER", "REPORTED", "BILLED", "CLIPPED", "SET ASIDE", "BUCKETS", ""];
    out.push_str(&table(head, report.rows.iter().map(row)));
    if !report.gaps.is_empty() {
        out.push('\n');
        let head = ["TENANT", "DAY", "GAP", "COUNT", "SECONDS"];
        out.push_str(&table(head, report.gaps.iter().map(gap)));
    }
    if !report.nodes.is_empty() {
        out.push('\n');
        let head = ["NODE", "REPORTED", "WAITING", "COMPLETE TO", "LAG", "LOST"];
        out.push_str(&table(head, report.nodes.iter().map(node)));
    }
    out.push('\n');
    out.push_str(&format!(
        "{} facts in custody, {} set aside ({} of no tenant and day)\n",
        report.facts, report.set_aside, report.unattributed
    ));
    if let (Some(hour), Some(age_ms)) = (report.oldest_open_hour, report.oldest_open_age_ms) {
        out.push_str(&format!("oldest hour not yet reconciled: {hour}, {} old\n", span(age_ms)));
    }
    for problem in &report.problems {
        out.push_str(&format!("WRONG: {problem}\n"));
    }
    let more = report.problems_count - report.problems.len() as u64;
    if more > 0 {
        out.push_str(&format!("WRONG: {more} more problems\n"));
    }
    let unequal = report.rows.iter().filter(|it| !it.is_balanced()).count();
    out.push_str(&match (unequal, report.problems_count) {
        (0, 0) => "everything adds up\n".to_owned(),
        (rows, records) => format!("{rows} rows and {records} records do not add up\n"),
    });
    out
}

fn row(it: &Row) -> [String; 9] {
    [
        it.tenant.to_string(),
        day(it.day),
        meter(it.meter).to_owned(),
        it.reported.to_string(),
        it.billed.to_string(),
        it.clipped.to_string(),
        it.set_aside.to_string(),
        it.buckets.to_string(),
        if it.is_balanced() { String::new() } else { "WRONG".to_owned() },
    ]
}

fn gap(it: &GapLine) -> [String; 5] {
    let reason = match it.reason {
        GapReason::Recovered => "recovered",
        GapReason::Reboot => "reboot",
        GapReason::Clock => "clock",
        GapReason::DiskLoss => "disk_loss",
        GapReason::Suspended => "suspended",
    };
    let seconds = (it.ms / 1_000).to_string();
    [it.tenant.to_string(), day(it.day), reason.to_owned(), it.count.to_string(), seconds]
}

fn node(it: &NodeLine) -> [String; 6] {
    let time = |at: Option<UnixMs>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    [
        it.name.clone(),
        time(it.reported_at),
        it.waiting.to_string(),
        time(it.complete_to),
        it.lag_ms.map_or_else(|| "-".to_owned(), span),
        it.lost.to_string(),
    ]
}

fn meter(meter: Meter) -> &'static str {
    match meter {
        Meter::MemoryUsed => "memory_used",
        Meter::CpuUsed => "cpu_used",
        Meter::DiskUsed => "disk_used",
        Meter::Egress => "egress",
        Meter::MemoryAllocated => "memory_allocated",
        Meter::CpuAllocated => "cpu_allocated",
        Meter::DiskAllocated => "disk_allocated",
    }
}

fn day(at: UnixMs) -> String {
    at.to_string().chars().take_while(|&it| it != 'T').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_told_without_its_time() {
        assert_eq!(day(UnixMs(1_795_366_800_000)), "2026-11-22");
    }
}

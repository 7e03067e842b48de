//! What the kernel says about a process and the machine.

use crate::Outcome;
use std::fs;

/// Unit of CPU time in `/proc`, the same on every Linux that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Time of CPU and memory of one process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds of CPU in user and kernel since its start.
    pub(crate) cpu_s: f64,
    /// Resident memory in KiB.
    pub(crate) resident_kib: f64,
    /// The part of it that is pages of files, which are those of the program: the kernel takes them back when
    /// it needs room, and processes of one program share them.
    pub(crate) program_kib: f64,
}

/// Reads what a process has used.
pub(crate) fn usage(pid: u32) -> Outcome<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name stands in brackets and may hold blanks.
    let (_, fields) = stat.rsplit_once(')').ok_or("strange /proc/PID/stat")?;
    let field = |index: usize| -> Outcome<f64> {
        Ok(fields.split_whitespace().nth(index).ok_or("short /proc/PID/stat")?.parse()?)
    };
    let ticks = field(11)? + field(12)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |name: &str| -> Outcome<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let text = line.and_then(|text| text.trim().strip_suffix("kB"));
        Ok(text.ok_or_else(|| format!("no {name}"))?.trim().parse()?)
    };
    let (resident_kib, program_kib) = (kib("VmRSS:")?, kib("RssFile:")?);
    Ok(Usage { cpu_s: ticks / TICKS_PER_SECOND, resident_kib, program_kib })
}

/// Facts of the machine, for the report: what figures cannot be compared without.
pub(crate) fn machine() -> serde_json::Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let of = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
        value.unwrap_or("unknown").to_owned()
    };
    serde_json::json!({
        "cpu": of(&cpuinfo, "model name"),
        "cores": cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
        "memory": of(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_average": read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
    })
}

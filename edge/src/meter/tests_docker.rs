//! The real probe on a real container, compared with what the container itself is told.

use super::*;
use mamba_core::usage::{integrate::Reading, window::RunKey};
use std::process::Command as Program;

const ASK: &str = "MAMBA_TEST_DOCKER";
const IMAGE: &str = "mamba/probe:1";

/// A container that is removed when the test ends, however it ends.
struct Running(String);

impl Drop for Running {
    fn drop(&mut self) {
        docker(&["rm", "-f", &self.0]);
    }
}

fn docker(args: &[&str]) -> Option<String> {
    let out = Program::new("docker").args(args).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// Runs a shell line in the container and returns the one number that it prints.
fn inside(running: &Running, line: &str) -> u64 {
    docker(&["exec", &running.0, "sh", "-c", line]).unwrap().parse().unwrap()
}

const CPU_US: &str = "if [ -f /sys/fs/cgroup/cpuacct/cpuacct.usage ]; \
    then echo $(($(cat /sys/fs/cgroup/cpuacct/cpuacct.usage) / 1000)); \
    else sed -n 's/^usage_usec //p' /sys/fs/cgroup/cpu.stat; fi";
const SENT: &str = "sed -n 's/^ *eth0: *//p' /proc/net/dev | tr -s ' ' | cut -d' ' -f9";

#[tokio::test]
async fn a_real_container_is_read_as_it_reads_itself() {
    if std::env::var_os(ASK).is_none() {
        println!("skipped: set {ASK}=1 to run it on the Docker Engine");
        return;
    }
    // Uses CPU, sends to the gateway, and holds 20 MB of memory.
    let work = "x=$(head -c 20000000 /dev/zero | tr '\\0' a); i=0; \
        while [ $i -lt 50000 ]; do i=$((i+1)); done; \
        ping -c 3 -i 0.2 -s 1000 $(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p') >/dev/null; \
        echo ready; sleep 60; echo ${#x}";
    let id = docker(&["run", "-d", "--cap-add", "NET_RAW", IMAGE, "sh", "-c", work]).unwrap();
    let running = Running(id.clone());
    let state = |format: &str| docker(&["inspect", "--format", format, &running.0]).unwrap();
    let pid: u32 = state("{{.State.Pid}}").parse().unwrap();
    let mut tries = 0;
    while docker(&["logs", &running.0]).unwrap() != "ready" {
        tries += 1;
        assert!(tries < 300, "container did not get ready: {}", state("{{json .State}}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let probe = SystemProbe::default();
    let key = RunKey { container: id, started_at: UnixMs(1), pid };
    let (cpu_before, sent_before) = (inside(&running, CPU_US), inside(&running, SENT));
    let seen = probe.look(vec![key.clone()]).await;
    let (cpu_after, sent_after) = (inside(&running, CPU_US), inside(&running, SENT));
    let [Seen::Here(Reading { memory_bytes, cpu_us, sent_bytes, disk_bytes: None })] = seen[..]
    else {
        panic!("{seen:?}")
    };
    assert!((cpu_before..=cpu_after).contains(&cpu_us.unwrap()), "{cpu_before} {cpu_us:?}");
    assert!((sent_before..=sent_after).contains(&sent_bytes.unwrap()), "{sent_bytes:?}");
    assert!(sent_bytes.unwrap() >= 3_000 || sent_before < 3_000, "{sent_bytes:?}");
    assert!((20_000_000..100_000_000).contains(&memory_bytes.unwrap()), "{memory_bytes:?}");

    // The same process id with another container's name is not believed.
    let other = RunKey { container: "0".repeat(64), ..key.clone() };
    assert_eq!(probe.look(vec![other, key.clone()]).await[0], Seen::Gone);
    docker(&["kill", &running.0]).unwrap();
    let mut seen = probe.look(vec![key.clone()]).await;
    for _ in 0..100 {
        if seen == [Seen::Gone] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        seen = probe.look(vec![key.clone()]).await;
    }
    panic!("a killed process is still seen: {seen:?}");
}

//! Sees in the kernel's log that it killed a game over its memory limit.
//!
//! The engine's own flag is not to be relied on: it comes from an event that can arrive after the
//! exit, and where some cgroup controllers are not mounted it never comes at all (seen with Engine
//! 20.10 and containerd 1.6 on cgroup v1). The kernel's counter in the cgroup is gone by the time
//! the exit is known. Its log stays, names the cgroup since Linux 4.19, and holds what happened
//! while the daemon was away. Without the right to read it, the engine's flag is all there is.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    sync::{Mutex, PoisonError},
};

const LOG: &str = "/dev/kmsg";
/// The kernel gives one record per read and none longer than this.
const RECORD_BYTES: usize = 8 * 1024;
/// Records read at once; the log of a usual kernel holds some thousand.
const RECORDS_MAX: usize = 50_000;
/// Kills remembered: one is looked for within seconds.
const KILLS_MAX: usize = 1_024;

/// What the kernel's log said so far.
#[derive(Debug, Default)]
pub(super) struct KernelLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    log: Option<File>,
    /// Cgroups of killed processes, oldest first.
    kills: VecDeque<String>,
}

impl KernelLog {
    /// Whether the kernel killed a process of this container over its memory limit. Reads what
    /// the log has beyond the last call; never waits.
    pub(super) fn has_killed_in(&self, container: &str) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.read();
        state.kills.iter().any(|cgroup| cgroup.contains(container))
    }
}

impl State {
    fn read(&mut self) {
        if self.log.is_none() {
            let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
            self.log = OpenOptions::new().read(true).custom_flags(flags).open(LOG).ok();
        }
        let Some(log) = &mut self.log else { return };
        let mut record = [0; RECORD_BYTES];
        for _ in 0..RECORDS_MAX {
            match log.read(&mut record) {
                Ok(len) => {
                    let text = String::from_utf8_lossy(&record[..len]);
                    if let Some(cgroup) = killed_cgroup(&text) {
                        self.kills.push_back(cgroup.to_owned());
                        self.kills.drain(..self.kills.len().saturating_sub(KILLS_MAX));
                    }
                }
                // Records were overwritten before they were read; the next read goes on behind.
                Err(err) if err.kind() == ErrorKind::BrokenPipe => {}
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// Reads the cgroup from a record that tells of a kill.
fn killed_cgroup(record: &str) -> Option<&str> {
    let (_, message) = record.split_once(';')?;
    let (_, rest) = message.strip_prefix("oom-kill:")?.split_once(",task_memcg=")?;
    rest.split(',').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_of_a_kill_is_read() {
        let check = |record: &str, expected: Option<&str>| {
            assert_eq!(killed_cgroup(record), expected, "{record}");
        };
        check(
            "6,4212,4039504202,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=a,\
             mems_allowed=0,oom_memcg=/docker,task_memcg=/docker/db0d,task=tail,pid=1,uid=988\n",
            Some("/docker/db0d"),
        );
        check(
            "6,1,1,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,\
             global_oom,task_memcg=/system.slice/docker-db0d.scope,task=java,pid=1,uid=988\n",
            Some("/system.slice/docker-db0d.scope"),
        );
        check("6,1,1,-;usb 1-1: new device,task_memcg=/docker/db0d\n", None);
        check("rubbish", None);
    }
}

//! What of a server's limits this machine cannot hold it to. The engine leaves such a limit out with a
//! warning when it makes a container; people should know before.

use bollard::models::SystemInfo;
use std::path::Path;

/// Where the kernel's control groups are.
pub(super) const CGROUPS: &str = "/sys/fs/cgroup";

/// Names each thing that cannot be done here.
pub(super) fn lacks(info: &SystemInfo, cgroups: &Path) -> Vec<&'static str> {
    let checks = [
        (info.cpu_set == Some(false), "binding to processors"),
        (info.oom_kill_disable == Some(false), "waiting for memory instead of being killed"),
        (!has_io_weight(cgroups), "weights at the disk"),
    ];
    checks.into_iter().filter(|(is_missing, _)| *is_missing).map(|(_, what)| what).collect()
}

/// Whether the engine can give weights: it looks for the same files.
fn has_io_weight(cgroups: &Path) -> bool {
    match std::fs::read_to_string(cgroups.join("cgroup.controllers")) {
        Ok(all) => all.split_whitespace().any(|it| it == "io"),
        Err(_) => cgroups.join("blkio/blkio.weight").exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kernel_and_engine_do_not_have_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let able = || SystemInfo {
            cpu_set: Some(true),
            oom_kill_disable: Some(true),
            ..SystemInfo::default()
        };
        let weights = "weights at the disk";
        assert_eq!(lacks(&able(), dir.path()), [weights]);
        std::fs::create_dir(dir.path().join("blkio")).unwrap();
        std::fs::write(dir.path().join("blkio/blkio.weight"), "500").unwrap();
        assert!(lacks(&able(), dir.path()).is_empty());
        // With the second version of control groups there is another list.
        std::fs::write(dir.path().join("cgroup.controllers"), "cpuset cpu memory pids").unwrap();
        assert_eq!(lacks(&able(), dir.path()), [weights]);
        std::fs::write(dir.path().join("cgroup.controllers"), "cpuset cpu io memory pids").unwrap();
        assert!(lacks(&able(), dir.path()).is_empty());
        let poor = SystemInfo { cpu_set: Some(false), oom_kill_disable: Some(false), ..able() };
        assert_eq!(lacks(&poor, dir.path()).len(), 2);
    }
}

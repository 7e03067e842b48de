//! Files of the kernel about control groups.

use crate::Input;

/// The edge's parser. Its file is pure, so that it can be a module here without the edge.
#[path = "../../../edge/src/meter/cgroup.rs"]
#[allow(dead_code, reason = "the edge uses all of it")]
mod kernel;

/// Takes up to three files with zero bytes between.
pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let (cgroup, mountinfo, counts) = (input.text(), input.text(), input.text());
    for controller in ["memory", "cpuacct", "cpu", "pids", ""] {
        if let Some(group) = kernel::group(controller, &cgroup, &mountinfo) {
            assert_eq!(kernel::group(controller, &cgroup, &mountinfo), Some(group));
        }
    }
    let _ = kernel::is_in(&counts, &cgroup);
    for version in [kernel::Version::V1, kernel::Version::V2] {
        if let Some(used) = kernel::working_set_bytes(version, &cgroup, &counts) {
            let usage: u64 = cgroup.trim().parse().unwrap();
            assert!(used <= usage, "a working set is part of what is used");
        }
        let _ = kernel::cpu_us(version, &counts);
    }
    let _ = kernel::sent_bytes(&counts);
}

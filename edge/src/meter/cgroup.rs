//! Pure: where the kernel counts what a container uses, and how it writes it down.
//!
//! Works for cgroup v1, v2 and hybrid machines and for both of the engine's drivers, because no path
//! is guessed: `/proc/<pid>/cgroup` names the group of each controller and
//! `/proc/self/mountinfo` where that controller's tree is mounted.

use std::path::{Path, PathBuf};

/// Which files a controller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// One tree per controller.
    V1,
    /// One tree for all.
    V2,
}

/// A directory of the cgroup file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Which files it has.
    pub(super) version: Version,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// Returns the group that holds a process for `controller`, by the contents of its
/// `/proc/<pid>/cgroup` and of `/proc/self/mountinfo`. `None` when no mounted tree has it.
#[must_use]
pub(super) fn group(controller: &str, cgroup: &str, mountinfo: &str) -> Option<Group> {
    let v1 = || {
        let path = cgroup.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|it| it == controller).then_some(path)
        })?;
        let is_tree = |mount: &Mount<'_>| {
            mount.kind == "cgroup" && mount.options.split(',').any(|it| it == controller)
        };
        Some(Group { version: Version::V1, path: within(mountinfo, path, is_tree)? })
    };
    let v2 = || {
        let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
        let is_tree = |mount: &Mount<'_>| mount.kind == "cgroup2";
        Some(Group { version: Version::V2, path: within(mountinfo, path, is_tree)? })
    };
    v1().or_else(v2)
}

/// Whether a process is in a group of this container. Full ids of 64 hexadecimal digits do not
/// occur in a path by chance.
#[must_use]
pub(super) fn is_in(container: &str, cgroup: &str) -> bool {
    !container.is_empty() && cgroup.lines().any(|line| line.contains(container))
}

/// Returns the working set: what is used but for file pages that the kernel can drop at once.
#[must_use]
pub(super) fn working_set_bytes(version: Version, usage: &str, stat: &str) -> Option<u64> {
    let inactive = match version {
        Version::V1 => "total_inactive_file",
        Version::V2 => "inactive_file",
    };
    let usage: u64 = usage.trim().parse().ok()?;
    Some(usage.saturating_sub(keyed(stat, inactive)?))
}

/// Returns CPU time in microseconds out of `cpuacct.usage` or `cpu.stat`.
#[must_use]
pub(super) fn cpu_us(version: Version, text: &str) -> Option<u64> {
    match version {
        Version::V1 => text.trim().parse::<u64>().ok().map(|ns| ns / 1_000),
        Version::V2 => keyed(text, "usage_usec"),
    }
}

/// Returns the bytes sent by all interfaces but loopback, out of `/proc/<pid>/net/dev`.
#[must_use]
pub(super) fn sent_bytes(net_dev: &str) -> Option<u64> {
    let mut lines = net_dev.lines();
    let is_known = |line: &str| line.contains("Receive") && line.contains("Transmit");
    if !lines.next().is_some_and(is_known) || !lines.next()?.contains("bytes") {
        return None;
    }
    let mut sum = 0_u64;
    for line in lines.filter(|line| !line.trim().is_empty()) {
        // The number may follow the colon without a blank.
        let (name, numbers) = line.split_once(':')?;
        // Eight numbers about receiving come first.
        let sent: u64 = numbers.split_ascii_whitespace().nth(8)?.parse().ok()?;
        if name.trim() != "lo" {
            sum = sum.checked_add(sent)?;
        }
    }
    Some(sum)
}

/// Returns the number behind a name in lines of `name number`.
fn keyed(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

struct Mount<'a> {
    /// What of the file system is mounted.
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

fn within(mountinfo: &str, path: &str, is_tree: impl Fn(&Mount<'_>) -> bool) -> Option<PathBuf> {
    let mount = mountinfo.lines().filter_map(mount).find(is_tree)?;
    let point = unescape(mount.point);
    let below = Path::new(path).strip_prefix(unescape(mount.root)).unwrap_or(Path::new(path));
    Some(Path::new(&point).join(below.strip_prefix("/").unwrap_or(below)))
}

fn mount(line: &str) -> Option<Mount<'_>> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    Some(Mount { root, point, kind: after.next()?, options: after.nth(1)? })
}

/// The kernel writes blanks, tabs, line ends and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = text.to_owned();
    for (code, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(code, plain);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "13430ea1882c3361cd9d690c937d88304daaa1351d849fd7fff6d9057631ba3b";
    const V1_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const V2_MOUNTS: &str =
        "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[track_caller]
    fn check(controller: &str, cgroup: &str, mounts: &str, expected: Option<(Version, &str)>) {
        let expected =
            expected.map(|(version, path)| Group { version, path: path.replace("ID", ID).into() });
        assert_eq!(group(controller, &cgroup.replace("ID", ID), mounts), expected);
    }

    #[test]
    fn groups_are_found_for_each_version_and_driver() {
        let v1 = "12:memory:/docker/ID\n4:cpuacct,cpu:/docker/ID\n1:name=systemd:/docker/ID\n0::/docker/ID\n";
        let memory = "/sys/fs/cgroup/memory/docker/ID";
        check("memory", v1, V1_MOUNTS, Some((Version::V1, memory)));
        check(
            "cpuacct",
            v1,
            V1_MOUNTS,
            Some((Version::V1, "/sys/fs/cgroup/cpu,cpuacct/docker/ID")),
        );
        let v2_systemd = "0::/system.slice/docker-ID.scope\n";
        let scope = "/sys/fs/cgroup/system.slice/docker-ID.scope";
        check("memory", v2_systemd, V2_MOUNTS, Some((Version::V2, scope)));
        check("cpuacct", v2_systemd, V2_MOUNTS, Some((Version::V2, scope)));
        check(
            "memory",
            "0::/docker/ID\n",
            V2_MOUNTS,
            Some((Version::V2, "/sys/fs/cgroup/docker/ID")),
        );
        // Hybrid: a controller that no v1 tree has is in the unified one.
        let hybrid = "3:cpu,cpuacct:/docker/ID\n0::/docker/ID\n";
        check("memory", hybrid, V1_MOUNTS, Some((Version::V2, "/sys/fs/cgroup/unified/docker/ID")));
    }

    #[test]
    fn a_mount_of_a_part_of_the_tree_is_taken_off_the_path() {
        let mounts = "35 31 0:32 /kubepods /host/cg\\040roup rw - cgroup2 cgroup2 rw\n";
        check("memory", "0::/kubepods/ID\n", mounts, Some((Version::V2, "/host/cg roup/ID")));
    }

    #[test]
    fn what_is_malformed_or_missing_is_no_group() {
        for (cgroup, mounts) in [
            ("", V2_MOUNTS),
            ("0::/x", ""),
            ("0::/x", "35 31 0:32 /"),
            ("0::/x", "35 31 0:32 / /p rw cgroup2 cgroup2 rw"),
            ("memory:/x", V1_MOUNTS),
            ("4:memory", V1_MOUNTS),
        ] {
            check("memory", cgroup, mounts, None);
        }
    }

    #[test]
    fn membership_is_told_by_the_id() {
        let text = format!("4:memory:/docker/{ID}\n");
        assert!(is_in(ID, &text));
        assert!(!is_in("23430ea1", &text));
        assert!(!is_in("", &text));
        assert!(!is_in(ID, "4:memory:/user.slice\n"));
    }

    #[test]
    fn the_working_set_leaves_out_what_can_be_dropped() {
        let v1 = "cache 1970176\ninactive_file 5\ntotal_inactive_file 1957888\ntotal_active_file 12288\n";
        let v2 = "anon 409600\nfile 2000000\ninactive_file 1500000\nactive_file 500000\n";
        for (version, usage, stat, expected) in [
            (Version::V1, "2658304\n", v1, Some(700_416)),
            (Version::V2, "2658304\n", v2, Some(1_158_304)),
            (Version::V1, "7\n", v1, Some(0)),
            (Version::V1, "2658304\n", v2, None),
            (Version::V2, "max\n", v2, None),
            (Version::V2, "", v2, None),
            (Version::V2, "-1", v2, None),
            (Version::V2, "9", "inactive_file x\n", None),
            (Version::V2, "9", "", None),
        ] {
            assert_eq!(working_set_bytes(version, usage, stat), expected, "{version:?} {usage}");
        }
    }

    #[test]
    fn cpu_time_is_in_microseconds() {
        let v2 = "usage_usec 125000\nuser_usec 100000\nsystem_usec 25000\nnr_periods 0\n";
        for (version, text, expected) in [
            (Version::V1, "22544254\n", Some(22_544)),
            (Version::V2, v2, Some(125_000)),
            (Version::V1, v2, None),
            (Version::V2, "user_usec 1\n", None),
            (Version::V2, "usage_usec\n", None),
            (Version::V1, "", None),
        ] {
            assert_eq!(cpu_us(version, text), expected, "{version:?} {text}");
        }
    }

    #[test]
    fn sent_bytes_are_those_of_all_interfaces_but_loopback() {
        let head = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
";
        let lo = "    lo:     900       9    0    0    0     0          0         0      900       9    0    0    0     0       0          0\n";
        let eth0 = "  eth0:     310       3    0    0    0     0          0         0       42       1    0    0    0     0       0          0\n";
        let eth1 = "  eth1:123456789 3 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n";
        for (text, expected) in [
            (format!("{head}{lo}{eth0}{eth1}"), Some(50)),
            (format!("{head}{lo}"), Some(0)),
            (head.to_owned(), Some(0)),
            (format!("{head}  eth0: 1 2 3\n"), None),
            (format!("{head}  eth0: 1 2 3 4 5 6 7 8 x\n"), None),
            (format!("{head}  eth0 1 2 3 4 5 6 7 8 9\n"), None),
            (format!("{eth0}{eth1}"), None),
            (String::new(), None),
        ] {
            assert_eq!(sent_bytes(&text), expected, "{text}");
        }
    }
}

//! Pure: folders of a node that a game sees besides its own data.
//!
//! What a mount may show is the node's decision, by the list in its own settings; here is only what a
//! mount may look like at all.

use crate::error::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most mounts of a server.
pub const MOUNTS_MAX: usize = 16;
/// Most bytes of a path.
const PATH_BYTES_MAX: usize = 512;
/// Where nothing may be mounted: the game's own folder, and what would hide the image itself.
const TAKEN: [&str; 4] = ["/home/container", "/home", "/tmp", "/"];
/// Where nothing may be mounted, nor below it: the kernel's.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A folder of the node in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Folder on the node, an absolute path below one that the node allows.
    pub source: String,
    /// Where the game finds it, an absolute path.
    pub target: String,
    /// Whether the game may only read it.
    #[serde(default)]
    pub read_only: bool,
}

/// Checks the mounts of a server.
///
/// # Errors
/// The first field that breaks a rule, by its path below `mounts`.
pub fn check_mounts(mounts: &[Mount]) -> Result<(), Invalid> {
    if mounts.len() > MOUNTS_MAX {
        return Err(Invalid::new("mounts", format!("must be at most {MOUNTS_MAX}")));
    }
    for (index, mount) in mounts.iter().enumerate() {
        let refuse = |name: &str, rule: &str| {
            Err(Invalid::new(format!("mounts.{index}.{name}"), rule.to_owned()))
        };
        let path = "must be an absolute path of at most 512 bytes, without `.`, `..`, a slash at its end \
                    and control characters";
        if !is_plain_path(&mount.source) || mount.source == "/" {
            return refuse("source", path);
        }
        if !is_plain_path(&mount.target) {
            return refuse("target", path);
        }
        let is_kernel = KERNEL.iter().any(|it| is_at_or_below(&mount.target, it));
        if is_kernel || TAKEN.contains(&mount.target.as_str()) {
            return refuse("target", "is a place that the container needs itself");
        }
        if mounts[..index].iter().any(|other| other.target == mount.target) {
            return refuse("target", "must not be given twice");
        }
    }
    Ok(())
}

fn is_at_or_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a path is absolute and is spelled in the one way.
fn is_plain_path(path: &str) -> bool {
    let Some(inner) = path.strip_prefix('/') else { return false };
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.len() <= PATH_BYTES_MAX
        && !path.contains(|it: char| it.is_control() || it == '\\')
        && (inner.is_empty() || inner.split('/').all(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_two_plain_paths_and_hides_nothing_that_is_needed() {
        let at = |source: &str, target: &str| Mount {
            source: source.to_owned(),
            target: target.to_owned(),
            read_only: true,
        };
        let long = format!("/{}", "a".repeat(512));
        for (source, target, refused) in [
            ("/srv/maps", "/mnt/maps", None),
            ("/srv/maps", "/home/container/maps", None),
            ("/srv/maps", "/process", None),
            ("srv", "/mnt", Some("source")),
            ("/", "/mnt", Some("source")),
            ("/srv/../etc", "/mnt", Some("source")),
            ("/srv/", "/mnt", Some("source")),
            ("/srv//maps", "/mnt", Some("source")),
            ("/srv/a\nb", "/mnt", Some("source")),
            (&long, "/mnt", Some("source")),
            ("/srv", "mnt", Some("target")),
            ("/srv", "/mnt/./x", Some("target")),
            ("/srv", "/", Some("target")),
            ("/srv", "/home/container", Some("target")),
            ("/srv", "/proc", Some("target")),
            ("/srv", "/sys/fs/cgroup", Some("target")),
            ("/srv", "/dev/shm", Some("target")),
        ] {
            let found = check_mounts(&[at(source, target)]).err().map(|it| it.field);
            let expected = refused.map(|it| format!("mounts.0.{it}"));
            assert_eq!(found, expected, "{source} {target}");
        }
        let twice = [at("/srv/a", "/mnt"), at("/srv/b", "/mnt")];
        assert_eq!(check_mounts(&twice).unwrap_err().field, "mounts.1.target");
        let many: Vec<_> = (0..=MOUNTS_MAX).map(|it| at("/srv", &format!("/mnt/{it}"))).collect();
        assert_eq!(check_mounts(&many).unwrap_err().field, "mounts");
        assert_eq!(check_mounts(&many[1..]), Ok(()));
    }
}

//! Which folders of the node a game may see besides its own, by the operator's list.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Folders below which everything may be mounted, and the one that never may. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct AllowedMounts {
    allowed: Arc<[PathBuf]>,
    /// The daemon's own folder: other servers' data and the node's key are in it.
    own: PathBuf,
}

/// Why a folder of the node is not mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// It cannot be looked at.
    #[error("mount source `{path}` cannot be used")]
    Source {
        /// Which, as the wish names it.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A rule refuses it.
    #[error("mount source `{path}` {rule}")]
    Refused {
        /// Which, as the wish names it.
        path: String,
        /// Why.
        rule: &'static str,
    },
}

impl AllowedMounts {
    /// Allows what is below these folders, never what holds or is in `own`.
    pub(super) fn new(allowed: Vec<PathBuf>, own: PathBuf) -> Self {
        Self { allowed: allowed.into(), own }
    }

    /// Allows what is below these folders instead.
    pub(super) fn allowing(self, allowed: Vec<PathBuf>) -> Self {
        Self::new(allowed, self.own)
    }

    /// Returns the folder that a mount's source leads to. To be called before each start: what was
    /// right yesterday may be a symbolic link today.
    ///
    /// # Errors
    /// `Source` when it is not there; `Refused` when it is no folder, is not below an allowed one, has
    /// to do with the daemon's own folder, or could be exchanged by somebody else until it is mounted.
    pub(super) fn resolve(&self, wanted: &str) -> Result<PathBuf, MountError> {
        let failed = |source| MountError::Source { path: wanted.to_owned(), source };
        let refused = |rule| Err(MountError::Refused { path: wanted.to_owned(), rule });
        let path = fs::canonicalize(wanted).map_err(failed)?;
        if !fs::metadata(&path).map_err(failed)?.is_dir() {
            return refused("is not a folder");
        }
        let is_below = |folder: &PathBuf| {
            fs::canonicalize(folder).is_ok_and(|folder| path.starts_with(folder))
        };
        if !self.allowed.iter().any(is_below) {
            return refused("is not below a folder of `allowed_mounts` in the node's edge.toml");
        }
        let own = fs::canonicalize(&self.own).map_err(failed)?;
        if path.starts_with(&own) || own.starts_with(&path) {
            return refused("has to do with the daemon's own folder");
        }
        let mut above = path.ancestors().skip(1);
        match above.try_fold(true, |kept, it| Ok(kept && is_kept(it)?)).map_err(failed)? {
            true => Ok(path),
            false => refused("is in a folder that others than root can write to"),
        }
    }
}

/// Whether only root, or who runs the daemon, can exchange what is in a folder. With the sticky bit
/// others may add to it, and cannot take away what is not theirs.
fn is_kept(folder: &Path) -> io::Result<bool> {
    const STICKY: u32 = 0o1000;
    let found = fs::metadata(folder)?;
    let is_ours = found.uid() == 0 || found.uid() == rustix::process::geteuid().as_raw();
    Ok(is_ours && (found.mode() & 0o022 == 0 || found.mode() & STICKY != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Row of the advisories: mounts by prefix, where `/srv/maps-of-others` begins with `/srv/maps`.
    #[test]
    fn only_folders_below_an_allowed_one_that_nobody_can_exchange_are_mounted() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["maps/a", "maps/open/b", "maps-of-others", "own/servers", "all/own2"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("maps/file"), "").unwrap();
        fs::set_permissions(at("maps/open"), fs::Permissions::from_mode(0o777)).unwrap();
        symlink(at("maps-of-others"), at("maps/link")).unwrap();
        symlink(at("maps/a"), at("to-a")).unwrap();
        let check = |own: &str, wanted: &str| {
            let list = vec![at("maps"), at("own"), at("all"), at("none")];
            let guard = AllowedMounts::new(list, at(own));
            let found = guard.resolve(at(wanted).to_str().unwrap());
            found.map_err(|err| err.to_string().split("` ").nth(1).unwrap_or_default().to_owned())
        };
        assert_eq!(check("own", "maps").unwrap(), at("maps"));
        assert_eq!(check("own", "maps/a").unwrap(), at("maps/a"));
        assert_eq!(
            check("own", "to-a").unwrap(),
            at("maps/a"),
            "it is where it leads to that counts"
        );
        // Who may write to the folder itself is the operator's business.
        assert_eq!(check("own", "maps/open").unwrap(), at("maps/open"));
        for (own, wanted, rule) in [
            ("own", "maps/none", "cannot be used"),
            ("own", "none", "cannot be used"),
            ("own", "maps/file", "is not a folder"),
            ("own", "maps-of-others", "is not below"),
            ("own", "maps/link", "is not below"),
            ("own", "own/servers", "has to do with"),
            ("all/own2", "all", "has to do with"),
            ("own", "maps/open/b", "is in a folder that others"),
        ] {
            let err = check(own, wanted).unwrap_err();
            assert!(err.starts_with(rule), "{wanted}: {err}");
        }
    }
}

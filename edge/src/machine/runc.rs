//! Pure: versions of runc, which starts every container, and the ways out of one that older ones have.

use mamba_wire::node::CheckLevel;

/// The first version of each line in which every known way out of a container is closed. Lines above
/// have all of that from their beginning; older ones get nothing any more.
const MENDED: &[[u32; 3]] = &[[1, 3, 6], [1, 4, 3]];

/// Returns what there is to say about a version.
pub(super) fn judge(version: &str) -> (CheckLevel, String) {
    let Some(found) = parse(version) else {
        return (CheckLevel::Warn, format!("the version `{version}` cannot be read"));
    };
    let line = MENDED.iter().find(|it| it[..2] == found[..2]);
    let is_newer = MENDED.iter().all(|it| found[..2] > it[..2]);
    if line.map_or(is_newer, |least| found >= *least) {
        return (CheckLevel::Ok, version.to_owned());
    }
    let text = format!(
        "{version} is older than 1.3.6 and 1.4.3, which close ways out of a container \
         (CVE-2026-41579 and those before it); update it, unless your distribution has mended this one"
    );
    (CheckLevel::Warn, text)
}

/// Reads `1.1.5+ds1` and the like: three numbers and what a distribution added. One that was not
/// released yet is older than its numbers say.
fn parse(version: &str) -> Option<[u32; 3]> {
    let numbers = version.split(['+', '~', '-']).next()?;
    let mut parts = numbers.split('.').map(|part| part.parse::<u32>().ok());
    let found = [parts.next()??, parts.next()??, parts.next()??];
    let is_candidate = version.contains("-rc");
    parts.next().is_none().then_some(if is_candidate {
        [found[0], found[1], found[2].saturating_sub(1)]
    } else {
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CVE-2019-5736, CVE-2021-30465, CVE-2024-21626, CVE-2025-31133, CVE-2025-52565, CVE-2025-52881 and
    /// CVE-2026-41579: ways out of a container.
    #[test]
    fn a_runc_with_a_known_way_out_is_named() {
        for (version, is_good) in [
            ("1.0.0-rc6", false),
            ("1.0.0-rc94", false),
            ("1.1.5+ds1", false),
            ("1.1.11", false),
            ("1.1.12", false),
            ("1.2.7", false),
            ("1.3.2", false),
            ("1.3.5", false),
            ("1.3.6", true),
            ("1.3.6-0ubuntu1~24.04", true),
            ("1.4.0-rc.2", false),
            ("1.4.2", false),
            ("1.4.3-1gl0", true),
            ("1.4.10", true),
            ("1.5.0", true),
            ("2.0.0", true),
            ("", false),
            ("1.4", false),
            ("new", false),
            ("1.4.3.1", false),
        ] {
            let (level, text) = judge(version);
            assert_eq!(level == CheckLevel::Ok, is_good, "{version}: {text}");
            assert!(text.contains(version) && level != CheckLevel::Fail);
        }
    }
}

//! Versions of runc, which starts every container, and the ways out of one that older ones have.

use super::{DockerRuntime, RuntimeError, Session};
use mamba_wire::node::CheckLevel;

/// The first version of each line in which every known way out of a container is closed. Lines above
/// have all of that from their beginning; older ones get nothing any more.
const MENDED: &[[u32; 3]] = &[[1, 3, 6], [1, 4, 3]];

impl DockerRuntime {
    /// Refuses to start anything by a runc that may not be used.
    pub(super) async fn check_runc(&self) -> Result<(), RuntimeError> {
        let refusal = |session: Session| {
            let (level, why) = judge(&session.info.runc?, self.allow_old_runc);
            (level == CheckLevel::Fail).then_some(why)
        };
        if refusal(self.session().await?).is_none() {
            return Ok(());
        }
        // It may have been updated since the engine was asked.
        match refusal(self.connect().await?) {
            None => Ok(()),
            Some(why) => Err(RuntimeError::Refused { step: "start", error: format!("runc {why}") }),
        }
    }
}

/// Returns what there is to say about a version; nothing is started by one that fails.
///
/// `allow_old` is what the settings say of those with a known way out. When they say nothing, one that
/// a distribution made is used: they mend what they ship without a new number.
pub(crate) fn judge(version: &str, allow_old: Option<bool>) -> (CheckLevel, String) {
    let found = parse(version);
    if found.is_some_and(is_mended) {
        return (CheckLevel::Ok, version.to_owned());
    }
    let what = match found {
        Some(_) => format!(
            "{version} is older than 1.3.6 and 1.4.3, which close ways out of a container \
             (CVE-2026-41579 and those before it)"
        ),
        None => format!("`{version}` is not a version that can be read"),
    };
    let is_patched = found.is_some() && is_of_distribution(version);
    if allow_old.unwrap_or(is_patched) {
        let text = format!("{what}; update it, unless your distribution has mended this one");
        return (CheckLevel::Warn, text);
    }
    let text = format!(
        "{what}; nothing is started by it: update it, or set `allow_old_runc = true` if it was mended"
    );
    (CheckLevel::Fail, text)
}

/// Whether every known way out is closed.
fn is_mended(found: [u32; 3]) -> bool {
    let line = MENDED.iter().find(|it| it[..2] == found[..2]);
    let is_newer = MENDED.iter().all(|it| found[..2] > it[..2]);
    line.map_or(is_newer, |least| found >= *least)
}

/// Whether a distribution has put its own mark behind the number. Upstream marks only what it has not
/// released.
fn is_of_distribution(version: &str) -> bool {
    let mark = version.trim_start_matches(|it: char| it.is_ascii_digit() || it == '.');
    !mark.is_empty() && !["-rc", "+dev"].iter().any(|it| mark.starts_with(it))
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
    use crate::runtime::{ContainerId, Runtime as _};
    use serde_json::json;
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::UnixListener,
        sync::watch,
        task::JoinSet,
    };

    /// CVE-2019-5736, CVE-2021-30465, CVE-2024-21626, CVE-2025-31133, CVE-2025-52565, CVE-2025-52881 and
    /// CVE-2026-41579: ways out of a container.
    #[test]
    fn a_runc_with_a_known_way_out_is_refused_unless_it_may_be_mended() {
        use CheckLevel::{Fail, Ok, Warn};
        for (version, unsaid) in [
            ("1.0.0-rc6", Fail),
            ("1.0.0-rc94", Fail),
            ("1.0.0~rc93+ds1", Warn),
            ("1.1.5+ds1", Warn),
            ("1.1.12-0ubuntu2~22.04.1", Warn),
            ("1.1.11", Fail),
            ("1.1.12", Fail),
            ("1.1.0+dev", Fail),
            ("1.2.7", Fail),
            ("1.3.2", Fail),
            ("1.3.5", Fail),
            ("1.3.6", Ok),
            ("1.3.6-0ubuntu1~24.04", Ok),
            ("1.4.0-rc.2", Fail),
            ("1.4.2", Fail),
            ("1.4.3-1gl0", Ok),
            ("1.4.10", Ok),
            ("1.5.0", Ok),
            ("2.0.0", Ok),
            ("", Fail),
            ("1.4", Fail),
            ("new", Fail),
            ("new+ds1", Fail),
            ("1.4.3.1", Fail),
        ] {
            let is_good = unsaid == Ok;
            for (allow_old, expected) in [
                (None, unsaid),
                (Some(true), if is_good { Ok } else { Warn }),
                (Some(false), if is_good { Ok } else { Fail }),
            ] {
                let (level, text) = judge(version, allow_old);
                assert_eq!(level, expected, "{version} {allow_old:?}: {text}");
                assert!(text.contains(version), "{text}");
                assert_eq!(text.contains("allow_old_runc"), level == Fail, "{text}");
            }
        }
    }

    /// An engine that knows a version of runc and starts everything: how often, and by which version.
    async fn engine(listener: UnixListener, runc: watch::Receiver<&'static str>) -> ! {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut request = String::new();
            while stream.read_line(&mut request).await.unwrap() > 2 {}
            let body = if request.contains("/version ") {
                let runc = *runc.borrow();
                let runc = json!({ "Name": "runc", "Version": runc });
                json!({ "ApiVersion": "1.41", "Components": [runc] }).to_string()
            } else {
                "{}".to_owned()
            };
            let head = if request.contains("/start ") {
                "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned()
            } else {
                let length = body.len();
                let kind = "Content-Type: application/json\r\nConnection: close";
                format!("HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{body}")
            };
            stream.write_all(head.as_bytes()).await.unwrap();
        }
    }

    /// CVE-2024-21626 and the like.
    #[tokio::test]
    async fn nothing_is_started_by_an_old_runc_until_it_was_updated() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let (version, known) = watch::channel("1.1.5");
        let mut engines = JoinSet::new();
        engines.spawn(engine(UnixListener::bind(&socket).unwrap(), known));
        let (runtime, id) = (DockerRuntime::new(&socket), ContainerId("a".to_owned()));
        let refused = runtime.start(&id).await.unwrap_err();
        assert!(matches!(refused, RuntimeError::Refused { step: "start", .. }), "{refused}");
        assert!(refused.to_string().contains("1.1.5 is older than"), "{refused}");
        let trusting = runtime.clone().with_old_runc(Some(true));
        trusting.start(&id).await.unwrap();
        // The engine went on meanwhile.
        version.send_replace("1.3.6");
        runtime.start(&id).await.unwrap();
        let strict = DockerRuntime::new(&socket).with_old_runc(Some(false));
        version.send_replace("1.1.5+ds1");
        assert!(strict.start(&id).await.is_err());
        DockerRuntime::new(&socket).start(&id).await.unwrap();
    }
}

//! Answers for people and for programs.

use super::{CliError, Output, admin::AdminReply, reconcile};
use crate::{audit::Verified, nodes::NodeDetail, secrets::Rotated};
use mamba_core::{access::Administration, clock::UnixMs};
use mamba_wire::{
    api::{
        LinkState,
        node::{Node, Standing},
        registry::Registry,
        transfer::Transfer,
    },
    node::{Check, CheckLevel},
};
use serde::Serialize;

/// Prints an answer; a failure becomes the command's.
pub(super) fn reply(reply: &AdminReply) -> Result<Output, CliError> {
    match reply {
        AdminReply::Failure(failure) => Err(failure.clone().into()),
        AdminReply::Done => {
            output("done; all sessions of the account have ended\n".to_owned(), &(), true)
        }
        AdminReply::Granted(admin) => {
            let rights: Vec<_> = admin.rights().iter().map(|it| it.name()).collect();
            let text = match admin {
                Administration::Root => "the account may do everything\n".to_owned(),
                _ if rights.is_empty() => "the account is no administrator\n".to_owned(),
                Administration::Some(_) | Administration::None => {
                    format!("the account has these rights: {}\n", rights.join(" "))
                }
            };
            output(text, admin, true)
        }
        AdminReply::Checks(found) => checks(found),
        AdminReply::Reconciled(report) => {
            output(reconcile::text(report), report, report.is_balanced())
        }
        AdminReply::Token(token) => {
            let text = format!("{}\n(works once, until {})\n", token.token, token.expires_at);
            output(text, token, true)
        }
        AdminReply::Nodes(nodes) => output(node_table(nodes), nodes, true),
        AdminReply::Node(detail) => output(node_detail(detail), detail, true),
        AdminReply::Transfers(open) => output(transfers(open), open, true),
        AdminReply::AuditVerified(found) => output(audit(found), found, found.is_whole()),
        AdminReply::SecretsRotated(done) => {
            let Rotated { rewrapped, fingerprint } = done;
            let text = format!("{rewrapped} secrets are sealed with master key {fingerprint}\n");
            output(text, done, true)
        }
        AdminReply::Requeued(done) => {
            let text = format!("{} facts booked, {} stay in quarantine\n", done.booked, done.left);
            output(text, done, true)
        }
        AdminReply::Registries(found) => {
            let line = |it: &Registry| format!("{}  {}\n", it.registry, it.user);
            let text = match found.as_slice() {
                [] => "no logins\n".to_owned(),
                found => found.iter().map(line).collect(),
            };
            output(text, found, true)
        }
        AdminReply::Blueprint(done) => {
            output(format!("{} version {}\n", done.blueprint, done.version), done, true)
        }
        AdminReply::Backup(done) => {
            let text = format!(
                "{}: {} records, {} bytes, digest {}\n",
                done.file.display(),
                done.pairs,
                done.bytes,
                done.digest
            );
            output(text, done, true)
        }
    }
}

/// Says of each open move how far it is and what holds it up.
fn transfers(open: &[Transfer]) -> String {
    if open.is_empty() {
        return "no server is being moved\n".to_owned();
    }
    let rows = open.iter().map(|it| {
        let done = match (it.bytes_done, it.bytes_total) {
            (Some(done), Some(total)) => format!("{done} of {total} bytes"),
            (Some(done), None) => format!("{done} bytes"),
            (None, _) => "-".to_owned(),
        };
        let waiting = it.waiting.map(|it| format!("{it:?}"));
        let held = it.trouble.clone().or(waiting).unwrap_or_else(|| "-".to_owned());
        let phase = format!("{:?}", it.phase);
        [it.server.to_string(), it.from.to_string(), it.to.to_string(), phase, done, held]
    });
    table(["SERVER", "FROM", "TO", "PHASE", "COPIED", "HELD UP BY"], rows)
}

/// Says what of the audit trail was checked, and where it breaks.
fn audit(found: &Verified) -> String {
    let Verified { chains, entries, anchors, breaks } = found;
    let mut text = format!("{entries} entries in {chains} chains, {anchors} anchors\n");
    for it in breaks {
        let whose = it.tenant.map_or("the installation".to_owned(), |it| format!("tenant {it}"));
        text.push_str(&format!("BROKEN {whose}, number {}: {}\n", it.number, it.what));
    }
    if breaks.is_empty() {
        text.push_str("the audit trail is whole\n");
    }
    text
}

/// Prints findings; the command fails when one of them does.
pub(super) fn checks(checks: &[Check]) -> Result<Output, CliError> {
    let rows = checks.iter().map(|check| {
        let level = match check.level {
            CheckLevel::Ok => "ok",
            CheckLevel::Warn => "WARN",
            CheckLevel::Fail => "FAIL",
        };
        [level.to_owned(), check.name.clone(), check.text.clone()]
    });
    let is_good = checks.iter().all(|check| check.level < CheckLevel::Fail);
    output(table(["LEVEL", "CHECK", "FOUND"], rows), &checks, is_good)
}

fn output(text: String, value: &impl Serialize, is_good: bool) -> Result<Output, CliError> {
    let json = serde_json::to_string_pretty(value).map_err(|err| CliError::failed(&err))?;
    Ok(Output { text, json: format!("{json}\n"), is_good })
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Quarantined => "quarantined",
        Standing::Revoked => "revoked",
    }
}

fn link(link: LinkState) -> &'static str {
    match link {
        LinkState::Live => "live",
        LinkState::Delayed => "delayed",
        LinkState::Unreachable => "unreachable",
    }
}

fn time(at: Option<UnixMs>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.to_string())
}

fn node_table(nodes: &[Node]) -> String {
    let rows = nodes.iter().map(|it| {
        [
            it.name.clone(),
            standing(it.standing).to_owned(),
            link(it.freshness.link).to_owned(),
            it.servers.to_string(),
            it.software.clone().unwrap_or_else(|| "-".to_owned()),
            time(it.freshness.as_of),
            it.node.to_string(),
        ]
    });
    table(["NAME", "STANDING", "LINK", "SERVERS", "SOFTWARE", "LAST HEARD", "ID"], rows)
}

fn node_detail(detail: &NodeDetail) -> String {
    let NodeDetail { node, why, seen, counters, .. } = detail;
    let none = || "-".to_owned();
    let standing = match why {
        Some(why) => format!("{} ({why})", standing(node.standing)),
        None => standing(node.standing).to_owned(),
    };
    let mut rows = vec![
        ("name", node.name.clone()),
        ("id", node.node.to_string()),
        ("standing", standing),
        ("link", link(node.freshness.link).to_owned()),
        ("last heard", time(node.freshness.as_of)),
        ("enrolled", node.enrolled_at.to_string()),
        ("servers", node.servers.to_string()),
        ("software", node.software.clone().unwrap_or_else(none)),
        ("address", seen.as_ref().map_or_else(none, |it| it.remote.clone())),
        ("facts", format!("{} ({} came again)", counters.facts, counters.repeated)),
        ("facts set aside", counters.quarantined.to_string()),
    ];
    if let Some(machine) = &node.machine {
        let mib = |bytes: u64| bytes >> 20;
        let (free, all) = (mib(machine.disk_free_bytes), mib(machine.disk_bytes));
        rows.push(("processors", machine.cpus.to_string()));
        rows.push(("memory", format!("{} MiB", mib(machine.memory_bytes))));
        rows.push(("disk", format!("{free} of {all} MiB free")));
        rows.push(("engine", machine.engine.clone().unwrap_or_else(none)));
        rows.extend(machine.troubles.iter().map(|it| ("trouble", it.clone())));
    }
    table(["", ""], rows.into_iter().map(|(name, value)| [name.to_owned(), value]))
}

/// Lays rows out in columns of equal width.
pub(super) fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let has_head = head.iter().any(|cell| !cell.is_empty());
    let head = has_head.then_some(head.map(str::to_owned));
    let rows: Vec<[String; N]> = head.into_iter().chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "1"], ["größer", "22"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(["N", "COUNT"], rows.clone()), "N       COUNT\na       1\ngrößer  22\n");
        assert_eq!(table(["", ""], rows), "a       1\ngrößer  22\n");
    }
}

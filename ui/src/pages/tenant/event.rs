//! Pure: entries of the audit trail in words.

use crate::{
    i18n::{fill, t},
    time,
};
use mamba_core::{
    audit::{AuditActor, Change},
    ids::UserId,
};
use mamba_wire::api::audit::AuditItem;

/// What of the trail one can look for: beginnings of event names, and what they are called.
pub(super) fn areas() -> [(&'static str, &'static str); 8] {
    let texts = &t().tenant;
    [
        ("", texts.audit_all),
        ("member:", texts.event_member),
        ("role:", texts.event_role),
        ("tenant:", texts.event_tenant),
        ("server:", texts.event_server),
        ("server:power", texts.event_power),
        ("server:console", texts.event_console),
        ("server:subuser", texts.event_subuser),
    ]
}

/// Says who did it. `name` knows addresses of accounts; nobody else's are known here.
pub(super) fn who(actor: &AuditActor, name: &dyn Fn(UserId) -> Option<String>) -> String {
    let texts = &t().tenant;
    let named = |user: &UserId| name(*user).unwrap_or_else(|| texts.somebody.to_owned());
    match actor {
        AuditActor::Account(user) => named(user),
        AuditActor::ApiKey { user, .. } => fill(texts.with_key, &[("who", &named(user))]),
        AuditActor::Node(_) => texts.by_node.to_owned(),
        AuditActor::Operator(name) => fill(texts.by_operator, &[("name", name)]),
        AuditActor::System => texts.by_hub.to_owned(),
    }
}

/// Says in one line what became of what.
pub(super) fn what(changes: &[Change]) -> String {
    let one = |change: &Change| {
        let Change { field, before, after } = change;
        match (before, after) {
            (Some(before), Some(after)) => format!("{field}: {before} → {after}"),
            (None, Some(after)) => format!("{field}: {after}"),
            (Some(before), None) => format!("{field}: {before} →"),
            (None, None) => field.clone(),
        }
    };
    changes.iter().map(one).collect::<Vec<_>>().join(" · ")
}

/// Returns the columns of a file of entries.
pub(super) const COLUMNS: [&str; 8] =
    ["number", "time", "who", "door", "address", "event", "server", "changes"];

/// Returns an entry as a line of such a file.
pub(super) fn row(item: &AuditItem, name: &dyn Fn(UserId) -> Option<String>) -> String {
    let entry = &item.entry;
    let door = serde_json::to_string(&entry.door).unwrap_or_default();
    line(&[
        item.number.to_string(),
        time::iso(entry.at),
        who(&entry.actor, name),
        door.trim_matches('"').to_owned(),
        entry.address.map(|it| it.to_string()).unwrap_or_default(),
        entry.event.clone(),
        entry.server.map(|it| it.to_string()).unwrap_or_default(),
        what(&entry.changes),
    ])
}

/// Returns a line of comma-separated values. A value that a spreadsheet would take for a formula gets a
/// sign in front that makes it text.
pub(super) fn line(values: &[String]) -> String {
    let cell = |value: &String| {
        let is_formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let sign = if is_formula { "'" } else { "" };
        format!("\"{sign}{}\"", value.replace('"', "\"\""))
    };
    let mut line = values.iter().map(cell).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_any_text_and_no_formula() {
        for (value, expected) in [
            ("plain", "\"plain\"\r\n"),
            ("a \"b\", c\nd", "\"a \"\"b\"\", c\nd\"\r\n"),
            ("=1+1", "\"'=1+1\"\r\n"),
            ("@x", "\"'@x\"\r\n"),
            ("", "\"\"\r\n"),
        ] {
            assert_eq!(line(&[value.to_owned()]), expected);
        }
    }

    #[test]
    fn changes_and_actors_are_told_in_words() {
        let change = |before: Option<&str>, after: Option<&str>| Change::new("role", before, after);
        for (change, expected) in [
            (change(Some("a"), Some("b")), "role: a → b"),
            (change(None, Some("b")), "role: b"),
            (change(Some("a"), None), "role: a →"),
        ] {
            assert_eq!(what(&[change]), expected);
        }
        let user = UserId::from_bytes([1; 16]);
        let known = |_| Some("a@b.c".to_owned());
        assert_eq!(who(&AuditActor::Account(user), &known), "a@b.c");
        assert_eq!(who(&AuditActor::Account(user), &|_| None), "somebody else");
        assert_eq!(who(&AuditActor::Operator("root".to_owned()), &known), "operator root");
    }
}

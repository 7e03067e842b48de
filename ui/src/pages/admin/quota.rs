//! What a tenant may use, as fields and in words.

use super::capacity::cores;
use crate::{
    i18n::{fill, t},
    net::Failure,
    parts::{Field, size},
    reactive::selector,
};
use mamba_core::{quota::Quota, units::MIB};
use sycamore::prelude::*;

/// What is typed.
#[derive(Clone, Copy)]
pub(super) struct QuotaDraft {
    memory: Signal<String>,
    cpu: Signal<String>,
    disk: Signal<String>,
    servers: Signal<String>,
    backups: Signal<String>,
    ports: Signal<String>,
}

impl QuotaDraft {
    /// Begins with a quota.
    pub(super) fn new(quota: &Quota) -> Self {
        let text = |it: Option<u64>| create_signal(it.map(|it| it.to_string()).unwrap_or_default());
        Self {
            memory: text(quota.memory_mib),
            cpu: text(quota.cpu_millicores),
            disk: text(quota.disk_mib),
            servers: text(quota.servers),
            backups: text(quota.backups),
            ports: text(quota.allocations),
        }
    }

    /// Returns the quota, `None` when something is no number. What is empty is not limited.
    pub(super) fn read(self) -> Option<Quota> {
        let amount = |text: Signal<String>| text.with_untracked(|it| limit(it));
        Some(Quota {
            memory_mib: amount(self.memory)?,
            cpu_millicores: amount(self.cpu)?,
            disk_mib: amount(self.disk)?,
            servers: amount(self.servers)?,
            backups: amount(self.backups)?,
            allocations: amount(self.ports)?,
        })
    }
}

fn limit(text: &str) -> Option<Option<u64>> {
    match text.trim() {
        "" => Some(None),
        text => text.parse().ok().map(Some),
    }
}

/// Returns the fields.
pub(super) fn fields(draft: QuotaDraft, failure: Signal<Option<Failure>>) -> View {
    let (texts, own) = (&t().servers, &t().admin);
    let all = [
        (own.servers, "quota.servers", draft.servers, ""),
        (texts.memory, "quota.memory_mib", draft.memory, "MiB"),
        (texts.cpu, "quota.cpu_millicores", draft.cpu, texts.millicores),
        (texts.disk, "quota.disk_mib", draft.disk, "MiB"),
        (own.backups, "quota.backups", draft.backups, ""),
        (own.ports, "quota.allocations", draft.ports, ""),
    ];
    let all: Vec<View> = all
        .into_iter()
        .map(|(label, name, value, unit)| {
            let wrong = selector(move || {
                let is_right = value.with(|it| limit(it).is_some());
                (!is_right).then(|| t().servers.whole_number.to_owned())
            });
            view! {
                Field(label=label, name=name, value=value, unit=unit, inputmode="numeric", optional=true,
                    placeholder=own.unlimited, failure=failure, wrong=wrong)
            }
        })
        .collect();
    let all = View::from(all);
    view! { div(class="columns") { (all) } }
}

/// Returns a quota in words.
pub(super) fn words(quota: &Quota) -> String {
    let texts = &t().admin;
    let mib = |it: Option<u64>| it.map(|it| size(it.saturating_mul(MIB)));
    let number = |text: &str, it: Option<u64>| it.map(|it| fill(text, &[("n", &it)]));
    let parts: Vec<String> = [
        number(texts.quota_servers, quota.servers),
        mib(quota.memory_mib),
        quota.cpu_millicores.map(cores),
        mib(quota.disk_mib).map(|it| fill(texts.quota_disk, &[("size", &it)])),
        number(texts.quota_backups, quota.backups),
        number(texts.quota_ports, quota.allocations),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() { texts.unlimited.to_owned() } else { parts.join(" · ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_in_words_names_what_is_limited() {
        assert_eq!(words(&Quota::default()), "Not limited");
        let quota = Quota { servers: Some(2), disk_mib: Some(10_240), ..Quota::default() };
        assert_eq!(words(&quota), "2 servers · 10 GiB disk");
        assert_eq!((limit(""), limit("7"), limit("x")), (Some(None), Some(Some(7)), None));
    }
}

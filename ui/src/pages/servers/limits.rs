//! What a server may use, as fields.

use super::left::{self, Left};
use crate::reactive::selector;
use crate::{
    change::kept,
    i18n::t,
    net::Failure,
    parts::{Field, nothing},
};
use mamba_core::{
    error::Invalid,
    server::{Limits, Sharing, Threads},
    units::{Mib, Millicores},
};
use sycamore::prelude::*;

/// What somebody wants a server to use.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Wanted {
    pub(super) limits: Limits,
    /// Most ports that its owner may take.
    pub(super) ports: u32,
    /// Most backups.
    pub(super) backups: u32,
}

/// What is typed.
#[derive(Clone, Copy)]
pub(super) struct Amounts {
    memory: Signal<String>,
    swap: Signal<String>,
    cpu: Signal<String>,
    disk: Signal<String>,
    pids: Signal<String>,
    ports: Signal<String>,
    backups: Signal<String>,
    /// Empty for all processors.
    threads: Signal<String>,
    /// Empty for that of every other server.
    io_weight: Signal<String>,
    oom_disabled: Signal<bool>,
}

impl Amounts {
    /// Begins with these.
    pub(super) fn new(now: &Wanted) -> Self {
        let Wanted { limits, ports, backups } = now;
        let text = |number: u32| create_signal(number.to_string());
        let Sharing { threads, io_weight, oom_disabled } = limits.sharing;
        Self {
            memory: text(limits.memory_mib.0),
            swap: text(limits.swap_mib.0),
            cpu: text(limits.cpu_millicores.0),
            disk: text(limits.disk_mib.0),
            pids: text(limits.pids),
            ports: text(*ports),
            backups: text(*backups),
            threads: create_signal(threads.map(|it| it.to_string()).unwrap_or_default()),
            io_weight: create_signal(io_weight.map(|it| it.to_string()).unwrap_or_default()),
            oom_disabled: create_signal(oom_disabled),
        }
    }

    /// Returns what is wanted, when all of it can be read.
    pub(super) fn read(self) -> Option<Wanted> {
        let number = |text: Signal<String>| text.with(|it| it.trim().parse::<u32>().ok());
        let limits = Limits {
            memory_mib: Mib(number(self.memory)?),
            swap_mib: Mib(number(self.swap)?),
            cpu_millicores: Millicores(number(self.cpu)?),
            disk_mib: Mib(number(self.disk)?),
            pids: number(self.pids)?,
            sharing: Sharing {
                threads: self.threads.with(|it| threads_of(it)).ok()?,
                io_weight: self.io_weight.with(|it| io_weight_of(it)).ok()?,
                oom_disabled: self.oom_disabled.get(),
            },
        };
        Some(Wanted { limits, ports: number(self.ports)?, backups: number(self.backups)? })
    }
}

/// Reads processors; the rule when there are none such.
fn threads_of(text: &str) -> Result<Option<Threads>, String> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|err: Invalid| err.rule),
    }
}

/// Reads a weight at the disk; the rule when it is none.
fn io_weight_of(text: &str) -> Result<Option<u16>, String> {
    let io_weight = match text.trim() {
        "" => None,
        text => Some(text.parse().map_err(|_| t().servers.whole_number.to_owned())?),
    };
    let sharing = Sharing { io_weight, ..Sharing::USUAL };
    sharing.check().map(|()| io_weight).map_err(|err| err.rule)
}

/// Returns limits with what somebody changed in them; the others as they are `now`.
pub(super) fn kept_limits(before: &Limits, typed: Limits, now: &Limits) -> Limits {
    Limits {
        memory_mib: kept(&before.memory_mib, typed.memory_mib, &now.memory_mib),
        swap_mib: kept(&before.swap_mib, typed.swap_mib, &now.swap_mib),
        cpu_millicores: kept(&before.cpu_millicores, typed.cpu_millicores, &now.cpu_millicores),
        disk_mib: kept(&before.disk_mib, typed.disk_mib, &now.disk_mib),
        pids: kept(&before.pids, typed.pids, &now.pids),
        sharing: Sharing {
            threads: kept(&before.sharing.threads, typed.sharing.threads, &now.sharing.threads),
            io_weight: kept(
                &before.sharing.io_weight,
                typed.sharing.io_weight,
                &now.sharing.io_weight,
            ),
            oom_disabled: kept(
                &before.sharing.oom_disabled,
                typed.sharing.oom_disabled,
                &now.sharing.oom_disabled,
            ),
        },
    }
}

/// The fields.
#[component(inline_props)]
pub(super) fn LimitFields(
    amounts: Amounts,
    failure: Signal<Option<Failure>>,
    /// What is left, where somebody should know.
    #[prop(default, setter(strip_option))]
    left: Option<ReadSignal<Left>>,
) -> View {
    let texts = &t().servers;
    let fields = [
        (texts.memory, "limits.memory_mib", amounts.memory, "MiB", ""),
        (texts.swap, "limits.swap_mib", amounts.swap, "MiB", ""),
        (texts.cpu, "limits.cpu_millicores", amounts.cpu, texts.millicores, ""),
        (texts.disk, "limits.disk_mib", amounts.disk, "MiB", ""),
        (texts.pids, "limits.pids", amounts.pids, "", ""),
        (texts.port_limit, "allocation_limit", amounts.ports, "", ""),
        (texts.backup_limit, "backup_limit", amounts.backups, "", texts.backup_limit_hint),
    ];
    let fields: Vec<View> = fields
        .into_iter()
        .map(|(label, name, value, unit, hint)| {
            let wrong = selector(move || {
                let is_number = value.with(|it| it.trim().parse::<u32>().is_ok());
                (!is_number).then(|| t().servers.whole_number.to_owned())
            });
            let left = left.map(|left| room(left, name, value, unit));
            view! {
                div(class="limit") {
                    Field(label=label, name=name, value=value, unit=unit, hint=hint, inputmode="numeric",
                        failure=failure, wrong=wrong)
                    (left)
                }
            }
        })
        .collect();
    let (fields, sharing) = (View::from(fields), sharing_fields(amounts, failure));
    view! { div(class="columns") { (fields) } (sharing) }
}

fn sharing_fields(amounts: Amounts, failure: Signal<Option<Failure>>) -> View {
    let Amounts { threads, io_weight, oom_disabled, .. } = amounts;
    let no_threads = selector(move || threads.with(|it| threads_of(it).err()));
    let no_weight = selector(move || io_weight.with(|it| io_weight_of(it).err()));
    let texts = &t().servers;
    view! {
        h3 { (texts.sharing) }
        div(class="columns") {
            Field(label=texts.threads, name="limits.sharing.threads", value=threads, optional=true,
                hint=texts.threads_hint, placeholder="0-1,3", failure=failure, wrong=no_threads)
            Field(label=texts.io_weight, name="limits.sharing.io_weight", value=io_weight, optional=true,
                hint=texts.io_weight_hint, inputmode="numeric", failure=failure, wrong=no_weight)
        }
        label(class="check") {
            input(r#type="checkbox", name="limits.sharing.oom_disabled", bind:checked=oom_disabled)
            span { (texts.oom_disabled) span(class="hint") { (texts.oom_disabled_hint) } }
        }
    }
}

/// Returns what is left of what a field takes.
fn room(left: ReadSignal<Left>, name: &str, value: Signal<String>, unit: &'static str) -> View {
    let Some((_, part)) = left::parts().into_iter().find(|it| it.0 == name) else {
        return nothing();
    };
    let text = selector(move || left.with(|it| it.words(part, unit)));
    let is_short = selector(move || {
        let wanted = value.with(|it| it.trim().parse::<u64>().unwrap_or_default());
        left.with(|it| it.is_short(part, wanted))
    });
    view! {
        p(class="hint", data-short=is_short.get().then_some("yes"), hidden=text.with(String::is_empty)) {
            (text.get_clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_and_weights_are_read_by_the_rule_of_the_hub() {
        assert_eq!(threads_of(" "), Ok(None));
        let some = threads_of(" 0-1,3 ").unwrap().unwrap();
        assert_eq!(some.to_string(), "0-1,3");
        for bad in ["x", "3-1", "0-", "99999"] {
            assert!(threads_of(bad).is_err_and(|it| it.contains("0,2-3")), "{bad}");
        }
        for (text, expected) in [("", None), (" 10 ", Some(10)), ("1000", Some(1_000))] {
            assert_eq!(io_weight_of(text), Ok(expected), "{text}");
        }
        assert_eq!(io_weight_of("x"), Err(t().servers.whole_number.to_owned()));
        for bad in ["9", "1001"] {
            assert!(io_weight_of(bad).is_err_and(|it| it.contains("10 to 1000")), "{bad}");
        }
    }

    #[test]
    fn what_nobody_touched_stays_as_another_set_it() {
        let usual = Limits {
            memory_mib: Mib(512),
            swap_mib: Mib(0),
            cpu_millicores: Millicores(1_000),
            disk_mib: Mib(1_024),
            pids: 512,
            sharing: Sharing::USUAL,
        };
        let typed = Sharing { io_weight: Some(500), ..Sharing::USUAL };
        let theirs = Sharing { threads: "0,2".parse().ok(), oom_disabled: true, ..Sharing::USUAL };
        let with = |sharing| Limits { sharing, ..usual };
        let kept = kept_limits(&usual, with(typed), &Limits { pids: 64, ..with(theirs) });
        assert_eq!(kept.pids, 64);
        assert_eq!(kept.sharing, Sharing { io_weight: Some(500), ..theirs });
    }
}

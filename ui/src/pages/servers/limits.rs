//! What a server may use, as fields.

use crate::reactive::selector;
use crate::{i18n::t, net::Failure, parts::Field};
use mamba_core::{
    server::Limits,
    units::{Mib, Millicores},
};
use sycamore::prelude::*;

/// What is typed.
#[derive(Clone, Copy)]
pub(super) struct Amounts {
    memory: Signal<String>,
    swap: Signal<String>,
    cpu: Signal<String>,
    disk: Signal<String>,
    pids: Signal<String>,
    ports: Signal<String>,
}

impl Amounts {
    /// Begins with these.
    pub(super) fn new(limits: &Limits, ports: u32) -> Self {
        let text = |number: u32| create_signal(number.to_string());
        Self {
            memory: text(limits.memory_mib.0),
            swap: text(limits.swap_mib.0),
            cpu: text(limits.cpu_millicores.0),
            disk: text(limits.disk_mib.0),
            pids: text(limits.pids),
            ports: text(ports),
        }
    }

    /// Returns limits and the number of ports, when all are numbers.
    pub(super) fn read(self) -> Option<(Limits, u32)> {
        let number = |text: Signal<String>| text.with(|it| it.trim().parse::<u32>().ok());
        let limits = Limits {
            memory_mib: Mib(number(self.memory)?),
            swap_mib: Mib(number(self.swap)?),
            cpu_millicores: Millicores(number(self.cpu)?),
            disk_mib: Mib(number(self.disk)?),
            pids: number(self.pids)?,
        };
        Some((limits, number(self.ports)?))
    }
}

/// The fields.
#[component(inline_props)]
pub(super) fn LimitFields(amounts: Amounts, failure: Signal<Option<Failure>>) -> View {
    let fields = [
        (t().servers.memory, "limits.memory_mib", amounts.memory, "MiB"),
        (t().servers.swap, "limits.swap_mib", amounts.swap, "MiB"),
        (t().servers.cpu, "limits.cpu_millicores", amounts.cpu, t().servers.millicores),
        (t().servers.disk, "limits.disk_mib", amounts.disk, "MiB"),
        (t().servers.pids, "limits.pids", amounts.pids, ""),
        (t().servers.port_limit, "allocation_limit", amounts.ports, ""),
    ];
    let fields: Vec<View> = fields
        .into_iter()
        .map(|(label, name, value, unit)| {
            let wrong = selector(move || {
                let is_number = value.with(|it| it.trim().parse::<u32>().is_ok());
                (!is_number).then(|| t().servers.whole_number.to_owned())
            });
            view! {
                Field(label=label, name=name, value=value, unit=unit, inputmode="numeric", failure=failure,
                    wrong=wrong)
            }
        })
        .collect();
    let fields = View::from(fields);
    view! { div(class="columns") { (fields) } }
}

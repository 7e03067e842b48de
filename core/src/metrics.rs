//! Pure: numbers in Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

/// Content type of [`render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How a number moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up and down.
    Gauge,
    /// Only up.
    Counter,
}

/// Numbers of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// The name.
    pub name: &'static str,
    /// How they move.
    pub kind: Kind,
    /// What they are, in one sentence.
    pub help: &'static str,
    /// Labels and number; no two have the same labels.
    pub samples: Vec<(Vec<(&'static str, String)>, u64)>,
}

impl Family {
    /// Names gauges that differ in their labels.
    #[must_use]
    pub fn gauge(
        name: &'static str,
        help: &'static str,
        samples: Vec<(Vec<(&'static str, String)>, u64)>,
    ) -> Self {
        Self { name, kind: Kind::Gauge, help, samples }
    }

    /// Names one gauge.
    #[must_use]
    pub fn one(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::gauge(name, help, vec![(Vec::new(), value)])
    }

    /// Names one counter.
    #[must_use]
    pub fn total(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, kind: Kind::Counter, help, samples: vec![(Vec::new(), value)] }
    }
}

/// Writes families in their order.
#[must_use]
pub fn render(families: &[Family]) -> String {
    let mut out = String::new();
    for Family { name, kind, help, samples } in families {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        // Writing to a string cannot fail.
        write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n").ok();
        for (labels, number) in samples {
            let labels: Vec<String> = labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
                .collect();
            let labels =
                if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            writeln!(out, "{name}{labels} {number}").ok();
        }
    }
    out
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_prometheus_reads_them() {
        let labels = vec![("a", "x\"y\\z\n".to_owned()), ("b", String::new())];
        let families = [
            Family { name: "t_total", kind: Kind::Counter, help: "T.", samples: vec![(vec![], 7)] },
            Family::gauge("g", "G.", vec![(labels, 0)]),
        ];
        assert_eq!(
            render(&families),
            "# HELP t_total T.\n# TYPE t_total counter\nt_total 7\n\
             # HELP g G.\n# TYPE g gauge\ng{a=\"x\\\"y\\\\z\\n\",b=\"\"} 0\n"
        );
    }
}

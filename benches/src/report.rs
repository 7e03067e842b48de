//! Figures of one run, and the report over all runs.

use crate::{
    Outcome, criterion_figures,
    misses::{self, Miss},
    process,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Write as _, fs, io::Write as _, path::Path};

/// Which way a figure is good.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// One figure of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) value: f64,
    pub(crate) target: Option<Target>,
    /// The best peer measured on this kind of machine, or the floor.
    pub(crate) peer: Option<f64>,
}

impl Figure {
    pub(crate) fn new(name: &str, unit: &str, value: f64) -> Self {
        Self { name: name.to_owned(), unit: unit.to_owned(), value, target: None, peer: None }
    }

    pub(crate) fn at_most(self, limit: f64) -> Self {
        Self { target: Some(Target::AtMost(limit)), ..self }
    }

    pub(crate) fn at_least(self, limit: f64) -> Self {
        Self { target: Some(Target::AtLeast(limit)), ..self }
    }

    pub(crate) fn beside(self, peer: f64) -> Self {
        Self { peer: Some(peer), ..self }
    }
}

/// What one part measured in one run.
#[derive(Serialize, Deserialize)]
struct Run {
    part: String,
    /// Whether looks were short and the fleet small; such figures vary more.
    quick: bool,
    machine: serde_json::Value,
    figures: Vec<Figure>,
}

/// One figure over all runs.
#[derive(Debug, PartialEq, Serialize)]
struct Line {
    part: String,
    name: String,
    unit: String,
    runs: usize,
    median: f64,
    min: f64,
    max: f64,
    target: Option<Target>,
    reached: Option<bool>,
    ratio_to_target: Option<f64>,
    peer: Option<f64>,
    ratio_to_peer: Option<f64>,
    /// What is known of it when it is missed.
    miss: Option<Miss>,
}

/// Prints a line for the person who waits.
pub(crate) fn say(text: &str) {
    // Without a reader nobody misses it.
    writeln!(std::io::stderr().lock(), "{text}").ok();
}

/// Writes the figures of a part beside those of earlier runs.
pub(crate) fn write_part(out: &Path, part: &str, quick: bool, figures: Vec<Figure>) -> Outcome {
    for figure in &figures {
        say(&format!("{part}: {}: {} {}", figure.name, short(figure.value), figure.unit));
    }
    let run = Run { part: part.to_owned(), quick, machine: process::machine(), figures };
    let number = (1..).find(|number| !out.join(format!("{part}-{number}.run.json")).exists());
    let name = format!("{part}-{}.run.json", number.unwrap_or(1));
    Ok(fs::write(out.join(name), serde_json::to_vec_pretty(&run)?)?)
}

/// Writes the report over all runs in a directory.
pub(crate) fn write(out: &Path) -> Outcome {
    let mut runs = Vec::new();
    for file in fs::read_dir(out)? {
        let path = file?.path();
        if path.to_string_lossy().ends_with(".run.json") {
            runs.push(serde_json::from_slice::<Run>(&fs::read(path)?)?);
        }
    }
    let criterion = criterion_figures::read(&out.join("../criterion"))?;
    let is_quick = runs.iter().any(|run| run.quick);
    let known = misses::known()?;
    let mut lines = lines(&runs);
    lines.extend(criterion.into_iter().map(|(figure, (min, max))| Line {
        min,
        max,
        ..line("criterion", &[&figure])
    }));
    for line in lines.iter_mut().filter(|line| line.reached == Some(false)) {
        line.miss = misses::of(&known, &line.part, &line.name).cloned();
    }
    let machine = process::machine();
    let loads: Vec<_> = runs.iter().map(|run| &run.machine["load_average"]).collect();
    let json = serde_json::json!({
        "machine": machine, "quick": is_quick, "load_averages": loads, "figures": lines,
    });
    fs::write(out.join("report.json"), serde_json::to_vec_pretty(&json)?)?;
    fs::write(out.join("report.md"), markdown(&machine, &loads, is_quick, &lines)?)?;
    say(&format!("report: {}", out.join("report.md").display()));
    Ok(())
}

/// Pure: one line for each figure, in the order of part and first appearance.
fn lines(runs: &[Run]) -> Vec<Line> {
    let mut groups: BTreeMap<(&str, usize, &str), Vec<&Figure>> = BTreeMap::new();
    for run in runs {
        for (place, figure) in run.figures.iter().enumerate() {
            groups.entry((&run.part, place, &figure.name)).or_default().push(figure);
        }
    }
    groups.iter().map(|((part, _, _), figures)| line(part, figures)).collect()
}

fn line(part: &str, figures: &[&Figure]) -> Line {
    let mut values: Vec<f64> = figures.iter().map(|figure| figure.value).collect();
    values.sort_by(f64::total_cmp);
    let median = quantile(&values, 0.5);
    let first = figures.first();
    let target = first.and_then(|figure| figure.target);
    let peer = first.and_then(|figure| figure.peer);
    Line {
        part: part.to_owned(),
        name: first.map(|figure| figure.name.clone()).unwrap_or_default(),
        unit: first.map(|figure| figure.unit.clone()).unwrap_or_default(),
        runs: values.len(),
        median,
        min: values.first().copied().unwrap_or_default(),
        max: values.last().copied().unwrap_or_default(),
        target,
        reached: target.map(|target| match target {
            Target::AtMost(limit) => median <= limit,
            Target::AtLeast(limit) => median >= limit,
        }),
        ratio_to_target: target
            .map(|target| match target {
                Target::AtMost(limit) | Target::AtLeast(limit) => limit,
            })
            .filter(|limit| *limit > 0.0)
            .map(|limit| median / limit),
        peer,
        ratio_to_peer: peer.map(|peer| median / peer),
        miss: None,
    }
}

/// Pure: the value below which a part of the sorted values lies; 0 without any.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index, far below what either type holds"
)]
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
}

/// Sorts the values; returns the one in the middle.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(values, 0.5)
}

fn markdown(
    machine: &serde_json::Value,
    loads: &[&serde_json::Value],
    is_quick: bool,
    lines: &[Line],
) -> Outcome<String> {
    let mut text = String::from("# Benchmarks\n\n");
    if is_quick {
        text.push_str("Quick runs are among these: shorter looks and a smaller fleet.\n\n");
    }
    for (name, value) in machine.as_object().into_iter().flatten() {
        writeln!(text, "- {name}: {value}")?;
    }
    writeln!(text, "- load average at the end of each run: {}\n", serde_json::to_string(loads)?)?;
    text.push_str(
        "| part | figure | median | min to max | runs | target (ratio) | peer or floor (ratio) |\n",
    );
    text.push_str("|---|---|---:|---:|---:|---|---|\n");
    for line in lines {
        let target = match (line.target, line.reached) {
            (Some(target), Some(reached)) => {
                let (word, limit) = match target {
                    Target::AtMost(limit) => ("at most", limit),
                    Target::AtLeast(limit) => ("at least", limit),
                };
                let verdict = if reached { "reached" } else { "**missed**" };
                let ratio = line.ratio_to_target.map(|it| format!(" ({it:.2})"));
                format!("{word} {}{}: {verdict}", short(limit), ratio.unwrap_or_default())
            }
            _ => String::new(),
        };
        let peer = match (line.peer, line.ratio_to_peer) {
            (Some(peer), Some(ratio)) => format!("{} ({ratio:.2})", short(peer)),
            _ => String::new(),
        };
        let (median, min, max) = (short(line.median), short(line.min), short(line.max));
        writeln!(
            text,
            "| {} | {} | {median} {} | {min} to {max} | {} | {target} | {peer} |",
            line.part, line.name, line.unit, line.runs
        )?;
    }
    let missed: Vec<&Line> = lines.iter().filter(|line| line.reached == Some(false)).collect();
    if !missed.is_empty() {
        text.push_str("\n## Missed\n");
    }
    for line in missed {
        writeln!(text, "\n### {}: {}\n", line.part, line.name)?;
        match &line.miss {
            Some(Miss { profile, cause, next, .. }) => {
                writeln!(text, "- profile: {profile}\n- cause: {cause}\n- next step: {next}")?;
            }
            None => writeln!(text, "Nobody has looked into it.")?,
        }
    }
    Ok(text)
}

/// Three digits are more than these figures are good for.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(value: f64) -> Run {
        let figure = Figure::new("latency", "ms", value).at_most(5.0).beside(10.0);
        Run { part: "api".into(), quick: false, machine: "".into(), figures: vec![figure] }
    }

    #[test]
    fn a_line_is_judged_by_its_median() {
        let lines = lines(&[run(9.0), run(4.0), run(1.0)]);
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].median, lines[0].min, lines[0].max), (4.0, 1.0, 9.0));
        assert_eq!((lines[0].reached, lines[0].ratio_to_peer), (Some(true), Some(0.4)));
    }

    #[test]
    fn quantiles_of_nothing_and_of_one_are_defined() {
        let at = |sorted: &[f64], part| short(quantile(sorted, part));
        assert_eq!(at(&[], 0.99), "0.00");
        assert_eq!(at(&[7.0], 0.99), "7.00");
        assert_eq!([at(&[1.0, 2.0, 3.0], 0.5), at(&[1.0, 2.0, 3.0], 1.0)], ["2.00", "3.00"]);
    }
}

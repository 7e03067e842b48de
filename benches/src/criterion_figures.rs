//! Reads what criterion wrote.

use crate::{Outcome, report::Figure};
use serde_json::Value;
use std::{fs, path::Path};

/// Returns each bench's median time with its confidence interval, in the order of their names. Empty
/// when no bench was run.
pub(crate) fn read(dir: &Path) -> Outcome<Vec<(Figure, (f64, f64))>> {
    let mut found = Vec::new();
    if dir.is_dir() {
        collect(dir, &mut found)?;
    }
    found.sort_by(|one, other| one.0.name.cmp(&other.0.name));
    Ok(found)
}

fn collect(dir: &Path, found: &mut Vec<(Figure, (f64, f64))>) -> Outcome {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.ends_with("new") {
            let json = |name: &str| -> Outcome<Value> {
                Ok(serde_json::from_slice(&fs::read(path.join(name))?)?)
            };
            let (bench, median) = (json("benchmark.json")?, &json("estimates.json")?["median"]);
            let us = |value: &Value| value.as_f64().unwrap_or_default() / 1_000.0;
            let name = bench["full_id"].as_str().unwrap_or("unnamed");
            let figure = Figure::new(name, "us", us(&median["point_estimate"]));
            let spread = &median["confidence_interval"];
            found.push((figure, (us(&spread["lower_bound"]), us(&spread["upper_bound"]))));
        } else if path.is_dir() {
            collect(&path, found)?;
        }
    }
    Ok(())
}

//! The series that alerts and dashboards ask for.

use std::{collections::BTreeSet, fs, path::Path};

const MONITORING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/monitoring");

/// The names in a text that look like metrics of ours.
pub(crate) fn names(text: &str) -> BTreeSet<String> {
    let of_name = |c: char| c.is_ascii_lowercase() || c == '_';
    text.split(|c| !of_name(c))
        .filter(|word| word.starts_with("tidegate_") && word.len() > "tidegate_".len())
        .map(str::to_owned)
        .collect()
}

/// What `program`'s alerts and dashboard ask for that is not among these names.
pub(crate) fn missing(program: &str, known: &BTreeSet<String>) -> Vec<String> {
    let mut missing = Vec::new();
    for kind in ["rules.yml", "dashboard.json"] {
        let file = Path::new(MONITORING).join(format!("{program}.{kind}"));
        let used = names(&fs::read_to_string(file).unwrap());
        assert!(used.len() >= 8, "{program}.{kind} uses {used:?}");
        missing.extend(used.into_iter().filter(|one| !is_of(one, known)));
    }
    missing
}

/// A counter or a histogram is known by its own name and asked for by that of its parts.
fn is_of(metric: &str, known: &BTreeSet<String>) -> bool {
    ["", "_bucket", "_sum", "_count", "_total"]
        .iter()
        .filter_map(|part| metric.strip_suffix(part))
        .any(|name| known.contains(name))
}

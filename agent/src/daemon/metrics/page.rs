//! Prometheus' text form.

use std::fmt::Write;

/// A page of series.
#[derive(Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Into<f64>) {
        self.family(name, "gauge", help, &[(String::new(), value.into())]);
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, &[(String::new(), value as f64)]);
    }

    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str, series: &[(String, f64)]) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP tidegate_{name} {help}");
        let _ = writeln!(self.0, "# TYPE tidegate_{name} {kind}");
        for (labels, value) in series {
            let _ = writeln!(self.0, "tidegate_{name}{labels} {value}");
        }
    }
}

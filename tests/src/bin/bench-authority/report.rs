//! The table that comes out.

use std::fmt;
use std::time::Duration;

/// Rows in the order in which they were measured.
pub(crate) struct Report {
    rows: Vec<[String; 5]>,
}

impl Report {
    pub(crate) fn new() -> Self {
        let header = ["what", "figure", "p50", "p99", "promised"];
        Self {
            rows: vec![header.map(str::to_owned)],
        }
    }

    /// One figure.
    pub(crate) fn fact(&mut self, what: &str, figure: String, promised: &str) {
        eprintln!("{what}: {figure}");
        self.rows.push([
            what.to_owned(),
            figure,
            String::new(),
            String::new(),
            promised.to_owned(),
        ]);
    }

    /// How many a second, and how long each took.
    pub(crate) fn rate(
        &mut self,
        what: &str,
        times: &mut [Duration],
        span: Duration,
        promised: &str,
    ) {
        let rate = times.len() as f64 / span.as_secs_f64();
        self.timed(what, format!("{rate:.0}/s"), times, promised);
    }

    /// A figure, and how long each took.
    pub(crate) fn timed(
        &mut self,
        what: &str,
        figure: String,
        times: &mut [Duration],
        promised: &str,
    ) {
        times.sort_unstable();
        let (half, most) = (percentile(times, 50), percentile(times, 99));
        eprintln!("{what}: {figure} (p50 {half}, p99 {most})");
        self.rows
            .push([what.to_owned(), figure, half, most, promised.to_owned()]);
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> String {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    let time = sorted.get(at).copied().unwrap_or_default();
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: [usize; 5] =
            std::array::from_fn(|at| self.rows.iter().map(|row| row[at].len()).max().unwrap_or(0));
        for row in &self.rows {
            let cells = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

//! The table that comes out.

use std::fmt;
use std::time::Duration;

/// What was promised of a figure, and whether it was kept.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    text: String,
    kept: bool,
}

impl Promise {
    /// Nothing was.
    pub(crate) fn nothing() -> Self {
        Self {
            text: String::new(),
            kept: true,
        }
    }

    pub(crate) fn at_most(got: f64, most: f64, unit: &str) -> Self {
        Self {
            text: format!("at most {most} {unit}"),
            kept: got <= most,
        }
    }

    pub(crate) fn at_least(got: f64, least: f64, unit: &str) -> Self {
        Self {
            text: format!("at least {least} {unit}"),
            kept: got >= least,
        }
    }

    /// Something that is so or not.
    pub(crate) fn that(text: &str, kept: bool) -> Self {
        Self {
            text: text.to_owned(),
            kept,
        }
    }

    fn verdict(&self) -> &'static str {
        if self.kept { "" } else { "MISSED" }
    }
}

/// Rows in the order in which they were measured.
pub(crate) struct Report {
    rows: Vec<[String; 6]>,
}

impl Report {
    pub(crate) fn new() -> Self {
        let header = ["what", "figure", "p50", "p99", "promised", ""];
        Self {
            rows: vec![header.map(str::to_owned)],
        }
    }

    /// One figure.
    pub(crate) fn fact(&mut self, what: &str, figure: &str, promise: &Promise) {
        self.row([what, figure, "", ""], promise);
    }

    /// How many a second, and how long each took; `least` a second were promised.
    pub(crate) fn rate(
        &mut self,
        what: &str,
        times: &mut [Duration],
        span: Duration,
        least: Option<f64>,
    ) {
        let rate = times.len() as f64 / span.as_secs_f64();
        let promise = least.map_or_else(Promise::nothing, |least| {
            Promise::at_least(rate, least, "a second")
        });
        let [half, late] = percentiles(times).map(millis);
        self.row([what, &format!("{rate:.0}/s"), &half, &late], &promise);
    }

    /// How long each of some took; all but one of a hundred `most` at most.
    pub(crate) fn timed(
        &mut self,
        what: &str,
        figure: &str,
        times: &mut [Duration],
        most: Duration,
    ) {
        let [half, late] = percentiles(times);
        let in_millis = |time: Duration| time.as_secs_f64() * 1000.0;
        let promise = Promise::at_most(in_millis(late), in_millis(most), "ms (p99)");
        self.row([what, figure, &millis(half), &millis(late)], &promise);
    }

    fn row(&mut self, cells: [&str; 4], promise: &Promise) {
        let [what, figure, half, late] = cells;
        let row = [what, figure, half, late, &promise.text, promise.verdict()];
        eprintln!("{}", row.join("  ").trim_end());
        self.rows.push(row.map(str::to_owned));
    }
}

/// The median, and what all but one of a hundred keep within.
fn percentiles(times: &mut [Duration]) -> [Duration; 2] {
    times.sort_unstable();
    [50, 99].map(|percent| {
        let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(at).copied().unwrap_or_default()
    })
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: [usize; 6] =
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

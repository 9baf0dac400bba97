//! The result, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

/// Something that is measured, in milliseconds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Figure {
    JoinToPing,
    Call,
    LastAfterCall,
    LastAfterAsking,
    InForce,
    Signed,
    Accepted,
    Restart,
}

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Self::JoinToPing => "join: from admission to the first answered ping",
            Self::Call => "revocation: the API call takes",
            Self::LastAfterCall => "last packet, after the call returned",
            Self::LastAfterAsking => "last packet, after the call began",
            Self::InForce => "in force at everybody, after the call returned",
            Self::Signed => "last receipt signed, after the call returned",
            Self::Accepted => "receipts complete, after the call returned",
            Self::Restart => "restart: from SIGKILL to traffic",
        }
    }

    /// The most that is promised, where something is.
    fn promised(self) -> Option<f64> {
        match self {
            Self::JoinToPing => Some(2000.0),
            Self::LastAfterCall => Some(300.0),
            Self::Restart => Some(3000.0),
            _ => None,
        }
    }
}

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Sheet(BTreeMap<Figure, Vec<f64>>);

impl Sheet {
    pub(crate) fn add(&mut self, figure: Figure, millis: f64) {
        self.0.entry(figure).or_default().push(millis);
    }

    /// Whether not one of all values is worse than what is promised.
    pub(crate) fn holds(&self) -> bool {
        self.0.iter().all(|(figure, values)| holds(*figure, values))
    }

    pub(crate) fn as_json(&self) -> Value {
        let figures = self.0.iter().map(|(figure, values)| {
            let [half, most, worst] = percentiles(values);
            json!({
                "figure": figure.name(),
                "count": values.len(),
                "p50_ms": half,
                "p99_ms": most,
                "max_ms": worst,
                "promised_ms": figure.promised(),
                "holds": holds(*figure, values),
                "values_ms": values,
            })
        });
        json!({"figures": figures.collect::<Vec<_>>()})
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<50}{:>6}{:>10}{:>10}{:>10}  promised",
            "milliseconds", "count", "p50", "p99", "max"
        )?;
        for (figure, values) in &self.0 {
            let [half, most, worst] = percentiles(values);
            let promised = match figure.promised() {
                Some(promised) if holds(*figure, values) => format!("{promised:.0}: holds"),
                Some(promised) => format!("{promised:.0}: MISSED"),
                None => String::new(),
            };
            let line = format!(
                "{:<50}{:>6}{half:>10.1}{most:>10.1}{worst:>10.1}  {promised}",
                figure.name(),
                values.len()
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn holds(figure: Figure, values: &[f64]) -> bool {
    let worst = percentiles(values)[2];
    figure.promised().is_none_or(|promised| worst <= promised)
}

/// The median, the 99th of a hundred, and the worst.
fn percentiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    };
    [at(50), at(99), at(100)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentiles(&hundred), [50.0, 99.0, 100.0]);
        assert_eq!(percentiles(&[7.0]), [7.0; 3]);
    }

    #[test]
    fn one_value_that_is_worse_than_promised_is_seen() {
        let mut sheet = Sheet::default();
        sheet.add(Figure::LastAfterCall, 300.0);
        sheet.add(Figure::Call, 1e6); // nothing is promised of it
        assert!(sheet.holds());
        sheet.add(Figure::LastAfterCall, 300.1);
        assert!(!sheet.holds());
        assert!(sheet.to_string().contains("MISSED"));
    }
}

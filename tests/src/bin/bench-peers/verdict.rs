//! What was promised against wireguard-go.

use crate::measure::Sheet;

const OWN: &str = "tidegate";
const RIVAL: &str = "wireguard-go";
/// A bound and what would be better still.
#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64, f64),
    AtMost(f64, f64),
}

/// Our figure over the rival's.
const RATIOS: [(&str, &str, Bound); 9] = [
    ("1 stream", "Gbit/s", Bound::AtLeast(1.4, 1.6)),
    ("8 streams", "Gbit/s", Bound::AtLeast(1.4, 1.6)),
    ("1 both ways", "Gbit/s", Bound::AtLeast(1.5, 1.7)),
    ("8 both ways", "Gbit/s", Bound::AtLeast(1.5, 1.7)),
    ("1 stream", "CPU s/GB", Bound::AtMost(0.65, 0.5)),
    ("8 streams", "CPU s/GB", Bound::AtMost(0.65, 0.5)),
    ("1 both ways", "CPU s/GB", Bound::AtMost(0.65, 0.5)),
    ("8 both ways", "CPU s/GB", Bound::AtMost(0.65, 0.5)),
    ("ping", "p50 us", Bound::AtMost(1.0, 1.0)),
];

/// Figures of ours that stand for themselves.
const FIGURES: [(&str, &str, Bound); 5] = [
    ("memory", "RSS MB", Bound::AtMost(16.0, 16.0)),
    ("10000 idle", "% of a core", Bound::AtMost(1.0, 1.0)),
    ("10000 idle", "RSS MB", Bound::AtMost(120.0, 120.0)),
    ("10000 idle", "add us", Bound::AtMost(1000.0, 1000.0)),
    ("10000 idle", "remove us", Bound::AtMost(1000.0, 1000.0)),
];

/// What is left of the throughput under a flood of handshakes.
const UNDER_FLOOD: Bound = Bound::AtLeast(0.7, 0.7);

/// One promise with what was measured.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) measured: f64,
    pub(crate) required: f64,
    pub(crate) goal: f64,
    pub(crate) at_least: bool,
}

impl Line {
    fn new(what: String, measured: f64, bound: Bound) -> Self {
        let (required, goal, at_least) = match bound {
            Bound::AtLeast(required, goal) => (required, goal, true),
            Bound::AtMost(required, goal) => (required, goal, false),
        };
        Self {
            what,
            measured,
            required,
            goal,
            at_least,
        }
    }

    pub(crate) fn holds(&self) -> bool {
        self.meets(self.required)
    }

    pub(crate) fn reaches_goal(&self) -> bool {
        self.meets(self.goal)
    }

    fn meets(&self, bound: f64) -> bool {
        if self.at_least {
            self.measured >= bound
        } else {
            self.measured <= bound
        }
    }
}

/// Every promise whose figures were measured.
pub(crate) fn judge(sheet: &Sheet) -> Vec<Line> {
    let own = |load: &str, figure: &str| sheet.median(load, figure, OWN);
    let ratios = RATIOS.into_iter().filter_map(|(load, figure, bound)| {
        let measured = own(load, figure)? / sheet.median(load, figure, RIVAL)?;
        let what = format!("{load}: {figure} over {RIVAL}'s");
        Some(Line::new(what, measured, bound))
    });
    let figures = FIGURES.into_iter().filter_map(|(load, figure, bound)| {
        Some(Line::new(
            format!("{load}: {figure}"),
            own(load, figure)?,
            bound,
        ))
    });
    let flooded = own("8 flooded", "Gbit/s").zip(own("8 streams", "Gbit/s"));
    let flood = flooded.map(|(flooded, calm)| {
        let what = "20,000 spoofed handshakes/s: Gbit/s left".to_owned();
        Line::new(what, flooded / calm, UNDER_FLOOD)
    });
    ratios.chain(flood).chain(figures).collect()
}

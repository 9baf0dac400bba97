//! What was promised against wireguard-go.

use crate::measure::Sheet;

const OWN: &str = "tidegate";
const RIVAL: &str = "wireguard-go";
/// What one end may keep in memory.
const MEMORY: f64 = 16.0;

/// One promise with what was measured.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) measured: f64,
    pub(crate) required: f64,
    pub(crate) goal: f64,
    pub(crate) at_least: bool,
}

impl Line {
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
    let ratio = |load: &str, figure: &str| {
        Some(sheet.median(load, figure, OWN)? / sheet.median(load, figure, RIVAL)?)
    };
    let mut lines = Vec::new();
    for (load, required, goal) in [
        ("1 stream", 1.4, 1.6),
        ("8 streams", 1.4, 1.6),
        ("1 both ways", 1.5, 1.7),
        ("8 both ways", 1.5, 1.7),
    ] {
        let mut line = |figure: &str, required, goal, at_least| {
            if let Some(measured) = ratio(load, figure) {
                let what = format!("{load}: {figure} over {RIVAL}'s");
                lines.push(Line {
                    what,
                    measured,
                    required,
                    goal,
                    at_least,
                });
            }
        };
        line("Gbit/s", required, goal, true);
        line("CPU s/GB", 0.65, 0.5, false);
    }
    if let Some(measured) = ratio("ping", "p50 us") {
        let what = format!("ping p50 over {RIVAL}'s");
        lines.push(Line {
            what,
            measured,
            required: 1.0,
            goal: 1.0,
            at_least: false,
        });
    }
    let own = |load: &str, figure: &str| sheet.median(load, figure, OWN);
    if let Some((flooded, calm)) = own("8 flooded", "Gbit/s").zip(own("8 streams", "Gbit/s")) {
        let what = "8 streams under 20,000 spoofed handshakes/s".to_owned();
        lines.push(Line {
            what,
            measured: flooded / calm,
            required: 0.7,
            goal: 0.7,
            at_least: true,
        });
    }
    for (figure, required) in [
        ("% of a core", 1.0),
        ("RSS MB", 120.0),
        ("add us", 1000.0),
        ("remove us", 1000.0),
    ] {
        if let Some(measured) = own("10000 idle", figure) {
            let what = format!("10,000 idle peers: {figure}");
            lines.push(Line {
                what,
                measured,
                required,
                goal: required,
                at_least: false,
            });
        }
    }
    if let Some(measured) = sheet.median("memory", "RSS MB", OWN) {
        let what = "resident memory per end, MB".to_owned();
        lines.push(Line {
            what,
            measured,
            required: MEMORY,
            goal: MEMORY,
            at_least: false,
        });
    }
    lines
}

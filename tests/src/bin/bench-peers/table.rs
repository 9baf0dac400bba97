//! The result, for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::measure::Sheet;
use crate::verdict::Line;

const WHO: [&str; 4] = ["tidegate", "wireguard-go", "boringtun-cli", "nebula"];

pub(crate) fn text(sheet: &Sheet, verdict: &[Line]) -> String {
    let mut out = String::new();
    let _ = write!(out, "{:<16}{:<12}", "load", "figure");
    for who in WHO {
        let _ = write!(out, "{who:>15}");
    }
    let _ = writeln!(out, "{:>18}", "to wireguard-go");
    for (load, figure) in sheet.rows() {
        let _ = write!(out, "{load:<16}{figure:<12}");
        for who in WHO {
            let _ = match sheet.median(load, figure, who) {
                Some(value) => write!(out, "{value:>15.2}"),
                None => write!(out, "{:>15}", "-"),
            };
        }
        let ratio = sheet
            .median(load, figure, WHO[0])
            .zip(sheet.median(load, figure, WHO[1]));
        let _ = match ratio {
            Some((own, rival)) => writeln!(out, "{:>18.2}", own / rival),
            None => writeln!(out),
        };
    }
    out.push('\n');
    for line in verdict {
        let word = match (line.reaches_goal(), line.holds()) {
            (true, _) => "goal reached",
            (false, true) => "holds",
            (false, false) => "MISSED",
        };
        let Line {
            what,
            measured,
            required,
            goal,
            ..
        } = line;
        let _ = writeln!(
            out,
            "{what:<45}{measured:>8.2}  required {required:.2}, goal {goal:.2}: {word}"
        );
    }
    out
}

pub(crate) fn json(sheet: &Sheet, verdict: &[Line]) -> Value {
    let mut figures = Vec::new();
    for (load, figure) in sheet.rows() {
        for who in WHO {
            let Some(median) = sheet.median(load, figure, who) else {
                continue;
            };
            let rounds = sheet.rounds(load, figure, who);
            figures.push(json!({"load": load, "figure": figure, "who": who, "median": median, "rounds": rounds}));
        }
    }
    let verdict: Vec<Value> = verdict
        .iter()
        .map(|line| {
            json!({
                "what": line.what,
                "measured": line.measured,
                "required": line.required,
                "goal": line.goal,
                "holds": line.holds(),
            })
        })
        .collect();
    json!({"figures": figures, "verdict": verdict})
}

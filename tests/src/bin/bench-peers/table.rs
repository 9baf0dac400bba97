//! The result, for people and for programs.

use serde_json::{Value, json};

use crate::measure::Sheet;
use crate::verdict::Line;

const WHO: [&str; 4] = ["tidegate", "wireguard-go", "boringtun-cli", "nebula"];

pub(crate) fn text(sheet: &Sheet, verdict: &[Line]) -> String {
    let names: String = WHO.iter().map(|who| format!("{who:>15}")).collect();
    let mut out = format!(
        "{:<16}{:<12}{names}{:>18}\n",
        "load", "figure", "to wireguard-go"
    );
    for (load, figure) in sheet.rows() {
        out += &row(sheet, load, figure);
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
        out +=
            &format!("{what:<45}{measured:>8.2}  required {required:.2}, goal {goal:.2}: {word}\n");
    }
    out
}

fn row(sheet: &Sheet, load: &str, figure: &str) -> String {
    let cell =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    let medians = WHO.map(|who| sheet.median(load, figure, who));
    let cells: String = medians
        .iter()
        .map(|median| format!("{:>15}", cell(*median)))
        .collect();
    let ratio = medians[0].zip(medians[1]).map(|(own, rival)| own / rival);
    format!("{load:<16}{figure:<12}{cells}{:>18}\n", cell(ratio))
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

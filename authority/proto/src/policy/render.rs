//! A policy as the text that people write.

use std::fmt::{Display, Result, Write as _};

use super::model::{Condition, Consequence, MembershipRule, Operator, Policy, Rule};
use crate::epochs::EpochSettings;

/// The file form of a policy.
pub(super) fn render(policy: &Policy) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_policy(&mut text, policy);
    text
}

fn write_policy(text: &mut String, policy: &Policy) -> Result {
    writeln!(text, "trust_rtc = {}", policy.trust_rtc)?;
    writeln!(text, "relays = {}", quoted(policy.relays.iter()))?;
    write_epochs(text, &policy.epochs)?;
    writeln!(text, "\n[groups]")?;
    for group in policy.groups.iter() {
        writeln!(text, "{} = {}", group.name, quoted(group.members.iter()))?;
    }
    policy
        .rules
        .iter()
        .try_for_each(|rule| write_rule(text, rule))?;
    policy
        .membership
        .iter()
        .try_for_each(|rule| write_membership(text, rule))?;
    policy
        .operators
        .iter()
        .try_for_each(|operator| write_operator(text, operator))
}

fn write_epochs(text: &mut String, epochs: &EpochSettings) -> Result {
    writeln!(text, "\n[epochs]")?;
    writeln!(text, "epoch = \"{}\"", epochs.epoch)?;
    writeln!(text, "overlap = \"{}\"", epochs.overlap)?;
    writeln!(text, "lead = \"{}\"", epochs.lead)?;
    writeln!(text, "offline_tolerance = \"{}\"", epochs.offline_tolerance)?;
    writeln!(text, "certificate = \"{}\"", epochs.certificate)
}

fn write_rule(text: &mut String, rule: &Rule) -> Result {
    writeln!(text, "\n[[rules]]")?;
    writeln!(text, "from = {}", quoted(rule.from.iter()))?;
    writeln!(text, "to = {}", quoted(rule.to.iter()))?;
    writeln!(text, "protocol = \"{}\"", rule.protocol)?;
    match &rule.ports {
        Some(ports) => writeln!(text, "ports = {}", quoted(ports.iter())),
        None => Ok(()),
    }
}

fn write_operator(text: &mut String, operator: &Operator) -> Result {
    let Operator { name, key, role } = operator;
    writeln!(
        text,
        "\n[[operators]]\nname = \"{name}\"\nkey = \"{key}\"\nrole = \"{role}\""
    )
}

fn write_membership(text: &mut String, rule: &MembershipRule) -> Result {
    writeln!(
        text,
        "\n[[membership]]\nname = \"{}\"\nnodes = {}",
        rule.name,
        quoted(rule.nodes.iter())
    )?;
    match &rule.when {
        Condition::SilentFor(span) => writeln!(text, "silent_for = \"{span}\"")?,
        Condition::Alert(alert) => writeln!(text, "alert = \"{alert}\"")?,
        Condition::ScoreBelow { score, least } => {
            writeln!(text, "score = \"{score}\"\nbelow = {least}")?
        }
        Condition::ScoreOlderThan { score, age_ms } => {
            writeln!(text, "score = \"{score}\"\nolder_than = \"{age_ms}\"")?
        }
    }
    let then = match rule.then {
        Consequence::Offline => "offline",
        Consequence::Quarantine => "quarantine",
    };
    writeln!(text, "then = \"{then}\"")
}

/// A TOML array of texts that need no escaping.
fn quoted(values: impl Iterator<Item = impl Display>) -> String {
    let texts: Vec<_> = values.map(|value| format!("\"{value}\"")).collect();
    format!("[{}]", texts.join(", "))
}

//! The form in which people write a policy: TOML, with errors that name the line.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::model::{
    Condition, Consequence, Group, MembershipRule, Operator, OperatorRole, Policy, Protocol, Rule,
};
use super::{PolicyError, Selector};
use crate::bounded::{BoundedError, BoundedList, BoundedSet};
use crate::bytes::printable;
use crate::document::Kind;
use crate::epochs::EpochSettings;
use crate::id::{NetworkId, Revision, Sequence};
use crate::time::{Span, UnixTime};

/// What is wrong with a policy file, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct PolicyFileError {
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

/// A policy as people write it: all but network, version and date.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyFile(Policy);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    groups: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    #[serde(default)]
    rules: Vec<Spanned<RuleForm>>,
    #[serde(default)]
    membership: Vec<Spanned<MembershipForm>>,
    #[serde(default)]
    operators: Vec<Spanned<OperatorForm>>,
    #[serde(default)]
    epochs: EpochsForm,
    #[serde(default)]
    relays: Vec<Spanned<String>>,
    #[serde(default = "trusted")]
    trust_rtc: bool,
}

fn trusted() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleForm {
    from: Vec<Spanned<String>>,
    to: Vec<Spanned<String>>,
    protocol: Protocol,
    ports: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MembershipForm {
    name: Spanned<String>,
    nodes: Vec<Spanned<String>>,
    silent_for: Option<Spanned<String>>,
    alert: Option<Spanned<String>>,
    score: Option<Spanned<String>>,
    below: Option<u32>,
    older_than: Option<Spanned<String>>,
    then: Consequence,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorForm {
    name: Spanned<String>,
    key: Spanned<String>,
    role: OperatorRole,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochsForm {
    epoch: Option<Spanned<String>>,
    overlap: Option<Spanned<String>>,
    lead: Option<Spanned<String>>,
    offline_tolerance: Option<Spanned<String>>,
    certificate: Option<Spanned<String>>,
}

impl PolicyFile {
    /// Reads the file's text. The first thing that is wrong is reported, with its line.
    pub fn parse(text: &str) -> Result<Self, PolicyFileError> {
        let limit = Kind::Policy.largest_payload();
        if text.len() > limit {
            return Err(PolicyFileError {
                line: 1,
                message: format!("the file is longer than {limit} bytes"),
            });
        }
        let form: FileForm = toml::from_str(text).map_err(|error| PolicyFileError {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            message: message(&error.message().trim().replace('\n', "; ")),
        })?;
        Reader { text }.policy(form).map(Self)
    }

    /// The policy for a network, as its next version.
    pub fn into_policy(
        self,
        network: NetworkId,
        revision: Revision,
        version: Sequence,
        issued_at: UnixTime,
    ) -> Policy {
        Policy {
            network,
            revision,
            version,
            issued_at,
            ..self.0
        }
    }

    /// The file form of a policy; reading it gives the same policy again.
    pub fn render(policy: &Policy) -> String {
        super::render::render(policy)
    }
}

/// One printable line, however long and odd the text that it is about.
fn message(text: &str) -> String {
    printable(text, 400)
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

/// Turns what TOML gave into a policy, and positions into lines.
struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn policy(&self, form: FileForm) -> Result<Policy, PolicyFileError> {
        let policy = Policy {
            network: NetworkId::from_bytes([0; 16]),
            revision: Revision::default(),
            version: Sequence::default(),
            issued_at: UnixTime::default(),
            groups: self.list(
                form.groups
                    .iter()
                    .map(|(name, members)| self.group(name, members)),
            )?,
            rules: self.list(form.rules.iter().map(|rule| self.rule(rule.get_ref())))?,
            membership: self.list(form.membership.iter().map(|rule| self.membership(rule)))?,
            operators: self.list(
                form.operators
                    .iter()
                    .map(|operator| self.operator(operator.get_ref())),
            )?,
            epochs: self.epochs(&form.epochs)?,
            relays: self.set(&form.relays)?,
            trust_rtc: form.trust_rtc,
        };
        match policy.check_sound() {
            Ok(()) => Ok(policy),
            Err(error) => Err(self.blame(&form, error)),
        }
    }

    fn group(
        &self,
        name: &Spanned<String>,
        members: &[Spanned<String>],
    ) -> Result<Group, PolicyFileError> {
        Ok(Group {
            name: self.value(name)?,
            members: self.set(members)?,
        })
    }

    fn rule(&self, form: &RuleForm) -> Result<Rule, PolicyFileError> {
        let ports = form
            .ports
            .as_ref()
            .map(|ports| self.set(ports))
            .transpose()?;
        Ok(Rule {
            from: self.set(&form.from)?,
            to: self.set(&form.to)?,
            protocol: form.protocol,
            ports,
        })
    }

    fn operator(&self, form: &OperatorForm) -> Result<Operator, PolicyFileError> {
        Ok(Operator {
            name: self.value(&form.name)?,
            key: self.value(&form.key)?,
            role: form.role,
        })
    }

    fn membership(
        &self,
        form: &Spanned<MembershipForm>,
    ) -> Result<MembershipRule, PolicyFileError> {
        let at = form.span().start;
        let form = form.get_ref();
        Ok(MembershipRule {
            name: self.value(&form.name)?,
            nodes: self.set(&form.nodes)?,
            when: self.condition(form, at)?,
            then: form.then,
        })
    }

    fn condition(&self, form: &MembershipForm, at: usize) -> Result<Condition, PolicyFileError> {
        match (&form.silent_for, &form.alert, &form.score, form.below, &form.older_than) {
            (Some(span), None, None, None, None) => Ok(Condition::SilentFor(self.value(span)?)),
            (None, Some(alert), None, None, None) => Ok(Condition::Alert(self.value(alert)?)),
            (None, None, Some(score), Some(least), None) => Ok(Condition::ScoreBelow { score: self.value(score)?, least }),
            (None, None, Some(score), None, Some(age)) => {
                Ok(Condition::ScoreOlderThan { score: self.value(score)?, age_ms: self.value(age)? })
            }
            _ => Err(self.error(
                at,
                "a membership rule has one condition: silent_for, alert, score with below, or score with older_than",
            )),
        }
    }

    fn epochs(&self, form: &EpochsForm) -> Result<EpochSettings, PolicyFileError> {
        let usual = EpochSettings::default();
        let span = |text: &Option<Spanned<String>>, usual| {
            text.as_ref().map_or(Ok(usual), |text| self.value(text))
        };
        let epoch: Span = span(&form.epoch, usual.epoch)?;
        Ok(EpochSettings {
            epoch,
            overlap: span(&form.overlap, usual.overlap)?,
            lead: span(&form.lead, EpochSettings::default_lead(epoch))?,
            offline_tolerance: span(&form.offline_tolerance, usual.offline_tolerance)?,
            certificate: span(&form.certificate, usual.certificate)?,
        })
    }

    /// One value out of its text.
    fn value<T: FromStr<Err: std::fmt::Display>>(
        &self,
        text: &Spanned<String>,
    ) -> Result<T, PolicyFileError> {
        text.get_ref()
            .parse()
            .map_err(|error: T::Err| self.error(text.span().start, error))
    }

    /// A set of values; one that stands there twice is an error at its second place.
    fn set<T: FromStr<Err: std::fmt::Display> + Ord, const MAX: usize>(
        &self,
        texts: &[Spanned<String>],
    ) -> Result<BoundedSet<T, MAX>, PolicyFileError> {
        let at = texts.first().map_or(0, |text| text.span().start);
        if texts.len() > MAX {
            return Err(self.error(at, BoundedError::TooLong(MAX)));
        }
        for (index, text) in texts.iter().enumerate() {
            if texts[..index]
                .iter()
                .any(|earlier| earlier.get_ref() == text.get_ref())
            {
                return Err(self.error(
                    text.span().start,
                    format!("'{}' stands here twice", text.get_ref()),
                ));
            }
        }
        let values = texts
            .iter()
            .map(|text| self.value(text))
            .collect::<Result<_, _>>()?;
        BoundedSet::new(values).map_err(|error: BoundedError| self.error(at, error))
    }

    fn list<T, const MAX: usize>(
        &self,
        values: impl Iterator<Item = Result<T, PolicyFileError>>,
    ) -> Result<BoundedList<T, MAX>, PolicyFileError> {
        BoundedList::new(values.collect::<Result<_, _>>()?).map_err(|error| self.error(0, error))
    }

    fn error(&self, at: usize, what: impl ToString) -> PolicyFileError {
        PolicyFileError {
            line: line_of(self.text, at),
            message: message(&what.to_string()),
        }
    }

    /// Finds the line that a rule over the whole policy is broken at.
    fn blame(&self, form: &FileForm, error: PolicyError) -> PolicyFileError {
        let at = match &error {
            PolicyError::UnknownGroup(name) => {
                selectors(form).find(|s| *s.get_ref() == Selector::Group(name.clone()).to_string())
            }
            PolicyError::NestedGroup(name) => form
                .groups
                .keys()
                .find(|key| key.get_ref() == name.as_str()),
            PolicyError::Twice { name, .. } => {
                names(form).filter(|text| text.get_ref() == name).last()
            }
            PolicyError::Settings(_) => epoch_settings(form).next(),
            PolicyError::NoEnd(_) | PolicyError::PortsWithout(_) | PolicyError::Unordered => None,
        };
        let at = at
            .map(|text| text.span().start)
            .or_else(|| first_broken_rule(form))
            .unwrap_or_default();
        self.error(at, error)
    }
}

fn selectors(form: &FileForm) -> impl Iterator<Item = &Spanned<String>> {
    let ends = form
        .rules
        .iter()
        .flat_map(|rule| rule.get_ref().from.iter().chain(&rule.get_ref().to));
    let observed = form
        .membership
        .iter()
        .flat_map(|rule| &rule.get_ref().nodes);
    ends.chain(observed).chain(&form.relays)
}

fn epoch_settings(form: &FileForm) -> impl Iterator<Item = &Spanned<String>> {
    let EpochsForm {
        epoch,
        overlap,
        lead,
        offline_tolerance,
        certificate,
    } = &form.epochs;
    [epoch, overlap, lead, offline_tolerance, certificate]
        .into_iter()
        .flatten()
}

fn names(form: &FileForm) -> impl Iterator<Item = &Spanned<String>> {
    let operators = form
        .operators
        .iter()
        .map(|operator| &operator.get_ref().name);
    operators.chain(form.membership.iter().map(|rule| &rule.get_ref().name))
}

fn first_broken_rule(form: &FileForm) -> Option<usize> {
    let broken = |rule: &RuleForm| {
        let portless = matches!(rule.protocol, Protocol::Any | Protocol::Icmp);
        let ports = rule
            .ports
            .as_ref()
            .is_some_and(|ports| portless || ports.is_empty());
        rule.from.is_empty() || rule.to.is_empty() || ports
    };
    let rules = form
        .rules
        .iter()
        .find(|rule| broken(rule.get_ref()))
        .map(|rule| rule.span().start);
    rules.or_else(|| {
        form.membership
            .iter()
            .find(|rule| rule.get_ref().nodes.is_empty())
            .map(|rule| rule.span().start)
    })
}

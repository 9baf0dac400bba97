//! What the README tells people is so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tidegate::exit::Exit;
use tidegate_proto::{EpochCeilings, EpochSettings, Span};
use tidegate_tests::{Host, Lab, Process, binary, wait_until};

const README: &str = include_str!("../../README.md");
const METRICS: &str = include_str!("../../agent/METRICS.md");
const SOON: Duration = Duration::from_secs(60);
/// Where the authority is in the README, and where it is here.
const PLACES: [&str; 2] = ["authority.example.org:7443", "10.0.0.250:7443"];

/// The rows of the table with this header, cell by cell.
fn table(header: &str) -> Vec<Vec<String>> {
    let (_, rest) = README.split_once(header).unwrap();
    let rows = rest
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let row = row.trim_matches('|').split(" | ");
        row.map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// Reads "18 min 30 s".
fn span(text: &str) -> Span {
    let words: Vec<&str> = text.split_whitespace().collect();
    let seconds = words.chunks(2).map(|pair| {
        let unit = match pair[1] {
            "h" => 3600,
            "min" => 60,
            "s" => 1,
            other => panic!("{other} in {text}"),
        };
        pair[0].parse::<u64>().unwrap() * unit
    });
    Span::from_secs(seconds.sum())
}

#[test]
fn the_tuning_table_is_what_the_protocol_computes() {
    let rows =
        table("| epoch | lead | offline tolerance | a node that hears nothing stops within |");
    let mut defaults = 0;
    for row in &rows {
        let (stops, is_default) = match row[3].strip_suffix(" (the default)") {
            Some(stops) => (stops, true),
            None => (row[3].as_str(), false),
        };
        let settings = EpochSettings {
            epoch: span(&row[0]),
            lead: span(&row[1]),
            offline_tolerance: span(&row[2]),
            ..EpochSettings::default()
        };
        assert_eq!(settings.worst_case(), span(stops), "{row:?}");
        assert_eq!(
            settings.lead,
            EpochSettings::default_lead(settings.epoch),
            "{row:?}"
        );
        assert_eq!(settings.check(&EpochCeilings::default()), Ok(()), "{row:?}");
        assert_eq!(settings == EpochSettings::default(), is_default, "{row:?}");
        defaults += usize::from(is_default);
    }
    assert!(rows.len() >= 4 && defaults == 1);
}

#[test]
fn every_exit_code_is_explained() {
    let explained = table("| code | it means | what to do |");
    let explained: Vec<&str> = explained.iter().map(|row| row[0].as_str()).collect();
    let codes = Exit::TABLE
        .split(" · ")
        .map(|code| code.split(' ').next().unwrap());
    assert_eq!(explained, codes.collect::<Vec<_>>());
}

#[test]
fn every_health_check_is_explained() {
    let explained = table("| check | when it is not healthy | what to do |");
    let explained: Vec<&str> = explained.iter().map(|row| row[0].as_str()).collect();
    // A test of the agent compares this list with the code.
    let (_, checks) = METRICS.split_once("Label `check`: ").unwrap();
    let checks = checks.split_once('.').unwrap().0;
    assert_eq!(explained, checks.split(", ").collect::<Vec<_>>());
}

/// Every command of ours that stands in the README as code: program, subcommands and options.
fn commands() -> BTreeSet<Vec<String>> {
    let fenced = README.split("```sh\n").skip(1).flat_map(|rest| {
        let block = rest.split_once("```").unwrap().0;
        block.lines().map(str::trim)
    });
    let inline = README.split('`').skip(1).step_by(2);
    let ours =
        |code: &&str| code.starts_with("tidegate ") || code.starts_with("tidegate-authority ");
    let code = fenced.chain(inline).filter(ours);
    code.map(|code| code.split_whitespace().map(str::to_owned).collect())
        .collect()
}

/// What the command's own help says.
fn help(words: &[String]) -> String {
    let is_subcommand =
        |word: &&String| word.bytes().all(|byte| byte.is_ascii_lowercase()) && !word.is_empty();
    let mut subcommands: Vec<&String> = words[1..].iter().take_while(is_subcommand).collect();
    // An argument can look like a subcommand: then it is refused, and the help is of the command before.
    loop {
        let output = Command::new(binary(&words[0]).unwrap())
            .args(&subcommands)
            .arg("--help")
            .output()
            .unwrap();
        if output.status.success() {
            return String::from_utf8(output.stdout).unwrap();
        }
        assert!(subcommands.pop().is_some(), "{words:?} is no command");
    }
}

#[test]
fn every_command_exists_with_every_option() {
    let commands = commands();
    assert!(commands.len() > 30, "{commands:?}");
    for words in commands {
        let help = help(&words);
        let usage = help.lines().find(|line| line.contains("Usage:")).unwrap();
        assert!(usage.contains(&words[1]), "{words:?}: {usage}");
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(option.as_str()), "{option} of {words:?}");
        }
    }
}

/// The commands of a section, as they stand there, but for where the authority is.
fn script(heading: &str) -> Vec<String> {
    let (_, rest) = README.split_once(&format!("\n### {heading}\n")).unwrap();
    let (_, block) = rest.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let here = block.replace(PLACES[0], PLACES[1]);
    here.lines().map(str::to_owned).collect()
}

/// Somebody who follows the README, in an empty folder.
struct Reader {
    _lab: Lab,
    authority: Host,
    hosts: [Host; 2],
    folder: TempDir,
}

impl Reader {
    fn new() -> Self {
        let lab = Lab::new().unwrap();
        let network = lab.network("internet").unwrap();
        let host = |name: &str, address: &str| {
            let host = lab.host(name).unwrap();
            network.attach(&host, &[address]).unwrap();
            host
        };
        Self {
            authority: host("authority", "10.0.0.250/24"),
            hosts: [host("first", "10.0.0.1/24"), host("second", "10.0.0.2/24")],
            folder: tempfile::tempdir().unwrap(),
            _lab: lab,
        }
    }

    /// A line of shell on a host, in the folder, with the programs at hand.
    fn types(&self, host: &Host, line: &str) -> tidegate_tests::Command {
        for program in ["tidegate", "tidegate-authority"] {
            binary(program).unwrap();
        }
        let program = binary("tidegate").unwrap();
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", program.parent().unwrap().display());
        let folder: &Path = self.folder.path();
        host.command("/bin/sh")
            .args(["-euc", "cd \"$0\"; eval \"$1\""])
            .arg(folder)
            .arg(line)
            .env("PATH", path)
            .env("XDG_CONFIG_HOME", folder)
    }

    fn founds(&self) -> Process {
        let [init, serve] = script("The authority").try_into().unwrap();
        self.types(&self.authority, &init).run().unwrap();
        let serve = format!("exec {serve}");
        let server = self.types(&self.authority, &serve).spawn().unwrap();
        let ready = format!("curl -sfko /dev/null https://{}/readyz", PLACES[1]);
        wait_until(SOON, "the authority to be ready", || {
            self.authority.sh(&ready).is_ok()
        })
        .unwrap();
        server
    }

    fn invites(&self) -> String {
        let [login, invite] = script("The operator").try_into().unwrap();
        self.types(&self.authority, &login).run().unwrap();
        let said = self.types(&self.authority, &invite).run().unwrap();
        said.trim().to_owned()
    }

    /// Joins, runs the daemon as it is told to, and shows the status.
    fn joins(&self, host: &Host, invite: &str) -> (Process, String) {
        let [join, status] = script("Each host").try_into().unwrap();
        let join = join.replace("tidegate-invite...", invite);
        let said = self.types(host, &join).run().unwrap();
        assert!(said.contains("Now run: tidegate run"), "{said}");
        let daemon = self.types(host, "exec tidegate run").spawn().unwrap();
        let mut page = String::new();
        wait_until(SOON, "the host to be up", || {
            let shown = self.types(host, &status).output().unwrap();
            page = shown.text();
            page.starts_with("up: ") || !daemon.is_running()
        })
        .unwrap();
        assert!(page.starts_with("up: "), "{page}{}", daemon.output());
        (daemon, page)
    }
}

#[test]
fn two_hosts_talk_when_one_follows_the_readme() {
    let reader = Reader::new();
    let _server = reader.founds();
    let invite = reader.invites();
    let [first, second] = &reader.hosts;
    let (_first, page) = reader.joins(first, &invite);
    let (_second, _) = reader.joins(second, &invite);
    let address = page.split(['(', ',']).nth(1).unwrap();
    wait_until(SOON, "a ping through the tunnel", || {
        second.run("ping", ["-c", "1", "-W", "1", address]).is_ok()
    })
    .unwrap();
    // The first line of the daily table that needs an operator and both hosts.
    let revoke = "tidegate admin revoke second --reason 'laptop lost' --wait";
    let said = reader.types(&reader.authority, revoke).run().unwrap();
    assert!(said.contains("have confirmed"), "{said}");
    assert!(second.run("ping", ["-c", "1", "-W", "1", address]).is_err());
}

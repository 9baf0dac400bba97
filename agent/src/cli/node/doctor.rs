//! `doctor`: looks at everything that a node needs of its host, and says how to put right what is not.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tidegate::config::{CONFIG, Config};
use tidegate::exit::Exit;
use tidegate::local::{Level, PlaneView, Reply, Request, StatusView};
use tidegate::privileges;
use tidegate_netconfig::dns;
use tidegate_netconfig::preflight::{TUN, check_tun};

use super::Talk;
use crate::cli::Failure;

/// Examines this host.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    #[command(flatten)]
    talk: Talk,
}

/// What was found about one thing.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    name: &'static str,
    level: Level,
    detail: String,
    /// What to do about it, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Doctor {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = Config::load(&self.config).map_err(|error| Failure {
            exit: Exit::Config,
            message: error.to_string(),
        })?;
        let findings = examine(&config, &self.talk);
        self.talk.show(&findings, || text(&findings))?;
        let worst = findings.iter().map(|finding| finding.level).max();
        if worst == Some(Level::Unhealthy) {
            return Err(Failure::new(
                "something does not work; the lines marked 'unhealthy' say what to do",
            ));
        }
        Ok(())
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let level = match finding.level {
            Level::Healthy => "healthy",
            Level::Unknown => "unknown",
            Level::Degraded => "degraded",
            Level::Unhealthy => "unhealthy",
        };
        text.push_str(&format!(
            "{level:<10} {:<13} {}\n",
            finding.name, finding.detail
        ));
        if let Some(fix) = &finding.fix {
            text.push_str(&format!("{:>25}do: {fix}\n", ""));
        }
    }
    text
}

/// Every finding, the daemon's own checks last.
pub(super) fn examine(config: &Config, talk: &Talk) -> Vec<Finding> {
    let daemon = talk.ask(&Request::Status { measure: false });
    let status = match &daemon {
        Ok(Reply::Status(status)) => Some(status),
        _ => None,
    };
    let mut findings = vec![
        tun(),
        capabilities(status.is_some()),
        offloads(status.and_then(|status| status.plane.as_ref())),
        port(config, status.and_then(|status| status.plane.as_ref())),
        conflicts(
            config,
            status.map(|status| status.host.complaints.as_slice()),
        ),
        clock(status.map(|status| (status.clock.source.as_str(), status.clock.wall_ahead_ms))),
        mtu(config),
        names(config, status.map(|status| &**status)),
        firewall(config),
        match &daemon {
            Ok(_) => good("daemon", "it answers"),
            Err(failure) => bad(
                "daemon",
                failure.message.clone(),
                "systemctl start tidegate",
            ),
        },
    ];
    findings.extend(health(talk));
    findings
}

fn health(talk: &Talk) -> Vec<Finding> {
    let Ok(Reply::Health(health)) = talk.ask(&Request::Health {}) else {
        return Vec::new();
    };
    let checks = health
        .checks
        .into_iter()
        .filter(|check| check.level > Level::Unknown);
    checks
        .map(|check| Finding {
            name: "running",
            level: check.level,
            fix: fix(&check.name).map(str::to_owned),
            detail: format!("{}: {}", check.name, check.detail),
        })
        .collect()
}

/// What to do about a check of the daemon that is not healthy.
fn fix(check: &str) -> Option<&'static str> {
    Some(match check {
        "membership" => {
            "`tidegate up` if it is down; otherwise, if it does not pass, ask the network's operators"
        }
        "data-plane" => "journalctl -u tidegate; then systemctl restart tidegate",
        "host-network" => "change what is in the way; `tidegate status` names it",
        "authority" => {
            "see whether this host reaches it: `tidegate netcheck`, a proxy, a firewall, DNS"
        }
        "epoch" | "revocation-list" => {
            "they come by themselves once the authority is reached: `tidegate netcheck`"
        }
        "certificate" => "ask the network's operators why it is not renewed",
        "clock" => "timedatectl set-ntp true",
        "storage" => "make room, or repair the disk under the state directory: df -h, dmesg",
        "documents" => "ask the network's operators; `tidegate status` names what was refused",
        "names" => {
            "systemctl enable --now systemd-resolved, or what `dns` above says; see tidegate-dns(8)"
        }
        _ => return None,
    })
}

fn tun() -> Finding {
    match check_tun(TUN.as_ref()) {
        Ok(()) => good("tun", "tunnel devices can be made"),
        Err(error) => bad(
            "tun",
            error,
            "modprobe tun; in a container: --device /dev/net/tun",
        ),
    }
}

fn capabilities(runs: bool) -> Finding {
    if runs || privileges::has_net_admin() {
        good("capabilities", "CAP_NET_ADMIN is there")
    } else {
        bad(
            "capabilities",
            "this process lacks CAP_NET_ADMIN",
            "run as root, or by the systemd unit",
        )
    }
}

fn offloads(plane: Option<&PlaneView>) -> Finding {
    let Some(plane) = plane else {
        return unknown("offloads", "they are seen while data flows");
    };
    let missing: Vec<_> = ["tun-tcp", "tun-udp", "udp-send", "udp-receive"]
        .into_iter()
        .filter(|name| !plane.offloads.iter().any(|one| one == name))
        .collect();
    if missing.is_empty() {
        return good("offloads", "the kernel grants all");
    }
    Finding {
        name: "offloads",
        level: Level::Degraded,
        detail: format!(
            "the kernel does not grant {}; it works, more slowly",
            missing.join(", ")
        ),
        fix: Some("use Linux 6.2 or later, and a network driver with UDP segmentation".to_owned()),
    }
}

fn port(config: &Config, plane: Option<&PlaneView>) -> Finding {
    if let Some(plane) = plane {
        return good("port", format!("the daemon has UDP port {}", plane.port));
    }
    match UdpSocket::bind(("0.0.0.0", config.port)) {
        Ok(_) => good("port", format!("UDP port {} is free", config.port)),
        Err(error) => bad(
            "port",
            format!("UDP port {} cannot be had: {error}", config.port),
            "stop what uses it (ss -ulpn), or set another: port = …",
        ),
    }
}

fn conflicts(config: &Config, complaints: Option<&[String]>) -> Finding {
    match complaints {
        Some([]) => good("conflicts", "no route of this host is in the way"),
        Some([first, ..]) => Finding {
            name: "conflicts",
            level: Level::Degraded,
            detail: first.clone(),
            fix: Some("change the other network, or say allow_overlap = [\"…\"]".to_owned()),
        },
        None if Path::new("/sys/class/net")
            .join(config.interface.as_str())
            .exists() =>
        {
            bad(
                "conflicts",
                format!(
                    "there is an interface {} that is not ours",
                    config.interface
                ),
                "stop what made it, or set another name: interface = …",
            )
        }
        None => good(
            "conflicts",
            format!("the name {} is free", config.interface),
        ),
    }
}

fn clock(clock: Option<(&str, i64)>) -> Finding {
    match clock {
        None | Some(("none", _)) => unknown(
            "clock",
            "the authority's time is not known; it is compared once the daemon runs and reaches it",
        ),
        Some((_, ahead)) if ahead.unsigned_abs() > 5_000 => Finding {
            name: "clock",
            level: Level::Degraded,
            detail: format!("this host's clock is {ahead} ms off the authority's"),
            fix: Some("timedatectl set-ntp true".to_owned()),
        },
        Some((_, ahead)) => good("clock", format!("{ahead} ms off the authority's")),
    }
}

/// The narrowest of the links that are up bounds what can be sent in one piece.
fn mtu(config: &Config) -> Finding {
    let narrowest = links()
        .into_iter()
        .filter(|(name, _)| name != config.interface.as_str());
    let Some((link, least)) = narrowest.min_by_key(|(_, mtu)| *mtu) else {
        return unknown("mtu", "no link is up");
    };
    // IPv6, UDP and WireGuard around a packet take 80 bytes.
    let fits = least.saturating_sub(80);
    if u32::from(config.mtu) <= fits {
        return good(
            "mtu",
            format!("{} fits through {link} ({least})", config.mtu),
        );
    }
    Finding {
        name: "mtu",
        level: Level::Degraded,
        detail: format!(
            "packets of {} are cut in pieces on {link} ({least})",
            config.mtu
        ),
        fix: Some(format!("set mtu = {}", fits.max(1280))),
    }
}

/// Links that are up, with their MTU; loopback and tunnels are none.
fn links() -> Vec<(String, u32)> {
    let Ok(entries) = std::fs::read_dir("/sys/class/net") else {
        return Vec::new();
    };
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    entries
        .filter_map(Result::ok)
        .filter(|entry| read(entry.path().join("operstate")).trim() == "up")
        .filter_map(|entry| {
            let mtu = read(entry.path().join("mtu")).trim().parse().ok()?;
            Some((entry.file_name().into_string().ok()?, mtu))
        })
        .collect()
}

fn names(config: &Config, status: Option<&StatusView>) -> Finding {
    if !config.dns {
        return good("dns", "names of nodes are not wanted here (dns = false)");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return unknown("dns", "it cannot be looked at");
    };
    match dns::choose(&runtime.block_on(dns::observe())) {
        Ok(dns::Mechanism::Resolved) => good("dns", "systemd-resolved asks for names of nodes"),
        Ok(mechanism) => Finding {
            name: "dns",
            level: Level::Degraded,
            detail: format!("systemd-resolved is not in charge here; names need {mechanism}"),
            fix: Some(fallback(config, status)),
        },
        Err(refusal) => bad("dns", refusal, "see tidegate-dns(8)"),
    }
}

/// The commands that configure names without systemd-resolved.
fn fallback(config: &Config, status: Option<&StatusView>) -> String {
    let certificate = status.and_then(|status| status.certificate.as_ref());
    let address = certificate.and_then(|own| own.addresses.first());
    match (status, address) {
        (Some(status), Some(address)) => {
            let resolver = SocketAddr::new(*address, config.dns_port);
            opting_in(config.interface.as_str(), &status.network, resolver)
        }
        _ => "start the daemon, then look here again for the commands".to_owned(),
    }
}

/// Writes the settings of `tidegate-dns@`, and enables it.
fn opting_in(link: &str, network: &str, resolver: SocketAddr) -> String {
    format!(
        "printf 'DOMAIN=%s\\nRESOLVER=%s\\n' {network}.internal {resolver} >/etc/tidegate/dns-{link}.conf && systemctl enable --now tidegate-dns@{link}"
    )
}

/// A firewall that drops by default needs a rule for our port; we look, and never touch it.
fn firewall(config: &Config) -> Finding {
    let listed = std::process::Command::new("nft")
        .args(["list", "ruleset"])
        .output();
    let Ok(listed) = listed else {
        return unknown(
            "firewall",
            "nft is not installed, so the firewall cannot be looked at",
        );
    };
    if !listed.status.success() {
        return unknown("firewall", "only root can look at it");
    }
    let rules = String::from_utf8_lossy(&listed.stdout);
    let drops = rules
        .lines()
        .any(|line| line.contains("hook input") && line.contains("policy drop"));
    if !drops || rules.contains(&format!("dport {}", config.port)) {
        return good("firewall", "nothing seems to drop our packets");
    }
    Finding {
        name: "firewall",
        level: Level::Degraded,
        detail: format!(
            "incoming packets are dropped unless allowed, and none are to UDP port {}",
            config.port
        ),
        fix: Some(format!(
            "allow it, such as: nft insert rule inet filter input udp dport {} accept",
            config.port
        )),
    }
}

fn good(name: &'static str, detail: impl ToString) -> Finding {
    Finding {
        name,
        level: Level::Healthy,
        detail: detail.to_string(),
        fix: None,
    }
}

fn unknown(name: &'static str, detail: impl ToString) -> Finding {
    Finding {
        level: Level::Unknown,
        ..good(name, detail)
    }
}

fn bad(name: &'static str, detail: impl ToString, fix: &str) -> Finding {
    Finding {
        level: Level::Unhealthy,
        fix: Some(fix.to_owned()),
        ..good(name, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fix_for_names_writes_the_settings_that_the_unit_reads() {
        let fix = opting_in("tidegate", "demo", "[fd12::1]:5300".parse().unwrap());
        let (write, rest) = fix.split_once(" >").unwrap();
        let mut shell = std::process::Command::new("sh");
        let written = shell.args(["-c", write]).output().unwrap().stdout;
        assert_eq!(written, b"DOMAIN=demo.internal\nRESOLVER=[fd12::1]:5300\n");
        let unit = include_str!("../../../../packaging/systemd/tidegate-dns@.service");
        let (file, enable) = rest.split_once(" && ").unwrap();
        assert!(unit.contains(&format!(
            "EnvironmentFile={}",
            file.replace("tidegate.conf", "%i.conf")
        )));
        assert!(enable.ends_with("tidegate-dns@tidegate"));
    }
}

//! Kernel settings in `/proc/sys`, and the `nft` program.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::firewall::TableView;
use crate::observed::Ipv6;
use crate::prefix::Family;
use crate::sysctl::{Leaf, SysctlKey};

const ROOT: &str = "/proc/sys";

/// Where `nft` may be when PATH does not name it.
const NFT: [&str; 3] = ["nft", "/usr/sbin/nft", "/sbin/nft"];

/// The kernel takes a little more in one argument.
const LARGEST_ARGUMENT: usize = 120_000;

fn path(key: &SysctlKey) -> PathBuf {
    PathBuf::from(ROOT).join(key.to_string())
}

pub(crate) fn read_sysctl(key: &SysctlKey) -> Option<String> {
    fs::read_to_string(path(key))
        .ok()
        .map(|text| text.trim().to_owned())
}

pub(crate) fn write_sysctl(key: &SysctlKey, value: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path(key))?
        .write_all(value.as_bytes())
}

/// The kernel names one boot by this.
pub(crate) fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned())
}

/// Whether kernel settings can be written: opening is enough to tell, and changes nothing.
pub(crate) fn sysctl_ability() -> Result<(), String> {
    let opened = OpenOptions::new()
        .write(true)
        .open(path(&SysctlKey::IpForward));
    opened.map(drop).map_err(|error| {
        format!("kernel settings under {ROOT}/net cannot be changed ({error}): mount it writable for this service")
    })
}

/// Whether the kernel has IPv6 at all.
pub(crate) fn has_ipv6() -> bool {
    PathBuf::from(ROOT).join("net/ipv6/conf").is_dir()
}

/// What of IPv6 there is on this host and on a link.
pub(crate) fn ipv6_ability(link: Option<&str>) -> Ipv6 {
    if !has_ipv6() {
        return Ipv6::Absent("this kernel has no IPv6: boot it without ipv6.disable=1".to_owned());
    }
    // Routes that lead nowhere hang on the loopback link.
    if !enabled("lo") {
        return Ipv6::Absent(
            "IPv6 is disabled on this host: set net.ipv6.conf.all.disable_ipv6 to 0".to_owned(),
        );
    }
    match link {
        Some(link) if !enabled(link) => Ipv6::NotOnDevice(format!(
            "IPv6 is disabled on {link}: set net.ipv6.conf.{link}.disable_ipv6 to 0, and its MTU to 1280 at least"
        )),
        _ => Ipv6::Works,
    }
}

fn enabled(link: &str) -> bool {
    let path = PathBuf::from(ROOT)
        .join("net/ipv6/conf")
        .join(link)
        .join("disable_ipv6");
    fs::read_to_string(path).is_ok_and(|text| text.trim() == "0")
}

/// All settings that a plan may want to change.
pub(crate) fn read_sysctls() -> BTreeMap<SysctlKey, String> {
    let all = |leaf| SysctlKey::link(Family::V4, "all", leaf);
    let mut keys = vec![
        SysctlKey::IpForward,
        all(Leaf::AcceptRedirects),
        all(Leaf::SrcValidMark),
    ];
    for family in Family::BOTH {
        for link in configured_links(family) {
            let special = link == "all" || link == "default";
            if family == Family::V6 && !special {
                keys.push(SysctlKey::link(family, &link, Leaf::AcceptRa));
            }
            if family == Family::V6 || link != "all" {
                keys.push(SysctlKey::link(family, &link, Leaf::Forwarding));
            }
        }
    }
    keys.into_iter()
        .filter_map(|key| read_sysctl(&key).map(|value| (key, value)))
        .collect()
}

fn configured_links(family: Family) -> Vec<String> {
    let directory = if family == Family::V4 {
        "net/ipv4/conf"
    } else {
        "net/ipv6/conf"
    };
    let Ok(entries) = fs::read_dir(PathBuf::from(ROOT).join(directory)) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

/// Our firewall table, or why the firewall cannot be used.
pub(crate) fn list_table(name: &str) -> Result<Option<TableView>, String> {
    let tables = run_nft(&["--json", "list", "tables"], None)?;
    let tables: Value = serde_json::from_slice(&tables)
        .map_err(|_| "nft lists tables in an unknown form".to_owned())?;
    let found = tables["nftables"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|object| object["table"]["family"] == "inet" && object["table"]["name"] == name);
    if !found {
        return Ok(None);
    }
    let listing = run_nft(&["--json", "list", "table", "inet", name], None)?;
    TableView::parse(&listing)
        .map(Some)
        .ok_or_else(|| "nft lists our table in an unknown form".to_owned())
}

/// Carries out a firewall transaction.
///
/// It is handed over as an argument where it fits, because nft reads its standard input through /proc, which a
/// sandbox may hide.
pub(crate) fn change_table(transaction: &Value) -> Result<(), String> {
    let text = transaction.to_string();
    if text.len() <= LARGEST_ARGUMENT {
        run_nft(&["--json", &text], None).map(drop)
    } else {
        run_nft(&["--json", "--file", "-"], Some(&text)).map(drop)
    }
}

fn run_nft(arguments: &[&str], input: Option<&str>) -> Result<Vec<u8>, String> {
    let output = NFT
        .iter()
        .map(|program| start(program, arguments, input))
        .find(|result| !matches!(result, Err(error) if error.kind() == io::ErrorKind::NotFound));
    match output {
        None => Err("the program nft is missing: install the package nftables".to_owned()),
        Some(Err(error)) => Err(format!("the program nft cannot be run: {error}")),
        Some(Ok(output)) if output.status.success() => Ok(output.stdout),
        Some(Ok(output)) => Err(format!("nft refused: {}", complaint(&output))),
    }
}

fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .next()
        .unwrap_or("no reason given")
        .trim()
        .to_owned()
}

fn start(program: &str, arguments: &[&str], input: Option<&str>) -> io::Result<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        // If it ends early, its exit status and complaint say more than the broken pipe.
        let _ = pipe.write_all(input.as_bytes());
    }
    child.wait_with_output()
}

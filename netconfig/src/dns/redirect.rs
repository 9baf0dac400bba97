//! The redirect of port 53 to the resolver's own port, in an nftables table of its own.

use std::net::SocketAddr;

use super::program::{Bench, ProgramError};
use crate::desired::LinkName;

/// The port that resolver configurations mean, and cannot say otherwise.
const DNS_PORT: u16 = 53;

/// The table's name; `None` if the link's name has letters that nft does not take in a name.
pub(super) fn table(link: &LinkName) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let name = link.as_str();
    name.bytes()
        .all(fits)
        .then(|| format!("tidegate-dns-{name}"))
}

/// Puts the redirect in place, in one transaction, whatever was in the table before.
pub(super) fn apply(
    bench: &mut Bench,
    table: &str,
    resolver: SocketAddr,
) -> Result<(), ProgramError> {
    bench.run("nft", &["-f", "-"], &ruleset(table, resolver))
}

/// Takes the table away, if it is there.
pub(super) fn undo(bench: &mut Bench, table: &str) -> Result<(), ProgramError> {
    bench.run("nft", &["-f", "-"], &removal(table))
}

fn ruleset(table: &str, resolver: SocketAddr) -> String {
    let (ip, port) = (resolver.ip(), resolver.port());
    let (family, to) = match resolver {
        SocketAddr::V4(_) => ("ip", format!("{ip}:{port}")),
        SocketAddr::V6(_) => ("ip6", format!("[{ip}]:{port}")),
    };
    let rule = |protocol| {
        format!("{family} daddr {ip} {protocol} dport {DNS_PORT} dnat {family} to {to}\n")
    };
    // Only what this host itself sends: nobody else's packets are touched.
    format!(
        "{}table inet {table} {{\nchain output {{\ntype nat hook output priority -100; policy accept;\n{}{}}}\n}}\n",
        removal(table),
        rule("udp"),
        rule("tcp")
    )
}

fn removal(table: &str) -> String {
    // Adding first makes removing succeed when there is none.
    format!("table inet {table}\ndelete table inet {table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_and_protocols_are_redirected() {
        let four = ruleset("t", "100.64.0.1:5300".parse().unwrap());
        assert!(four.contains("ip daddr 100.64.0.1 udp dport 53 dnat ip to 100.64.0.1:5300\n"));
        assert!(four.contains("ip daddr 100.64.0.1 tcp dport 53 dnat ip to 100.64.0.1:5300\n"));
        let six = ruleset("t", "[fd12::1]:5300".parse().unwrap());
        assert!(six.contains("ip6 daddr fd12::1 udp dport 53 dnat ip6 to [fd12::1]:5300\n"));
    }

    #[test]
    fn a_links_name_cannot_smuggle_rules() {
        let table = |name| table(&LinkName::new(name).unwrap());
        assert_eq!(table("tg-0.1_a"), Some("tidegate-dns-tg-0.1_a".to_owned()));
        for name in ["a;b", "a{", "a\"", "a#b"] {
            assert_eq!(table(name), None);
        }
    }
}

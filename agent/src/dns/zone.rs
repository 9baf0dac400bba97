//! Who is called what, at one moment.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_netconfig::Prefix;

use super::message::{Answer, Code, Data, Query, RecordType};
use super::name::Name;

/// The names of one network: immutable, replaced whole when somebody comes or goes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Zone {
    domain: Name,
    ranges: Vec<Prefix>,
    nodes: BTreeMap<Vec<u8>, Vec<IpAddr>>,
    names: BTreeMap<IpAddr, Name>,
}

impl Zone {
    /// The zone `domain` of a network with these ranges; nobody is in it yet.
    #[must_use]
    pub fn new(domain: Name, ranges: impl IntoIterator<Item = Prefix>) -> Self {
        Self {
            domain,
            ranges: ranges.into_iter().collect(),
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }

    /// Gives a node its name. A name that no label can hold is left out.
    pub fn add(&mut self, node: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        let label = node.to_ascii_lowercase().into_bytes();
        let mut labels = vec![label.clone()];
        labels.extend_from_slice(self.domain.labels());
        let Some(full) = Name::of(labels) else {
            return;
        };
        let addresses: Vec<IpAddr> = addresses.into_iter().collect();
        for address in &addresses {
            self.names.insert(*address, full.clone());
        }
        self.nodes.insert(label, addresses);
    }

    /// How many nodes have a name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nobody has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Answers a question.
    #[must_use]
    pub fn answer(&self, query: &Query) -> Answer {
        if let Some(code) = query.refusal() {
            return Answer::bare(code, None);
        }
        if self.domain.labels().is_empty() {
            // No network, no names.
            return Answer::bare(Code::Refused, None);
        }
        if let Some(front) = query.name.within(&self.domain) {
            return self.forward(front, query.record);
        }
        match reverse(&query.name) {
            Some(address) if self.ranges.iter().any(|range| range.holds(address)) => {
                self.backward(address, query)
            }
            _ => Answer::bare(Code::Refused, None),
        }
    }

    fn forward(&self, front: &[Vec<u8>], record: RecordType) -> Answer {
        let zone = Some(self.domain.clone());
        let [label] = front else {
            let apex = front.is_empty();
            let code = if apex { Code::Done } else { Code::NoSuchName };
            let mut answer = Answer::bare(code, zone);
            answer.start = apex && matches!(record, RecordType::Soa | RecordType::Any);
            return answer;
        };
        let Some(addresses) = self.nodes.get(label) else {
            return Answer::bare(Code::NoSuchName, zone);
        };
        let told = addresses
            .iter()
            .filter_map(|address| told(*address, record));
        Answer {
            data: told.collect(),
            ..Answer::bare(Code::Done, zone)
        }
    }

    fn backward(&self, address: IpAddr, query: &Query) -> Answer {
        let zone = Some(query.name.clone());
        let Some(name) = self.names.get(&address) else {
            return Answer::bare(Code::NoSuchName, zone);
        };
        let mut answer = Answer::bare(Code::Done, zone);
        if matches!(query.record, RecordType::Ptr | RecordType::Any) {
            answer.data.push(Data::Ptr(name.clone()));
        }
        answer
    }
}

fn told(address: IpAddr, record: RecordType) -> Option<Data> {
    match (address, record) {
        (IpAddr::V4(address), RecordType::A | RecordType::Any) => Some(Data::A(address)),
        (IpAddr::V6(address), RecordType::Aaaa | RecordType::Any) => Some(Data::Aaaa(address)),
        _ => None,
    }
}

/// The address that a name under `in-addr.arpa` or `ip6.arpa` spells, if it spells a whole one.
fn reverse(name: &Name) -> Option<IpAddr> {
    let (v4, v6) = (Name::new("in-addr.arpa")?, Name::new("ip6.arpa")?);
    if let Some(labels) = name.within(&v4).filter(|labels| labels.len() == 4) {
        let mut octets = [0; 4];
        for (octet, label) in octets.iter_mut().rev().zip(labels) {
            *octet = decimal(label)?;
        }
        return Some(Ipv4Addr::from(octets).into());
    }
    let labels = name.within(&v6).filter(|labels| labels.len() == 32)?;
    let mut bits: u128 = 0;
    for label in labels.iter().rev() {
        let [digit] = label.as_slice() else {
            return None;
        };
        bits = bits << 4 | u128::from(char::from(*digit).to_digit(16)?);
    }
    Some(Ipv6Addr::from(bits).into())
}

/// A number without leading zeros.
fn decimal(label: &[u8]) -> Option<u8> {
    let number: u8 = std::str::from_utf8(label).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == label).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Zone {
        let ranges = ["100.64.0.0/16", "fd12::/48"];
        let ranges = ranges.map(|range| range.parse().unwrap());
        let mut zone = Zone::new(Name::new("demo.internal").unwrap(), ranges);
        zone.add(
            "db",
            ["100.64.0.5", "fd12::5"].map(|ip| ip.parse().unwrap()),
        );
        zone
    }

    fn query(name: &str, kind: u16) -> Query {
        let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.extend([0, (kind >> 8) as u8, kind as u8, 0, 1]);
        Query::parse(&bytes).unwrap()
    }

    fn ask(name: &str, kind: u16) -> Answer {
        zone().answer(&query(name, kind))
    }

    #[test]
    fn a_node_has_an_address_of_each_family() {
        let v4 = ask("DB.demo.Internal", 1);
        assert_eq!(v4.data, [Data::A(Ipv4Addr::new(100, 64, 0, 5))]);
        let v6 = ask("db.demo.internal", 28);
        assert_eq!(v6.data, [Data::Aaaa("fd12::5".parse().unwrap())]);
    }

    #[test]
    fn an_address_has_its_name() {
        let name = Name::new("db.demo.internal").unwrap();
        let v4 = ask("5.0.64.100.in-addr.arpa", 12);
        assert_eq!(v4.data, [Data::Ptr(name.clone())]);
        let zeros = "0.".repeat(27);
        let v6 = ask(&format!("5.{zeros}2.1.d.f.ip6.arpa"), 12);
        assert_eq!(v6.data, [Data::Ptr(name)]);
    }

    #[test]
    fn a_name_that_is_there_but_not_of_that_kind_is_empty_and_no_error() {
        let mx = ask("db.demo.internal", 15);
        assert_eq!((mx.code, mx.data.len()), (Code::Done, 0));
    }

    #[test]
    fn unknown_names_of_ours_do_not_exist_and_foreign_ones_are_refused() {
        for name in [
            "no.demo.internal",
            "a.db.demo.internal",
            "9.9.64.100.in-addr.arpa",
        ] {
            assert_eq!(ask(name, 1).code, Code::NoSuchName, "{name}");
        }
        for name in [
            "example.org",
            "internal",
            "demo.internal.example.org",
            "db.other.internal",
            "5.0.64.10.in-addr.arpa",
            "05.0.64.100.in-addr.arpa",
            "64.100.in-addr.arpa",
        ] {
            assert_eq!(ask(name, 1).code, Code::Refused, "{name}");
        }
    }

    #[test]
    fn the_domain_itself_is_there_and_without_a_network_nothing_is() {
        let answer = ask("demo.internal", 6);
        assert!(answer.start && answer.code == Code::Done);
        let none = Zone::default().answer(&query("db.demo.internal", 1));
        assert_eq!(none.code, Code::Refused);
    }
}

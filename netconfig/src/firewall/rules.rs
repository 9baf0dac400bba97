//! The rules in the words of `nft --json`.

use serde_json::{Value, json};

use crate::desired::LinkName;
use crate::prefix::{Family, Prefix};

use super::Filter;

impl Filter {
    pub(super) fn statements(&self) -> Vec<Value> {
        match self {
            Self::SaveMark(mark) => vec![
                udp(),
                same(meta("mark"), json!(mark)),
                set(ct_mark(), meta("mark")),
            ],
            Self::RestoreMark(mark) => vec![
                udp(),
                same(ct_mark(), json!(mark)),
                set(meta("mark"), json!(mark)),
            ],
            Self::Shield { device, address } => vec![
                not_from(device),
                same(
                    header(Family::of(*address), "daddr"),
                    json!(address.to_string()),
                ),
                differs(
                    json!({"fib": {"result": "type", "flags": ["saddr"]}}),
                    json!("local"),
                ),
                drop(),
            ],
            Self::Serve { device, network } => vec![
                from(device),
                within(*network, "daddr"),
                not_to(device),
                accept(),
            ],
            Self::ServeOnly { device } => vec![from(device), drop()],
            Self::Admit { device, network } => vec![
                not_from(device),
                within(*network, "saddr"),
                to(device),
                from_where_it_is(),
                accept(),
            ],
            Self::AnswersOnly { device } => vec![to(device), no_answer(), drop()],
            Self::Isolate { device, family } => {
                vec![of(*family), not_from(device), not_to(device), drop()]
            }
            Self::Masquerade { device, from, to } => {
                vec![
                    within(*from, "saddr"),
                    within(*to, "daddr"),
                    not_to(device),
                    json!({"masquerade": null}),
                ]
            }
        }
    }
}

fn from(device: &LinkName) -> Value {
    same(meta("iifname"), json!(device.as_str()))
}

fn not_from(device: &LinkName) -> Value {
    differs(meta("iifname"), json!(device.as_str()))
}

fn to(device: &LinkName) -> Value {
    same(meta("oifname"), json!(device.as_str()))
}

fn not_to(device: &LinkName) -> Value {
    differs(meta("oifname"), json!(device.as_str()))
}

fn of(family: Family) -> Value {
    same(
        meta("nfproto"),
        json!(if family == Family::V4 { "ipv4" } else { "ipv6" }),
    )
}

/// The source is reached over the link that the packet came in by: nobody else on another link passes for it.
fn from_where_it_is() -> Value {
    let back = json!({"fib": {"result": "oif", "flags": ["saddr", "iif"]}});
    same(back, json!(true))
}

fn no_answer() -> Value {
    let state = json!({"ct": {"key": "state"}});
    json!({"match": {"op": "in", "left": state, "right": ["invalid", "new", "untracked"]}})
}

fn accept() -> Value {
    json!({"accept": null})
}

fn drop() -> Value {
    json!({"drop": null})
}

fn ct_mark() -> Value {
    json!({"ct": {"key": "mark"}})
}

fn meta(key: &str) -> Value {
    json!({"meta": {"key": key}})
}

fn same(left: Value, right: Value) -> Value {
    json!({"match": {"op": "==", "left": left, "right": right}})
}

fn differs(left: Value, right: Value) -> Value {
    json!({"match": {"op": "!=", "left": left, "right": right}})
}

fn set(key: Value, value: Value) -> Value {
    json!({"mangle": {"key": key, "value": value}})
}

fn udp() -> Value {
    same(meta("l4proto"), json!("udp"))
}

fn header(family: Family, field: &str) -> Value {
    let protocol = if family == Family::V4 { "ip" } else { "ip6" };
    json!({"payload": {"protocol": protocol, "field": field}})
}

/// Every address of a family cannot be written as a prefix.
fn within(prefix: Prefix, field: &str) -> Value {
    if prefix.length() == 0 {
        return of(prefix.family());
    }
    let range = json!({"prefix": {"addr": prefix.address().to_string(), "len": prefix.length()}});
    same(header(prefix.family(), field), range)
}

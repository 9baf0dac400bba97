//! Our nftables table.

/// What our table is to hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Table {
    /// Its name, in family inet.
    pub name: String,
}

/// What our table holds, told by the comments of its rules.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TableView {
    /// Chain and comment of each rule, in order.
    pub rules: Vec<(String, String)>,
}

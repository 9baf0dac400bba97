//! Counting what passes.

use std::sync::Arc;

use crate::{
    LabError, Link,
    link::Direction,
    switch::{Switch, on},
};

/// Counts the packets of a link in the kernel: exact at any moment and at any speed, but without their content.
pub struct Counter {
    switch: Arc<Switch>,
    table: String,
}

impl Link {
    /// Counts from now on what matches an nftables expression, such as `udp dport 51820`; an empty one is all.
    ///
    /// [`Direction::Out`] counts what the host sent, [`Direction::In`] what reaches it: both on the host's side of
    /// whatever the link cuts or loses.
    pub fn count(&self, matching: &str) -> Result<Counter, LabError> {
        let counter = Counter {
            switch: Arc::clone(&self.switch),
            table: self.switch.unique("count"),
        };
        let (table, port) = (&counter.table, &self.port);
        let chains: String = [("ingress", -10), ("egress", 10)]
            .map(|(hook, priority)| {
                format!(
                    "counter {hook} {{\n}}\nchain {hook} {{\n\
                     type filter hook {hook} device {port} priority {priority};\n\
                     {matching} counter name {hook}\n}}\n"
                )
            })
            .concat();
        self.switch
            .nft(format!("table netdev {table} {{\n{chains}}}\n"))?;
        Ok(counter)
    }
}

impl Counter {
    /// How many have passed in this direction.
    pub fn packets(&self, direction: Direction) -> Result<u64, LabError> {
        let name = match direction {
            Direction::Out => "ingress",
            Direction::In => "egress",
        };
        let listed = on(&self.switch.space, "nft")
            .args(["list", "counter", "netdev", &self.table, name])
            .run()?;
        let number = listed
            .split_whitespace()
            .skip_while(|word| *word != "packets")
            .nth(1);
        number
            .and_then(|number| number.parse().ok())
            .ok_or(LabError::Os {
                what: "read a counter".into(),
                detail: listed,
            })
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // After the lab there is no table either.
        let _ = on(&self.switch.space, "nft")
            .args(["delete", "table", "netdev", &self.table])
            .run();
    }
}

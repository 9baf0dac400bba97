//! What the configuration means to core.

use tidegate_core::{Accept, Choices};

use crate::config::Config;

/// The owner's choices.
pub(super) fn of(config: &Config) -> Choices {
    let proto = |prefix: &tidegate_netconfig::Prefix| prefix.to_string().parse().ok();
    Choices {
        accept: if config.accept_routes {
            Accept::All
        } else {
            Accept::None
        },
        exit: None,
        serve: config.serve_routes.iter().filter_map(proto).collect(),
        keepalive: None,
        mtu: config.mtu,
    }
}

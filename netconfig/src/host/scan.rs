//! Keeping an eye on the routes of others, without reading the whole table more often than needed.

use crate::desired::Desired;
use crate::foreign::{ForeignSet, Removal};
use crate::observe;

use super::{Host, HostError};

impl Host {
    /// Reads the whole main table once more.
    pub(crate) fn rescan(&mut self) -> Result<(), HostError> {
        if let Some(foreign) = &self.foreign {
            self.foreign = Some(observe::scan(
                &mut self.netlink,
                foreign,
                &self.marks,
                None,
            )?);
        }
        Ok(())
    }

    /// Reads one link's part of the main table; gives whether anything changed.
    pub(crate) fn rescan_link(&mut self, link: u32) -> Result<bool, HostError> {
        let Some(foreign) = &self.foreign else {
            return Ok(false);
        };
        let before = foreign.on_link(link);
        let found = observe::scan(&mut self.netlink, foreign, &self.marks, Some(link))?;
        let now = found.on_link(link);
        let changed = before != now;
        let Some(foreign) = &mut self.foreign else {
            return Ok(false);
        };
        let mut crowded = false;
        for gone in before.iter().filter(|route| !now.contains(route)) {
            crowded |= foreign.remove(gone) == Removal::Rescan;
        }
        for route in now {
            foreign.add(route);
        }
        if crowded {
            self.rescan()?;
        }
        Ok(changed)
    }

    /// Looks for routes of others that touch the wanted prefixes, if these are not the ones looked for already.
    pub(super) fn follow(&mut self, desired: &Desired) -> Result<(), HostError> {
        let followed = self
            .foreign
            .as_ref()
            .is_some_and(|foreign| foreign.wanted().iter().eq(desired.routes.keys()));
        if !followed {
            let wanted = ForeignSet::new(desired.routes.keys().copied());
            self.foreign = Some(observe::scan(
                &mut self.netlink,
                &wanted,
                &desired.marks,
                None,
            )?);
        }
        Ok(())
    }
}

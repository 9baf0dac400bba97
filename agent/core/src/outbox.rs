//! What is to be done, in order: the data plane's first, since removal comes before all else.

use std::collections::VecDeque;
use std::sync::Arc;

use tidegate_wg::Command;

use crate::event::Event;
use crate::host::HostWish;
use crate::output::{Ask, Output, PlaneOrder, PlaneStart, Store, Token};

/// Outputs that wait to be polled.
#[derive(Default)]
pub(crate) struct Outbox {
    plane: VecDeque<PlaneOrder>,
    host: Option<Option<Arc<HostWish>>>,
    stores: VecDeque<Store>,
    asks: VecDeque<Ask>,
    events: VecDeque<Event>,
    last: u64,
}

impl Outbox {
    pub(crate) fn token(&mut self) -> Token {
        self.last += 1;
        Token(self.last)
    }

    pub(crate) fn start(&mut self, start: PlaneStart) {
        self.plane.push_back(PlaneOrder::Start(start));
    }

    pub(crate) fn stop(&mut self) -> Token {
        let token = self.token();
        self.plane.push_back(PlaneOrder::Stop { token });
        token
    }

    pub(crate) fn apply(&mut self, commands: Vec<Command>) -> Token {
        let token = self.token();
        self.plane.push_back(PlaneOrder::Apply { token, commands });
        token
    }

    /// Only the latest wish counts.
    pub(crate) fn host(&mut self, wish: Option<Arc<HostWish>>) {
        self.host = Some(wish);
    }

    pub(crate) fn store(&mut self, store: Store) {
        self.stores.push_back(store);
    }

    pub(crate) fn ask(&mut self, ask: Ask) {
        self.asks.push_back(ask);
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        let plane = self.plane.pop_front().map(Output::Plane);
        plane
            .or_else(|| self.host.take().map(Output::Host))
            .or_else(|| self.stores.pop_front().map(Output::Store))
            .or_else(|| self.asks.pop_front().map(Output::Ask))
            .or_else(|| self.events.pop_front().map(Output::Tell))
    }
}

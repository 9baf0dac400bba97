//! The queue of orders for the data plane. Where it is full, the data plane hangs: then it is dropped before anything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate_core::{PlaneOrder, Token};
use tidegate_wg_io::StopReason;
use tokio::sync::mpsc;

/// Something for the driver to do.
pub(super) enum Order {
    /// Core wants it.
    Core(PlaneOrder),
    /// The data plane that this order has started has ended by itself.
    Ended(Token, StopReason),
    /// Orders were lost, and with them all that had waited.
    Lost,
    /// Nothing more will come.
    End,
}

/// Where orders are given.
pub(super) struct Orders {
    sender: mpsc::Sender<Order>,
    /// The last order that was lost, until the driver has dropped the data plane.
    missed: Option<Token>,
    overrun: Arc<AtomicBool>,
}

/// Where the driver takes them.
pub(super) struct Queue {
    receiver: mpsc::Receiver<Order>,
    overrun: Arc<AtomicBool>,
}

/// A queue with so much room.
pub(super) fn queue(room: usize) -> (Orders, Queue) {
    let (sender, receiver) = mpsc::channel(room);
    let overrun = Arc::<AtomicBool>::default();
    let orders = Orders {
        sender,
        missed: None,
        overrun: Arc::clone(&overrun),
    };
    (orders, Queue { receiver, overrun })
}

impl Orders {
    /// Gives an order. Once one has found no room, all are lost until [`Self::dropped`].
    pub(super) fn give(&mut self, order: PlaneOrder) {
        let token = order.token();
        if self.missed.is_none() {
            if self.sender.try_send(Order::Core(order)).is_ok() {
                return;
            }
            self.overrun.store(true, Ordering::Release);
            // The driver may have taken all that waited just before, and would wait for ever.
            let _ = self.sender.try_send(Order::Lost);
            tracing::error!("the data plane does not keep up with its orders; it is started again");
        }
        self.missed = Some(token);
    }

    /// The driver has dropped the data plane, and there is room again. Gives the last order that was lost.
    pub(super) fn dropped(&mut self) -> Option<Token> {
        self.missed.take()
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        let _ = self.sender.try_send(Order::End); // where there is no room, the queue ends all the same
    }

    /// For whoever sees a data plane end.
    pub(super) fn downgrade(&self) -> mpsc::WeakSender<Order> {
        self.sender.downgrade()
    }
}

impl Queue {
    /// Waits for the next order; `None` when nobody can give one any more.
    pub(super) fn next(&mut self) -> Option<Order> {
        loop {
            let order = self.receiver.blocking_recv()?;
            if self.overrun.swap(false, Ordering::Acquire) {
                while self.receiver.try_recv().is_ok() {}
                return Some(Order::Lost);
            }
            if !matches!(order, Order::Lost) {
                return Some(order);
            } // else it was heard of before
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(token: u64) -> PlaneOrder {
        let token = Token(token);
        PlaneOrder::Stop { token }
    }

    fn token(order: Option<Order>) -> Option<Token> {
        match order {
            Some(Order::Core(order)) => Some(order.token()),
            _ => None,
        }
    }

    #[test]
    fn where_there_is_no_room_all_is_lost_until_the_data_plane_is_dropped() {
        let (mut orders, mut queue) = queue(2);
        orders.give(stop(1));
        assert_eq!(token(queue.next()), Some(Token(1)));
        for number in 2..=4 {
            orders.give(stop(number));
        }
        assert!(matches!(queue.next(), Some(Order::Lost)));
        orders.give(stop(5)); // there would be room
        assert_eq!(orders.dropped(), Some(Token(5)));
        orders.give(stop(6));
        assert_eq!(token(queue.next()), Some(Token(6)), "5 was lost too");
        assert_eq!(orders.dropped(), None);
        let late = orders.sender.try_send(Order::Lost);
        late.unwrap_or_else(|_| panic!("there is room"));
        orders.give(stop(7));
        assert_eq!(token(queue.next()), Some(Token(7)), "no loss is told twice");
        drop(orders);
        assert!(queue.next().is_none());
    }
}

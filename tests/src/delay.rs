//! A length of cable: frames come out at the other end later, in order.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::{
    LabError,
    space::{Depth, locked},
    switch::Switch,
};

/// Frames under way in one direction; what comes on top of them is dropped, as any queue does.
const QUEUE: usize = 65_536;
const FRAME: usize = 65_536;
/// The largest frame passes, whatever the link's own MTU is.
const MTU: u16 = 65_521;

/// Two TAP devices, one at each end, and threads that carry frames between them.
///
/// The near end shares a small bridge with the link's port; the far end takes the port's place in the network.
pub(crate) struct DelayLine {
    ends: [String; 2],
    control: Arc<Control>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Control {
    nanoseconds: AtomicU64,
    stopped: AtomicBool,
}

/// A frame and when it is due at the other end.
type Delayed = (Instant, Vec<u8>);

impl DelayLine {
    /// Puts a line between `port` and `bridge`.
    pub(crate) fn insert(switch: &Switch, bridge: &str, port: &str) -> Result<Self, LabError> {
        let ends = [switch.unique("near"), switch.unique("far")];
        let open = |name: &String| open(switch, name);
        let (near, far) = (Arc::new(open(&ends[0])?), Arc::new(open(&ends[1])?));
        let control = Arc::new(Control::default());
        let mut threads = carry(&near, &far, &control);
        threads.extend(carry(&far, &near, &control));
        let line = Self {
            ends,
            control,
            threads: Mutex::new(threads),
        };
        let joined = line.join(switch, bridge, port);
        if joined.is_err() {
            line.stop(switch);
        }
        joined.map(|()| line)
    }

    fn join(&self, switch: &Switch, bridge: &str, port: &str) -> Result<(), LabError> {
        let ([near, far], line) = (&self.ends, switch.bridge()?);
        switch.join(near, &line)?;
        switch.join(far, bridge)?;
        switch.join(port, &line)?;
        [near.as_str(), far, port]
            .into_iter()
            .try_for_each(|device| switch.await_forwarding(device))
    }

    /// Sets how long frames take from now on, each way. A frame never overtakes an earlier one.
    pub(crate) fn set(&self, delay: Duration) {
        let nanoseconds = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.control
            .nanoseconds
            .store(nanoseconds, Ordering::Relaxed);
    }

    /// Takes the devices away, upon which every thread ends.
    pub(crate) fn stop(&self, switch: &Switch) {
        self.control.stopped.store(true, Ordering::Relaxed);
        for end in &self.ends {
            let _ = switch.ip(&format!("link delete {end}\n"));
        }
        for thread in locked(&self.threads).drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn open(switch: &Switch, name: &str) -> Result<SyncDevice, LabError> {
    let device = DeviceBuilder::new().name(name).layer(Layer::L2).mtu(MTU);
    switch
        .space
        .enter(Depth::Network, || device.build_sync())?
        .map_err(LabError::os("make a delay line's TAP device"))
}

/// Starts one direction.
fn carry(
    from: &Arc<SyncDevice>,
    to: &Arc<SyncDevice>,
    control: &Arc<Control>,
) -> Vec<JoinHandle<()>> {
    let (sender, receiver) = sync_channel(QUEUE);
    let (from, to, reading, writing) = (
        Arc::clone(from),
        Arc::clone(to),
        Arc::clone(control),
        Arc::clone(control),
    );
    vec![
        thread::spawn(move || take_in(&from, &sender, &reading)),
        thread::spawn(move || let_out(&to, &receiver, &writing)),
    ]
}

fn take_in(from: &SyncDevice, queue: &SyncSender<Delayed>, control: &Control) {
    let mut frame = vec![0; FRAME];
    // An error means that the device is gone.
    while let Ok(length) = from.recv(&mut frame) {
        let due =
            Instant::now() + Duration::from_nanos(control.nanoseconds.load(Ordering::Relaxed));
        let _ = queue.try_send((due, frame[..length].to_vec()));
    }
}

fn let_out(to: &SyncDevice, queue: &Receiver<Delayed>, control: &Control) {
    for (due, frame) in queue {
        while let Some(rest) = due
            .checked_duration_since(Instant::now())
            .filter(|rest| !rest.is_zero())
        {
            if control.stopped.load(Ordering::Relaxed) {
                return;
            }
            thread::park_timeout(rest);
        }
        let _ = to.send(&frame);
    }
}

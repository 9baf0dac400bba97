//! The host's network, kept as core wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{HostWish, Traffic};
use tidegate_netconfig::desired::{
    Data, Device, Exit, Gateway, LinkId, Marks, Overlap, RouteKind, Wanted,
};
use tidegate_netconfig::{Desired, Ending, Family, Host, HostError, Keeper, Notice, Prefix};
use tokio::sync::{mpsc, oneshot, watch};

use super::inbox::{Inbox, Message};
use super::plane::Running;
use crate::config::Config;

/// The metric of our routes: behind what others set by hand, ahead of what leads nowhere.
const METRIC: u32 = 500;
/// How long to wait for the interface before everything but it is configured.
const PATIENCE: Duration = Duration::from_secs(3);
/// Orders that may wait.
const ORDERS: usize = 64;

/// How the host's network stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct NetworkView {
    /// Whether everything that is wanted is in place.
    pub(crate) settled: bool,
    /// What could not be done or is left out, one line each.
    pub(crate) complaints: Vec<String>,
    /// How often something that others changed was put right.
    pub(crate) repairs: u64,
    /// What keeps the host from being looked at or changed.
    pub(crate) trouble: Option<String>,
}

enum Order {
    Wish(Option<Arc<HostWish>>),
    Config(Arc<Config>),
    /// Leave the host guarded, or as if we had never been here, and end.
    End(Ending, oneshot::Sender<()>),
}

/// Where wishes are handed in.
pub(super) struct Network {
    orders: mpsc::Sender<Order>,
    view: watch::Receiver<NetworkView>,
}

impl Network {
    /// Starts to keep the host. What a crash left stays until the first wish says what is to become of it.
    pub(super) fn start(
        host: Host,
        config: Arc<Config>,
        plane: watch::Receiver<Option<Running>>,
        inbox: Inbox,
    ) -> Result<Self, HostError> {
        let marks = host.marks().clone();
        let keeper = Keeper::start(host)?;
        let (orders, queue) = mpsc::channel(ORDERS);
        let (view, seen) = watch::channel(NetworkView::default());
        let task = Task {
            keeper: Some(keeper),
            marks,
            config,
            wish: None,
            plane,
            inbox,
            view,
        };
        tokio::spawn(task.run(queue));
        Ok(Self { orders, view: seen })
    }

    /// Hands in a wish. `false` if the task hangs.
    pub(super) fn wish(&self, wish: Option<Arc<HostWish>>) -> bool {
        self.orders.try_send(Order::Wish(wish)).is_ok()
    }

    /// Hands in another configuration.
    pub(super) fn configure(&self, config: Arc<Config>) -> bool {
        self.orders.try_send(Order::Config(config)).is_ok()
    }

    /// How it stands.
    pub(super) fn view(&self) -> watch::Receiver<NetworkView> {
        self.view.clone()
    }

    /// Ends: either everything is undone, or only the guards stay.
    pub(super) async fn end(self, ending: Ending) {
        let (done, ended) = oneshot::channel();
        if self.orders.send(Order::End(ending, done)).await.is_ok() {
            let _ = ended.await;
        }
    }
}

struct Task {
    keeper: Option<Keeper>,
    marks: Marks,
    config: Arc<Config>,
    wish: Option<Option<Arc<HostWish>>>,
    plane: watch::Receiver<Option<Running>>,
    inbox: Inbox,
    view: watch::Sender<NetworkView>,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(keeper) = &mut self.keeper {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Wish(wish)) => {
                        self.wish = Some(newest(wish, &mut orders, &mut self.config));
                        self.apply().await;
                    }
                    Some(Order::Config(config)) => {
                        self.config = config;
                        self.apply().await;
                    }
                    Some(Order::End(ending, done)) => {
                        self.end(ending).await;
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                notice = keeper.notice() => match notice {
                    Some(notice) => self.hear(notice).await,
                    None => return,
                },
            }
        }
    }

    async fn apply(&mut self) {
        let Some(wish) = &self.wish else {
            return;
        };
        let desired = match wish {
            Some(wish) => {
                if wish.traffic == Traffic::Flows {
                    wait_for_plane(&mut self.plane).await;
                }
                desired(wish, &self.config, &self.marks)
            }
            None => Desired::nothing(self.marks.clone()),
        };
        self.set(desired).await;
    }

    async fn set(&self, desired: Desired) {
        let Some(keeper) = &self.keeper else {
            return;
        };
        match keeper.set(desired).await {
            Ok(outcome) => self.view.send_modify(|view| {
                view.settled = outcome.settled;
                view.complaints = outcome.complaints().collect();
                view.trouble = None;
                for complaint in &view.complaints {
                    tracing::warn!(%complaint, "host network");
                }
            }),
            Err(error) => {
                tracing::error!(%error, "the host's network cannot be configured");
                self.view.send_modify(|view| {
                    view.settled = false;
                    view.trouble = Some(error.to_string());
                });
            }
        }
    }

    async fn hear(&self, notice: Notice) {
        match notice {
            Notice::Repaired { changes, total } => {
                tracing::warn!(
                    changes = changes.len(),
                    total,
                    "somebody changed what is ours; it was put right"
                );
                self.view.send_modify(|view| view.repairs = total);
            }
            Notice::Conflicts(conflicts) => self.view.send_modify(|view| {
                view.complaints = conflicts.iter().map(ToString::to_string).collect();
            }),
            Notice::Underlay => {
                let _ = self.inbox.send(Message::Underlay).await;
            }
            Notice::Renamed { from, to } => {
                tracing::warn!(%from, %to, "the interface was renamed; it is followed");
            }
            Notice::Gone => {
                tracing::warn!("the interface is gone; nothing meant for it leaves in clear")
            }
            Notice::Incomplete(complaints) => {
                self.view.send_modify(|view| {
                    view.settled = false;
                    view.complaints = complaints;
                });
            }
            Notice::Trouble(error) => {
                self.view
                    .send_modify(|view| view.trouble = Some(error.to_string()));
            }
        }
    }

    /// Without the process there is no interface, so only guards can stay.
    async fn end(&mut self, ending: Ending) {
        if let (Ending::Keep, Some(Some(wish))) = (ending, &self.wish) {
            let stopped = HostWish {
                traffic: Traffic::Stopped,
                ..HostWish::clone(wish)
            };
            let mut guarded = desired(&stopped, &self.config, &self.marks);
            guarded.gateway = None;
            self.set(guarded).await;
        }
        let Some(keeper) = self.keeper.take() else {
            return;
        };
        if let Err(error) = keeper.stop(ending).await {
            tracing::error!(%error, "the host's network could not be left as it should be");
        }
    }
}

/// Wishes that came meanwhile replace this one. An order to end is left for the next turn, as it comes last.
fn newest(
    mut wish: Option<Arc<HostWish>>,
    orders: &mut mpsc::Receiver<Order>,
    config: &mut Arc<Config>,
) -> Option<Arc<HostWish>> {
    while orders.len() > 1 {
        match orders.try_recv() {
            Ok(Order::Wish(later)) => wish = later,
            Ok(Order::Config(later)) => *config = later,
            // More than one order waits, and nobody gives any after the end.
            Ok(Order::End(..)) | Err(_) => break,
        }
    }
    wish
}

async fn wait_for_plane(plane: &mut watch::Receiver<Option<Running>>) {
    // Without the interface the guards are set all the same, and the rest when it comes.
    let _ = tokio::time::timeout(PATIENCE, plane.wait_for(Option::is_some)).await;
}

/// What the host is to look like.
fn desired(wish: &HostWish, config: &Config, marks: &Marks) -> Desired {
    let flows = wish.traffic == Traffic::Flows;
    let device = flows.then(|| Device {
        link: LinkId::Name(config.interface.clone()),
        addresses: wish.addresses.clone(),
        mtu: u32::from(wish.mtu),
        queue: None,
    });
    Desired {
        marks: marks.clone(),
        device,
        ranges: prefixes(&wish.overlay),
        routes: routes(wish, config),
        data: if flows { Data::Flowing } else { Data::Stopped },
        exit: exit(wish),
        gateway: gateway(wish, config),
    }
}

fn routes(wish: &HostWish, config: &Config) -> BTreeMap<Prefix, Wanted> {
    let wanted = |kind, overlap| Wanted {
        kind,
        metric: METRIC,
        overlap,
    };
    let overlay = prefixes(&wish.overlay)
        .into_iter()
        .map(|prefix| (prefix, wanted(RouteKind::Overlay, Overlap::Refuse)));
    let subnets = prefixes(&wish.subnets).into_iter().map(|prefix| {
        let allowed = config.allow_overlap.iter().any(|wide| wide.covers(prefix));
        let overlap = if allowed {
            Overlap::Allow
        } else {
            Overlap::Refuse
        };
        (prefix, wanted(RouteKind::Subnet, overlap))
    });
    overlay.chain(subnets).collect()
}

fn exit(wish: &HostWish) -> Option<Exit> {
    let families: BTreeSet<Family> = prefixes(&wish.exit)
        .into_iter()
        .map(Prefix::family)
        .collect();
    (!families.is_empty()).then_some(Exit { families })
}

fn gateway(wish: &HostWish, config: &Config) -> Option<Gateway> {
    let networks = prefixes(&wish.serve);
    (!networks.is_empty()).then_some(Gateway {
        networks,
        masquerade: config.masquerade,
    })
}

fn prefixes<'a>(
    prefixes: impl IntoIterator<Item = &'a tidegate_proto::Prefix>,
) -> BTreeSet<Prefix> {
    prefixes
        .into_iter()
        .filter_map(|prefix| Prefix::around(prefix.address(), prefix.length()))
        .collect()
}

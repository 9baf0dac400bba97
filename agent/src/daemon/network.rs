//! The host's network, kept as core wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{HostWish, Traffic};
use tidegate_netconfig::desired::{
    Data, Device, Exit, Gateway, LinkId, Marks, Overlap, RouteKind, Wanted,
};
use tidegate_netconfig::{Desired, Ending, Family, Host, HostError, Keeper, Notice, Prefix};
use tokio::sync::{oneshot, watch};

use super::inbox::{Inbox, Message};
use super::plane::Running;
use crate::config::Config;

/// The metric of our routes: behind what others set by hand, ahead of what leads nowhere.
const METRIC: u32 = 500;
/// How long to wait for the interface before everything but it is configured.
const PATIENCE: Duration = Duration::from_secs(3);

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

/// What is wanted; only the newest counts.
#[derive(Clone)]
struct Order {
    /// Nothing at all until core has said something.
    wish: Option<Option<Arc<HostWish>>>,
    config: Arc<Config>,
}

/// How the host is to be left, and whom to tell whether it is.
type End = (Ending, oneshot::Sender<Result<(), HostError>>);

/// Where wishes are handed in.
pub(super) struct Network {
    wanted: watch::Sender<Order>,
    end: oneshot::Sender<End>,
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
        let (wanted, seen_wanted) = watch::channel(Order { wish: None, config });
        let (end, ended) = oneshot::channel();
        let (view, seen) = watch::channel(NetworkView::default());
        let task = Task {
            keeper,
            marks,
            wanted: seen_wanted,
            plane,
            inbox,
            view,
        };
        tokio::spawn(task.run(ended));
        Ok(Self {
            wanted,
            end,
            view: seen,
        })
    }

    /// Hands in a wish, in place of the one before.
    pub(super) fn wish(&self, wish: Option<Arc<HostWish>>) {
        self.wanted.send_modify(|wanted| wanted.wish = Some(wish));
    }

    /// Hands in another configuration.
    pub(super) fn configure(&self, config: Arc<Config>) {
        self.wanted.send_modify(|wanted| wanted.config = config);
    }

    /// How it stands.
    pub(super) fn view(&self) -> watch::Receiver<NetworkView> {
        self.view.clone()
    }

    /// Ends: either everything is undone, or only the guards stay.
    pub(super) async fn end(self, ending: Ending) -> Result<(), HostError> {
        let (done, ended) = oneshot::channel();
        let asked = self.end.send((ending, done));
        asked.map_err(|_| HostError::Stopped)?;
        ended.await.map_err(|_| HostError::Stopped)?
    }
}

struct Task {
    keeper: Keeper,
    marks: Marks,
    wanted: watch::Receiver<Order>,
    plane: watch::Receiver<Option<Running>>,
    inbox: Inbox,
    view: watch::Sender<NetworkView>,
}

impl Task {
    async fn run(mut self, mut ended: oneshot::Receiver<End>) {
        loop {
            tokio::select! {
                biased;
                end = &mut ended => {
                    if let Ok((ending, done)) = end {
                        let left = self.end(ending).await.inspect_err(|error| {
                            tracing::error!(%error, "the host's network could not be left as it should be");
                        });
                        let _ = done.send(left); // nobody waits any more
                    }
                    return;
                }
                Ok(()) = self.wanted.changed() => self.apply().await,
                notice = self.keeper.notice() => match notice {
                    Some(notice) => self.hear(notice).await,
                    None => return,
                },
            }
        }
    }

    async fn apply(&mut self) {
        let Order { wish, config } = self.wanted.borrow_and_update().clone();
        let desired = match wish {
            None => return,
            Some(Some(wish)) => {
                if wish.traffic == Traffic::Flows {
                    wait_for_plane(&mut self.plane).await;
                }
                desired(&wish, &config, &self.marks)
            }
            Some(None) => Desired::nothing(self.marks.clone()),
        };
        self.set(desired).await;
    }

    async fn set(&self, desired: Desired) {
        match self.keeper.set(desired).await {
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
    async fn end(self, ending: Ending) -> Result<(), HostError> {
        let Order { wish, config } = self.wanted.borrow().clone();
        if let (Ending::Keep, Some(Some(wish))) = (ending, wish) {
            let stopped = HostWish {
                traffic: Traffic::Stopped,
                exit: BTreeSet::new(),
                serve: BTreeSet::new(),
                ..HostWish::clone(&wish)
            };
            self.set(desired(&stopped, &config, &self.marks)).await;
        }
        let outcome = self.keeper.stop(ending).await?;
        match ending {
            Ending::Keep => Ok(()),
            Ending::Undo => outcome.check_undone(),
        }
    }
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

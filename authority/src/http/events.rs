//! An operator's stream of everything that changes.

use axum::body::Body;
use axum::http::Method;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tidegate_proto::api::Change;
use tidegate_proto::audit::Chained;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::answer::{Beginning, Events, json_of};
use super::app::{App, StreamPlace};
use super::door::{ByOperator, ViewAudit};
use super::problem::Refusal;
use super::route::{Route, route};
use super::stream::{COMMENT, KEEPALIVE, last_event};
use crate::service::{AuditFollower, Caller, Notice, Operation, Subscription};

pub(super) fn routes() -> Vec<Route> {
    vec![route(
        Method::GET,
        "/v1/events",
        "Everything that changes, from now on or behind an event",
        follow,
    )]
}

async fn follow(app: App, asked: ByOperator<ViewAudit>) -> Result<Events<Change>, Refusal> {
    let permit = app.stream_permit()?;
    let place = app.stream_place(&asked.caller.actor)?;
    let last = last_event(&asked.headers);
    let resumed = last.and_then(|last| app.authority().resume(last));
    app.metrics().stream_opened("operator", resumed.is_some());
    let beginning = Beginning::of(resumed.is_some());
    let head = app.authority().audit_head().await?;
    let open = Open {
        stopping: app.stopping(),
        audit: app.authority().follow_audit(head),
        changes: resumed.unwrap_or_else(|| app.authority().follow()),
        app,
        caller: asked.caller,
        _permit: permit,
        _place: place,
    };
    Ok(Events::new(beginning, Body::from_stream(open.frames())))
}

struct Open {
    app: App,
    caller: Caller,
    changes: Subscription,
    audit: AuditFollower,
    stopping: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
    _place: StreamPlace,
}

/// What can be told next.
enum Told {
    Notice(Notice),
    Record(Chained),
    Silence,
}

impl Open {
    fn frames(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
        stream::unfold(self, |mut open| async move {
            let frame = open.next().await?;
            Some((Ok(frame), open))
        })
    }

    /// What is sent next. Whoever may not hear it any more hears nothing more.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let told = self.wait().await?;
            let authority = self.app.authority();
            let allowed = authority.authorize(&self.caller, Operation::ViewAudit);
            allowed.await.ok()?;
            let change = match told {
                Told::Notice(notice) => self.change(notice).await,
                Told::Record(record) => Some(Change::Audit(record)),
                Told::Silence => return Some(Bytes::from_static(COMMENT)),
            };
            if let Some(change) = change {
                return self.frame(&change);
            }
        }
    }

    async fn wait(&mut self) -> Option<Told> {
        Some(tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => return None,
            notice = self.changes.next() => Told::Notice(notice?),
            record = self.audit.next() => Told::Record(record.ok()?),
            () = tokio::time::sleep(KEEPALIVE) => Told::Silence,
        })
    }

    fn frame(&self, change: &Change) -> Option<Bytes> {
        let (id, name) = (self.changes.last(), change.name());
        let json = String::from_utf8(json_of(change)).ok()?;
        self.app.metrics().streamed(name, json.len());
        Some(format!("id: {id}\nevent: {name}\ndata: {json}\n\n").into())
    }

    /// What a notice says to an operator.
    async fn change(&self, notice: Notice) -> Option<Change> {
        Some(match notice {
            Notice::Genesis => Change::Genesis {
                digest: self.app.authority().genesis().digest(),
            },
            Notice::List(sequence) => Change::List { sequence },
            Notice::Policy(version) => Change::Policy { version },
            Notice::Node(node, _) | Notice::Pending(node) | Notice::Presence(node) => {
                let reference = crate::service::NodeRef::Id(node);
                let view = self.app.authority().node(&reference).await.ok()?;
                Change::Node {
                    node,
                    name: view.name,
                    status: view.status,
                    reason: view.reason,
                }
            }
            Notice::Record(node) => Change::Record { node },
            Notice::Grants(epoch, nodes) => Change::Grants {
                epoch,
                nodes: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
            },
            Notice::Audit(_) => return None, // told with its record
            Notice::CutOff(list, after) => Change::CutOff { list, after },
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.metrics().stream_ended("operator");
    }
}

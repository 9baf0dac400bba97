//! The loop: one task owns the member, and everything that happens goes through it, one thing at a time.
//!
//! Each turn samples the clocks, tells core one thing, and carries out what core says, in its order: the data plane
//! first. Nothing here waits for anybody, so a slow disk or a lost authority never holds up a removal.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{
    Answer, Event, Failure, Input, Member, Names, Now, Output, State, Stopped, Wish,
};
use tidegate_netconfig::{Ending, Prefix};
use tokio::sync::{mpsc, oneshot, watch};

use super::carrier::{Challenged, Solved};
use super::clock::{Alarm, Sleep, WallWatch, now};
use super::inbox::Message;
use super::parts::Parts;
use super::wishes::Wishes;
use super::{choices, endpoints, session};
use crate::config::{Config, ConfigError};
use crate::exit::Exit;
use crate::local::{Refusal, Reply, Request};

/// How long a part that has no room is left alone.
const RELIEF: Duration = Duration::from_millis(500);

/// How the loop ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The process was told to stop.
    Stopped,
    /// The user left the network: the identity is to be erased.
    Left,
}

/// The loop's state.
pub(super) struct Loop {
    member: Member,
    config: Arc<Config>,
    parts: Parts,
    alarm: Alarm,
    wall: WallWatch,
    sleep: Sleep,
    names: Arc<Names>,
    revision: u64,
    state: watch::Sender<Option<State>>,
    wishes: Wishes,
    leaving: Option<oneshot::Sender<Reply>>,
    end: Option<End>,
}

impl Loop {
    /// A loop around a member.
    pub(super) fn new(member: Member, config: Arc<Config>, parts: Parts) -> io::Result<Self> {
        let (state, _) = watch::channel(None);
        Ok(Self {
            names: Arc::default(),
            revision: member.genesis().revision.value(),
            member,
            config,
            parts,
            alarm: Alarm::new()?,
            wall: WallWatch::new()?,
            sleep: Sleep::new(),
            state,
            wishes: Wishes::default(),
            leaving: None,
            end: None,
        })
    }

    /// Turns until told to end.
    pub(super) async fn run(mut self, inbox: &mut mpsc::Receiver<Message>) -> io::Result<End> {
        let mut pulse = super::systemd::Pulse::new();
        self.carry_out();
        self.announce_endpoints();
        let end = loop {
            if let Some(end) = self.end.take() {
                break end;
            }
            self.alarm
                .set(self.member.poll_timeout().map(|timeout| timeout.at))?;
            let message = tokio::select! {
                biased;
                () = pulse.beat() => None,
                message = inbox.recv() => message,
                rung = self.alarm.ring() => {
                    rung?;
                    None
                }
                changed = self.wall.changed() => {
                    changed?;
                    self.member.handle_timeout(now());
                    None
                }
            };
            self.turn(message);
        };
        self.finish(end).await;
        Ok(end)
    }

    fn turn(&mut self, message: Option<Message>) {
        if let Some(slept) = self.sleep.since_last() {
            tracing::info!(?slept, "the host slept; the authority is asked what is new");
            self.parts.authority.wake();
        }
        let now = now();
        match message {
            Some(Message::Core(input)) => {
                self.wishes.hear(&input);
                self.member.handle(input, now);
            }
            Some(Message::PlaneDropped) => self.plane_dropped(now),
            Some(Message::Request(request, answer)) => self.answer(request, answer, now),
            Some(Message::Challenge(challenged)) => self.solve(*challenged, now),
            Some(Message::Underlay) => self.underlay_changed(),
            Some(Message::Reload) => drop(self.reload()), // the log says what is wrong with it
            Some(Message::Stop) => self.end = Some(End::Stopped),
            None => {}
        }
        let due = self.member.poll_timeout();
        if due.is_some_and(|timeout| timeout.at <= now.boot) {
            self.member.handle_timeout(now);
        }
        self.carry_out();
    }

    /// Carries out everything that core has decided.
    fn carry_out(&mut self) {
        while let Some(output) = self.member.poll_output() {
            self.carry(output);
        }
        self.refresh_names();
        self.follow_genesis();
    }

    fn carry(&mut self, output: Output) {
        match output {
            Output::Plane(order) => self.parts.plane.order(order),
            Output::Host(wish) => self.parts.network.wish(wish),
            Output::Store(file) => {
                let token = file.token;
                self.wishes.handed_in(&file);
                if !self.parts.disk.write(file) {
                    self.refused("disk", Input::NotStored(token));
                }
            }
            Output::Ask(ask) => {
                let failed = Answer::Failed(Failure::Unreachable);
                let answered = Input::Answered(ask.kind(), failed);
                if !self.parts.authority.ask(ask) {
                    self.refused("authority", answered);
                }
            }
            Output::Tell(event) => self.tell(&event),
            _ => {}
        }
    }

    fn plane_dropped(&mut self, now: Now) {
        if let Some(report) = self.parts.plane.dropped() {
            self.member.handle(Input::Plane(report), now);
        }
    }

    /// A part has no room, so it hangs. Core hears of it in a moment: at once, it would only fill the part again.
    fn refused(&self, part: &str, input: Input) {
        tracing::error!(part, "it does not keep up");
        let inbox = self.parts.inbox.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RELIEF).await;
            let _ = inbox.send(Message::Core(input)).await; // the loop has ended
        });
    }

    fn tell(&mut self, event: &Event) {
        self.parts.counters.count(event);
        let time = self.member.time(now());
        self.parts.counters.note_refused(event, time);
        match event {
            Event::State(state) => {
                tracing::info!(%state, "state");
                self.end_own_flows(state);
                super::systemd::status(&state.to_string());
                self.state.send_replace(Some(state.clone()));
            }
            Event::Siblings | Event::NotStored(_) => tracing::error!("{event}"),
            Event::Refused { .. } | Event::ClockOff(_) | Event::RouteLoop { .. } => {
                tracing::warn!("{event}");
            }
            Event::PeerLeft { name, listed, .. } => {
                tracing::info!("{event}");
                if *listed && let Some(addresses) = self.names.get(name) {
                    super::flows::end(addresses);
                }
            }
            Event::PeerJoined { .. } | Event::Switched(_) | Event::Retired(_) => {
                tracing::debug!("{event}");
            }
            _ => tracing::info!("{event}"),
        }
    }

    /// Who is out keeps no connection with anybody: the others have ended theirs, and an application would wait for long.
    /// After a lease that has ended it may go on, so there they stay.
    fn end_own_flows(&self, state: &State) {
        if !matches!(state, State::Stopped(Stopped::Out { .. })) {
            return;
        }
        let ranges = self.member.genesis().prefixes();
        let ranges = ranges.filter_map(|range| Prefix::around(range.address(), range.length()));
        super::flows::end_within(ranges.collect());
    }

    /// Names go to the resolver, and prefixes to `wg show`, when somebody has come or gone.
    fn refresh_names(&mut self) {
        let names = self.member.names();
        if Arc::ptr_eq(&names, &self.names) {
            return;
        }
        let status = self.member.status(now());
        let own = status.certificate.as_ref().map(|own| own.addresses);
        let own = own.into_iter().flatten().collect();
        self.parts.resolver.publish(&names, own);
        self.names = names;
        let table: BTreeMap<_, _> = status
            .peers
            .iter()
            .map(|peer| (peer.id, super::view::allowed(peer)))
            .collect();
        self.parts.allowed.set(table);
    }

    fn follow_genesis(&mut self) {
        let revision = self.member.genesis().revision.value();
        if revision == self.revision {
            return;
        }
        self.revision = revision;
        if let Some(site) = session::site(&self.member) {
            self.parts.authority.move_to(site);
        }
    }

    fn solve(&self, challenged: Challenged, now: Now) {
        let Challenged {
            keys,
            challenge,
            origin,
            answer,
        } = challenged;
        let certificate = self.member.status(now).certificate;
        let solved = self.member.answer(&origin, &keys, &challenge);
        let solved = solved
            .inspect_err(|error| tracing::warn!(%error, "a challenge is not answered"))
            .ok()
            .map(|answer| Solved {
                answer,
                name: certificate.as_ref().map(|own| own.name.clone()),
                routes: certificate.map(|own| own.routes).unwrap_or_default(),
            });
        let _ = answer.send(solved); // whoever asked has given up
    }

    fn underlay_changed(&mut self) {
        self.parts.authority.hurry();
        self.announce_endpoints();
    }

    fn announce_endpoints(&mut self) {
        let port = self
            .parts
            .plane
            .running()
            .borrow()
            .as_ref()
            .map(|plane| plane.port);
        let port = port.unwrap_or(self.config.port);
        let found = endpoints::here(&self.config, port, self.parts.protocol);
        self.member.handle(Input::Endpoints(found), now());
        self.carry_out();
    }

    fn reload(&mut self) -> Result<(), ConfigError> {
        let config = Config::load(&self.parts.config_path).inspect_err(
            |error| tracing::error!(%error, "the configuration is not read anew; the one before holds"),
        )?;
        self.apply(config);
        Ok(())
    }

    fn apply(&mut self, config: Config) {
        let at_start = |config: &Config| {
            let names = (config.dns, config.dns_port, config.metrics);
            (config.interface.clone(), config.port, names)
        };
        if at_start(&config) != at_start(&self.config) {
            tracing::warn!("interface, port, dns and metrics take effect at the next start");
        }
        if let Err(error) = crate::logs::change(&config.log) {
            tracing::warn!(%error, "the log level stays as it is");
        }
        self.config = Arc::new(config);
        self.parts.network.configure(Arc::clone(&self.config));
        let choices = choices::of(&self.config);
        self.member.handle(Input::Choices(choices), now());
        self.announce_endpoints();
        tracing::info!("the configuration is read anew");
    }

    fn answer(&mut self, request: Request, answer: oneshot::Sender<Reply>, now: Now) {
        if request.changes() {
            return self.change(request, answer, now);
        }
        let (status, config) = (self.member.status(now), &self.config);
        let observer = &self.parts.observer;
        match request {
            Request::Status { measure } => observer.answer_status(status, config, measure, answer),
            Request::Ping { node } => observer.answer_ping(&status, &node, answer),
            Request::Health {} => observer.answer_health(status, config, answer),
            Request::Metrics {} => observer.answer_metrics(status, config, answer),
            _ => {} // it changes something
        }
    }

    fn change(&mut self, request: Request, answer: oneshot::Sender<Reply>, now: Now) {
        let reply = match request {
            Request::Up {} => return self.wish(Wish::Up, answer, now),
            Request::Down {} => return self.wish(Wish::Down, answer, now),
            Request::Leave {} => {
                self.member.handle(Input::Wish(Wish::Down), now);
                self.leaving = Some(answer);
                self.end = Some(End::Left);
                return;
            }
            Request::Reload {} => match self.reload() {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Refused(Refusal::new(Exit::Config, error)),
            },
            Request::Log { level } => match crate::logs::change(&level) {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Refused(Refusal::new(Exit::Usage, error)),
            },
            _ => return, // it only looks
        };
        let _ = answer.send(reply); // whoever asked has gone
    }

    /// It is carried out at once, and answered when it is on the disk.
    fn wish(&mut self, wish: Wish, answer: oneshot::Sender<Reply>, now: Now) {
        self.wishes.add(answer);
        self.member.handle(Input::Wish(wish), now);
    }

    /// Leaves the host guarded, or as if we had never been there.
    async fn finish(mut self, end: End) {
        super::systemd::stopping();
        self.carry_out();
        let ending = match end {
            End::Stopped => Ending::Keep,
            End::Left => Ending::Undo,
        };
        let erased = self.parts.end(ending, end).await;
        if let Some(answer) = self.leaving {
            let reply = match erased {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Refused(Refusal::new(error.exit(), error)),
            };
            let _ = answer.send(reply);
        }
    }
}

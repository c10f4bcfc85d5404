//! What happens in the engine, for whoever listens: the last 256 events are kept, and every new one goes to
//! all listeners.
//!
//! A listener that doesn't read loses the oldest events beyond its 1024 and holds up nobody.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bollard_stubs::models::{EventActor, EventMessage, EventMessageScopeEnum, EventMessageTypeEnum};
use futures_util::{Stream, StreamExt, stream};
use time::OffsetDateTime;
use tokio::sync::broadcast;

use crate::{Engine, Error, EventStream, EventsOptions, Filters};

/// As many past events as Docker keeps.
const KEPT: usize = 256;
const QUEUE: usize = 1024;
const FILTERS: [&str; 13] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "service",
    "type",
    "volume",
];

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Container,
    Image,
    Volume,
    Network,
    Daemon,
}

/// The engine's events.
#[derive(Debug)]
pub(crate) struct Events {
    past: Mutex<VecDeque<EventMessage>>,
    live: broadcast::Sender<EventMessage>,
    told: AtomicU64,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { past: Mutex::new(VecDeque::new()), live: broadcast::channel(QUEUE).0, told: AtomicU64::new(0) }
    }

    /// Tells everyone. `attributes` are key and value pairs.
    pub(crate) fn emit(
        &self,
        about: About,
        action: &str,
        id: &str,
        attributes: impl IntoIterator<Item = (String, String)>,
    ) {
        let now = OffsetDateTime::now_utc();
        let event = EventMessage {
            typ: Some(match about {
                About::Container => EventMessageTypeEnum::CONTAINER,
                About::Image => EventMessageTypeEnum::IMAGE,
                About::Volume => EventMessageTypeEnum::VOLUME,
                About::Network => EventMessageTypeEnum::NETWORK,
                About::Daemon => EventMessageTypeEnum::DAEMON,
            }),
            action: Some(action.to_owned()),
            actor: Some(EventActor {
                id: Some(id.to_owned()),
                attributes: Some(attributes.into_iter().collect()),
            }),
            scope: Some(EventMessageScopeEnum::LOCAL),
            time: Some(now.unix_timestamp()),
            time_nano: i64::try_from(now.unix_timestamp_nanos()).ok(),
        };
        self.told.fetch_add(1, Ordering::Relaxed);
        let mut past = self.past.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if past.len() == KEPT {
            past.pop_front();
        }
        past.push_back(event.clone());
        // Sent under the lock, so that a new listener sees each event once: among the past ones or live.
        let _ = self.live.send(event);
    }

    /// How many there have been.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.live.receiver_count()
    }

    fn subscribe(&self) -> (Vec<EventMessage>, broadcast::Receiver<EventMessage>) {
        let past = self.past.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (past.iter().cloned().collect(), self.live.subscribe())
    }
}

impl Engine {
    /// Events from now on, and those of the past if `since` or `until` is given.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] for an unknown filter.
    pub fn events(&self, options: EventsOptions) -> Result<EventStream, Error> {
        options.filters.expect(&FILTERS)?;
        let (past, live) = self.inner().events.subscribe();
        let nanos = |time: Option<OffsetDateTime>| time.map(|time| time.unix_timestamp_nanos());
        let (since, until) = (nanos(options.since), nanos(options.until));
        let when = |event: &EventMessage| i128::from(event.time_nano.unwrap_or(0));
        let begin = since.or(until.map(|_| i128::MIN));
        let old = past.into_iter().filter(move |event| begin.is_some_and(|begin| when(event) >= begin));
        let end = until.map(|until| until - OffsetDateTime::now_utc().unix_timestamp_nanos());
        let all = stream::iter(old).chain(live_events(live, end));
        let filters = options.filters;
        let wanted = all.filter(move |event| {
            let wanted = until.is_none_or(|until| when(event) <= until) && matches(event, &filters);
            std::future::ready(wanted)
        });
        Ok(Box::pin(wanted))
    }
}

/// Live events until `nanoseconds` from now.
fn live_events(
    live: broadcast::Receiver<EventMessage>,
    nanoseconds: Option<i128>,
) -> impl Stream<Item = EventMessage> + Send {
    let left = nanoseconds.map(|left| u64::try_from(left.max(0)).unwrap_or(u64::MAX));
    let end = left.map(|left| tokio::time::Instant::now() + std::time::Duration::from_nanos(left));
    stream::unfold(live, move |mut live| async move {
        loop {
            let next = match end {
                Some(end) => tokio::time::timeout_at(end, live.recv()).await.ok()?,
                None => live.recv().await,
            };
            match next {
                Ok(event) => return Some((event, live)),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    })
}

fn matches(event: &EventMessage, filters: &Filters) -> bool {
    let kind = event.typ.map(|kind| kind.to_string()).unwrap_or_default();
    let actor = event.actor.as_ref();
    let id = actor.and_then(|actor| actor.id.as_deref()).unwrap_or("");
    let attribute = |key: &str| {
        actor.and_then(|actor| actor.attributes.as_ref()).and_then(|map| map.get(key)).map(String::as_str)
    };
    let action = event.action.as_deref().unwrap_or("");
    // An object's own filter implies its type.
    let object = |name: &str| {
        filters.any(name, |value| {
            kind == name
                && [Some(id), attribute("name")].into_iter().flatten().any(|of| of.starts_with(value))
        })
    };
    // Events of containers are their image's as well, with its tag or without.
    let image = attribute(if kind == "image" { "name" } else { "image" });
    let of_image = |value: &str| {
        let same = |name: &str| name == value || without_tag(name) == value;
        (kind == "image" && id == value) || image.is_some_and(same)
    };
    filters.any("type", |value| value == kind)
        && filters.any("scope", |value| value == "local")
        // `exec_start: sh` matches exec_start, `health_status: healthy` health_status.
        && filters.any("event", |value| value == action || action.split(':').next() == Some(value))
        && ["container", "volume", "network", "daemon", "plugin", "node", "service", "config"].into_iter().all(object)
        && filters.any("image", of_image)
        && filters.labels(attribute)
}

/// An image's name without its tag.
fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') && !repository.ends_with("sha256") => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emit(events: &Events, about: About, action: &str, id: &str) {
        events.emit(
            about,
            action,
            id,
            [("name".to_owned(), "web".to_owned()), ("tier".to_owned(), "1".to_owned())],
        );
    }

    #[test]
    fn only_the_last_256_are_kept() {
        let events = Events::new();
        (0..300).for_each(|n| emit(&events, About::Container, "start", &n.to_string()));
        let (past, _) = events.subscribe();
        assert_eq!((past.len(), past[0].actor.as_ref().unwrap().id.as_deref()), (256, Some("44")));
    }

    #[test]
    fn filters_select_by_type_object_action_and_label() {
        let events = Events::new();
        emit(&events, About::Container, "exec_start: sh", "abcdef");
        let event = events.subscribe().0.remove(0);
        let with = |name: &str, value: &str| matches(&event, &Filters::default().with(name, value));
        assert!(with("type", "container") && !with("type", "image"));
        assert!(with("container", "web") && with("container", "abc") && !with("container", "db"));
        assert!(!with("image", "web"));
        assert!(with("event", "exec_start") && !with("event", "start"));
        assert!(with("label", "tier=1") && !with("label", "tier=2"));
    }

    #[test]
    fn what_happens_to_containers_is_their_images_but_not_their_networks() {
        let events = Events::new();
        let attributes =
            |image: &str| [("name".to_owned(), "web".to_owned()), ("image".to_owned(), image.to_owned())];
        events.emit(About::Container, "start", "abc", attributes("reg:5000/app:1"));
        events.emit(About::Network, "connect", "net1", [("container".to_owned(), "abc".to_owned())]);
        let seen = |name: &str, value: &str| {
            let filters = Filters::default().with(name, value);
            events.subscribe().0.iter().filter(|event| matches(event, &filters)).count()
        };
        for (filter, value, count) in [
            ("image", "reg:5000/app", 1),
            ("image", "reg:5000/app:1", 1),
            ("image", "app", 0),
            ("container", "abc", 1),
            ("network", "net1", 1),
        ] {
            assert_eq!(seen(filter, value), count, "{filter}={value}");
        }
    }

    #[tokio::test]
    async fn a_listener_that_lags_goes_on_with_newer_events() {
        let events = Events::new();
        let (_, live) = events.subscribe();
        (0..2000).for_each(|n| emit(&events, About::Container, "start", &n.to_string()));
        let seen: Vec<_> = live_events(live, Some(1_000_000)).collect().await;
        assert_eq!(seen.len(), QUEUE);
    }
}

//! A person's notifications as they come, as server-sent events. Here because the answer never ends by itself.
//!
//! An event only says that there is something new: what it is comes from the list, so that a stream shows what a list
//! shows, and nothing is lost when an event is.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bus::Heard;
use futures_util::{Stream, StreamExt, stream};
use http::header;
use http::request::Parts;
use kit::Caller;
use prost::Message as _;
use proto::edge::RateClass;
use proto::events::event::Data;
use proto::notify::notification_service_client::NotificationServiceClient;
use proto::notify::{ListNotificationsRequest, Notification};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::only;
use crate::Edge;
use crate::edge::problem::Problem;
use crate::pipeline::{access, around};

/// The family of events that says whom something was told.
pub const FAMILY: &str = "notification";
const ROUTE: &str = "/v1/notifications/stream";
/// Who may list notifications may hear them.
const RULE: &str = "retention.notify.v1.NotificationService.ListNotifications";
const MESSAGE: &str = "retention.notify.v1.Notification";
const DEADLINE: Duration = Duration::from_secs(5);
/// How often a stream without news shows that it lives. Without NATS it looks for news then.
const BEAT: Duration = Duration::from_secs(15);
/// How long a browser waits before it comes back.
const RETRY: Duration = Duration::from_secs(3);
/// How far back a stream that was interrupted goes on.
const BACK: u32 = 200;
/// How many streams one person may have open.
const STREAMS: usize = 10;

/// The streams that are open, by person.
#[derive(Default)]
pub struct Live {
    people: Mutex<HashMap<String, watch::Sender<()>>>,
    /// The door closes: no stream keeps it open.
    pub closing: CancellationToken,
}

impl Live {
    /// Wakes the streams of whoever was told something.
    pub fn hear(&self, heard: &Heard) {
        let event = proto::events::Event::decode(heard.body.clone()).ok().and_then(|event| event.data);
        let Some(Data::NotificationChanged(changed)) = event else { return };
        if let Some(waiting) = self.people().get(&changed.user_id) {
            waiting.send_replace(());
        }
    }

    /// Forgets whoever went away.
    pub fn forget(&self) {
        self.people().retain(|_, waiting| waiting.receiver_count() > 0);
    }

    fn open(&self, user: &str) -> Result<watch::Receiver<()>, Problem> {
        let mut people = self.people();
        let waiting = people.entry(user.to_owned()).or_insert_with(|| watch::Sender::new(()));
        if waiting.receiver_count() >= STREAMS {
            let text = format!("{STREAMS} streams are open already; close one");
            return Err(Problem { retry_after: Some(BEAT), ..Problem::new(429, "too_many_streams", text) });
        }
        Ok(waiting.subscribe())
    }

    fn people(&self) -> std::sync::MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn routes(edge: &Arc<Edge>) -> Router {
    let edge = edge.clone();
    let open = move |request: Request| {
        let edge = edge.clone();
        around(ROUTE.to_owned(), request, move |request, id| async move { open(edge, request, id).await })
    };
    Router::new().route(ROUTE, only(ROUTE, "GET", get(open)))
}

async fn open(edge: Arc<Edge>, request: Request, id: String) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let last = parts.headers.get("last-event-id").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut open =
        Open { caller: allowed(&edge, &parts, &id).await?, parts, id, known: HashSet::new(), edge };
    open.edge.rates.admit(RateClass::Read, &open.caller, &open.parts)?;
    let woken = open.edge.live.open(&open.caller.actor.id)?;
    // Who comes for the first time has just read the list.
    let seen = open.news().await?;
    let missed = seen.into_iter().filter(|n| last.as_ref().is_some_and(|last| n.id > *last));
    let mut first = vec![Event::default().retry(RETRY).comment("open")];
    first.extend(missed.filter_map(|n| open.event(&n)));
    let mut response = Sse::new(events(open, first, woken)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Who may hear now: asked again before anything is said, as a session may end while its stream is open.
async fn allowed(edge: &Edge, parts: &Parts, id: &str) -> Result<Caller, Problem> {
    let rule = edge.operation(RULE).ok_or_else(Problem::not_found)?;
    let who = edge.auth.who(edge, rule, parts).await?;
    access::caller(rule, &who, parts, id)
}

type Said = Result<Event, std::convert::Infallible>;

fn events(open: Open, first: Vec<Event>, woken: watch::Receiver<()>) -> impl Stream<Item = Said> {
    let rest = stream::unfold((open, woken), |(mut open, mut woken)| async move {
        let closing = open.edge.live.closing.clone();
        let news = tokio::select! {
            () = closing.cancelled() => return None,
            changed = woken.changed() => { changed.ok()?; true }
            () = tokio::time::sleep(BEAT) => !open.edge.auth.hears(),
        };
        open.caller = allowed(&open.edge, &open.parts, &open.id).await.ok()?;
        let mut said = vec![Event::default().comment("")];
        // What could not be asked for now is still new at the next look.
        if news && let Ok(news) = open.news().await {
            said.extend(news.iter().filter_map(|n| open.event(n)));
        }
        Some((said, (open, woken)))
    });
    stream::once(std::future::ready(first))
        .chain(rest)
        .flat_map(|said| stream::iter(said.into_iter().map(Ok)))
}

/// One person's open stream.
struct Open {
    edge: Arc<Edge>,
    parts: Parts,
    id: String,
    caller: Caller,
    /// What the person has been shown of the newest.
    known: HashSet<String>,
}

impl Open {
    /// What was not there at the last look, oldest first.
    async fn news(&mut self) -> Result<Vec<Notification>, Problem> {
        let upstream = self.edge.upstreams.get("notify")?;
        let message = ListNotificationsRequest { limit: BACK, ..Default::default() };
        let request = upstream.request(&self.caller, DEADLINE, message)?;
        let list = NotificationServiceClient::new(upstream.channel()).list_notifications(request).await?;
        let items = list.into_inner().items;
        let now = items.iter().map(|n| n.id.clone()).collect();
        let before = std::mem::replace(&mut self.known, now);
        Ok(items.into_iter().filter(|n| !before.contains(&n.id)).rev().collect())
    }

    fn event(&self, notification: &Notification) -> Option<Event> {
        let json = self.edge.plans.json(MESSAGE, &notification.encode_to_vec()).ok()?;
        let data = String::from_utf8(json).ok()?;
        Some(Event::default().id(&notification.id).event("notification").data(data))
    }
}

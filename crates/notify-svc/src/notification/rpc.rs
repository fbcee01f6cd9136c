//! Messages' face on the wire.

use kit::error::status;
use kit::time::to_proto;
use kit::{Caller, PageRequest};
use proto::notify as pb;
use proto::notify::notification_service_server::NotificationService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::{Kind, Mode, Notification, Post, Preferences, Severity};
use super::ops::Notifications;
use crate::email::{Mail, Mails, State};

/// The room behind its gRPC service.
pub struct Rpc {
    pub notifications: Notifications,
    pub mails: Mails,
}

type Reply<T> = Result<Response<T>, Status>;

fn reply<T>(outcome: crate::error::Result<T>) -> Reply<T> {
    outcome.map(Response::new).map_err(|e| status(&e))
}

#[tonic::async_trait]
impl NotificationService for Rpc {
    async fn list_notifications(
        &self,
        request: Request<pb::ListNotificationsRequest>,
    ) -> Reply<pb::ListNotificationsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListNotificationsRequest { limit, cursor, unread } = request.into_inner();
        let page = self.notifications.list(&caller, unread, &PageRequest::new(limit, cursor)).await;
        reply(page.map(|page| pb::ListNotificationsResponse {
            items: page.items.into_iter().map(notification).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn read_notification(
        &self,
        request: Request<pb::ReadNotificationRequest>,
    ) -> Reply<pb::Notification> {
        let caller = Caller::of(&request)?;
        reply(self.notifications.read(&caller, &request.get_ref().id).await.map(notification))
    }

    async fn read_all_notifications(
        &self,
        request: Request<pb::ReadAllNotificationsRequest>,
    ) -> Reply<pb::ReadAllNotificationsResponse> {
        let caller = Caller::of(&request)?;
        let read = self.notifications.read_all(&caller).await;
        reply(read.map(|read| pb::ReadAllNotificationsResponse { read }))
    }

    async fn get_preferences(&self, request: Request<pb::GetPreferencesRequest>) -> Reply<pb::Preferences> {
        let caller = Caller::of(&request)?;
        reply(self.notifications.preferences(&caller).await.map(|p| preferences(&p)))
    }

    async fn set_preferences(&self, request: Request<pb::SetPreferencesRequest>) -> Reply<pb::Preferences> {
        let caller = Caller::of(&request)?;
        let wanted = wanted(request.into_inner());
        reply(self.notifications.set_preferences(&caller, wanted).await.map(|p| preferences(&p)))
    }

    async fn list_deliveries(
        &self,
        request: Request<pb::ListDeliveriesRequest>,
    ) -> Reply<pb::ListDeliveriesResponse> {
        let caller = Caller::of(&request)?;
        let wanted = state_of(request.get_ref().state());
        let pb::ListDeliveriesRequest { limit, cursor, state: _ } = request.into_inner();
        let personal = caller.sees_personal_data();
        let page = self.mails.deliveries(&caller, wanted, &PageRequest::new(limit, cursor)).await;
        reply(page.map(|page| pb::ListDeliveriesResponse {
            items: page.items.into_iter().map(|m| delivery(m, personal)).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn post_notification(
        &self,
        request: Request<pb::PostNotificationRequest>,
    ) -> Reply<pb::PostNotificationResponse> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| status(&f))?.clone();
        let kind = kind_of(request.get_ref().kind());
        let kind = kind.ok_or_else(|| Status::invalid_argument("a kind is required"))?;
        let severity = match request.get_ref().severity() {
            pb::Severity::Urgent => Severity::Urgent,
            pb::Severity::Warning => Severity::Warning,
            pb::Severity::Info | pb::Severity::Unspecified => Severity::Info,
        };
        let pb::PostNotificationRequest {
            kind: _,
            severity: _,
            roles,
            title,
            body,
            link,
            subject,
            dedupe_key,
            values,
        } = request.into_inner();
        let values = values.map(proto::json::object_from_wire).unwrap_or_default();
        let post = Post {
            kind,
            severity,
            roles,
            title,
            body,
            words: None,
            in_app_only: false,
            link,
            subject,
            dedupe_key,
            template: None,
            values,
            customer: None,
            about: None,
            value: None,
        };
        let told = self.notifications.tell(&scope, &post).await;
        reply(told.map(|recipients| pb::PostNotificationResponse { recipients }))
    }
}

fn notification(read: Stored<Notification>) -> pb::Notification {
    let Stored { id, created_at, body, .. } = read;
    let Notification {
        user_id: _,
        kind,
        severity,
        title,
        body,
        link,
        subject,
        dedupe_key: _,
        about: _,
        read_at,
    } = body;
    pb::Notification {
        id,
        kind: wire_kind(kind).into(),
        severity: match severity {
            Severity::Info => pb::Severity::Info,
            Severity::Warning => pb::Severity::Warning,
            Severity::Urgent => pb::Severity::Urgent,
        }
        .into(),
        title,
        body,
        link,
        subject,
        created_at: Some(to_proto(created_at)),
        read_at: read_at.map(to_proto),
    }
}

fn delivery(read: Stored<Mail>, personal: bool) -> pb::Delivery {
    let Stored { id, created_at, body: m, .. } = read;
    pb::Delivery {
        id,
        template: m.template,
        state: match m.state {
            State::Queued => pb::DeliveryState::Queued,
            State::Sending => pb::DeliveryState::Sending,
            State::Sent => pb::DeliveryState::Sent,
            State::Retrying => pb::DeliveryState::Retrying,
            State::Dead => pb::DeliveryState::Dead,
            State::Suppressed => pb::DeliveryState::Suppressed,
        }
        .into(),
        to: if personal { m.to } else { String::from("•••") },
        attempts: m.attempts,
        last_error: m.last_error,
        created_at: Some(to_proto(created_at)),
        sent_at: m.sent_at.map(to_proto),
    }
}

fn state_of(wire: pb::DeliveryState) -> Option<State> {
    Some(match wire {
        pb::DeliveryState::Unspecified => return None,
        pb::DeliveryState::Queued => State::Queued,
        pb::DeliveryState::Sending => State::Sending,
        pb::DeliveryState::Sent => State::Sent,
        pb::DeliveryState::Retrying => State::Retrying,
        pb::DeliveryState::Dead => State::Dead,
        pb::DeliveryState::Suppressed => State::Suppressed,
    })
}

fn wire_kind(kind: Kind) -> pb::NotificationKind {
    match kind {
        Kind::HighValueSession => pb::NotificationKind::HighValueSession,
        Kind::ManualCancellation => pb::NotificationKind::ManualCancellation,
        Kind::ConnectionDegraded => pb::NotificationKind::ConnectionDegraded,
        Kind::DraftSubmitted => pb::NotificationKind::DraftSubmitted,
        Kind::PersonasRefreshed => pb::NotificationKind::PersonasRefreshed,
        Kind::PaymentRecovery => pb::NotificationKind::PaymentRecovery,
    }
}

fn kind_of(wire: pb::NotificationKind) -> Option<Kind> {
    Kind::ALL.into_iter().find(|k| wire_kind(*k) == wire)
}

fn wire_mode(mode: Mode) -> i32 {
    match mode {
        Mode::Now => pb::PreferenceMode::Now,
        Mode::Off => pb::PreferenceMode::Off,
    }
    .into()
}

fn preferences(p: &Preferences) -> pb::Preferences {
    let item = |kind: Kind| pb::Preference {
        kind: wire_kind(kind).into(),
        in_app: wire_mode(p.in_app(kind)),
        email: wire_mode(p.email(kind)),
    };
    pb::Preferences { items: Kind::ALL.into_iter().map(item).collect() }
}

fn wanted(request: pb::SetPreferencesRequest) -> Preferences {
    let mode = |m: pb::PreferenceMode| if m == pb::PreferenceMode::Off { Mode::Off } else { Mode::Now };
    let mut wanted = Preferences::default();
    for item in request.items {
        if let Some(kind) = kind_of(item.kind()) {
            wanted.in_app.insert(kind, mode(item.in_app()));
            wanted.email.insert(kind, mode(item.email()));
        }
    }
    wanted
}

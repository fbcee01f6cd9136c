//! What notify hears of the others, and whom it tells what. Every branch may run twice: mails and messages have keys
//! that follow from the event's subject, and the rest only sets what is so.

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};
use kit::{Currency, Money, Scope, Timestamp};
use prost::Message as _;
use proto::events as pb;
use proto::events::event::Data;
use serde_json::{Value, json};

use crate::contacts::{Contact, ContactStore};
use crate::email::{Draft, Mails, Recovery};
use crate::error::Result;
use crate::notification::{Kind, Notifications, Post, Severity};
use crate::upstream::Directory;

/// The families of events that notify consumes.
pub const FAMILIES: [&str; 10] = [
    "mail",
    "customer",
    "redemption",
    "flow",
    "payment",
    "subscription",
    "persona",
    "connection",
    "recovery",
    "notification",
];

pub struct Ears {
    pub mails: Mails,
    pub contacts: ContactStore,
    pub notifications: Notifications,
    pub directory: Directory,
    /// The monthly value, in minor units, from which on a session is told.
    pub high_value_minor: i64,
}

#[async_trait]
impl Handler for Ears {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            outcomes.push(match pb::Event::decode(incoming.body.as_ref()) {
                Err(e) => Outcome::Dead(format!("the event cannot be read: {e}")),
                Ok(event) => match Box::pin(self.hear(incoming, event)).await {
                    Ok(()) => Outcome::Done,
                    Err(e) => Outcome::Retry(format!("{:#}", anyhow::Error::from(e))),
                },
            });
        }
        outcomes
    }
}

impl Ears {
    async fn hear(&self, incoming: &Incoming, event: pb::Event) -> Result<()> {
        let scope = &incoming.scope;
        match (incoming.kind.as_str(), event.data) {
            ("mail.requested", Some(Data::MailRequested(m))) => self.requested(incoming, m).await?,
            ("customer.upserted", Some(Data::CustomerUpserted(c))) => {
                let contact = Contact {
                    email: c.email,
                    name: c.name,
                    locale: c.locale,
                    sequence: event.sequence,
                    restricted: false,
                };
                self.contacts.keep(scope, &c.customer_id, contact).await?;
            }
            ("customer.erased", Some(Data::CustomerErased(c))) => {
                self.contacts.forget(scope, &c.customer_id).await?;
                self.mails.erase(scope, &c.customer_id).await?;
            }
            ("redemption.claimed" | "redemption.verified", Some(Data::RedemptionChanged(r))) => {
                self.offer_code(incoming, r).await?;
            }
            (kind, Some(Data::FlowSessionChanged(f))) => self.session(incoming, kind, f).await?,
            ("payment.recovered", Some(Data::PaymentChanged(p))) => {
                self.halt(incoming, &p.subscription_id, "the payment came in").await?;
            }
            (_, Some(Data::SubscriptionChanged(s))) => {
                let why = match (s.state.as_str(), s.previous_state.as_str()) {
                    ("non_renewing" | "ended", _) => "the customer left",
                    ("paused", _) => "the subscription is paused",
                    ("active" | "trialing", "past_due") => "the payment came in",
                    _ => return Ok(()),
                };
                self.halt(incoming, &s.subscription_id, why).await?;
            }
            ("recovery.case_ended", Some(Data::RecoveryCaseChanged(c))) => {
                self.halt(incoming, &c.subscription_id, "the recovery has ended").await?;
            }
            ("notification.requested", Some(Data::NotificationRequested(n))) => self.asked(scope, n).await?,
            (_, Some(Data::PersonasRefreshed(p))) => self.personas(scope, p).await?,
            (_, Some(Data::ConnectionChanged(c))) if matches!(c.status.as_str(), "degraded" | "revoked") => {
                self.connection(scope, event.sequence, c).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn requested(&self, incoming: &Incoming, m: pb::MailRequested) -> Result<()> {
        let values = m.values.map(proto::json::object_from_wire).unwrap_or_default();
        if !m.customer_id.is_empty() {
            let of = Some(m.recovery_of).filter(|s| !s.is_empty());
            return self.to_customer(incoming, &m.customer_id, &m.template, m.dedupe_key, values, of).await;
        }
        let draft = Draft {
            template: m.template,
            to: m.to,
            locale: m.locale,
            from_name: String::new(),
            values,
            dedupe_key: m.dedupe_key,
            customer_id: None,
            about: None,
            recovery_of: None,
        };
        self.mails.queue(&incoming.scope, draft).await
    }

    async fn halt(&self, incoming: &Incoming, subscription: &str, why: &str) -> Result<()> {
        self.mails.halt_recovery(&incoming.scope, subscription, why, incoming.occurred_at).await
    }

    /// Something for the company's admins in the dashboard.
    async fn asked(&self, scope: &Scope, n: pb::NotificationRequested) -> Result<()> {
        let Some(kind) = Kind::ALL.into_iter().find(|k| k.as_str() == n.kind) else {
            tracing::warn!(notification.kind = n.kind, "nobody is told of {}: the kind is not known", n.kind);
            return Ok(());
        };
        let local = |text: proto::common::LocalText| kit::locale::LocalText {
            default_locale: text.default_locale,
            texts: text.texts.into_iter().collect(),
        };
        let contact = self.contacts.get(scope, &n.customer_id).await?;
        let post = Post {
            kind,
            severity: Severity::Warning,
            roles: Vec::new(),
            title: n.kind.clone(),
            body: format!("{}_body", n.kind),
            words: n.title.zip(n.body).map(|(title, body)| (local(title), local(body))),
            in_app_only: true,
            link: n.link,
            subject: n.subject,
            dedupe_key: n.dedupe_key,
            template: None,
            values: n.values.map(proto::json::object_from_wire).unwrap_or_default(),
            customer: contact.map(|c| (c.name.clone(), c.masked())),
            about: Some(n.customer_id).filter(|c| !c.is_empty()),
            value: None,
        };
        self.notifications.tell(scope, &post).await.map(|_| ())
    }

    /// A mail to a customer, from the company.
    async fn to_customer(
        &self,
        incoming: &Incoming,
        customer: &str,
        template: &str,
        key: String,
        mut values: Value,
        recovery_of: Option<String>,
    ) -> Result<()> {
        let scope = &incoming.scope;
        // Who is not known yet gets the mail once billing has told where: the worker looks again before it sends.
        let contact = self.contacts.get(scope, customer).await?.unwrap_or_default();
        let company = self.directory.company_name(scope).await?;
        values["company"] = company.as_ref().into();
        let draft = Draft {
            template: template.to_owned(),
            to: contact.email,
            locale: contact.locale,
            from_name: company.as_ref().to_owned(),
            values,
            dedupe_key: key,
            customer_id: Some(customer.to_owned()),
            about: None,
            recovery_of: recovery_of
                .map(|subscription| Recovery { subscription, asked_at: incoming.occurred_at }),
        };
        self.mails.queue(scope, draft).await
    }

    async fn offer_code(&self, incoming: &Incoming, r: pb::RedemptionChanged) -> Result<()> {
        if r.code.is_empty() {
            return Ok(());
        }
        let locale = self.contacts.get(&incoming.scope, &r.customer_id).await?.map(|c| c.locale);
        let terms = r.terms_text.unwrap_or_default();
        let terms = kit::locale::LocalText {
            default_locale: terms.default_locale,
            texts: terms.texts.into_iter().collect(),
        };
        let recovery = kit::id::is("rcs", &r.flow_session_id);
        let values = json!({
            "recovery": recovery, "code": r.code, "offer": r.offer_name,
            "terms": terms.get(locale.as_deref().unwrap_or_default()),
            "ends_at": r.effect_ends_at.as_ref().and_then(kit::time::from_proto).map(|t| t.to_string()),
        });
        // The code is mailed when it is claimed; a later event of the same redemption finds the mail there.
        let key = format!("offer_code/{}", r.redemption_id);
        // Given at the last chance of a recovery: then it is a recovery mail as well.
        let of = recovery.then_some(r.subscription_id);
        self.to_customer(incoming, &r.customer_id, "Offer_Code", key, values, of).await
    }

    async fn session(&self, incoming: &Incoming, kind: &str, f: pb::FlowSessionChanged) -> Result<()> {
        let (scope, id) = (&incoming.scope, f.flow_session_id.as_str());
        if matches!(kind, "flow.session.canceled" | "flow.session.manual_requested") {
            self.halt(incoming, &f.subscription_id, "the customer left").await?;
        }
        let money = |m: &proto::common::Money| Some(Money::new(m.minor, Currency::parse(&m.currency)?));
        let value = f.mrr.as_ref().and_then(money);
        let post = async |kind, severity, title: &str, what: &str| -> Result<u32> {
            let contact = self.contacts.get(scope, &f.customer_id).await?;
            let shown = contact.map(|c| (c.name.clone(), c.masked()));
            let post = Post {
                kind,
                severity,
                roles: Vec::new(),
                title: title.to_owned(),
                body: format!("{title}_body"),
                words: None,
                in_app_only: false,
                link: format!("/flow-sessions/{id}"),
                subject: id.to_owned(),
                dedupe_key: format!("{what}/{id}"),
                template: None,
                values: Value::Null,
                customer: shown,
                about: Some(f.customer_id.clone()).filter(|c| !c.is_empty()),
                value,
            };
            self.notifications.tell(scope, &post).await
        };
        if kind == "flow.session.manual_requested" {
            let title = if f.unverified { "manual_unverified" } else { "manual_cancellation" };
            post(Kind::ManualCancellation, Severity::Urgent, title, "manual").await?;
            let at = f.wished_at.as_ref().and_then(kit::time::from_proto);
            let values = json!({ "wished_at": at.map(|t: Timestamp| t.to_string()) });
            let key = format!("cancel_request_received/{id}");
            let template = "cancel_request_received";
            return self.to_customer(incoming, &f.customer_id, template, key, values, None).await;
        }
        if value.is_some_and(|v| v.minor >= self.high_value_minor) {
            let title = match kind {
                "flow.session.started" => "high_value_started",
                "flow.session.saved" => "high_value_saved",
                "flow.session.canceled" => "high_value_canceled",
                _ => return Ok(()),
            };
            post(Kind::HighValueSession, Severity::Info, title, title).await?;
        }
        Ok(())
    }

    async fn personas(&self, scope: &Scope, p: pb::PersonasRefreshed) -> Result<()> {
        let time =
            |t: Option<&prost_types::Timestamp>| t.and_then(kit::time::from_proto).map(|t| t.to_string());
        let failed = !p.failure.is_empty();
        let personas = p.personas.iter().map(|c| {
            let before = c.members.saturating_sub(c.entered) + c.left;
            let moved = c.entered + c.left;
            json!({
                "name": c.name, "members": c.members, "entered": c.entered, "left": c.left,
                "jumped": before > 0 && moved * 10 > before,
            })
        });
        let title = if failed { "personas_failed" } else { "personas_refreshed" };
        let post = Post {
            kind: Kind::PersonasRefreshed,
            severity: if failed { Severity::Warning } else { Severity::Info },
            roles: vec!["ret_admin".into(), "ret_exp".into()],
            title: title.to_owned(),
            body: format!("{title}_body"),
            words: None,
            in_app_only: false,
            link: String::from("/personas"),
            subject: p.job_id.clone(),
            dedupe_key: format!("personas/{}", p.job_id),
            template: Some("Segmentation_Data_Refresh"),
            values: json!({
                "customers": p.customers, "personas": personas.collect::<Vec<_>>(),
                "data_from": time(p.data_from.as_ref()), "data_to": time(p.data_to.as_ref()),
                "rejected_rows": p.rejected_rows, "failure": p.failure, "next_try": time(p.next_try.as_ref()),
            }),
            customer: None,
            about: None,
            value: None,
        };
        self.notifications.tell(scope, &post).await.map(|_| ())
    }

    async fn connection(&self, scope: &Scope, sequence: i64, c: pb::ConnectionChanged) -> Result<()> {
        let post = Post {
            kind: Kind::ConnectionDegraded,
            severity: Severity::Urgent,
            roles: Vec::new(),
            title: String::from("connection_degraded"),
            body: String::from("connection_degraded_body"),
            words: None,
            in_app_only: false,
            link: format!("/billing/{}", c.provider),
            subject: c.provider.clone(),
            dedupe_key: format!("connection/{}/{sequence}", c.provider),
            template: None,
            values: Value::Null,
            customer: None,
            about: None,
            value: None,
        };
        self.notifications.tell(scope, &post).await.map(|_| ())
    }
}

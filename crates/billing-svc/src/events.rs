//! What billing tells the others, and the audit trail. The one place where a model becomes an event.

use kit::locale::LocalText;
use kit::{Caller, Outgoing, Scope, Timestamp};
use prost::Message as _;
use proto::events::event::Data;
pub use proto::json::to_wire;
use serde_json::Value;

use crate::connections::Connection;
use crate::customer_merge::Merge;
use crate::customers::{Customer, EXTERNAL};
use crate::inbound::{About, Event, Whose};
use crate::providers::ProviderKind;
use crate::recovery;
use crate::redemption::{Redemption, State};
use crate::subscription::Subscription;

/// What every event of one write shares.
#[derive(Clone, Copy)]
pub struct Stamp<'a> {
    pub scope: &'a Scope,
    /// The id of the record that changes.
    pub subject: &'a str,
    /// The version the record has after the write.
    pub sequence: i64,
    pub at: Timestamp,
}

/// A mail that asks a customer for a payment.
#[derive(Clone, Debug)]
pub struct RecoveryMail {
    pub template: &'static str,
    pub values: Value,
    pub dedupe_key: String,
    pub customer_id: String,
    /// The subscription: the mail stops when that one is paid or left.
    pub recovery_of: String,
}

/// Something for the company's admins in the dashboard.
#[derive(Clone, Debug)]
pub struct Notice {
    pub kind: &'static str,
    pub title: Option<LocalText>,
    pub body: Option<LocalText>,
    pub values: Value,
    pub link: String,
    pub dedupe_key: String,
    pub customer_id: String,
}

impl Stamp<'_> {
    fn event(self, kind: &str, data: Data) -> Outgoing {
        self.event_as(kit::id::new("evt"), kind, data)
    }

    fn event_as(self, id: String, kind: &str, data: Data) -> Outgoing {
        let event = proto::events::Event {
            id: id.clone(),
            r#type: kind.to_owned(),
            version: 1,
            company_id: self.scope.company.clone(),
            mode: self.scope.mode.as_str().to_owned(),
            occurred_at: Some(kit::time::to_proto(self.at)),
            subject: self.subject.to_owned(),
            sequence: self.sequence,
            data: Some(data),
        };
        Outgoing {
            id,
            kind: kind.to_owned(),
            subject: self.subject.to_owned(),
            scope: self.scope.clone(),
            occurred_at: self.at,
            body: event.encode_to_vec().into(),
            traceparent: kit::telemetry::traceparent(),
        }
    }

    /// `connection.changed`.
    pub fn connection_changed(self, c: &Connection) -> Outgoing {
        let data = proto::events::ConnectionChanged {
            provider: c.provider.as_str().into(),
            status: c.status.as_str().into(),
            last_error: c.last_error.clone(),
            synced_at: c.last_sync_at.map(kit::time::to_proto),
        };
        self.event("connection.changed", Data::ConnectionChanged(data))
    }

    /// `customer.upserted`, with the attributes that rules may read.
    pub fn customer_upserted(
        self,
        c: &Customer,
        created_at: Timestamp,
        attributes: prost_types::Struct,
        import_id: &str,
    ) -> Outgoing {
        let data = proto::events::CustomerUpserted {
            customer_id: self.subject.to_owned(),
            external_id: c.external_id.clone(),
            email: c.email.clone(),
            name: c.name.clone(),
            locale: c.locale.clone(),
            country: c.country.clone(),
            currency: c.currency.clone(),
            state: c.state.as_str().into(),
            created_at: Some(kit::time::to_proto(created_at)),
            attributes: Some(attributes),
            import_id: import_id.to_owned(),
        };
        self.event("customer.upserted", Data::CustomerUpserted(data))
    }

    /// `customer.tagged`.
    pub fn customer_tagged(self, added: Vec<String>, removed: Vec<String>) -> Outgoing {
        let data = proto::events::CustomerTagged { customer_id: self.subject.to_owned(), added, removed };
        self.event("customer.tagged", Data::CustomerTagged(data))
    }

    /// `customer.merged`, or `customer.unmerged` once it was undone.
    pub fn customer_merged(self, id: &str, m: &Merge) -> Outgoing {
        let data = proto::events::CustomerMerged {
            merge_id: id.to_owned(),
            survivor_id: m.survivor_id.clone(),
            absorbed_id: m.absorbed_id.clone(),
            external_ids: m.taken.names(EXTERNAL).map(ToOwned::to_owned).collect(),
            subscription_ids: m.subscription_ids.clone(),
            redemption_ids: m.redemption_ids.clone(),
        };
        let kind = if m.undone_at.is_some() { "customer.unmerged" } else { "customer.merged" };
        self.event(kind, Data::CustomerMerged(data))
    }

    /// `customer.erased`.
    pub fn customer_erased(self) -> Outgoing {
        let data = proto::events::CustomerErased { customer_id: self.subject.to_owned() };
        self.event("customer.erased", Data::CustomerErased(data))
    }

    /// `privacy.requested`: to every service, this one too.
    pub fn privacy_requested(self, kind: personal::Kind, whose: &personal::Whose) -> Outgoing {
        let data = proto::events::PrivacyRequested {
            request_id: self.subject.to_owned(),
            kind: kind.as_str().into(),
            customer_ids: whose.customers.clone(),
            external_ids: whose.external.clone(),
        };
        self.event("privacy.requested", Data::PrivacyRequested(data))
    }

    /// `subscription.changed`; `before` is none for one seen for the first time.
    pub fn subscription_changed(self, s: &Subscription, before: Option<&Subscription>) -> Outgoing {
        let interval = crate::subscription::interval_name(s.interval);
        let data = proto::events::SubscriptionChanged {
            subscription_id: self.subject.to_owned(),
            customer_id: s.customer_id.clone(),
            provider: s.provider.as_str().into(),
            external_id: s.external_id.clone(),
            state: s.state.as_str().into(),
            previous_state: before.map_or("", |b| b.state.as_str()).into(),
            plan: s.plan.clone(),
            interval: interval.into(),
            interval_count: s.interval_count,
            mrr: Some(money(s.mrr)),
            started_at: Some(kit::time::to_proto(s.started_at)),
            ended_at: s.ended_at.map(kit::time::to_proto),
            cancel_at: s.cancel_at.map(kit::time::to_proto),
            period_end: s.period_end.map(kit::time::to_proto),
            trial_end: s.trial_end.map(kit::time::to_proto),
            resumes_at: s.resumes_at.map(kit::time::to_proto),
        };
        self.event("subscription.changed", Data::SubscriptionChanged(data))
    }

    /// `payment.failed` or `payment.recovered`. Its id follows from the provider's event, so that the same news told
    /// twice is one event.
    pub fn payment(self, s: &Subscription, failed: bool, provider_event: &str) -> Outgoing {
        let data = proto::events::PaymentChanged {
            subscription_id: self.subject.to_owned(),
            customer_id: s.customer_id.clone(),
            amount: Some(money(s.invoice())),
            attempt: s.failed_payments,
            provider: s.provider.as_str().into(),
            invoice: String::new(),
        };
        let kind = if failed { "payment.failed" } else { "payment.recovered" };
        self.event_as(self.id_of(s.provider, provider_event), kind, Data::PaymentChanged(data))
    }

    /// `payment.refunded` or `payment.disputed`, as the provider says it. Its id follows from the provider's event.
    pub fn money_went_back(self, e: &Event, whose: &Whose) -> Outgoing {
        let data = proto::events::PaymentChanged {
            subscription_id: whose.subscription.clone(),
            customer_id: whose.customer.clone(),
            amount: e.amount.map(money),
            attempt: 0,
            provider: e.provider.as_str().into(),
            invoice: e.invoice.clone().unwrap_or_default(),
        };
        let kind = if e.about == About::Dispute { "payment.disputed" } else { "payment.refunded" };
        let id = self.id_of(e.provider, &e.external_id);
        Stamp { at: e.occurred_at, ..self }.event_as(id, kind, Data::PaymentChanged(data))
    }

    /// An event's id that follows from the provider's: the same news told twice is one event.
    fn id_of(self, provider: ProviderKind, provider_event: &str) -> String {
        let (company, mode) = (&self.scope.company, self.scope.mode.as_str());
        let said = format!("{company}/{mode}/{}/{provider_event}", provider.as_str());
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, said.as_bytes());
        format!("evt_{}", hex::encode(&hash.as_ref()[..16]))
    }

    /// `redemption.<state>`.
    pub fn redemption_changed(self, r: &Redemption) -> Outgoing {
        let kind = match r.state {
            State::Presented => "redemption.presented",
            State::Declined => "redemption.declined",
            State::Lapsed => "redemption.lapsed",
            State::Claimed => "redemption.claimed",
            State::Verified => "redemption.verified",
            State::Failed => "redemption.failed",
            State::Reversed => "redemption.reversed",
            State::Exhausted => "redemption.exhausted",
            State::Applying | State::Applied | State::FulfilPending | State::Rejected => "redemption.changed",
        };
        let terms = proto::common::LocalText {
            default_locale: r.terms_text.default_locale.clone(),
            texts: r.terms_text.texts.clone().into_iter().collect(),
        };
        let data = proto::events::RedemptionChanged {
            redemption_id: self.subject.to_owned(),
            offer_id: r.offer_id.clone(),
            offer_name: r.offer_name.clone(),
            kind: r.kind.as_str().into(),
            customer_id: r.customer_id.clone(),
            subscription_id: r.subscription_id.clone(),
            flow_session_id: r.flow_session_id.clone(),
            state: r.state.as_str().into(),
            code: r.code.clone(),
            terms_text: Some(terms),
            cost: r.cost.map(money),
            effect_ends_at: r.effect_ends_at.map(kit::time::to_proto),
        };
        self.event(kind, Data::RedemptionChanged(data))
    }

    /// `recovery.case_opened` or `recovery.case_ended`.
    pub fn recovery_case(self, c: &recovery::Case) -> Outgoing {
        let (campaign_id, campaign_number) =
            c.pin.as_ref().map(|p| (p.campaign_id.clone(), p.number)).unwrap_or_default();
        let data = proto::events::RecoveryCaseChanged {
            case_id: self.subject.to_owned(),
            subscription_id: c.subscription_id.clone(),
            customer_id: c.customer_id.clone(),
            campaign_id,
            campaign_number,
            persona_ids: c.persona_ids.clone(),
            state: c.state.as_str().into(),
            reason: c.reason.clone(),
            amount_due: Some(money(c.amount_due)),
            amount_paid: c.amount_paid.map(money),
            failed_at: Some(kit::time::to_proto(c.failed_at)),
            ended_at: c.ended_at.map(kit::time::to_proto),
            mails: c.mails,
        };
        let kind = if c.state.is_final() { "recovery.case_ended" } else { "recovery.case_opened" };
        self.event(kind, Data::RecoveryCaseChanged(data))
    }

    /// `mail.requested` for a mail that asks for a payment. The stamp's time is when the subscription was looked at.
    pub fn recovery_mail(self, mail: RecoveryMail) -> Outgoing {
        let RecoveryMail { template, values, dedupe_key, customer_id, recovery_of } = mail;
        let data = proto::events::MailRequested {
            template: template.into(),
            to: String::new(),
            locale: String::new(),
            values: proto::json::object_to_wire(&values),
            dedupe_key,
            customer_id,
            recovery_of,
        };
        self.event("mail.requested", Data::MailRequested(data))
    }

    /// `notification.requested`.
    pub fn notification_requested(self, notice: Notice) -> Outgoing {
        let Notice { kind, title, body, values, link, dedupe_key, customer_id } = notice;
        let data = proto::events::NotificationRequested {
            kind: kind.into(),
            title: title.map(crate::offer::local_to),
            body: body.map(crate::offer::local_to),
            values: proto::json::object_to_wire(&values),
            link,
            subject: self.subject.to_owned(),
            dedupe_key,
            customer_id,
        };
        self.event("notification.requested", Data::NotificationRequested(data))
    }

    /// `audit.recorded`, where a person or a key is the one who acts. Pass nothing secret and nothing personal.
    pub fn audited(
        self,
        caller: &Caller,
        resource: &str,
        action: &str,
        before: Option<&Value>,
        after: Option<&Value>,
    ) -> Option<Outgoing> {
        if !(caller.role.is_person() || caller.role == kit::Role::Machine) {
            return None;
        }
        let data = proto::events::Audited {
            actor_kind: caller.actor.kind.clone(),
            actor_id: caller.actor.id.clone(),
            role: caller.role.as_str().into(),
            resource: resource.into(),
            resource_id: self.subject.to_owned(),
            action: action.into(),
            before: before.and_then(proto::json::object_to_wire),
            after: after.and_then(proto::json::object_to_wire),
            reason: caller.reason.clone().unwrap_or_default(),
            request_id: caller.request_id.clone(),
        };
        Some(self.event("audit.recorded", Data::Audited(data)))
    }
}

/// Money on the wire.
pub fn money(m: kit::Money) -> proto::common::Money {
    proto::common::Money { minor: m.minor, currency: m.currency.as_str().to_owned() }
}

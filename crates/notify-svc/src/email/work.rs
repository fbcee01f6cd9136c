//! The sending: takes up what is due, one mail at one replica at a time, and writes down what became of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kit::SharedClock;
use store::Stored;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::message::{From, build};
use super::model::Mail;
use super::render::Templates;
use super::send::{SendError, Sender};
use super::store::MailStore;
use super::text::write_out;
use crate::contacts::ContactStore;
use crate::error::Result;
use crate::events::mail_changed;

/// Mails looked at in one go, and sent at once.
const BATCH: u32 = 64;
const AT_ONCE: usize = 8;
/// What belongs to a wish to leave that the customer has just said: it goes out to whoever asked to be left in peace, too.
const LEAVING: [&str; 2] = ["cancel_request_received", "hosted_code"];
/// How often it is looked for mails whose time has come.
const POLL: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub struct Worker {
    store: MailStore,
    contacts: ContactStore,
    sender: Arc<dyn Sender>,
    templates: Arc<Templates>,
    from: From,
    wake: Arc<Notify>,
    clock: SharedClock,
}

impl Worker {
    pub fn new(
        store: MailStore,
        contacts: ContactStore,
        sender: Arc<dyn Sender>,
        templates: Arc<Templates>,
        from: From,
        wake: Arc<Notify>,
        clock: SharedClock,
    ) -> Self {
        Self { store, contacts, sender, templates, from, wake, clock }
    }

    /// Sends until stopped.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            match self.round().await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(e) => tracing::warn!(error = %e, "mails wait: {e}"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        Ok(())
    }

    /// Sends what is due now; how many were taken up.
    pub async fn round(&self) -> Result<usize> {
        let due = self.store.due(self.clock.now(), BATCH).await?;
        let mut sent = futures_util::stream::iter(due.into_iter().map(|mail| {
            let worker = self.clone();
            async move { worker.one(mail).await }
        }))
        .buffer_unordered(AT_ONCE);
        let mut count = 0;
        while let Some(outcome) = sent.next().await {
            count += usize::from(outcome?);
        }
        Ok(count)
    }

    /// One mail; false when somebody else has it.
    async fn one(&self, due: Stored<Mail>) -> Result<bool> {
        let Some(mail) = self.store.take(&due, self.clock.now()).await? else { return Ok(false) };
        let changed = self.settle(&mail).await?;
        let at = self.clock.now();
        let events = if changed.open || changed.state == super::State::Suppressed {
            Vec::new()
        } else {
            let sent = changed.state == super::State::Sent;
            vec![mail_changed(&mail.scope, &mail.id, &mail.body, mail.version + 1, sent, at)]
        };
        match self.store.replace(&mail, changed, events).await {
            // It was stopped while it was under way: what is written there stays.
            Ok(_) | Err(store::Error::Stale(_)) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    /// Tries to send; the mail as it is afterwards.
    async fn settle(&self, mail: &Stored<Mail>) -> Result<Mail> {
        let m = &mail.body;
        // Looked at right before sending: the customer may have paid or left since the mail was queued.
        if let Some(subscription) = &m.recovery_of
            && let Some(halt) = self.store.halted(&mail.scope, subscription).await?
            && halt.stops(m)
        {
            return Ok(m.suppressed(&halt.reason));
        }
        let mut values: serde_json::Value = serde_json::from_str(&m.values).unwrap_or_default();
        let (mut to, mut locale) = (m.to.clone(), m.locale.clone());
        if let Some(customer) = &m.customer_id {
            match self.contacts.get(&mail.scope, customer).await? {
                None => return Ok(m.failed("the customer is not known yet", false, self.clock.now())),
                Some(contact) if contact.restricted && !LEAVING.contains(&m.template.as_str()) => {
                    return Ok(m.suppressed("the customer asked that their data is not used"));
                }
                Some(contact) if contact.email.is_empty() => {
                    return Ok(m.suppressed("the customer has no address"));
                }
                Some(contact) => {
                    values["name"] = contact.name.into();
                    (to, locale) = (contact.email, contact.locale);
                }
            }
        }
        write_out(&mut values, &locale);
        let rendered = match self.templates.render(&m.template, &locale, &values) {
            Ok(rendered) => rendered,
            Err(e) => return Ok(self.lost(mail, &e.to_string())),
        };
        let built = build(&self.from, &m.from_name, &to, &mail.id, &m.template, mail.created_at, rendered);
        let envelope = match built {
            Ok(envelope) => envelope,
            Err(e) => return Ok(self.lost(mail, &format!("{e:#}"))),
        };
        let now = self.clock.now();
        Ok(match self.sender.send(&envelope).await {
            Ok(()) => {
                tracing::info!(mail.id = mail.id, template = m.template, "mail {} was sent", mail.id);
                m.sent(now)
            }
            Err(SendError::Permanent(why)) => self.lost(mail, &why),
            Err(SendError::Transient(why)) => {
                tracing::warn!(mail.id = mail.id, "mail {} waits: {why}", mail.id);
                m.failed(&why, false, now)
            }
        })
    }

    fn lost(&self, mail: &Stored<Mail>, why: &str) -> Mail {
        tracing::error!(mail.id = mail.id, template = mail.body.template, "mail {} is dead: {why}", mail.id);
        mail.body.failed(why, true, self.clock.now())
    }
}

//! Whose a charge is: a dispute names the charge and nobody else. The way is charge, its customer; and from the charge's
//! payment to the invoice it paid, which names the subscription.

use super::client::{Client, plain};
use super::wire;
use crate::providers::{ExternalId, Fact, Owner, ProviderError};

pub async fn of(client: &Client, told: &Fact) -> Result<Option<Owner>, ProviderError> {
    let Some(charge) = told.said.payment.as_ref().and_then(plain) else { return Ok(None) };
    let charge: wire::Charge = match client.get("charge.read", &format!("/v1/charges/{charge}"), &[]).await {
        Err(ProviderError::NotFound(_)) => return Ok(None),
        other => other?,
    };
    // Somebody may have paid without being a customer.
    let Some(customer) = charge.customer.map(|c| ExternalId::new(c.id())) else { return Ok(None) };
    let subscription = match charge.payment_intent {
        Some(intent) => paid_for(client, intent.id()).await?,
        None => None,
    };
    Ok(Some(Owner { customer, subscription }))
}

/// The subscription whose invoice a payment paid.
async fn paid_for(client: &Client, intent: &str) -> Result<Option<ExternalId>, ProviderError> {
    let query = [
        ("payment[type]", "payment_intent"),
        ("payment[payment_intent]", intent),
        ("expand[]", "data.invoice"),
        ("limit", "1"),
    ];
    let page: wire::List<wire::InvoicePayment> =
        client.get("invoice.payments", "/v1/invoice_payments", &query).await?;
    let invoice = page.data.into_iter().next().and_then(|paid| paid.invoice);
    let parent = invoice.as_ref().and_then(wire::Ref::whole).and_then(|i| i.parent.as_ref());
    let subscription = parent.and_then(|p| p.subscription_details.as_ref()?.subscription.as_ref());
    Ok(subscription.map(|s| ExternalId::new(s.id())))
}

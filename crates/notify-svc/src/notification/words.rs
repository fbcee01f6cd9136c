//! Our own words in messages, by key; a text that is no key stays as it is.

pub fn word(key: &str, locale: &str) -> String {
    let german = locale.split('-').next() == Some("de");
    let (en, de) = match key {
        "high_value_started" => {
            ("A valuable customer wants to cancel", "Ein wertvoller Kunde möchte kündigen")
        }
        "high_value_started_body" => ("A cancel session has begun.", "Eine Kündigung hat begonnen."),
        "high_value_saved" => ("A valuable customer stays", "Ein wertvoller Kunde bleibt"),
        "high_value_saved_body" => (
            "The customer took an offer, and it stands at the provider.",
            "Der Kunde hat ein Angebot angenommen.",
        ),
        "high_value_canceled" => ("A valuable customer has cancelled", "Ein wertvoller Kunde hat gekündigt"),
        "high_value_canceled_body" => {
            ("The subscription is not renewed.", "Das Abonnement wird nicht verlängert.")
        }
        "manual_cancellation" => ("A wish to cancel waits for you", "Eine Kündigung wartet auf Sie"),
        "manual_cancellation_body" => (
            "The subscription could not be changed safely: please carry the cancellation out by hand. It counts from the \
             day of the wish.",
            "Das Abonnement ließ sich nicht sicher ändern: Bitte führen Sie die Kündigung von Hand aus. Sie gilt ab dem \
             Tag des Wunsches.",
        ),
        "manual_unverified" => ("A wish to cancel waits for you", "Eine Kündigung wartet auf Sie"),
        "manual_unverified_body" => (
            "Whoever said so could not show who they are, as no code reached them: please ask the customer, and then carry \
             the cancellation out by hand. It counts from the day of the wish.",
            "Wer das wünscht, konnte nicht zeigen, wer er ist, denn kein Code kam an: Bitte fragen Sie den Kunden und \
             führen Sie die Kündigung dann von Hand aus. Sie gilt ab dem Tag des Wunsches.",
        ),
        "connection_degraded" => (
            "The connection to the billing provider is disturbed",
            "Die Verbindung zum Abrechner ist gestört",
        ),
        "connection_degraded_body" => (
            "Offers are withheld meanwhile; cancellations are recorded and carried out later.",
            "Angebote bleiben so lange aus; Kündigungen werden vermerkt und später ausgeführt.",
        ),
        "personas_refreshed" => ("Personas were refreshed", "Die Personas wurden aktualisiert"),
        "personas_refreshed_body" => ("The new numbers are there.", "Die neuen Zahlen sind da."),
        "personas_failed" => {
            ("Personas could not be refreshed", "Die Personas konnten nicht aktualisiert werden")
        }
        "personas_failed_body" => ("The old ones hold on meanwhile.", "Die alten gelten so lange weiter."),
        "a_customer" => ("a customer", "ein Kunde"),
        "payment_recovery" => ("A payment is still open", "Eine Zahlung ist noch offen"),
        "payment_recovery_body" => (
            "{{amount_due}} of {{name}} is past due since {{failed_at}}.",
            "{{amount_due}} von {{name}} stehen seit dem {{failed_at}} aus.",
        ),
        other => return other.to_owned(),
    };
    String::from(if german { de } else { en })
}

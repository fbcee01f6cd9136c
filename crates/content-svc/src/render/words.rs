//! Our own words on pages: buttons, notices, and the pages a company did not write.

/// A text of ours. Languages we do not speak read English.
pub fn word(key: &str, locale: &str) -> &'static str {
    let german = locale.split('-').next() == Some("de");
    let (en, de) = match key {
        "cancel_now" => ("Cancel now", "Jetzt kündigen"),
        "accept" => ("Yes, take it", "Ja, annehmen"),
        "decline" => ("No, thank you", "Nein, danke"),
        "consent" => ("I agree to these terms.", "Ich stimme diesen Bedingungen zu."),
        "consent_missing" => (
            "Please agree to the terms, or go on without the offer.",
            "Bitte stimmen Sie den Bedingungen zu, oder machen Sie ohne das Angebot weiter.",
        ),
        "keep" => ("Keep my plan", "Tarif behalten"),
        "continue" => ("Continue", "Weiter"),
        "reload" => ("See how it stands", "Stand ansehen"),
        "required" => ("Please answer this question.", "Bitte beantworten Sie diese Frage."),
        "offer_failed" => (
            "We could not set this up, and nothing was changed. You can go on, or cancel.",
            "Das hat leider nicht geklappt, und es wurde nichts geändert. Sie können weitermachen oder kündigen.",
        ),
        "answers" => (
            "Something is missing or does not fit. Please look at your answers.",
            "Etwas fehlt oder passt nicht. Bitte prüfen Sie Ihre Antworten.",
        ),
        "plain_title" => ("Cancel your plan?", "Tarif kündigen?"),
        "plain_text" => (
            "Your plan stays until the end of the period you have paid for. Nothing is charged after that.",
            "Ihr Tarif läuft bis zum Ende des bezahlten Zeitraums. Danach wird nichts mehr abgebucht.",
        ),
        "leaving_title" => ("Your plan ends already", "Ihr Tarif endet bereits"),
        "leaving_text" => (
            "It is not renewed. You need not do anything else.",
            "Er wird nicht verlängert. Sie müssen nichts weiter tun.",
        ),
        "settling_cancel_title" => ("Your cancellation is recorded", "Ihre Kündigung ist vermerkt"),
        "settling_cancel_text" => (
            "It counts from now. Carrying it out takes a moment longer than usual; you may close this page.",
            "Sie gilt ab jetzt. Die Ausführung dauert etwas länger als sonst; Sie können diese Seite schließen.",
        ),
        "settling_accept_title" => ("One moment", "Einen Moment"),
        "settling_accept_text" => (
            "We are setting this up. It takes a moment longer than usual.",
            "Wir richten das gerade ein. Es dauert etwas länger als sonst.",
        ),
        "canceled_title" => ("Your plan is cancelled", "Ihr Tarif ist gekündigt"),
        "canceled_text" => (
            "You keep everything until the end of the period you have paid for.",
            "Alles bleibt Ihnen bis zum Ende des bezahlten Zeitraums.",
        ),
        "manual_title" => ("Your request is in", "Ihr Wunsch ist eingegangen"),
        "manual_text" => (
            "Our people carry your cancellation out by hand. It counts from today.",
            "Unsere Leute führen Ihre Kündigung von Hand aus. Sie gilt ab heute.",
        ),
        "saved_title" => ("Done", "Erledigt"),
        "saved_text" => {
            ("It is set up. Thank you for staying.", "Alles ist eingerichtet. Danke, dass Sie bleiben.")
        }
        "abandoned_title" => ("Nothing has changed", "Es hat sich nichts geändert"),
        "abandoned_text" => (
            "Your plan goes on as it is. You may close this page.",
            "Ihr Tarif läuft weiter wie bisher. Sie können diese Seite schließen.",
        ),
        "unshared_title" => ("This link does not work any more", "Dieser Link gilt nicht mehr"),
        "unshared_text" => (
            "Please ask whoever sent it to you for another one.",
            "Bitte fragen Sie, wer ihn geschickt hat, nach einem neuen.",
        ),
        "verify_who_title" => ("Cancel your plan", "Tarif kündigen"),
        "verify_who_text" => (
            "Tell us the e-mail address of your account. We send a code there, so that nobody else can cancel for you.",
            "Nennen Sie die E-Mail-Adresse Ihres Kontos. Wir senden einen Code dorthin, damit niemand sonst für Sie kündigt.",
        ),
        "verify_email" => ("E-mail address", "E-Mail-Adresse"),
        "verify_send" => ("Send the code", "Code senden"),
        "verify_code_title" => ("Look into your mail", "Sehen Sie in Ihre E-Mails"),
        "verify_code_text" => (
            "If we know this address, a code is on its way to it. It works for fifteen minutes.",
            "Wenn wir diese Adresse kennen, ist ein Code dorthin unterwegs. Er gilt fünfzehn Minuten.",
        ),
        "verify_code" => ("The six digits", "Die sechs Ziffern"),
        "verify_wrong" => (
            "This code is wrong, or its time is over.",
            "Dieser Code ist falsch, oder seine Zeit ist vorbei.",
        ),
        "verify_again" => ("Send another code", "Noch einen Code senden"),
        "verify_manual" => ("No code came: cancel without one", "Kein Code gekommen: ohne kündigen"),
        "verify_manual_title" => ("Your request is in", "Ihr Wunsch ist eingegangen"),
        "verify_manual_text" => (
            "If you are a customer, your cancellation is noted as of now, and people carry it out. They may ask you back.",
            "Wenn Sie Kunde sind, ist Ihre Kündigung ab jetzt vermerkt, und Menschen führen sie aus. Sie fragen vielleicht nach.",
        ),
        "refused_title" => ("This link does not work any more", "Dieser Link gilt nicht mehr"),
        "refused_text" => (
            "Please open the page again from your account.",
            "Bitte öffnen Sie die Seite noch einmal aus Ihrem Konto.",
        ),
        _ => ("", ""),
    };
    if german { de } else { en }
}

//! Our own words on pages: buttons, notices, and the pages a company did not write.

/// A text of ours. Languages we do not speak read English.
pub fn word(key: &str, locale: &str) -> &'static str {
    let (en, de, ar) = match key {
        "cancel_now" => ("Cancel now", "Jetzt kündigen", "إلغاء الاشتراك الآن"),
        "accept" => ("Yes, take it", "Ja, annehmen", "نعم، أقبل العرض"),
        "decline" => ("No, thank you", "Nein, danke", "لا، شكرًا"),
        "consent" => {
            ("I agree to these terms.", "Ich stimme diesen Bedingungen zu.", "أوافق على هذه الشروط.")
        }
        "consent_missing" => (
            "Please agree to the terms, or go on without the offer.",
            "Bitte stimmen Sie den Bedingungen zu, oder machen Sie ohne das Angebot weiter.",
            "يُرجى الموافقة على الشروط، أو المتابعة من دون العرض.",
        ),
        "keep" => ("Keep my plan", "Tarif behalten", "الإبقاء على اشتراكي"),
        "continue" => ("Continue", "Weiter", "متابعة"),
        "reload" => ("See how it stands", "Stand ansehen", "عرض الحالة"),
        "required" => (
            "Please answer this question.",
            "Bitte beantworten Sie diese Frage.",
            "يُرجى الإجابة عن هذا السؤال.",
        ),
        "offer_failed" => (
            "We could not set this up, and nothing was changed. You can go on, or cancel.",
            "Das hat leider nicht geklappt, und es wurde nichts geändert. Sie können weitermachen oder kündigen.",
            "تعذّر علينا إعداد ذلك ولم يتغيّر شيء. يمكنك المتابعة أو الإلغاء.",
        ),
        "answers" => (
            "Something is missing or does not fit. Please look at your answers.",
            "Etwas fehlt oder passt nicht. Bitte prüfen Sie Ihre Antworten.",
            "هناك إجابة ناقصة أو غير مناسبة. يُرجى مراجعة إجاباتك.",
        ),
        "plain_title" => ("Cancel your plan?", "Tarif kündigen?", "هل تريد إلغاء اشتراكك؟"),
        "plain_text" => (
            "Your plan stays until the end of the period you have paid for. Nothing is charged after that.",
            "Ihr Tarif läuft bis zum Ende des bezahlten Zeitraums. Danach wird nichts mehr abgebucht.",
            "يبقى اشتراكك ساريًا حتى نهاية الفترة التي دفعت ثمنها. ولن يُخصم منك أي مبلغ بعد ذلك.",
        ),
        "leaving_title" => ("Your plan ends already", "Ihr Tarif endet bereits", "اشتراكك ينتهي بالفعل"),
        "leaving_text" => (
            "It is not renewed. You need not do anything else.",
            "Er wird nicht verlängert. Sie müssen nichts weiter tun.",
            "لن يتجدّد اشتراكك. لا يلزمك فعل أي شيء آخر.",
        ),
        "settling_cancel_title" => {
            ("Your cancellation is recorded", "Ihre Kündigung ist vermerkt", "تم تسجيل طلب الإلغاء")
        }
        "settling_cancel_text" => (
            "It counts from now. Carrying it out takes a moment longer than usual; you may close this page.",
            "Sie gilt ab jetzt. Die Ausführung dauert etwas länger als sonst; Sie können diese Seite schließen.",
            "يسري من الآن. يستغرق التنفيذ وقتًا أطول قليلًا من المعتاد؛ يمكنك إغلاق هذه الصفحة.",
        ),
        "settling_accept_title" => ("One moment", "Einen Moment", "لحظة من فضلك"),
        "settling_accept_text" => (
            "We are setting this up. It takes a moment longer than usual.",
            "Wir richten das gerade ein. Es dauert etwas länger als sonst.",
            "نُعدّ ذلك الآن. يستغرق الأمر وقتًا أطول قليلًا من المعتاد.",
        ),
        "canceled_title" => ("Your plan is cancelled", "Ihr Tarif ist gekündigt", "تم إلغاء اشتراكك"),
        "canceled_text" => (
            "You keep everything until the end of the period you have paid for.",
            "Alles bleibt Ihnen bis zum Ende des bezahlten Zeitraums.",
            "يبقى كل شيء متاحًا لك حتى نهاية الفترة التي دفعت ثمنها.",
        ),
        "manual_title" => ("Your request is in", "Ihr Wunsch ist eingegangen", "وصلنا طلبك"),
        "manual_text" => (
            "Our people carry your cancellation out by hand. It counts from today.",
            "Unsere Leute führen Ihre Kündigung von Hand aus. Sie gilt ab heute.",
            "ينفّذ فريقنا الإلغاء يدويًا. ويسري اعتبارًا من اليوم.",
        ),
        "saved_title" => ("Done", "Erledigt", "تم"),
        "saved_text" => (
            "It is set up. Thank you for staying.",
            "Alles ist eingerichtet. Danke, dass Sie bleiben.",
            "تم إعداد كل شيء. شكرًا لبقائك معنا.",
        ),
        "abandoned_title" => ("Nothing has changed", "Es hat sich nichts geändert", "لم يتغيّر شيء"),
        "abandoned_text" => (
            "Your plan goes on as it is. You may close this page.",
            "Ihr Tarif läuft weiter wie bisher. Sie können diese Seite schließen.",
            "يستمر اشتراكك كما هو. يمكنك إغلاق هذه الصفحة.",
        ),
        "unshared_title" => {
            ("This link does not work any more", "Dieser Link gilt nicht mehr", "هذا الرابط لم يعد صالحًا")
        }
        "unshared_text" => (
            "Please ask whoever sent it to you for another one.",
            "Bitte fragen Sie, wer ihn geschickt hat, nach einem neuen.",
            "يُرجى طلب رابط آخر ممّن أرسله إليك.",
        ),
        "verify_who_title" => ("Cancel your plan", "Tarif kündigen", "إلغاء اشتراكك"),
        "verify_who_text" => (
            "Tell us the e-mail address of your account. We send a code there, so that nobody else can cancel for you.",
            "Nennen Sie die E-Mail-Adresse Ihres Kontos. Wir senden einen Code dorthin, damit niemand sonst für Sie kündigt.",
            "اكتب عنوان البريد الإلكتروني لحسابك. نرسل إليه رمزًا حتى لا يلغي أحد سواك اشتراكك.",
        ),
        "verify_email" => ("E-mail address", "E-Mail-Adresse", "البريد الإلكتروني"),
        "verify_send" => ("Send the code", "Code senden", "إرسال الرمز"),
        "verify_code_title" => ("Look into your mail", "Sehen Sie in Ihre E-Mails", "تحقّق من بريدك"),
        "verify_code_text" => (
            "If we know this address, a code is on its way to it. It works for fifteen minutes.",
            "Wenn wir diese Adresse kennen, ist ein Code dorthin unterwegs. Er gilt fünfzehn Minuten.",
            "إذا كنا نعرف هذا العنوان فإن الرمز في طريقه إليه. وهو صالح لخمس عشرة دقيقة.",
        ),
        "verify_code" => ("The six digits", "Die sechs Ziffern", "الأرقام الستة"),
        "verify_wrong" => (
            "This code is wrong, or its time is over.",
            "Dieser Code ist falsch, oder seine Zeit ist vorbei.",
            "هذا الرمز غير صحيح أو انتهت مدته.",
        ),
        "verify_again" => ("Send another code", "Noch einen Code senden", "إرسال رمز آخر"),
        "verify_manual" => (
            "No code came: cancel without one",
            "Kein Code gekommen: ohne kündigen",
            "لم يصل أي رمز: الإلغاء من دونه",
        ),
        "verify_manual_title" => ("Your request is in", "Ihr Wunsch ist eingegangen", "وصل طلبك"),
        "verify_manual_text" => (
            "If you are a customer, your cancellation is noted as of now, and people carry it out. They may ask you back.",
            "Wenn Sie Kunde sind, ist Ihre Kündigung ab jetzt vermerkt, und Menschen führen sie aus. Sie fragen vielleicht nach.",
            "إذا كنت من العملاء فقد سُجّل إلغاؤك اعتبارًا من الآن، وينفّذه أشخاص من الشركة، وقد يسألونك.",
        ),
        "refused_title" => {
            ("This link does not work any more", "Dieser Link gilt nicht mehr", "هذا الرابط لم يعد صالحًا")
        }
        "refused_text" => (
            "Please open the page again from your account.",
            "Bitte öffnen Sie die Seite noch einmal aus Ihrem Konto.",
            "يُرجى فتح الصفحة من جديد من حسابك.",
        ),
        _ => ("", "", ""),
    };
    match language(locale) {
        "de" => de,
        "ar" => ar,
        _ => en,
    }
}

/// The language our own words are in for a reader of this locale.
pub fn spoken(locale: &str) -> &str {
    if matches!(language(locale), "de" | "ar" | "en") { locale } else { "en" }
}

/// The language of a locale, without its place and script.
pub fn language(locale: &str) -> &str {
    locale.split('-').next().unwrap_or_default()
}

/// Languages written from the right, and scripts that say so of others.
const FROM_THE_RIGHT: [&str; 13] =
    ["ar", "arc", "ckb", "dv", "fa", "he", "iw", "ps", "sd", "ug", "ur", "yi", "ks"];
const SCRIPTS: [&str; 5] = ["Arab", "Hebr", "Thaa", "Syrc", "Nkoo"];

/// `rtl` or `ltr`, for `dir`.
pub fn direction(locale: &str) -> &'static str {
    // A script that is named decides: `az-Arab` is written from the right, `ks-Deva` is not.
    let script = locale.split('-').skip(1).find(|part| part.len() == 4);
    let right = script.map_or(FROM_THE_RIGHT.contains(&language(locale)), |s| SCRIPTS.contains(&s));
    if right { "rtl" } else { "ltr" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_written_as_its_readers_read() {
        for right in ["ar", "ar-EG", "he-IL", "fa", "az-Arab-IR"] {
            assert_eq!(direction(right), "rtl", "{right}");
        }
        for left in ["en", "de-AT", "", "ks-Deva", "arn", "az-Latn"] {
            assert_eq!(direction(left), "ltr", "{left}");
        }
        assert_eq!((spoken("ar-EG"), spoken("fr-CA")), ("ar-EG", "en"));
        assert_eq!((word("decline", "ar"), word("decline", "fr")), ("لا، شكرًا", "No, thank you"));
    }
}

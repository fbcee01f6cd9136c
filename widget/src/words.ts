// What the widget says itself. Everything else comes from the server in the flow's language.

export interface Words {
  /** The button with the cross. */
  close: string;
  loading: string;
  /** The last call was not answered. */
  trouble: string;
  again: string;
  required: string;
  wrong: string;
  consent: string;
  /** Read out behind a question that must be answered. */
  must: string;
}

const OURS: Record<string, Words> = {
  en: {
    close: "Close",
    loading: "One moment…",
    trouble: "We could not reach the server. Nothing is lost; you can try again, or cancel.",
    again: "Try again",
    required: "Please answer this question.",
    wrong: "This answer does not fit. Please look at it again.",
    consent: "Please agree to the terms, or go on without the offer.",
    must: "required",
  },
  de: {
    close: "Schließen",
    loading: "Einen Moment …",
    trouble: "Der Server antwortet nicht. Es ist nichts verloren; versuchen Sie es noch einmal, oder kündigen Sie.",
    again: "Noch einmal versuchen",
    required: "Bitte beantworten Sie diese Frage.",
    wrong: "Diese Antwort passt nicht. Bitte sehen Sie sie noch einmal an.",
    consent: "Bitte stimmen Sie den Bedingungen zu, oder machen Sie ohne das Angebot weiter.",
    must: "erforderlich",
  },
  ar: {
    close: "إغلاق",
    loading: "لحظة من فضلك…",
    trouble: "تعذّر الوصول إلى الخادم. لم يضع شيء؛ يمكنك المحاولة من جديد أو الإلغاء.",
    again: "المحاولة من جديد",
    required: "يُرجى الإجابة عن هذا السؤال.",
    wrong: "هذه الإجابة غير مناسبة. يُرجى مراجعتها.",
    consent: "يُرجى الموافقة على الشروط، أو المتابعة من دون العرض.",
    must: "مطلوب",
  },
};

/** The words for a reader: `fr-CA`, then `fr`, of the company's own and then of ours, then English. */
export function wordsFor(locale: string, own: Record<string, Partial<Words>> = {}): Words {
  const english = OURS.en as Words;
  const language = locale.split("-")[0] ?? "";
  return { ...english, ...OURS[language], ...own[language], ...own[locale] };
}

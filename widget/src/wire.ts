// The answers of the flow's routes, as docs/openapi.json describes them. What is absent counts as empty.

export type ServerState =
  | "created" | "active" | "settling" | "saved" | "canceled" | "manual" | "abandoned" | "bounced";

/** What the customer sees now. */
export interface Screen {
  session_id: string;
  /** For the other calls; only in the answer of the start. */
  session_token?: string;
  state: ServerState;
  locale: string;
  direction?: string;
  title?: string;
  notice?: string;
  places?: Place[];
  offer?: Offer;
  can_cancel?: boolean;
  cancel_label?: string;
  continue_url?: string;
  continue_label?: string;
  theme?: Record<string, string>;
}

export interface Place {
  name: string;
  cards?: Card[];
}

export interface Card {
  id?: string;
  kind?: string;
  pieces?: Piece[];
}

/** A piece of a card with its words filled in; which fields are used follows from the kind. */
export interface Piece {
  kind: string;
  text?: string;
  level?: number;
  action?: string;
  url?: string;
  items?: string[];
  ordered?: boolean;
  value?: string;
  question?: Question;
}

export interface Question {
  key: string;
  type: string;
  text: string;
  help?: string;
  required?: boolean;
  choices?: { key: string; label: string }[];
  scale_min?: number;
  scale_max?: number;
  min_length?: number;
}

export interface Offer {
  id: string;
  kind?: string;
  text?: string;
  terms?: string;
  terms_hash?: string;
  consent_required?: boolean;
  consent_text?: string;
}

export interface Answer {
  question: string;
  choices?: string[];
  text?: string;
}

/** RFC 9457, as every refusal of the API is. */
export interface Problem {
  status: number;
  code: string;
  detail?: string;
  errors?: FieldError[];
}

export interface FieldError {
  field: string;
  code: string;
  message: string;
}

//! Rows, which of them hold for a customer, and what the strictest of several is.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// The row for places that have none.
pub const ELSEWHERE: &str = "default";

/// What a place asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    pub persistent_cancel: bool,
    /// 0: as many as the workflow says.
    pub max_screens: u32,
    /// 0: as many as the workflow says.
    pub max_offers: u32,
    pub consent: bool,
    pub reminder_mails: bool,
    pub plain_terms: bool,
    pub evidence_days: u32,
}

impl Requirements {
    /// What fulfils both.
    pub fn stricter(self, other: Self) -> Self {
        let fewer = |a: u32, b: u32| if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
        Self {
            persistent_cancel: self.persistent_cancel || other.persistent_cancel,
            max_screens: fewer(self.max_screens, other.max_screens),
            max_offers: fewer(self.max_offers, other.max_offers),
            consent: self.consent || other.consent,
            reminder_mails: self.reminder_mails || other.reminder_mails,
            plain_terms: self.plain_terms || other.plain_terms,
            evidence_days: self.evidence_days.max(other.evidence_days),
        }
    }

    /// The points in which it asks for less than another.
    pub fn laxer_than(&self, other: &Self) -> Vec<&'static str> {
        let both = self.stricter(*other);
        let points = [
            ("persistent_cancel", self.persistent_cancel == both.persistent_cancel),
            ("max_screens", self.max_screens == both.max_screens),
            ("max_offers", self.max_offers == both.max_offers),
            ("consent", self.consent == both.consent),
            ("reminder_mails", self.reminder_mails == both.reminder_mails),
            ("plain_terms", self.plain_terms == both.plain_terms),
            ("evidence_days", self.evidence_days == both.evidence_days),
        ];
        points.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect()
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// A country, a part of one, a union of some, or `default` for everywhere else.
    pub region: String,
    pub name: String,
    pub requirements: Requirements,
}

/// The rows as they are shipped.
pub fn shipped() -> &'static [Row] {
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
        #[expect(clippy::expect_used, reason = "the file is part of the build, and a test reads it")]
        serde_json::from_str(include_str!("rows.json")).expect("rows.json is what the build was tested with")
    });
    &ROWS
}

/// What is known of where a customer is, each a country or a part of one; empty where it is not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whereabouts<'a> {
    /// By the biller.
    pub billing: &'a str,
    /// By the company.
    pub stated: &'a str,
    /// By the customer's address.
    pub address: &'a str,
}

/// What a region was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Billing,
    Stated,
    Address,
    Nothing,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Billing => "billing",
            Self::Stated => "stated",
            Self::Address => "address",
            Self::Nothing => "nothing",
        }
    }
}

/// The rule that holds for one customer, kept with the visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// From narrow to wide.
    pub regions: Vec<String>,
    pub source: Source,
    /// The rows that hold together.
    pub rows: Vec<String>,
    pub requirements: Requirements,
    /// Why rows of other places were taken in; empty where nothing was in doubt.
    pub doubt: String,
}

/// A place and what it is part of, from narrow to wide: `US-CA`, `US`; `DE`, `EU`; `GB`, `UK`.
pub fn regions(place: &str) -> Vec<String> {
    let place = place.trim().to_ascii_uppercase();
    let country = place.split('-').next().unwrap_or_default().to_owned();
    let wider = match country.as_str() {
        "GB" => Some("UK"),
        "UK" => Some("GB"),
        other if EU.contains(&other) => Some("EU"),
        _ => None,
    };
    let mut all = vec![place, country];
    all.extend(wider.map(str::to_owned));
    all.dedup();
    all.retain(|r| !r.is_empty());
    all
}

/// The rule for a customer. The biller's word counts before the company's, and the company's before the address; where
/// they contradict each other, or the place is a country whose parts have rows of their own, the strictest holds.
pub fn resolve(rows: &[Row], known: &Whereabouts<'_>) -> Applied {
    let said = [
        (Source::Billing, regions(known.billing)),
        (Source::Stated, regions(known.stated)),
        (Source::Address, regions(known.address)),
    ];
    let said: Vec<_> = said.into_iter().filter(|(_, places)| !places.is_empty()).collect();
    let Some((mut source, mut here)) = said.first().cloned() else {
        return apply(rows, Vec::new(), Source::Nothing, Vec::new(), String::new());
    };
    let mut doubts = Vec::new();
    let mut others = Vec::new();
    for (who, places) in said.iter().skip(1) {
        if places.contains(&here[0]) {
            // The same place, or a part of it: the narrower word says more and contradicts nothing.
            if places.len() > here.len() {
                (source, here) = (*who, places.clone());
            }
        } else if !here.contains(&places[0]) {
            doubts.push(format!("{} says {}, {} says {}", source.as_str(), here[0], who.as_str(), places[0]));
            others.extend(places.clone());
        }
    }
    let part = format!("{}-", here[0]);
    let parts: Vec<String> =
        rows.iter().filter(|r| r.region.starts_with(&part)).map(|r| r.region.clone()).collect();
    if !parts.is_empty() {
        doubts.push(format!("which part of {} is not known", here[0]));
        others.extend(parts);
    }
    apply(rows, here, source, others, doubts.join("; "))
}

fn apply(rows: &[Row], here: Vec<String>, source: Source, others: Vec<String>, doubt: String) -> Applied {
    let has_row = rows.iter().any(|r| here.contains(&r.region));
    let holds = |r: &&Row| {
        let elsewhere = !has_row && r.region == ELSEWHERE;
        here.contains(&r.region) || others.contains(&r.region) || elsewhere
    };
    let hold: Vec<&Row> = rows.iter().filter(holds).collect();
    let strictest = hold.iter().map(|r| r.requirements).reduce(Requirements::stricter);
    let names = hold.iter().map(|r| r.region.clone()).collect();
    Applied {
        regions: here,
        source,
        rows: names,
        // There is always the row for everywhere else; were it not there, nothing would be asked for.
        requirements: strictest.unwrap_or(Requirements {
            persistent_cancel: true,
            max_screens: 0,
            max_offers: 0,
            consent: false,
            reminder_mails: false,
            plain_terms: false,
            evidence_days: 0,
        }),
        doubt,
    }
}

/// Countries of the European Union.
const EU: [&str; 27] = [
    "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV", "LT",
    "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(billing: &str, stated: &str, address: &str) -> Applied {
        resolve(shipped(), &Whereabouts { billing, stated, address })
    }

    #[test]
    fn the_shipped_rows_are_those_of_the_design() {
        let regions: Vec<_> = shipped().iter().map(|r| r.region.as_str()).collect();
        assert_eq!(regions, ["EU", "DE", "FR", "UK", "US", "US-CA", "US-NY", ELSEWHERE]);
        assert!(shipped().iter().all(|r| r.requirements.persistent_cancel), "everywhere, always");
    }

    #[test]
    fn the_biller_counts_before_the_company_and_the_company_before_the_address() {
        let rule = of("de", "DE", "");
        assert_eq!(
            (rule.source, rule.rows, rule.doubt),
            (Source::Billing, vec!["EU".into(), "DE".into()], String::new())
        );
        assert_eq!(of("", "FR", "DE").source, Source::Stated);
        assert_eq!(of("", "", "GB").rows, ["UK"]);
        let nowhere = of("", "", "");
        assert_eq!((nowhere.source, nowhere.rows), (Source::Nothing, vec![ELSEWHERE.to_owned()]));
        assert_eq!(of("JP", "", "").rows, [ELSEWHERE]);
    }

    #[test]
    fn a_narrower_word_is_no_contradiction() {
        let rule = of("US", "us-ca", "");
        assert_eq!((rule.source, rule.rows), (Source::Stated, vec!["US".into(), "US-CA".into()]));
        assert_eq!((rule.regions, rule.doubt), (vec!["US-CA".into(), "US".into()], String::new()));
        assert_eq!(of("US-NY", "US", "").rows, ["US", "US-NY"]);
    }

    #[test]
    fn in_doubt_the_stricter_holds() {
        let rule = of("US-CA", "DE", "");
        assert!(rule.requirements.consent && rule.requirements.max_offers == 1, "{rule:?}");
        assert_eq!(rule.regions[0], "US-CA", "the customer is where the biller says");
        assert!(rule.doubt.contains("stated says DE"), "{}", rule.doubt);
        let state = of("US", "", "");
        assert_eq!(state.rows, ["US", "US-CA", "US-NY"]);
        assert_eq!((state.requirements.max_screens, state.requirements.evidence_days), (5, 2190));
    }

    fn requirements() -> impl Strategy<Value = Requirements> {
        (any::<[bool; 4]>(), 0_u32..6, 0_u32..4, 0_u32..4000).prop_map(
            |(b, max_screens, max_offers, evidence_days)| Requirements {
                persistent_cancel: b[0],
                max_screens,
                max_offers,
                consent: b[1],
                reminder_mails: b[2],
                plain_terms: b[3],
                evidence_days,
            },
        )
    }

    proptest! {
        #[test]
        fn the_stricter_of_two_is_laxer_than_neither(a in requirements(), b in requirements()) {
            let both = a.stricter(b);
            prop_assert_eq!(both, b.stricter(a));
            prop_assert_eq!(both.stricter(a), both);
            prop_assert!(both.laxer_than(&a).is_empty() && both.laxer_than(&b).is_empty());
            prop_assert_eq!(a.laxer_than(&b).is_empty(), both == a);
        }

        #[test]
        fn no_word_more_makes_a_rule_laxer(stated in "(DE|FR|GB|US|US-CA|JP|)", address in "(DE|US-NY|JP|)") {
            let fewer = of("US-CA", "", "").requirements;
            let more = of("US-CA", &stated, &address).requirements;
            prop_assert!(more.laxer_than(&fewer).is_empty());
        }
    }
}

use std::collections::BTreeMap;

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../starter")
}

fn steps() -> Vec<Step> {
    let parts = ["offers", "content"];
    parts.iter().flat_map(|part| steps::read(&folder().join(part)).unwrap()).collect()
}

/// Texts of a body, each with its place.
fn texts(value: &Value, place: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            if let Some(texts) = fields.get("texts") {
                found.push((place.to_owned(), texts.clone()));
            }
            fields.iter().for_each(|(key, v)| texts(v, &format!("{place}.{key}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| texts(v, &format!("{place}[{i}]"), found));
        }
        _ => {}
    }
}

#[test]
fn the_library_holds_what_it_promises() {
    let mut sizes = BTreeMap::new();
    for step in steps().iter().filter(|s| !s.publishes()) {
        *sizes.entry(step.path.clone()).or_insert(0_u32) += 1;
    }
    let at_least = [("/v1/templates", 8), ("/v1/cards", 20), ("/v1/questionnaires", 4), ("/v1/offers", 6)];
    for (path, least) in at_least {
        assert!(sizes[path] >= least, "{path}: {sizes:?}");
    }
    let flows = flows(&folder()).unwrap();
    let keys: Vec<_> = flows.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(keys, ["b2b", "payment-failed", "saas-monthly", "saas-yearly", "trial-ending", "win-back"]);
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    for flow in &flows {
        assert!(readme.contains(&format!("`{}`", flow.key)), "{} is not in the README", flow.key);
    }
}

#[test]
fn every_text_is_there_in_english_and_german_and_they_differ() {
    let mut found = Vec::new();
    for step in steps() {
        texts(&step.body, step.save_as.as_deref().unwrap_or_default(), &mut found);
    }
    assert!(found.len() > 150, "{}", found.len());
    for (place, texts) in found {
        let words = |locale: &str| texts[locale].as_str().unwrap_or_default().trim().to_owned();
        let (en, de) = (words("en"), words("de"));
        assert!(!en.is_empty() && !de.is_empty(), "{place}: {texts}");
        assert!(en != de || en.contains("{{company.name}}"), "{place} reads the same in both: {en}");
        assert_eq!(names(&en), names(&de), "{place} names other things in one language than in the other");
    }
    for flow in flows(&folder()).unwrap() {
        let of = |locale: &str| flow.text.lines().filter(|l| l.trim_start().starts_with(locale)).count();
        assert_eq!((of("en: "), of("texts:")), (of("de: "), of("de: ")), "{}", flow.key);
    }
}

/// Everything a text names, whoever fills it in; names of the plan's price differ with the language.
fn names(text: &str) -> BTreeSet<String> {
    let inside = text.split("{{").skip(1).filter_map(|t| t.split_once("}}"));
    inside.map(|(name, _)| name.trim_end_matches("_en").trim_end_matches("_de").to_owned()).collect()
}

#[test]
fn every_name_is_saved_before_it_is_used() {
    let values = read_values(&folder().join("values.json")).unwrap();
    let mut known: BTreeSet<String> = values.into_iter().map(|(name, _)| name).collect();
    let of = |name: &str| name.split('.').take(2).collect::<Vec<_>>().join(".");
    for step in steps() {
        for name in step.names() {
            let value = name.split('.').next().unwrap_or_default();
            assert!(known.contains(value) || known.contains(&of(&name)), "{:?} names {name}", step.save_as);
        }
        known.extend(step.save_as);
    }
    for flow in flows(&folder()).unwrap() {
        for name in steps::names_in(&flow.text) {
            let value = name.split('.').next().unwrap_or_default();
            assert!(known.contains(value) || known.contains(&of(&name)), "{} names {name}", flow.key);
        }
    }
}

#[test]
fn one_flow_needs_its_own_and_no_other_pages() {
    let flows = flows(&folder()).unwrap();
    let saved = |key: &str| -> BTreeSet<String> {
        let flow: Vec<&Flow> = flows.iter().filter(|f| f.key == key).collect();
        needed(steps(), &flow).into_iter().filter_map(|s| s.save_as).collect()
    };
    let monthly = saved("saas-monthly");
    for part in ["templates.ask", "cards.reason", "questionnaires.exit", "elements.free", "offers.pause"] {
        assert!(monthly.contains(part), "{part} is missing: {monthly:?}");
    }
    assert!(!monthly.contains("offers.seat_review") && !monthly.contains("questionnaires.intake"));
    assert_eq!(saved("win-back"), BTreeSet::new(), "it only writes mails");
    // What nobody needs is asked for by itself.
    let every: BTreeSet<String> =
        ["saas-monthly", "saas-yearly", "b2b"].into_iter().flat_map(saved).collect();
    let all: BTreeSet<String> = steps().into_iter().filter_map(|s| s.save_as).collect();
    let alone: Vec<_> = all.difference(&every).collect();
    assert_eq!(alone, ["questionnaires.intake"], "everything else stands in a flow");
}

/// Words that make somebody feel bad, or hurry, for leaving.
const PUSHING: [&str; 16] = [
    "are you sure",
    "sind sie sicher",
    "sorry to see",
    "schade",
    "miss out",
    "verpassen",
    "last chance",
    "letzte chance",
    "only today",
    "nur heute",
    "lose everything",
    "verlieren sie",
    "disappoint",
    "enttäusch",
    "hurry",
    "beeilen",
];

#[test]
fn no_text_pushes_and_leaving_is_never_the_harder_button() {
    let mut found = Vec::new();
    for step in steps() {
        texts(&step.body, step.save_as.as_deref().unwrap_or_default(), &mut found);
    }
    let written = found.into_iter().map(|(place, texts)| (place, texts.to_string().to_lowercase()));
    let flows = flows(&folder()).unwrap().into_iter().map(|f| (f.key, f.text.to_lowercase()));
    for (place, text) in written.chain(flows) {
        let pushing: Vec<_> = PUSHING.iter().filter(|words| text.contains(**words)).collect();
        assert_eq!(pushing, Vec::<&&str>::new(), "{place}: {text}");
    }
    for step in steps() {
        let elements = step.body.pointer("/content/elements").and_then(Value::as_array);
        let elements: Vec<String> = elements.into_iter().flatten().map(Value::to_string).collect();
        let at = |name: &str| elements.iter().position(|e| e.contains(name));
        let (cancel, keep) = (at("{{elements.cancel}}"), at("{{elements.keep}}"));
        assert!(keep.is_none() || cancel.is_some_and(|c| Some(c) < keep), "{:?}", step.save_as);
        let slot = elements.iter().find(|e| e.contains("offer_slot"));
        assert!(slot.is_none_or(|e| e.contains("decline_label")), "{:?}", step.save_as);
    }
}

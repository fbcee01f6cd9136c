use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::{part, unite};
use crate::customers::{Attribute, Customer, Source};
use crate::subscription::tests::at;

fn attribute(value: i64, day: i64) -> Attribute {
    Attribute { value: json!(value), source: Source::Api, observed_at: at(day) }
}

fn customer(external_id: &str) -> Customer {
    Customer::new(external_id)
}

#[test]
fn the_survivor_s_own_values_win_and_gaps_are_filled() {
    let survivor = Customer {
        email: "ada@example.com".into(),
        tags: vec!["vip".into()],
        attributes: BTreeMap::from([("seats".into(), attribute(3, 5)), ("logins".into(), attribute(1, 1))]),
        links: BTreeMap::from([("stripe".into(), "cus_a".into())]),
        ..customer("c-1")
    };
    let absorbed = Customer {
        email: "other@example.com".into(),
        name: "Ada".into(),
        tags: vec!["fibre".into(), "vip".into()],
        attributes: BTreeMap::from([("seats".into(), attribute(9, 2)), ("logins".into(), attribute(7, 3))]),
        links: BTreeMap::from([("stripe".into(), "cus_b".into()), ("recurly".into(), "r".into())]),
        ..customer("c-2")
    };
    let (united, kept, _) = unite(("cus_1", &survivor), ("cus_2", &absorbed));
    assert_eq!((united.email.as_str(), united.name.as_str()), ("ada@example.com", "Ada"));
    assert_eq!(united.tags, ["fibre", "vip"]);
    assert_eq!(united.attributes["seats"], attribute(3, 5), "the newer observation stands");
    assert_eq!(united.attributes["logins"], attribute(7, 3));
    assert_eq!(united.links["stripe"], "cus_a");
    assert_eq!(united.links["recurly"], "r");
    assert_eq!(united.also, ["external/c-2", "stripe/cus_b"]);
    assert_eq!((kept.merged_into.as_deref(), kept.links.len()), (Some("cus_1"), 0));
}

#[test]
fn what_came_after_the_merge_stays_with_the_survivor() {
    let absorbed = Customer {
        email: "ada@example.com".into(),
        name: "Ada".into(),
        attributes: BTreeMap::from([("seats".into(), attribute(9, 2))]),
        ..customer("c-2")
    };
    let (mut united, kept, taken) = unite(("cus_1", &customer("c-1")), ("cus_2", &absorbed));
    united.email = "new@example.com".into();
    united.attributes.insert("seats".into(), attribute(10, 8));
    united.tags.push("after".into());
    let (survivor, back) = part(&united, &kept, &taken);
    assert_eq!((survivor.email.as_str(), survivor.name.as_str()), ("new@example.com", ""));
    assert_eq!(
        (&survivor.attributes["seats"], survivor.tags.as_slice()),
        (&attribute(10, 8), &["after".to_owned()][..])
    );
    assert!(back == absorbed);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z]{1,4}"]
}

/// Any customer; `own` keeps the names of two apart.
fn any(own: &'static str) -> impl Strategy<Value = Customer> {
    let words = (text(), text(), text(), text(), text(), text());
    let tags = prop::collection::btree_set("[a-e]", 0..4);
    let attributes = prop::collection::btree_map("[a-e]", (0_i64..5, 0_i64..5), 0..5);
    let links = prop::collection::btree_map(prop_oneof![Just("stripe"), Just("recurly")], 0_i64..9, 0..3);
    let also = prop::collection::btree_set(0_i64..5, 0..3);
    (words, tags, attributes, links, also).prop_map(move |(words, tags, attributes, links, also)| {
        let (email, name, locale, country, currency, owner) = words;
        let links: Vec<_> = links.into_iter().map(|(p, v)| (p.to_owned(), v)).collect();
        Customer {
            email,
            name,
            locale,
            country,
            currency,
            owner,
            tags: tags.into_iter().collect(),
            attributes: attributes.into_iter().map(|(k, (v, d))| (k, attribute(v, d))).collect(),
            links: links.iter().map(|(p, v)| (p.clone(), format!("{own}{v}"))).collect(),
            link_versions: links.into_iter().filter(|(_, v)| v % 2 == 0).collect(),
            also: also.into_iter().map(|n| format!("external/{own}-{n}")).collect(),
            ..Customer::new(own)
        }
    })
}

proptest! {
    #[test]
    fn a_merge_and_its_undo_leave_both_as_they_were(survivor in any("s"), absorbed in any("t")) {
        let (united, kept, taken) = unite(("cus_s", &survivor), ("cus_t", &absorbed));
        for name in std::iter::once(&absorbed.external_id).chain(absorbed.links.values()) {
            let reached = united.names("external").chain(united.names("stripe")).chain(united.names("recurly"));
            prop_assert!(reached.collect::<Vec<_>>().contains(&name.as_str()), "{name} leads nowhere");
        }
        let (back, other) = part(&united, &kept, &taken);
        prop_assert!(back == survivor && other == absorbed);
    }

    #[test]
    fn merges_taken_back_in_reverse_leave_all_three_as_they_were(a in any("s"), b in any("t"), c in any("u")) {
        let (ab, kept_b, first) = unite(("a", &a), ("b", &b));
        let (cab, kept_ab, second) = unite(("c", &c), ("a", &ab));
        let (c_back, ab_back) = part(&cab, &kept_ab, &second);
        prop_assert!(c_back == c && ab_back == ab);
        let (a_back, b_back) = part(&ab_back, &kept_b, &first);
        prop_assert!(a_back == a && b_back == b);
    }
}

//! Whether a rule holds for one customer, and why, in words.

use super::model::{EventCounts, Facts, Op, Operand, Rule, Value, event_key};

/// Whether the rule holds.
pub fn holds(rule: &Rule, facts: &Facts, events: &EventCounts) -> bool {
    match rule {
        Rule::All(rules) => rules.iter().all(|r| holds(r, facts, events)),
        Rule::Any(rules) => rules.iter().any(|r| holds(r, facts, events)),
        Rule::Not(rule) => !holds(rule, facts, events),
        Rule::Fact { key, test } => passes(test, facts.get(key)),
        Rule::Event { name, within_days, at_least } => count(events, name, *within_days) >= *at_least,
    }
}

/// Why the rule holds, in words: the conditions that carry it. None where it does not hold.
pub fn explain(rule: &Rule, facts: &Facts, events: &EventCounts) -> Option<String> {
    holds(rule, facts, events).then(|| words(rule, facts, events))
}

fn count(events: &EventCounts, name: &str, within_days: u32) -> u32 {
    events.get(&event_key(name, within_days)).copied().unwrap_or(0)
}

fn passes(test: &Operand, fact: Option<&Value>) -> bool {
    match test {
        Operand::Exists(wanted) => fact.is_some() == *wanted,
        Operand::In(values) => fact.is_some_and(|f| values.contains(f)),
        Operand::Compare { op: Op::Ne, value } => fact != Some(value),
        Operand::Compare { op: Op::Contains, value } => match (fact, value) {
            (Some(Value::Text(text)), Value::Text(part)) => text.contains(part.as_str()),
            _ => false,
        },
        Operand::Compare { op, value } => fact.and_then(|f| order(f, value)).is_some_and(|o| match op {
            Op::Eq => o.is_eq(),
            Op::Lt => o.is_lt(),
            Op::Lte => o.is_le(),
            Op::Gt => o.is_gt(),
            Op::Gte => o.is_ge(),
            Op::Ne | Op::Contains => false,
        }),
    }
}

/// Order within a type; across types there is none.
fn order(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        _ => None,
    }
}

/// The rule in words, of a rule that holds: of an `any` only the branches that hold.
fn words(rule: &Rule, facts: &Facts, events: &EventCounts) -> String {
    match rule {
        Rule::All(rules) if rules.is_empty() => String::from("everybody"),
        Rule::All(rules) => join(rules.iter(), " and ", facts, events),
        Rule::Any(rules) => join(rules.iter().filter(|r| holds(r, facts, events)), ", also ", facts, events),
        Rule::Not(inner) => format!("not ({})", plain(inner)),
        Rule::Fact { key, test } => match facts.get(key) {
            // A comparison that says the value itself needs not say it twice.
            Some(value) if !matches!(test, Operand::Compare { op: Op::Eq, .. }) => {
                format!("{} ({value})", plain_fact(key, test))
            }
            _ => plain_fact(key, test),
        },
        Rule::Event { name, within_days, .. } => {
            format!("{name} {} times within {within_days} days", count(events, name, *within_days))
        }
    }
}

fn join<'a>(
    rules: impl Iterator<Item = &'a Rule>,
    between: &str,
    facts: &Facts,
    events: &EventCounts,
) -> String {
    rules.map(|r| words(r, facts, events)).collect::<Vec<_>>().join(between)
}

/// The rule in words, of no customer in particular.
fn plain(rule: &Rule) -> String {
    let each = |rules: &[Rule], between: &str| rules.iter().map(plain).collect::<Vec<_>>().join(between);
    match rule {
        Rule::All(rules) if rules.is_empty() => String::from("everybody"),
        Rule::Any(rules) if rules.is_empty() => String::from("nobody"),
        Rule::All(rules) => each(rules, " and "),
        Rule::Any(rules) => format!("({})", each(rules, " or ")),
        Rule::Not(rule) => format!("not ({})", plain(rule)),
        Rule::Fact { key, test } => plain_fact(key, test),
        Rule::Event { name, within_days, at_least } => {
            format!("{name} at least {at_least} times within {within_days} days")
        }
    }
}

fn plain_fact(key: &str, test: &Operand) -> String {
    match test {
        Operand::Exists(true) => format!("{key} is known"),
        Operand::Exists(false) => format!("{key} is not known"),
        Operand::In(values) => {
            let list = values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("{key} is one of {list}")
        }
        Operand::Compare { op, value } => {
            let is = match op {
                Op::Eq => "is",
                Op::Ne => "is not",
                Op::Lt => "is less than",
                Op::Lte => "is at most",
                Op::Gt => "is more than",
                Op::Gte => "is at least",
                Op::Contains => "contains",
            };
            format!("{key} {is} {value}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(key: &str, op: Op, value: impl Into<Value>) -> Rule {
        Rule::Fact { key: key.into(), test: Operand::Compare { op, value: value.into() } }
    }

    #[test]
    fn the_reason_names_the_conditions_that_carry_the_rule() {
        let facts =
            Facts::from([("contract".into(), "Month-to-month".into()), ("tenure_months".into(), 3.0.into())]);
        let rule = Rule::All(vec![
            fact("contract", Op::Eq, "Month-to-month"),
            Rule::Any(vec![fact("tenure_months", Op::Lte, 12.0), fact("plan", Op::Eq, "fibre")]),
            Rule::Not(Box::new(Rule::Event { name: "login".into(), within_days: 30, at_least: 1 })),
        ]);
        assert_eq!(
            explain(&rule, &facts, &EventCounts::new()).as_deref(),
            Some(
                "contract is Month-to-month and tenure_months is at most 12 (3) and not (login at least 1 times \
                 within 30 days)"
            )
        );
        let active = EventCounts::from([(event_key("login", 30), 2)]);
        assert_eq!(explain(&rule, &facts, &active), None);
    }

    #[test]
    fn a_missing_fact_and_another_type_fail_all_but_ne() {
        let facts = Facts::from([("a".into(), "5".into())]);
        for op in [Op::Eq, Op::Lt, Op::Lte, Op::Gt, Op::Gte] {
            assert!(!holds(&fact("a", op, 5.0), &facts, &EventCounts::new()), "{op:?}");
            assert!(!holds(&fact("b", op, 5.0), &facts, &EventCounts::new()), "{op:?}");
        }
        assert!(holds(&fact("a", Op::Ne, 5.0), &facts, &EventCounts::new()));
        assert!(holds(&fact("b", Op::Ne, 5.0), &facts, &EventCounts::new()));
    }
}

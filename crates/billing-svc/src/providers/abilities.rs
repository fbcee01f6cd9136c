//! What a provider can do, as data: the rows of the capability table.

use super::act::{Act, SwitchAt};

/// Whether something can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    Yes,
    /// Only where the named condition holds for the subscription (`single_item_without_schedule`).
    If(&'static str),
    No,
}

impl Ability {
    /// `yes`, `conditional`, `no`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::If(_) => "conditional",
            Self::No => "no",
        }
    }

    /// The condition's slug, where there is one.
    pub fn condition(self) -> Option<&'static str> {
        match self {
            Self::If(slug) => Some(slug),
            Self::Yes | Self::No => None,
        }
    }

    pub fn is_possible(self) -> bool {
        self != Self::No
    }
}

/// A provider's column of the table. Offers are published against it; the contract suite holds adapters to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    pub discount: Ability,
    pub pause: Ability,
    pub plan_switch_now: Ability,
    pub plan_switch_at_period_end: Ability,
    pub trial_extension: Ability,
    pub term_extension: Ability,
    pub credit: Ability,
    pub refund: Ability,
    pub cancel_at_period_end: Ability,
    pub cancel_now: Ability,
}

impl Abilities {
    /// The rows, by slug, in the table's order.
    pub fn rows(&self) -> [(&'static str, Ability); 10] {
        let Self {
            discount,
            pause,
            plan_switch_now,
            plan_switch_at_period_end,
            trial_extension,
            term_extension,
            credit,
            refund,
            cancel_at_period_end,
            cancel_now,
        } = *self;
        [
            ("discount", discount),
            ("pause", pause),
            ("plan_switch_now", plan_switch_now),
            ("plan_switch_at_period_end", plan_switch_at_period_end),
            ("trial_extension", trial_extension),
            ("term_extension", term_extension),
            ("credit", credit),
            ("refund", refund),
            ("cancel_at_period_end", cancel_at_period_end),
            ("cancel_now", cancel_now),
        ]
    }

    /// Whether an act can be done.
    pub fn of(&self, act: &Act) -> Ability {
        match act {
            Act::Discount { .. } | Act::RemoveDiscount { .. } => self.discount,
            Act::Pause { .. } | Act::Resume => self.pause,
            Act::SwitchPlan { at: SwitchAt::Now { .. }, .. } => self.plan_switch_now,
            Act::SwitchPlan { at: SwitchAt::PeriodEnd, .. } => self.plan_switch_at_period_end,
            Act::ExtendTrial { .. } => self.trial_extension,
            Act::ExtendTerm { .. } => self.term_extension,
            Act::Credit { .. } | Act::TakeCredit { .. } => self.credit,
            Act::Refund { .. } => self.refund,
            Act::CancelAtPeriodEnd { .. } | Act::UndoCancel => self.cancel_at_period_end,
            Act::CancelNow { .. } => self.cancel_now,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::providers::{ProviderKind, abilities};

    /// The table as the documentation has it.
    fn table() -> String {
        let all: Vec<_> = ProviderKind::ALL.into_iter().map(|kind| (kind, abilities(kind))).collect();
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let names = all.iter().map(|(kind, _)| kind.as_str().to_owned());
        let mut text = line(std::iter::once("act".to_owned()).chain(names).collect());
        text += &line(vec!["---".to_owned(); all.len() + 1]);
        for (n, (slug, _)) in all[0].1.rows().into_iter().enumerate() {
            let cell = |can: super::Ability| match can.condition() {
                Some(condition) => format!("if `{condition}`"),
                None => can.as_str().to_owned(),
            };
            let cells = all.iter().map(|(_, can)| cell(can.rows()[n].1));
            text += &line(std::iter::once(format!("`{slug}`")).chain(cells).collect());
        }
        text
    }

    #[test]
    fn the_documentation_says_what_the_adapters_can() {
        let page = include_str!("../../../../docs/providers.md");
        assert!(page.contains(&table()), "docs/providers.md is to have this table:\n\n{}", table());
    }
}

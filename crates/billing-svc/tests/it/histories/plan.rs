//! What happens in a history: random, the same for the same seed, and shrinkable to what matters.

use billing_svc::offer::{Draft, Limits, Stacking, Terms};
use billing_svc::providers::{Cut, Interval, Term};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::rooms::world::{draft, eur, percent};

/// What goes wrong with a request that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// 429, 409: not done, come back later.
    Busy,
    /// No answer, not done.
    NoAnswer,
    /// Done, and the answer is lost.
    AnswerLost,
    /// Done, and the answer is a page of HTML.
    Html,
    /// No answer, and done some time after we stopped listening.
    Late,
    /// A clear no.
    Refuses,
    /// "Taken", and nothing is done.
    Forgets,
}

/// What somebody else does to a subscription at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    Cancel,
    UndoCancel,
    SwitchPlan,
    Pause,
    Resume,
    /// Payments fail from now on, or go well again.
    CardFails,
    CardWorks,
}

/// Work that takes many steps, any of which may be the last of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A customer presses "accept", or does so again.
    Claim(usize),
    /// An admin takes it back.
    Reverse(usize),
    /// The job walks on with what was left half-way.
    Sweep,
    /// An event of the provider is worked on: the oldest that waits, or the newest before it.
    Event { newest: bool },
    /// A pass over everything the provider has.
    Sync,
}

/// Some work, and after how many steps its process dies, if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    pub work: Work,
    pub dies: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An offer is shown to a customer.
    Show {
        customer: usize,
        offer: usize,
    },
    Decline(usize),
    /// The company says of a promise of its own that it was kept, or that it cannot be.
    Fulfil {
        redemption: usize,
        kept: bool,
    },
    /// All of this at once; the numbers say whose turn it is.
    Together {
        tasks: Vec<Task>,
        turns: Vec<usize>,
    },
    /// The next requests that change something go wrong like this.
    Trouble(Vec<Trouble>),
    /// Nothing answers any more, or everything does again.
    Down(bool),
    Foreign {
        customer: usize,
        what: Foreign,
    },
    /// The provider sends an event again that it sent before.
    Again,
    /// An event is lost for good.
    Lost,
    Minutes(i64),
    /// Effects that are over are noted.
    Exhaust,
}

/// An offer of the company's.
#[derive(Clone, Debug)]
pub struct Offered {
    pub terms: usize,
    pub stacking: Stacking,
    pub limits: Limits,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub offers: Vec<Offered>,
    pub steps: Vec<Step>,
}

/// How many customers there are; the last one is in a trial.
pub const CUSTOMERS: usize = 3;

/// What a trial is extended by.
pub const TRIAL_DAYS: u32 = 7;

/// The terms there are.
pub fn terms() -> [Terms; 9] {
    [
        percent(20, 3),
        percent(30, 1),
        Terms::Discount { cut: Cut::Amount(eur(300)), term: Term::Forever },
        Terms::Pause { months: 2 },
        Terms::PlanSwitch {
            plan: "dsl".into(),
            price_id: "dsl_month".into(),
            price: eur(1_500),
            interval: Interval::Month,
            interval_count: 1,
        },
        Terms::Credit { amount: eur(700) },
        Terms::TermExtension { days: 10 },
        Terms::TrialExtension { days: TRIAL_DAYS },
        Terms::Custom { reference: "gift".into(), cost: Some(eur(400)) },
    ]
}

impl Offered {
    pub fn draft(&self) -> Draft {
        let terms = terms()[self.terms].clone();
        Draft { limits: self.limits.clone(), stacking: self.stacking, ..draft(terms) }
    }
}

fn offered() -> impl Strategy<Value = Offered> {
    let stacking = prop_oneof![
        3 => Just(Stacking::Refuse),
        1 => Just(Stacking::Merge),
        1 => Just(Stacking::Replace)
    ];
    // Discounts twice as often: they are what can collide.
    let terms = prop_oneof![3 => 0_usize..3, 4 => 0..terms().len()];
    let limits = (0_u32..4, 0_u32..3, prop_oneof![Just(0_u32), Just(30)], prop::option::of(300_i64..4_000));
    (terms, stacking, limits).prop_map(|(terms, stacking, (total, per_customer, cooldown_days, budget))| {
        let limits = Limits { total, per_customer, cooldown_days, monthly_budget: budget.map(eur) };
        Offered { terms, stacking, limits }
    })
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        8 => (0_usize..12).prop_map(Work::Claim),
        2 => (0_usize..12).prop_map(Work::Reverse),
        2 => Just(Work::Sweep),
        2 => any::<bool>().prop_map(|newest| Work::Event { newest }),
        1 => Just(Work::Sync),
    ]
}

fn task() -> impl Strategy<Value = Task> {
    (work(), prop_oneof![3 => Just(None), 1 => (0_usize..24).prop_map(Some)])
        .prop_map(|(work, dies)| Task { work, dies })
}

fn trouble() -> impl Strategy<Value = Trouble> {
    use Trouble::*;
    prop::sample::select(vec![Busy, NoAnswer, AnswerLost, Html, Late, Refuses, Forgets])
}

fn foreign() -> impl Strategy<Value = Foreign> {
    use Foreign::*;
    prop::sample::select(vec![Cancel, UndoCancel, SwitchPlan, Pause, Resume, CardFails, CardWorks])
}

fn step() -> impl Strategy<Value = Step> {
    let minutes = prop::sample::select(vec![
        1,
        2,
        6,
        11,
        60,
        24 * 60,
        // Past a month's end, a cooldown, a term.
        20 * 24 * 60,
        45 * 24 * 60,
    ]);
    prop_oneof![
        8 => (0..CUSTOMERS, 0_usize..4).prop_map(|(customer, offer)| Step::Show { customer, offer }),
        1 => (0_usize..12).prop_map(Step::Decline),
        1 => (0_usize..12, any::<bool>()).prop_map(|(redemption, kept)| Step::Fulfil { redemption, kept }),
        12 => (prop::collection::vec(task(), 1..4), prop::collection::vec(0_usize..4, 0..40))
            .prop_map(|(tasks, turns)| Step::Together { tasks, turns }),
        3 => prop::collection::vec(trouble(), 1..4).prop_map(Step::Trouble),
        1 => any::<bool>().prop_map(Step::Down),
        1 => (0..CUSTOMERS, foreign()).prop_map(|(customer, what)| Step::Foreign { customer, what }),
        1 => Just(Step::Again),
        1 => Just(Step::Lost),
        4 => minutes.prop_map(Step::Minutes),
        1 => Just(Step::Exhaust),
    ]
}

/// Histories of up to so many steps.
pub fn plan(steps: usize) -> impl Strategy<Value = Plan> {
    (prop::collection::vec(offered(), 1..5), prop::collection::vec(step(), 1..steps))
        .prop_map(|(offers, steps)| Plan { offers, steps })
}

/// How many histories over the rules the ordinary run has.
pub const ORDINARY: u32 = 12_000;

/// The settings of a run: how many histories, from which seed.
pub struct Run {
    pub histories: u32,
    pub seed: u64,
}

impl Run {
    /// So many in the ordinary run. `FUZZ_HISTORIES` says how many it shall be over the rules, and over the rooms
    /// so many times more as well; `FUZZ_SEED` says from which seed.
    pub fn of(histories: u32) -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let times = number("FUZZ_HISTORIES").map(|n| n.div_ceil(u64::from(ORDINARY)));
        let histories =
            times.map_or(histories, |n| histories.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX)));
        Self { histories, seed: number("FUZZ_SEED").unwrap_or(42) }
    }

    pub fn runner(&self, lane: u8) -> TestRunner {
        let mut seed = [lane; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        let config = Config { cases: self.histories, failure_persistence: None, ..Config::default() };
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
    }
}

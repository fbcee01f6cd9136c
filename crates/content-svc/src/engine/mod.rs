//! The engine: evaluates rules, walks a published workflow, chooses offers, and says why. Pure: what it needs to know
//! comes in, what is to be done goes out; whoever calls it does the asking and the telling.

mod answers;
mod draw;
mod evaluate;
mod rehearse;
mod walk;

pub use draw::draw;
pub use evaluate::{Answer, Known, holds};
pub use rehearse::{Course, Curtain, Scene, Script, rehearse};
pub use walk::{Candidate, Decision, Halt, Walker, choose, choose_workflow, walk};

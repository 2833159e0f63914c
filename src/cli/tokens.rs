//! How many tokens a plan's calls take: at most by `max_tokens`, about by what the same steps took before.
//! What they cost is in `cost`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cost::Cost;
use super::earlier::Earlier;
use super::exit::CommandError;
use crate::base::{CaseNo, StepName, TokenCount};
use crate::event::Usage;
use crate::journal::Reader;
use crate::plan::{Actor, ForEach, Plan, Step, StepKind};
use crate::report::grouped;

/// What is known of the tokens of calls that have not been made, by the plan's order of steps and in all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Forecast {
    pub(super) steps: Vec<Tokens>,
    pub(super) all: Tokens,
}

/// Tokens and cost of some calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tokens {
    /// Of the answers, at most; none where an actor that is asked has no `max_tokens`.
    pub(super) most_out: Option<u64>,
    /// Of prompts and answers, about: tasks × mean of the earlier run's; none where a step is not known to it.
    pub(super) about: Option<(u64, u64)>,
    pub(super) cost: Cost,
}

/// Forecasts tokens from the tasks and calls (at most) that each step would ask, by cell.
///
/// # Errors
/// The earlier run's journal cannot be read.
pub(super) fn forecast(
    plan: &Plan,
    asked: &[Vec<(u64, u64)>],
    earlier: Option<&Earlier>,
) -> Result<Forecast, CommandError> {
    let before = earlier.map(usage_by_step).transpose()?.unwrap_or_default();
    let nothing = Tokens { most_out: Some(0), about: earlier.map(|_| (0, 0)), cost: Cost::nothing() };
    let mut forecast = Forecast { steps: vec![nothing.clone(); plan.steps.len()], all: nothing };
    for ((_, cell), asked) in plan.all_cells().zip(asked) {
        for ((step, &(tasks, calls)), sum) in cell.steps.iter().zip(asked).zip(&mut forecast.steps) {
            if calls == 0 {
                continue;
            }
            let tokens = tokens(cell, step, (tasks, calls), before.get(&step.name));
            sum.add(&tokens);
            forecast.all.add(&tokens);
        }
        // What is made of all cases is never reused.
        for (closing, step) in
            cell.closing.iter().flat_map(|closing| closing.steps.iter().map(move |step| (closing, step)))
        {
            let calls = step.kind.calls().1;
            if calls > 0 {
                forecast.all.add(&tokens(closing, step, (1, calls), before.get(&step.name)));
            }
        }
    }
    Ok(forecast)
}

/// Returns what so many tasks and calls of a step take.
fn tokens(plan: &Plan, step: &Step, (tasks, calls): (u64, u64), before: Option<&Seen>) -> Tokens {
    let actors = actors(plan, &step.kind);
    // How many elements there will be is not known.
    let is_known = !matches!(step.course.for_each, Some(ForEach::Found(_)));
    let most_out = longest(&actors).filter(|_| is_known).map(|tokens| calls.saturating_mul(u64::from(tokens)));
    let about = before.and_then(|seen| seen.times(tasks));
    Tokens { most_out, about, cost: Cost::of(plan, &actors, most_out, about) }
}

/// Returns who is asked by a step.
fn actors<'p>(plan: &'p Plan, kind: &StepKind) -> Vec<&'p Actor> {
    match kind {
        StepKind::Chat(chat) => vec![plan.actor(chat.actor)],
        StepKind::Judge(judge) => judge.actors.iter().map(|&actor| plan.actor(actor)).collect(),
        StepKind::Dialogue(dialogue) => dialogue.asked().map(|actor| plan.actor(actor)).collect(),
        StepKind::Aggregate(aggregate) => aggregate.chat().map(|chat| plan.actor(chat.actor)).into_iter().collect(),
        StepKind::Transform(_) | StepKind::Assert(_) => Vec::new(),
    }
}

/// Returns the most that one answer may have; none when an actor has no limit.
fn longest(actors: &[&Actor]) -> Option<u32> {
    actors.iter().map(|actor| actor.sampling.max_tokens).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// Tokens that the tasks of one step took.
#[derive(Default)]
struct Seen {
    tasks: u64,
    usage: Usage,
}

impl Seen {
    /// Returns prompts' and answers' tokens of so many tasks like these; none when the server did not tell them.
    fn times(&self, tasks: u64) -> Option<(u64, u64)> {
        let mean = |TokenCount(sum)| u128::from(sum) * u128::from(tasks) / u128::from(self.tasks.max(1));
        let count = |tokens: Option<TokenCount>| u64::try_from(mean(tokens?)).ok();
        Some((count(self.usage.input)?, count(self.usage.output)?))
    }
}

fn usage_by_step(earlier: &Earlier) -> Result<BTreeMap<StepName, Seen>, CommandError> {
    let reader = Reader::open(&earlier.dir.journal_path()).map_err(|error| CommandError::journal(&error))?;
    let mut seen: BTreeMap<StepName, Seen> = BTreeMap::new();
    let visit = &mut |case: crate::journal::CaseRecord| {
        for task in case.tasks.iter().filter(|task| task.output.is_some()) {
            let step = seen.entry(task.step.clone()).or_default();
            step.tasks += 1;
            step.usage.add(&task.usage);
        }
        Ok(())
    };
    reader.cases(CaseNo(0), &mut *visit).map_err(|error| CommandError::journal(&error))?;
    // What closes cells is numbered after the cases.
    let counts = reader.case_counts().map_err(|error| CommandError::journal(&error))?;
    for number in counts.admitted..counts.admitted.saturating_add(earlier.plan.closings()) {
        let Some(closing) = reader.case(CaseNo(number)).map_err(|error| CommandError::journal(&error))? else {
            break;
        };
        visit(closing).map_err(|error| CommandError::journal(&error))?;
    }
    Ok(seen)
}

impl Tokens {
    /// Returns the tokens and the cost of no call.
    pub(super) fn none() -> Self {
        Self { most_out: Some(0), about: Some((0, 0)), cost: Cost::nothing() }
    }

    /// Writes it in a few words, for a table; none when nothing is known.
    pub(super) fn brief(&self) -> Option<String> {
        let about = self.about.filter(|&about| about != (0, 0));
        let about = about.map(|(input, output)| format!("about {} in, {} out", grouped(input), grouped(output)));
        about.or_else(|| self.most_out.filter(|&most| most > 0).map(|most| format!("at most {} out", grouped(most))))
    }

    /// Adds those of other calls; what is not known of them is not known of the sum.
    pub(super) fn add(&mut self, other: &Self) {
        self.most_out = self.most_out.zip(other.most_out).map(|(sum, more)| sum.saturating_add(more));
        self.about = self.about.zip(other.about).map(|(sum, more)| (sum.0 + more.0, sum.1 + more.1));
        self.cost.add(&other.cost);
    }

    /// Writes it for people; none when nothing is known or nothing would be asked.
    pub(super) fn say(&self, earlier: Option<&Earlier>) -> Option<String> {
        let most = self.most_out.filter(|&most| most > 0).map(|most| format!("at most {} tokens out", grouped(most)));
        let about = self.about.filter(|&about| about != (0, 0)).zip(earlier).map(|((input, output), earlier)| {
            format!("about {} in and {} out, as in {}", grouped(input), grouped(output), earlier.id())
        });
        match (most, about) {
            (Some(most), Some(about)) => Some(format!("{most}; {about}")),
            (most, about) => most.or(about),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "most_out": self.most_out,
            "about": self.about.map(|(input, output)| json!({ "input": input, "output": output })),
        })
    }
}

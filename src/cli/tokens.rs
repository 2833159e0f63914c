//! How many tokens a plan's calls take: at most by `max_tokens`, about by what the same steps took before.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::earlier::Earlier;
use super::exit::CommandError;
use crate::base::{CaseNo, StepName, TokenCount};
use crate::event::Usage;
use crate::journal::Reader;
use crate::plan::{ForEach, Plan, StepKind};
use crate::report::grouped;

/// What is known of the tokens of calls that have not been made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Of the answers, at most; none where an actor that is asked has no `max_tokens`.
    most_out: Option<u64>,
    /// Of prompts and answers, about: tasks × mean of the earlier run's; none where a step is not known to it.
    about: Option<(u64, u64)>,
}

/// Forecasts tokens from the tasks and calls (at most) that each step of the plan would ask.
///
/// # Errors
/// The earlier run's journal cannot be read.
pub(super) fn forecast(plan: &Plan, asked: &[(u64, u64)], earlier: Option<&Earlier>) -> Result<Tokens, CommandError> {
    let mut most_out = Some(0_u64);
    for (step, &(_, calls)) in plan.steps.iter().zip(asked) {
        let most = match calls {
            0 => Some(0),
            // How many elements there will be is not known.
            _ if matches!(step.course.for_each, Some(ForEach::Found(_))) => None,
            calls => longest(plan, &step.kind).map(|tokens| calls.saturating_mul(u64::from(tokens))),
        };
        most_out = most_out.zip(most).map(|(sum, most)| sum.saturating_add(most));
    }
    let before = earlier.map(usage_by_step).transpose()?.unwrap_or_default();
    let mut about = Some((0, 0));
    for (step, &(tasks, _)) in plan.steps.iter().zip(asked) {
        if tasks > 0 {
            let mean = before.get(&step.name).and_then(|seen| seen.times(tasks));
            about = about.zip(mean).map(|((input, output), more)| (input + more.0, output + more.1));
        }
    }
    Ok(Tokens { most_out, about: about.filter(|_| earlier.is_some()) })
}

/// Returns the most that one answer of a step may have; none when an actor of it has no limit.
fn longest(plan: &Plan, kind: &StepKind) -> Option<u32> {
    let limit = |actor| plan.actor(actor).sampling.max_tokens;
    match kind {
        StepKind::Chat(chat) => limit(chat.actor),
        StepKind::Judge(judge) => limit(judge.actor),
        StepKind::Transform(_) | StepKind::Assert(_) => Some(0),
        StepKind::Dialogue(dialogue) => {
            dialogue.actors.iter().map(|&actor| limit(actor)).collect::<Option<Vec<_>>>()?.into_iter().max()
        }
    }
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
    reader.cases(CaseNo(0), visit).map_err(|error| CommandError::journal(&error))?;
    Ok(seen)
}

impl Tokens {
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

    pub(super) fn to_json(self) -> Value {
        json!({
            "most_out": self.most_out,
            "about": self.about.map(|(input, output)| json!({ "input": input, "output": output })),
        })
    }
}

//! What a tally counts no more once a case goes on that was over: the reverse of what it counted when tasks settled.
//! Requests and their tokens were spent and stay.

use super::case::{score_words, verdict_words};
use super::tally::{of_panel, outputs_that_count};
use super::{JudgeTally, StepTally, Tally};
use crate::base::TokenCount;
use crate::event::{Because, CaseReopened, Judgement, TaskOutput, TaskSettled, TaskStatus, Usage, Verdict};

impl Tally {
    pub(super) fn reopen(&mut self, reopened: &CaseReopened) {
        self.reopened += 1;
        self.cases.reopen(reopened.was);
        self.cells.reopen(reopened);
        for task in &reopened.former {
            let step = self.steps.entry(task.step.clone()).or_default();
            step.usage = without(step.usage, task.usage);
            step.take_back(task);
            if let Some(failure) = task.failure.as_ref().filter(|_| task.because.is_none()) {
                self.given_up.remove(&failure.kind);
            }
            if self.first_given_up_of.as_ref().is_some_and(|(case, step)| (*case, step) == (task.case, &task.step)) {
                self.first_given_up = None;
                self.first_given_up_of = None;
            }
        }
    }
}

impl StepTally {
    /// Counts one task less, of those that were settled.
    pub(super) fn take_back(&mut self, settled: &TaskSettled) {
        let count = match settled.status {
            TaskStatus::Ok => &mut self.ok,
            TaskStatus::Unscored => &mut self.unscored,
            TaskStatus::Failed => &mut self.failed,
            TaskStatus::Skipped => &mut self.skipped,
        };
        less(count, 1);
        less(&mut self.unmet, u64::from(settled.because == Some(Because::When)));
        less(&mut self.eased, u64::from(settled.because == Some(Because::OnError)));
        if let Some(output) = settled.output.as_ref().filter(|_| settled.because.is_none()) {
            self.remove(output);
        }
        if let Some(TaskOutput::Dialogue { stopped_by, .. }) = &settled.output {
            self.endings.remove(stopped_by);
        }
    }

    fn remove(&mut self, output: &TaskOutput) {
        match output {
            TaskOutput::Judge(judgement) => {
                if let Some(judge) = &mut self.judge {
                    judge.remove(judgement);
                }
            }
            TaskOutput::Assertion { passed } => {
                if let Some((hold, all)) = &mut self.claims {
                    less(hold, u64::from(*passed));
                    less(all, 1);
                }
            }
            TaskOutput::Each { elements } => outputs_that_count(elements).for_each(|output| self.remove(output)),
            TaskOutput::Chat { .. }
            | TaskOutput::Dialogue { .. }
            | TaskOutput::Value { .. }
            | TaskOutput::Table(_)
            | TaskOutput::Ranking(_) => {}
        }
    }
}

impl JudgeTally {
    fn remove(&mut self, judgement: &Judgement) {
        less(&mut self.scored, u64::from(!matches!(judgement.verdict, Verdict::Unscored(_))));
        match &judgement.verdict {
            Verdict::Choice(option) => self.choices.remove(option),
            Verdict::Score(score) => {
                self.choices.remove(&score_words(*score));
                self.scores.remove(*score);
            }
            Verdict::Ranking(names) => self.choices.remove(names.first().unwrap_or(&String::new())),
            Verdict::Json => {}
            Verdict::Unscored(reason) => self.unscored.remove(reason),
        }
        less(&mut self.flipped, u64::from(judgement.flipped));
        less(&mut self.pairs, u64::from(judgement.pairs));
        if let Some((numbers, names)) = of_panel(judgement) {
            self.agreement.remove_numbers(&numbers);
            self.agreement.remove_names(&names);
        }
        if judgement.votes.len() < 2 {
            return;
        }
        for vote in &judgement.votes {
            match verdict_words(&vote.verdict) {
                Some(words) => self.votes.remove(&words),
                None => less(&mut self.unscored_votes, 1),
            }
        }
    }
}

const fn less(count: &mut u64, by: u64) {
    *count = count.saturating_sub(by);
}

fn without(all: Usage, part: Usage) -> Usage {
    let tokens = |all: Option<TokenCount>, part: Option<TokenCount>| {
        all.map(|all| TokenCount(all.0.saturating_sub(part.map_or(0, |part| part.0))))
    };
    Usage {
        input: tokens(all.input, part.input),
        output: tokens(all.output, part.output),
        cached: tokens(all.cached, part.cached),
        reasoning: tokens(all.reasoning, part.reasoning),
    }
}

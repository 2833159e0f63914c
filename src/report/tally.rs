//! One pass over the events of a run, in memory that does not grow with it.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::case::{score_words, verdict_words};
use super::{Cells, OverAll, Spent};
use crate::base::{ActorName, BackendName, CaseNo, RunId, StepName, Timestamp, TokenCount};
use crate::event::{
    Answer, AttemptEnded, BackendResolved, Capacity, CaseCounts, CaseSettled, Counted, ElementOutput, Event, Failure,
    FailureKind, FinishReason, Judgement, Observation, Outcome, Recorded, RunOutcome, RunStarted, Stage, StopCause,
    TaskAdopted, TaskOutput, TaskSettled, TaskStatus, Unscored, Usage, Verdict,
};
use crate::stats::{Agreement, Categories, Moments};

/// What a run's events come to so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// How the run began.
    pub started: Option<Box<RunStarted>>,
    /// What each backend stands for, as last said.
    pub backends: Vec<BackendResolved>,
    /// How many times another process took the run up.
    pub resumed: u32,
    /// Cases by how they ended.
    pub cases: CaseCounts,
    /// Which cases count.
    counted: Counted,
    /// Items that had been repeated enough before the last repeat that there might be, each in a cell.
    pub enough_repeats: u64,
    /// Cases that are over and do not count.
    pub after_stop: u64,
    /// How many cases there are, once the source has ended.
    pub total: Option<u64>,
    /// How often a case that was over went on.
    pub reopened: u64,
    /// Tasks adopted, by the run that they come from.
    pub reused: IndexMap<RunId, u64>,
    /// Requests sent.
    pub sent: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Calls that the project's cache answered: no request was sent for them.
    pub from_cache: u64,
    /// Requests that were not, by why.
    pub failures: Categories<FailureKind>,
    /// Requests after the first of their call.
    pub retries: u64,
    /// Tasks given up for good, by why.
    pub given_up: Categories<FailureKind>,
    /// The first of them: case, step and what happened.
    pub first_given_up: Option<String>,
    /// Whose it was.
    pub(super) first_given_up_of: Option<(CaseNo, StepName)>,
    /// Answers cut at `max_tokens` or at the end of the context.
    pub cut: u64,
    /// Requests that left the oldest turns of their dialogue out.
    pub trimmed: u64,
    /// Answers about a dialogue after a round that could not be counted.
    pub unread: u64,
    /// Cases in which a condition on evidence could not be looked at, so that they are no observation.
    pub unclear: u64,
    /// The first of them, and why.
    pub first_unclear: Option<String>,
    /// Answers whose reason to end nobody knows, by the server's word.
    pub odd_ends: Categories,
    /// Prompts that a server probably cut.
    pub cut_prompts: u64,
    /// The worst of them: tokens that were read, tokens that it has by its length, and the backend.
    pub worst_cut: Option<(u64, u64, BackendName)>,
    /// Answers before which the model thought.
    pub thoughts: u64,
    /// Tokens of all requests as servers counted them, those of failed ones included.
    pub usage: Usage,
    /// What servers did not report of them, by the length of the texts.
    pub estimated: Usage,
    /// The same by actor, and what they cost.
    pub(super) spent: Spent,
    /// What was settled of each cell of the matrix.
    pub(super) cells: Cells,
    /// What is made of all cases.
    pub over_all: OverAll,
    /// What was settled of each step, in the order in which steps first settled.
    pub steps: IndexMap<StepName, StepTally>,
    /// When the first event became true.
    pub first: Option<Timestamp>,
    /// When the latest event became true.
    pub last: Option<Timestamp>,
    /// How far a stop has gone in the present process, and what asked for it.
    pub draining: Option<(Stage, StopCause)>,
    /// No new call starts until someone says so.
    pub paused: bool,
    /// Until when backends take no call, by their own word.
    pub held: BTreeMap<BackendName, Timestamp>,
    /// How the latest process left; none while it has not.
    pub outcome: Option<RunOutcome>,
    /// The message of the bug that ended the latest process.
    pub bug: Option<String>,
    /// Time under way before the present process, in microseconds.
    earlier_us: u64,
    /// When the present process took over.
    segment_start: Option<Timestamp>,
    /// Requests that are over.
    ended: u64,
}

/// Most words for reasons to end that are told apart: what servers send has no bound.
const MOST_ENDS: usize = 20;

/// What was settled of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepTally {
    /// Tasks with an output that counts.
    pub ok: u64,
    /// Judgements that cannot be counted.
    pub unscored: u64,
    /// Tasks given up.
    pub failed: u64,
    /// Tasks not asked, because one that they read failed, and those of `unmet` and `eased`.
    pub skipped: u64,
    /// Tasks not asked, because their `when` does not hold.
    pub unmet: u64,
    /// Tasks that failed without harm, by `on_error`.
    pub eased: u64,
    /// Claims that hold, and all that were looked at; none when it makes none.
    pub claims: Option<(u64, u64)>,
    /// Of all these, those adopted from another run.
    pub reused: u64,
    /// Tokens of its answers.
    pub usage: Usage,
    /// What its judge said; none when it is no judge.
    pub judge: Option<JudgeTally>,
    /// Conditions that ended its dialogues.
    pub endings: Categories,
}

/// What a judge said over all cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JudgeTally {
    /// Cases with a verdict.
    pub scored: u64,
    /// Verdicts over the votes of a case: options, scores, or what was ranked first.
    pub choices: Categories,
    /// Scores over the votes of a case.
    pub scores: Moments,
    /// The latest verdict, in words.
    pub latest: Option<String>,
    /// How far the members of a panel agree.
    pub agreement: Agreement,
    /// Cases without a verdict, by why.
    pub unscored: Categories<Unscored>,
    /// Single votes by option, when cases have more than one.
    pub votes: Categories,
    /// Single votes without a verdict.
    pub unscored_votes: u64,
    /// Votes asked in both ways whose answers differ.
    pub flipped: u64,
    /// Votes asked in both ways.
    pub pairs: u64,
}

impl Tally {
    /// Returns a tally of the cases that count.
    #[must_use]
    pub fn of(counted: Counted) -> Self {
        Self { counted, ..Self::default() }
    }

    fn counts(&self, case: CaseNo) -> bool {
        self.counted.counts(case)
    }

    /// Takes the next event of the run. Events must come in the order of the log. Cost: constant.
    pub fn add(&mut self, recorded: &Recorded) {
        let before = self.last;
        self.first.get_or_insert(recorded.at);
        self.last = Some(before.map_or(recorded.at, |last| last.max(recorded.at)));
        match &recorded.event {
            Event::RunStarted(started) => {
                self.backends.clone_from(&started.backends);
                self.segment_start = Some(recorded.at);
                self.spent.set_prices(&started.prices, &started.cell_prices);
                self.started = Some(Box::new(started.clone()));
            }
            Event::RunResumed(resumed) => {
                self.take_over(before, recorded.at);
                self.resumed = self.resumed.max(resumed.segment);
                self.backends.clone_from(&resumed.backends);
            }
            Event::CaseAdmitted(admitted) => {
                let counts = self.counts(admitted.case);
                self.cases.admitted += u64::from(counts);
                self.cells.admit(admitted, counts);
            }
            Event::CellClosing(closing) => {
                self.cells.close(closing);
                self.over_all.begin(closing);
            }
            Event::SourceEnded(ended) => self.total = Some(ended.cases),
            Event::AttemptStarted(started) => {
                self.sent += 1;
                self.retries += u64::from(started.id.attempt.0 > 1);
                self.spent.start(started, self.cells.place(started.id.case));
            }
            Event::AttemptEnded(ended) => self.end_attempt(ended),
            Event::TaskSettled(settled) => self.settle_task(settled),
            Event::TaskAdopted(adopted) => self.adopt_task(adopted),
            Event::CaseSettled(settled) if self.over_all.has(settled.case) => {
                self.cells.forget(settled.case);
                self.over_all.end(settled.status);
            }
            Event::CaseSettled(settled) => {
                let counts = self.counts(settled.case);
                if counts {
                    self.cases.settle(settled.status);
                    self.observe(settled);
                } else {
                    self.after_stop += 1;
                }
                self.cells.settle_case(settled, counts);
            }
            Event::CaseReopened(reopened) => self.reopen(reopened),
            Event::RunPaused(_) => self.paused = true,
            Event::RunUnpaused(_) => self.paused = false,
            Event::WindowTrimmed(_) => self.trimmed += 1,
            Event::RunTuned(tuned) => self.spent.set_prices(&tuned.prices, &tuned.cell_prices),
            Event::CapacityChanged(changed) => {
                if let Capacity::HeldUntil(until) = changed.change {
                    self.held.insert(changed.backend.clone(), until);
                }
            }
            Event::Evaluated(_) | Event::ElementSettled(_) => {}
            Event::StopReached(_) => self.counted.add(&recorded.event),
            Event::RepeatsReached(_) => {
                self.enough_repeats += 1;
                self.counted.add(&recorded.event);
            }
            Event::DrainStage(drain) => self.draining = Some((drain.stage, drain.cause.clone())),
            Event::RunEnded(ended) => self.outcome = Some(ended.outcome.clone()),
            Event::RunFailed(failed) => self.bug = Some(failed.message.clone()),
        }
    }

    /// Returns the backend that takes no call for the longest time from `now` on, and until when.
    #[must_use]
    pub fn held_until(&self, now: Timestamp) -> Option<(&BackendName, Timestamp)> {
        let held = self.held.iter().filter(|(_, until)| **until > now);
        held.max_by_key(|(_, until)| **until).map(|(name, until)| (name, *until))
    }

    /// Returns how many requests are under way, those of a process that died included until a resume ends them.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.ended)
    }

    /// Returns what the answers cost so far; none where no price is known.
    #[must_use]
    pub fn cost(&self) -> Option<super::Cost> {
        self.spent.cost(&self.cells)
    }

    /// Returns how long processes worked on the run, the time between two of them left out, in microseconds.
    #[must_use]
    pub fn active_us(&self) -> u64 {
        self.earlier_us + self.segment_us(self.last)
    }

    fn take_over(&mut self, before: Option<Timestamp>, at: Timestamp) {
        self.earlier_us += self.segment_us(before);
        self.segment_start = Some(at);
        self.draining = None;
        self.paused = false;
        self.held.clear();
        self.outcome = None;
        self.bug = None;
    }

    fn segment_us(&self, until: Option<Timestamp>) -> u64 {
        match (self.segment_start, until) {
            (Some(start), Some(until)) => until.micros_since(start),
            (None, _) | (_, None) => 0,
        }
    }

    /// Counts what a condition on evidence could not make anything of.
    fn observe(&mut self, settled: &CaseSettled) {
        let why = settled.observed.iter().flatten().find_map(|seen| match seen {
            Observation::Unclear(why) => Some(why),
            Observation::Truth(_) | Observation::Label(_) | Observation::Number(_) => None,
        });
        let Some(why) = why else { return };
        self.unclear += 1;
        self.first_unclear.get_or_insert_with(|| format!("case {}: {why}", settled.case));
    }

    fn end_attempt(&mut self, ended: &AttemptEnded) {
        self.ended += 1;
        let backend = self.spent.end(ended);
        self.usage.add(&ended.usage);
        self.estimated.add(&ended.estimated);
        match &ended.outcome {
            Outcome::Answered(answer) => {
                if ended.from_cache.is_some() {
                    self.never_sent(ended);
                    self.from_cache += 1;
                } else {
                    self.answered += 1;
                }
                self.look_at(answer, &ended.usage, backend);
                self.cut += u64::from(answer.finish == FinishReason::Length);
                let is_unread = matches!(answer.facts.verdict, Some(Verdict::Unscored(_)));
                // A judge's own votes are told by what the step comes to.
                self.unread += u64::from(is_unread && ended.id.call.as_str().starts_with("round/"));
            }
            Outcome::Failed(Failure { kind: FailureKind::Unsent, .. }) => self.never_sent(ended),
            Outcome::Failed(Failure { kind, .. }) => self.failures.add(*kind),
        }
    }

    /// Counts what is odd about an answer that is taken all the same.
    fn look_at(&mut self, answer: &Answer, usage: &Usage, backend: Option<BackendName>) {
        self.thoughts += u64::from(answer.thought.is_some());
        if let Some(reason) = &answer.reason {
            let is_new = self.odd_ends.count(reason) == 0;
            let word = if is_new && self.odd_ends.ranked().len() >= MOST_ENDS { "…" } else { reason };
            self.odd_ends.add(word.to_owned());
        }
        let (Some(TokenCount(about)), Some(backend)) = (answer.prompt_about, backend) else { return };
        self.cut_prompts += 1;
        let read = usage.input.map_or(0, |TokenCount(read)| read);
        let lost = |read: u64, about: u64| about.saturating_sub(read);
        if self.worst_cut.as_ref().is_none_or(|(worst, of, _)| lost(read, about) > lost(*worst, *of)) {
            self.worst_cut = Some((read, about, backend));
        }
    }

    /// It was no request, so it counts neither as sent nor as failed.
    const fn never_sent(&mut self, ended: &AttemptEnded) {
        self.sent -= 1;
        self.ended -= 1;
        self.retries -= (ended.id.attempt.0 > 1) as u64;
    }

    /// Counts what was adopted as settled, and its tokens not at all: another run has paid for them.
    fn adopt_task(&mut self, adopted: &TaskAdopted) {
        if !self.counts(adopted.task.case) {
            return;
        }
        *self.reused.entry(adopted.from_run.clone()).or_default() += 1;
        self.steps.entry(adopted.task.step.clone()).or_default().reused += 1;
        self.settle_task(&TaskSettled { usage: Usage::default(), ..adopted.task.clone() });
    }

    fn settle_task(&mut self, settled: &TaskSettled) {
        if !self.counts(settled.case) {
            return;
        }
        let step = self.steps.entry(settled.step.clone()).or_default();
        step.usage.add(&settled.usage);
        step.settle(settled);
        self.cells.settle_task(settled);
        self.over_all.settle(settled);
        if let Some(failure) = settled.failure.as_ref().filter(|_| settled.because.is_none()) {
            self.given_up.add(failure.kind);
            if self.first_given_up.is_none() {
                self.first_given_up = Some(match self.over_all.has(settled.case) {
                    true => format!("over all cases, {}", failure.detail),
                    false => format!("case {}, {}: {}", settled.case, settled.step, failure.detail),
                });
                self.first_given_up_of = Some((settled.case, settled.step.clone()));
            }
        }
    }
}

impl StepTally {
    pub(super) fn add(&mut self, output: &TaskOutput) {
        match output {
            TaskOutput::Judge(judgement) => self.judge.get_or_insert_default().add(judgement),
            TaskOutput::Assertion { passed } => {
                let (hold, all) = self.claims.get_or_insert_default();
                *hold += u64::from(*passed);
                *all += 1;
            }
            TaskOutput::Each { elements } => outputs_that_count(elements).for_each(|output| self.add(output)),
            TaskOutput::Chat { .. }
            | TaskOutput::Dialogue { .. }
            | TaskOutput::Value { .. }
            | TaskOutput::Table(_)
            | TaskOutput::Ranking(_) => {}
        }
    }
}

/// Returns what elements of a `for_each` step gave, but what `on_error` put in its place.
pub(super) fn outputs_that_count(elements: &[ElementOutput]) -> impl Iterator<Item = &TaskOutput> {
    let counts = |element: &&ElementOutput| element.failure.is_none() || element.status == TaskStatus::Failed;
    elements.iter().filter(counts).filter_map(|element| element.output.as_ref())
}

impl JudgeTally {
    pub(super) fn add(&mut self, judgement: &Judgement) {
        self.scored += u64::from(!matches!(judgement.verdict, Verdict::Unscored(_)));
        self.latest = verdict_words(&judgement.verdict);
        match &judgement.verdict {
            Verdict::Choice(option) => self.choices.add(option.clone()),
            Verdict::Score(score) => {
                self.choices.add(score_words(*score));
                self.scores.add(*score);
            }
            Verdict::Ranking(names) => self.choices.add(names.first().cloned().unwrap_or_default()),
            Verdict::Json => {}
            Verdict::Unscored(reason) => self.unscored.add(*reason),
        }
        self.flipped += u64::from(judgement.flipped);
        self.pairs += u64::from(judgement.pairs);
        self.add_panel(judgement);
        if judgement.votes.len() < 2 {
            return;
        }
        for vote in &judgement.votes {
            match verdict_words(&vote.verdict) {
                Some(words) => self.votes.add(words),
                None => self.unscored_votes += 1,
            }
        }
    }

    fn add_panel(&mut self, judgement: &Judgement) {
        if let Some((numbers, names)) = of_panel(judgement) {
            self.agreement.add_numbers(&numbers);
            self.agreement.add_names(&names);
        }
    }
}

/// Returns what each member of a panel says for itself: the mean of its scores, or the option of most of its votes;
/// none without a panel.
pub(super) fn of_panel(judgement: &Judgement) -> Option<(Vec<f64>, Vec<String>)> {
    let mut members: IndexMap<&ActorName, (Moments, Categories)> = IndexMap::new();
    for vote in &judgement.votes {
        let (scores, names) = members.entry(vote.by.as_ref()?).or_default();
        match &vote.verdict {
            Verdict::Score(score) => scores.add(*score),
            other => {
                if let Some(words) = verdict_words(other) {
                    names.add(words);
                }
            }
        }
    }
    let scores = members.values().filter_map(|(scores, _)| Some(scores.mean_95()?.point));
    let names = members.values().filter_map(|(_, names)| match names.ranked().as_slice() {
        [(name, _)] => Some(name.clone()),
        [(name, most), (_, next), ..] if most > next => Some(name.clone()),
        _ => None,
    });
    Some((scores.collect(), names.collect()))
}

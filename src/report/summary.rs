//! A tally as a report: shares with intervals, rates, failures. `summary_text` writes it for people, serde as JSON.

use serde::Serialize;

use super::number::per;
use super::{AggregateSummary, CellSummary, Cost, JudgeTally, StepTally, StopSummary, Tally};
use crate::base::{RunId, StepName, TokenCount};
use crate::event::{BackendResolved, CaseCounts, FailureKind, RunOutcome, StopCause, Unscored};
use crate::stats::{Categories, Mean, wilson_95};

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The run.
    pub run: RunId,
    /// The pipeline's name.
    pub name: String,
    /// Where it stands.
    pub status: RunStatus,
    /// What stopped it, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
    /// The same for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopSummary>,
    /// Cases by how they ended.
    pub cases: CaseCounts,
    /// The share of cases that may fail before the run counts as failed, where the pipeline says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerated: Option<f64>,
    /// How many cases there are; none until the source has ended.
    pub total: Option<u64>,
    /// Items that had been repeated enough before the last repeat that there might be, each in a cell.
    #[serde(skip_serializing_if = "is_zero")]
    pub enough_repeats: u64,
    /// Cases that are over and do not count: the run, or their item, had seen enough.
    #[serde(skip_serializing_if = "is_zero")]
    pub after_stop: u64,
    /// How long processes worked on it.
    pub seconds: f64,
    /// Of all requests, those without an answer included.
    pub tokens: Tokens,
    /// What they cost; none where no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// How often a case that was over went on, by `pipe retry`.
    #[serde(skip_serializing_if = "is_zero")]
    pub reopened: u64,
    /// Tasks adopted instead of asked, by the run that they come from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reused: Vec<Reused>,
    /// Requests sent, the repeated ones included.
    pub requests: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Calls that the project's cache answered: no request was sent for them, and they cost nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub from_cache: u64,
    /// Requests after the first of their call.
    pub retries: u64,
    /// Requests without an answer, by why, most frequent first.
    pub failures: Vec<FailureCount>,
    /// Tasks given up, by why, most frequent first.
    pub given_up: Vec<FailureCount>,
    /// The first of them: case, step and what happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_given_up: Option<String>,
    /// Answers cut at `max_tokens` or at the end of the context.
    pub cut: u64,
    /// Answers before which the model thought; `pipe show` has the thoughts.
    #[serde(skip_serializing_if = "is_zero")]
    pub thoughts: u64,
    /// Answers whose reason to end is unknown, by the server's word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub odd_ends: Vec<Ending>,
    /// Prompts that a server probably cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_prompts: Option<CutPrompts>,
    /// Requests that left the oldest turns of their dialogue out, as its `history` says.
    #[serde(skip_serializing_if = "is_zero")]
    pub trimmed: u64,
    /// Answers to `judge_says` that could not be counted, so that they stopped nothing; those asked again included.
    #[serde(skip_serializing_if = "is_zero")]
    pub unread: u64,
    /// Cases in which a condition on evidence could not be looked at, so that they are no observation.
    #[serde(skip_serializing_if = "is_zero")]
    pub unclear: u64,
    /// The first of them, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_unclear: Option<String>,
    /// What was settled of each step.
    pub steps: Vec<StepSummary>,
    /// The same in each cell of the matrix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<CellSummary>,
    /// What is made of all cases, by cell of the matrix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<AggregateSummary>,
    /// The values of the cells whose aggregates have begun; their numbers follow those of the cases.
    #[serde(skip)]
    pub closings: Vec<serde_json::Map<String, serde_json::Value>>,
    /// What each backend stands for.
    pub backends: Vec<BackendResolved>,
    /// The run's seed.
    pub seed: u64,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Every case is settled.
    Complete,
    /// It was stopped in order and can go on.
    Stopped,
    /// It was stopped for good.
    Cancelled,
    /// A bug ended its process; it can go on.
    Failed,
    /// Its process is gone without a word; it can go on.
    Interrupted,
    /// A process works on it.
    Running,
    /// A process works on it, and starts no new call until someone says so.
    Paused,
}

/// Prompts that a server probably cut: it read far fewer tokens than they have by their length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CutPrompts {
    /// How many.
    pub count: u64,
    /// Tokens that were read of the worst.
    pub read: u64,
    /// Tokens that the worst has, by its length.
    pub about: u64,
    /// What to do about it.
    pub remedy: String,
}

/// Tokens as servers counted them, or by the length of texts where they did not; absent is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tokens {
    /// Of prompts.
    pub input: Option<u64>,
    /// Of answers.
    pub output: Option<u64>,
    /// Of prompts, found in a cache.
    pub cached: Option<u64>,
    /// Of answers, spent on reasoning.
    pub reasoning: Option<u64>,
    /// Of `input`, by the length of texts.
    #[serde(skip_serializing_if = "is_zero")]
    pub estimated_input: u64,
    /// Of `output`, by the length of texts.
    #[serde(skip_serializing_if = "is_zero")]
    pub estimated_output: u64,
    /// Of answers, in a second of work on the run.
    pub output_per_second: Option<f64>,
}

/// How often something failed in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureCount {
    /// The word for it.
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// How many tasks come from another run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reused {
    /// The run.
    pub run: RunId,
    /// How many.
    pub tasks: u64,
}

/// What was settled of one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepSummary {
    /// The step.
    pub step: StepName,
    /// Tasks with an output that counts.
    pub ok: u64,
    /// Judgements that cannot be counted.
    pub unscored: u64,
    /// Tasks given up.
    pub failed: u64,
    /// Tasks not asked, or given up without harm.
    pub skipped: u64,
    /// Of those, not asked because their `when` does not hold.
    #[serde(skip_serializing_if = "is_zero")]
    pub unmet: u64,
    /// Tasks that failed without harm, by `on_error`: skipped, or ok with a default.
    #[serde(skip_serializing_if = "is_zero")]
    pub eased: u64,
    /// Claims that hold, of those that were looked at; none when it makes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
    /// Of all these, those adopted from another run.
    #[serde(skip_serializing_if = "is_zero")]
    pub reused: u64,
    /// What its judge said; none when it is no judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeSummary>,
    /// Conditions that ended its dialogues, most frequent first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ended_by: Vec<Ending>,
}

/// How often something ended: dialogues by a condition, answers for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// Its word: `rounds`, `says`, `agree`.
    pub condition: String,
    /// How often.
    pub count: u64,
}

/// What a judge said over all cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgeSummary {
    /// Cases with a verdict: what shares are shares of.
    pub scored: u64,
    /// Verdicts by option, most frequent first, or by score, the lowest first; of rankings what stands first. What
    /// nobody chose is absent.
    pub choices: Vec<Choice>,
    /// The mean of scores; none when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<MeanSummary>,
    /// Krippendorff's alpha of a panel; none without a panel, or when all say the same of everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// The latest verdict, in words.
    #[serde(skip)]
    pub latest: Option<String>,
    /// Cases without a verdict, by why.
    pub unscored: Vec<FailureCount>,
    /// Single votes by option; empty when cases have one vote.
    pub votes: Vec<Choice>,
    /// Votes asked in both ways whose answers differ, of `pairs`.
    pub flipped: u64,
    /// Votes asked in both ways.
    pub pairs: u64,
    /// `flipped` through `pairs`, with its interval; none without pairs.
    pub flip_rate: Option<Choice>,
}

/// A mean with its 95 % Student interval; none where there is one number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeanSummary {
    /// The mean.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Standard deviation of the scores.
    pub deviation: Option<f64>,
}

/// What an assert looked at over all cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claims {
    /// Claims that were looked at.
    pub all: u64,
    /// Those that hold.
    pub holds: Choice,
}

/// How often one thing came, with its share and the 95 % Wilson interval of the share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// What.
    pub option: String,
    /// How often.
    pub count: u64,
    /// Of the whole, 0 to 1.
    pub share: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Tally {
    /// Returns what the run came to. A run whose process has not left it counts as interrupted: only who can see
    /// the lock knows better.
    #[must_use]
    pub fn summary(&self, run: &RunId) -> Summary {
        let micros = self.active_us();
        let count = |tokens: Option<TokenCount>| tokens.map(|TokenCount(count)| count);
        let mut usage = self.usage;
        usage.add(&self.estimated);
        let output = count(usage.output);
        let estimated = |tokens: Option<TokenCount>| count(tokens).unwrap_or(0);
        Summary {
            run: run.clone(),
            name: self.started.as_ref().map(|started| started.name.clone()).unwrap_or_default(),
            status: self.status(),
            stopped_by: self.stopped_by(),
            stop: self.stop(),
            cases: self.cases,
            tolerated: None,
            total: self.total,
            enough_repeats: self.enough_repeats,
            after_stop: self.after_stop,
            seconds: per(micros, 1_000_000, 1).unwrap_or(0.0),
            tokens: Tokens {
                input: count(usage.input),
                output,
                cached: count(usage.cached),
                reasoning: count(usage.reasoning),
                estimated_input: estimated(self.estimated.input),
                estimated_output: estimated(self.estimated.output),
                output_per_second: output.and_then(|output| per(output, micros, 1_000_000)),
            },
            cost: self.spent.cost(&self.cells),
            reused: self.reused.iter().map(|(run, &tasks)| Reused { run: run.clone(), tasks }).collect(),
            requests: self.sent,
            answered: self.answered,
            from_cache: self.from_cache,
            retries: self.retries,
            failures: named(&self.failures, FailureKind::word),
            reopened: self.reopened,
            given_up: named(&self.given_up, FailureKind::word),
            first_given_up: self.first_given_up.clone(),
            cut: self.cut,
            thoughts: self.thoughts,
            odd_ends: endings(&self.odd_ends),
            cut_prompts: self.cut_prompts(),
            trimmed: self.trimmed,
            unread: self.unread,
            unclear: self.unclear,
            first_unclear: self.first_unclear.clone(),
            steps: self.steps.iter().map(|(name, step)| StepSummary::of(name, step)).collect(),
            aggregates: self.over_all.summaries(),
            closings: self.over_all.closings().map(|closing| closing.matrix.clone()).collect(),
            cells: self.cells.summaries(),
            backends: self.backends.clone(),
            seed: self.started.as_ref().map_or(0, |started| started.seed),
        }
    }

    /// Returns where the run stands by its events alone: one whose process has not left it counts as interrupted.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        match (&self.bug, &self.outcome) {
            (Some(_), _) => RunStatus::Failed,
            (None, Some(RunOutcome::Complete | RunOutcome::Enough(_))) => RunStatus::Complete,
            (None, Some(RunOutcome::Stopped(StopCause::Cancel))) => RunStatus::Cancelled,
            (None, Some(RunOutcome::Stopped(_))) => RunStatus::Stopped,
            (None, None) => RunStatus::Interrupted,
        }
    }

    fn cut_prompts(&self) -> Option<CutPrompts> {
        let (read, about, backend) = self.worst_cut.as_ref()?;
        let is_ollama = |found: &BackendResolved| found.backend == *backend && found.server == "ollama";
        let remedy = match self.backends.iter().any(is_ollama) {
            true => "raise OLLAMA_CONTEXT_LENGTH",
            false => "raise the context length of the server, or shorten the prompt",
        };
        Some(CutPrompts { count: self.cut_prompts, read: *read, about: *about, remedy: remedy.to_owned() })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
pub(super) const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl StepSummary {
    pub(super) fn of(name: &StepName, step: &StepTally) -> Self {
        Self {
            step: name.clone(),
            ok: step.ok,
            unscored: step.unscored,
            failed: step.failed,
            skipped: step.skipped,
            unmet: step.unmet,
            eased: step.eased,
            claims: step
                .claims
                .and_then(|(hold, all)| Choice::of("holds".to_owned(), hold, all).map(|holds| Claims { all, holds })),
            reused: step.reused,
            judge: step.judge.as_ref().map(JudgeSummary::of),
            ended_by: endings(&step.endings),
        }
    }
}

impl JudgeSummary {
    fn of(judge: &JudgeTally) -> Self {
        Self {
            scored: judge.scored,
            choices: choices(judge),
            mean: judge.scores.mean_95().map(MeanSummary::of),
            alpha: judge.agreement.alpha(),
            latest: judge.latest.clone(),
            unscored: named(&judge.unscored, unscored_word),
            votes: shares(&judge.votes),
            flipped: judge.flipped,
            pairs: judge.pairs,
            flip_rate: Choice::of("flipped".to_owned(), judge.flipped, judge.pairs),
        }
    }
}

impl MeanSummary {
    const fn of(mean: Mean) -> Self {
        Self { mean: mean.point, low: mean.low, high: mean.high, deviation: mean.deviation }
    }
}

/// Returns shares by frequency, those of scores by value.
fn choices(judge: &JudgeTally) -> Vec<Choice> {
    let mut choices = shares(&judge.choices);
    if judge.scores.count() > 0 {
        let value = |choice: &Choice| choice.option.parse().unwrap_or(f64::INFINITY);
        choices.sort_by(|one, other| value(one).total_cmp(&value(other)));
    }
    choices
}

impl Choice {
    fn of(option: String, count: u64, whole: u64) -> Option<Self> {
        let share = wilson_95(count, whole)?;
        Some(Self { option, count, share: share.point, low: share.low, high: share.high })
    }
}

fn endings(counts: &Categories) -> Vec<Ending> {
    counts.ranked().into_iter().map(|(condition, count)| Ending { condition, count }).collect()
}

fn shares(counts: &Categories) -> Vec<Choice> {
    let whole = counts.total();
    counts.ranked().into_iter().filter_map(|(option, count)| Choice::of(option, count, whole)).collect()
}

fn named<K: Ord + Copy>(counts: &Categories<K>, word: impl Fn(K) -> &'static str) -> Vec<FailureCount> {
    let count = |(kind, count)| FailureCount { kind: word(kind).to_owned(), count };
    counts.ranked().into_iter().map(count).collect()
}

const fn unscored_word(reason: Unscored) -> &'static str {
    match reason {
        Unscored::Unreadable => "unreadable",
        Unscored::CutOff => "cut off",
        Unscored::SwapDisagreed => "disagreed when exchanged",
        Unscored::OutOfRange => "out of range",
        Unscored::Mismatched => "mismatched",
        Unscored::NotUnanimous => "not unanimous",
        Unscored::VotesTied => "votes tied",
    }
}

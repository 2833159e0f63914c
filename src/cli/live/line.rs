//! The display of many cases: one line that is rewritten, or a plain line every so many cases.

use std::collections::BTreeSet;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::speech::happening;
use crate::base::Timestamp;
use crate::cli::printer::{DIM, Stream, inert, paint};
use crate::event::{Event, FailureKind, Outcome, Recorded};
use crate::report::{Milestones, Progress, Tally, cut, duration};
use crate::run::Live;

/// Rewrites per second: readable, and cheap over ssh.
const HERTZ: u8 = 8;

/// See [`super::Display::Line`].
pub struct LineDisplay {
    stream: Stream,
    tally: Tally,
    progress: Progress,
    milestones: Milestones,
    bar: Option<ProgressBar>,
    /// Kinds of failures that have been spoken of.
    told: BTreeSet<FailureKind>,
}

impl LineDisplay {
    /// Starts with what the run came to before this process.
    #[must_use]
    pub fn new(stream: Stream, tally: Tally) -> Self {
        let bar = stream.is_terminal().then(bar);
        let mut milestones = Milestones::default();
        milestones.is_due(tally.cases.settled(), tally.total);
        Self { stream, tally, progress: Progress::default(), milestones, bar, told: BTreeSet::new() }
    }

    pub(super) fn take(&mut self, live: &Live, now: Timestamp) {
        match live {
            Live::Facts(facts) => {
                self.progress.sample(&self.tally, now);
                for fact in facts.iter() {
                    self.tally.add(fact);
                    if let Some(line) = happening(&fact.event).or_else(|| self.first_of_its_kind(fact)) {
                        self.tell(&line);
                    }
                }
                self.milestone(now);
            }
            Live::Piece { .. } | Live::Sampled(_) => return,
            Live::Total(total) => self.progress.expect(*total),
            Live::Budget(budgets) => self.progress.afford(budgets.tokens, budgets.cost, budgets.time),
            Live::InFlight(calls) => self.progress.fly(*calls),
        }
        self.draw(now);
    }

    pub(super) fn tick(&mut self, now: Timestamp) {
        self.progress.sample(&self.tally, now);
        self.draw(now);
    }

    pub(super) fn finish(self) -> Tally {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.tally
    }

    /// Says once for each kind of failure that calls are tried again, and why: else a run that waits looks dead.
    fn first_of_its_kind(&mut self, fact: &Recorded) -> Option<String> {
        let Event::AttemptEnded(ended) = &fact.event else { return None };
        let (Outcome::Failed(failure), Some(retry_at)) = (&ended.outcome, ended.retry_at) else { return None };
        let is_ours = matches!(
            failure.kind,
            FailureKind::Unsent
                | FailureKind::Cancelled
                | FailureKind::Interrupted
                | FailureKind::FormatUnsupported
                | FailureKind::Unsupported(_)
        );
        // These end the run, which says so itself.
        let is_the_end = matches!(
            failure.kind,
            FailureKind::QuotaExhausted | FailureKind::Unauthorized | FailureKind::ModelMissing
        );
        if is_ours || is_the_end || !self.told.insert(failure.kind) {
            return None;
        }
        // That calls are held has a line of its own.
        if self.tally.held_until(fact.at).is_some_and(|(_, until)| until >= retry_at) {
            return None;
        }
        if retry_at <= fact.at {
            return None;
        }
        let wait = duration(retry_at.micros_since(fact.at));
        Some(format!("{}: asked again after {wait} ({})", failure.kind.word(), inert(&failure.detail)))
    }

    fn draw(&self, now: Timestamp) {
        let Some(bar) = &self.bar else {
            return;
        };
        let width = self.stream.width();
        let mut text = cut(&self.progress.line(&self.tally, now), width);
        if let Some(trouble) = Progress::trouble(&self.tally) {
            text.push('\n');
            text.push_str(&cut(&trouble, width));
        }
        bar.set_message(text);
    }

    fn milestone(&mut self, now: Timestamp) {
        if self.bar.is_some() || !self.milestones.is_due(self.tally.cases.settled(), self.progress.total(&self.tally))
        {
            return;
        }
        let mut line = self.progress.line(&self.tally, now);
        if let Some(trouble) = Progress::trouble(&self.tally) {
            line.push_str("  ");
            line.push_str(&trouble);
        }
        line.push('\n');
        drop(self.stream.write(&line));
    }

    fn tell(&mut self, line: &str) {
        let line = format!("{}\n", paint(DIM, line));
        match &self.bar {
            Some(bar) => bar.suspend(|| drop(self.stream.write(&line))),
            None => drop(self.stream.write(&line)),
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(HERTZ));
    bar.set_style(ProgressStyle::with_template("{msg}").expect("a template without options"));
    // Rewrites skipped for being too many in a second are made up for.
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

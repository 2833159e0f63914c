//! A summary for people: verdicts as bars with intervals, then what it took.

use super::cells::cell_name;
use super::number::counted;
use super::over_all::{mean_words, standing_words, without_words};
use super::wrap::{columns, cut, wrapped};
use super::{
    AggregateSummary, Choice, Claims, CutPrompts, FailureCount, JudgeSummary, MeanSummary, RunStatus, StepSummary,
    Summary, duration, grouped, percent, rate,
};
use crate::event::{FailureKind, TaskStatus};

/// Failures whose remedy is in the file, whatever the server says.
const REMEDIES: [(FailureKind, &str); 2] = [
    (FailureKind::ReasoningCut, "raise `max_tokens` of the actor, or bound its `reasoning`; then `pipe retry`"),
    (FailureKind::NoAnswer, "the model gives empty answers; another `reasoning`, prompt or model may help"),
];

/// Below so many scored cases an interval says nothing that the counts do not.
const FEWEST_FOR_BARS: u64 = 2;
/// Values of an aggregate's table that are drawn.
const MOST_ROWS: usize = 20;
/// So many different scores are drawn one by one; more are told by their mean.
const MOST_BARS: usize = 11;
/// Longest name that is given a column of its own.
const LONGEST_LABEL: usize = 20;
/// What stands beside a bar: share, interval and counts.
const BESIDE_BAR: usize = 45;

/// Writes a summary in lines of at most `width` columns (40 or more), without a line break at the end.
#[must_use]
pub fn text(summary: &Summary, width: usize) -> String {
    let mut rows = Rows { label: label_width(summary), width, lines: Vec::new() };
    rows.lines.push(headline(summary));
    rows.lines.push(String::new());
    if summary.cases.admitted != 1 {
        rows.add("cases", &cases(summary));
    }
    if let Some(why) = summary.stopped_by.as_ref().filter(|_| summary.status == RunStatus::Complete) {
        let after = match summary.after_stop {
            0 => String::new(),
            count => format!("; {} after that not counted", counted(count, "case")),
        };
        rows.add("stopped", &format!("{}{after}", why.replace(char::is_control, " ")));
    }
    if summary.enough_repeats > 0 {
        let enough = format!("{} had enough before the last one", counted(summary.enough_repeats, "item"));
        let after = match summary.after_stop {
            0 => String::new(),
            count => format!("; {} after that not counted", counted(count, "case")),
        };
        rows.add("repeats", &format!("{enough}{after}"));
    }
    for step in &summary.steps {
        if let Some(judge) = &step.judge {
            rows.judge(step, judge);
        }
        if let Some(claims) = &step.claims {
            rows.claims(step, claims);
        }
        rows.notes(step);
        if step.ended_by.len() > 1 {
            let endings: Vec<_> =
                step.ended_by.iter().map(|by| format!("{} {}", by.condition, grouped(by.count))).collect();
            rows.add(step.step.as_str(), &format!("ended by {}", endings.join(", ")));
        }
    }
    for aggregate in &summary.aggregates {
        if rows.lines.last().is_some_and(|line| !line.is_empty()) {
            rows.lines.push(String::new());
        }
        rows.aggregate(aggregate);
    }
    if !summary.cells.is_empty() {
        rows.lines.extend(super::cells::table(&summary.cells, width));
    }
    if summary.reopened > 0 {
        let verb = if summary.reopened == 1 { "was" } else { "were" };
        rows.add("retried", &format!("{} {verb} gone on with after the end", counted(summary.reopened, "case")));
    }
    for reused in &summary.reused {
        rows.add("reused", &format!("{} of {}", counted(reused.tasks, "task"), reused.run));
    }
    rows.add("tokens", &tokens(summary));
    if let Some(cost) = &summary.cost {
        rows.add("cost", &cost.text());
    }
    rows.add("requests", &requests(summary));
    if summary.from_cache > 0 {
        rows.add("cache", &format!("{} of earlier requests, at no cost", counted(summary.from_cache, "answer")));
    }
    rows.troubles(summary);
    if summary.trimmed > 0 {
        let requests = counted(summary.trimmed, "request");
        rows.add("trimmed", &format!("{requests} without the oldest turns, as `history` says"));
    }
    if summary.unread > 0 {
        let answers = counted(summary.unread, "answer");
        rows.add("unread", &format!("{answers} to `judge_says` that could not be counted, and so stopped nothing"));
    }
    if let Some(first) = &summary.first_unclear {
        let cases = counted(summary.unclear, "case");
        let first = first.replace(char::is_control, " ");
        rows.add("unclear", &format!("a condition on evidence could not be looked at in {cases}; {first}"));
    }
    if let Some(until) = summary.stop.as_ref().and_then(|stop| stop.until.as_ref()) {
        let remedy = "a greater `limits.retries.within` waits by itself";
        rows.add("to do", &format!("`pipe resume` after {until}; {remedy}"));
    }
    for backend in &summary.backends {
        rows.add("backend", &backend_line(backend));
    }
    rows.lines.join("\n")
}

struct Rows {
    label: usize,
    width: usize,
    lines: Vec<String>,
}

impl Rows {
    fn add(&mut self, label: &str, text: &str) {
        let label = pad(&cut(label, self.label), self.label);
        let lines = wrapped(text, self.width, self.label + 4);
        self.lines.push(format!("  {label}  {}", lines.trim_start()));
    }

    /// Says what failed for good, and what is odd about answers that count.
    fn troubles(&mut self, summary: &Summary) {
        if !summary.given_up.is_empty() {
            self.add("given up", &kinds(&summary.given_up));
            if let Some(first) = &summary.first_given_up {
                self.add("the first", &first.replace(char::is_control, " "));
            }
            for (kind, remedy) in REMEDIES {
                if summary.given_up.iter().any(|count| count.kind == kind.word()) {
                    self.add("to do", &format!("{}: {remedy}", kind.word()));
                }
            }
        }
        if summary.cut > 0 {
            self.add(
                "cut short",
                &format!("{} at max_tokens or the end of the context", counted(summary.cut, "answer")),
            );
        }
        if !summary.odd_ends.is_empty() {
            let count = summary.odd_ends.iter().map(|end| end.count).sum();
            let words: Vec<String> = match summary.odd_ends.as_slice() {
                [only] => vec![format!("{:?}", only.condition)],
                many => many.iter().map(|end| format!("{:?} {}", end.condition, grouped(end.count))).collect(),
            };
            let verb = "ended with an unknown reason";
            self.add("odd ends", &format!("{} {verb}: {}", counted(count, "answer"), words.join(", ")));
        }
        if let Some(CutPrompts { count, read, about, remedy }) = &summary.cut_prompts {
            let (verb, worst) = if *count == 1 { ("was", "") } else { ("were", "the worst ") };
            let read = format!("{worst}read {} tokens of some {}", grouped(*read), grouped(*about));
            let prompts = counted(*count, "prompt");
            self.add("prompts", &format!("{prompts} {verb} probably cut by the server: {read}; {remedy}"));
        }
        if summary.thoughts > 0 {
            let answers = counted(summary.thoughts, "answer");
            self.add("thoughts", &format!("before {answers}; `pipe show RUN CASE --thoughts` shows them"));
        }
    }

    fn judge(&mut self, step: &StepSummary, judge: &JudgeSummary) {
        let asked = step.ok + step.unscored;
        let unscored = kinds(&judge.unscored);
        if asked == 1 {
            let verdict = judge.latest.as_deref().unwrap_or("unscored");
            let votes = votes(judge).map_or(String::new(), |votes| format!("  (votes: {votes})"));
            let reason = if unscored.is_empty() { String::new() } else { format!(": {unscored}") };
            self.add(step.step.as_str(), &format!("{verdict}{reason}{votes}"));
            return;
        }
        let scored = format!("{} of {} scored", grouped(judge.scored), counted(asked, "case"));
        let reason = if unscored.is_empty() { String::new() } else { format!("; unscored: {unscored}") };
        self.lines.push(wrapped(&format!("{}: {scored}{reason}", step.step), self.width, 2));
        if let Some(mean) = &judge.mean {
            self.add("  mean", &mean_line(mean));
        }
        if judge.mean.is_none() || judge.choices.len() <= MOST_BARS {
            for choice in &judge.choices {
                self.share(choice, judge.scored);
            }
        }
        if let Some(votes) = votes(judge) {
            self.add("  votes", &votes);
        }
        if let Some(rate) = &judge.flip_rate {
            let counts = format!("{} of {}", grouped(judge.flipped), grouped(judge.pairs));
            let text = format!("{counts} when asked both ways, {}  {}", percent(rate.share), interval(rate));
            self.add("  flipped", &text);
        }
        if let Some(alpha) = judge.alpha {
            self.add("  alpha", &format!("{alpha:.2} (Krippendorff's; 1: the panel agrees, 0: as by chance)"));
        }
        if judge.scored >= FEWEST_FOR_BARS && !judge.choices.is_empty() {
            self.lines.push(wrapped("shares of the scored cases with 95 % Wilson intervals", self.width, 4));
        }
        self.lines.push(String::new());
    }

    /// Says what was made of all cases.
    fn aggregate(&mut self, aggregate: &AggregateSummary) {
        let of = match aggregate.matrix.is_empty() {
            true => String::new(),
            false => format!(", {}", cell_name(&aggregate.matrix)),
        };
        let mut head = vec![format!("{}, over all cases{of}", aggregate.step)];
        head.extend(aggregate.failure.as_ref().map(|failure| failure.replace(char::is_control, " ")));
        let without = aggregate.table.as_ref().map(|table| table.without);
        let without = without.or(aggregate.ranking.as_ref().map(|ranking| ranking.without));
        head.extend(without.and_then(without_words));
        self.lines.push(wrapped(&head.join("; "), self.width, 2));
        if let Some(table) = &aggregate.table {
            match &table.mean {
                Some(mean) => self.add("  mean", &format!("{} of {}", mean_words(mean), grouped(table.n))),
                None if table.n == 0 => self.add("", "nothing to count"),
                None => {}
            }
            for row in table.rows.iter().take(MOST_ROWS) {
                self.share(&Choice::of_row(row), table.n);
            }
            if table.rows.len() > MOST_ROWS {
                self.add(
                    "",
                    &format!("… and {} more: --json has all", grouped((table.rows.len() - MOST_ROWS) as u64)),
                );
            }
        }
        if let Some(ranking) = &aggregate.ranking {
            for row in &ranking.rows {
                self.add(&format!("  {}. {}", row.place, row.name), &standing_words(row, ranking));
            }
        }
        if let Some(text) = &aggregate.text {
            self.lines.push(wrapped(text, self.width, 4));
        }
        self.lines.push(String::new());
    }

    /// Says how many claims of an assert hold.
    fn claims(&mut self, step: &StepSummary, claims: &Claims) {
        let Claims { all, holds } = claims;
        if *all == 1 {
            self.add(step.step.as_str(), if holds.count == 1 { "holds" } else { "does not hold" });
            return;
        }
        let share = format!("{}  {}", percent(holds.share), interval(holds));
        self.add(step.step.as_str(), &format!("{} of {} hold, {share}", grouped(holds.count), grouped(*all)));
    }

    /// Says what was left out, and which failures did no harm.
    fn notes(&mut self, step: &StepSummary) {
        if step.unmet > 0 {
            let all = step.ok + step.unscored + step.failed + step.skipped;
            let text = format!("not asked in {} of {}: `when`", grouped(step.unmet), counted(all, "case"));
            self.add(step.step.as_str(), &text);
        }
        if step.eased > 0 {
            let text = format!("{} without harm: `on_error`", counted(step.eased, "failure"));
            self.add(step.step.as_str(), &text);
        }
    }

    fn share(&mut self, choice: &Choice, whole: u64) {
        let counts = format!("{} of {}", grouped(choice.count), grouped(whole));
        if whole < FEWEST_FOR_BARS {
            self.add(&format!("  {}", choice.option), &counts);
            return;
        }
        let length = self.width.saturating_sub(self.label + BESIDE_BAR).clamp(8, 30);
        let bar = pad(&bar(choice.share, length), length);
        let share = format!("{:>7}", percent(choice.share));
        let label = pad(&cut(&format!("  {}", choice.option), self.label), self.label);
        let line = format!("  {label}  {bar} {share}  {}  {counts}", interval(choice));
        if columns(&line) <= self.width {
            return self.lines.push(line);
        }
        // The numbers say it without a bar, which cannot be wrapped.
        self.add(
            &format!("  {}", choice.option),
            &format!("{}  {}  {counts}", percent(choice.share), interval(choice)),
        );
    }
}

fn label_width(summary: &Summary) -> usize {
    let noted = |step: &&StepSummary| step.judge.is_some() || step.claims.is_some() || step.unmet + step.eased > 0;
    let names = summary.steps.iter().filter(noted).map(|step| columns(step.step.as_str()));
    let steps = summary.steps.iter();
    let options = steps.filter_map(|step| step.judge.as_ref()).flat_map(|judge| &judge.choices);
    let options = options.map(|choice| columns(&choice.option) + 2);
    let rows = summary.aggregates.iter().filter_map(|one| one.table.as_ref()).flat_map(|table| &table.rows);
    let values = rows.map(|row| columns(&row.value) + 2);
    let ranked = summary.aggregates.iter().filter_map(|one| one.ranking.as_ref()).flat_map(|ranked| &ranked.rows);
    let ranked = ranked.map(|row| columns(&row.name) + 5);
    names.chain(options).chain(values).chain(ranked).max().unwrap_or(0).clamp("cut short".len(), LONGEST_LABEL)
}

fn headline(summary: &Summary) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length of time is positive")]
    let time = duration((summary.seconds * 1_000_000.0) as u64);
    let done = || match summary.total {
        Some(total) => format!("{} of {} done", grouped(summary.cases.settled()), counted(total, "case")),
        None => format!("{} done", counted(summary.cases.settled(), "case")),
    };
    let by = summary.stopped_by.as_deref().unwrap_or("for a reason that is not recorded");
    match summary.status {
        RunStatus::Complete if summary.cases.failed > 0 => {
            let all = counted(summary.cases.admitted, "case");
            let bears = summary.tolerated.map_or(String::new(), |share| format!(" ({} tolerated)", percent(share)));
            format!("{}: complete in {time}; {} of {all} failed{bears}", summary.name, grouped(summary.cases.failed))
        }
        RunStatus::Complete if failed_over_all(summary) > 0 => {
            let count = counted(failed_over_all(summary), "aggregate");
            format!("{}: complete in {time}; {count} over all cases failed", summary.name)
        }
        RunStatus::Complete => format!("{}: complete in {time}", summary.name),
        RunStatus::Stopped => format!("{}: stopped after {time} {by}; {}", summary.name, done()),
        RunStatus::Failed => format!("{}: ended after {time} {by}; {}", summary.name, done()),
        RunStatus::Interrupted => format!("{}: interrupted after {time}; {}", summary.name, done()),
        RunStatus::Cancelled => format!("{}: cancelled after {time}, for good; {}", summary.name, done()),
        RunStatus::Paused => format!("{}: paused after {time}; {}", summary.name, done()),
        RunStatus::Running => format!("{}: running for {time}; {}", summary.name, done()),
    }
}

fn failed_over_all(summary: &Summary) -> u64 {
    let failed = |one: &&AggregateSummary| one.status == TaskStatus::Failed;
    summary.aggregates.iter().filter(failed).count() as u64
}

fn cases(summary: &Summary) -> String {
    let cases = summary.cases;
    let parts = [(cases.ok, "ok"), (cases.unscored, "unscored"), (cases.failed, "failed")];
    let parts = parts.iter().filter(|&&(count, word)| count > 0 || word == "ok");
    let parts: Vec<_> = parts.map(|(count, word)| format!("{} {word}", grouped(*count))).collect();
    let all = grouped(cases.admitted);
    let open = cases.admitted.saturating_sub(cases.settled());
    let open = if open == 0 { String::new() } else { format!(" · {} not over", grouped(open)) };
    format!("{all}: {}{open}", parts.join(" · "))
}

fn tokens(summary: &Summary) -> String {
    let known = |count: Option<u64>, word: &str| count.map(|count| format!("{} {word}", grouped(count)));
    let cached =
        summary.tokens.cached.filter(|&cached| cached > 0).map(|cached| format!("{} cached", grouped(cached)));
    let input = match (known(summary.tokens.input, "in"), cached) {
        (Some(input), Some(cached)) => Some(format!("{input} ({cached})")),
        (input, _) => input,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length of time is positive")]
    let micros = (summary.seconds * 1_000_000.0) as u64;
    let speed = summary.tokens.output.and_then(|output| rate(output, micros, 1_000_000));
    let thought = summary.tokens.reasoning.filter(|&thought| thought > 0);
    let output = match (known(summary.tokens.output, "out"), thought) {
        (Some(output), Some(thought)) => Some(format!("{output} ({} reasoning)", grouped(thought))),
        (output, _) => output,
    };
    let output = output.map(|output| output + &estimated(&summary.tokens));
    let parts = [input, output, speed.map(|speed| format!("{speed} out/s"))];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    match parts.as_slice() {
        [] if summary.answered == 0 && summary.from_cache > 0 => "none: nothing was asked".to_owned(),
        [] if summary.answered == 0 && !summary.reused.is_empty() => "none: everything is reused".to_owned(),
        [] => "not told by the server".to_owned(),
        parts => parts.join(" · "),
    }
}

/// Says how many tokens are not the server's count.
fn estimated(tokens: &super::Tokens) -> String {
    let estimated = match (tokens.estimated_input, tokens.estimated_output) {
        (0, 0) => return String::new(),
        (0, output) => grouped(output),
        (input, 0) => format!("{} in", grouped(input)),
        (input, output) => format!("{} in and {} out", grouped(input), grouped(output)),
    };
    format!(" (of which {estimated} estimated: the server reports no usage)")
}

fn requests(summary: &Summary) -> String {
    let answered = format!("{} answered", grouped(summary.answered));
    if summary.failures.is_empty() {
        return answered;
    }
    let failed: u64 = summary.failures.iter().map(|failure| failure.count).sum();
    format!("{answered} · {} without an answer: {}", grouped(failed), kinds(&summary.failures))
}

fn votes(judge: &JudgeSummary) -> Option<String> {
    if judge.votes.is_empty() {
        return None;
    }
    let votes: Vec<_> = judge.votes.iter().map(|vote| format!("{} {}", vote.option, grouped(vote.count))).collect();
    Some(votes.join(", "))
}

fn kinds(counts: &[FailureCount]) -> String {
    let parts: Vec<_> = counts.iter().map(|count| format!("{} {}", count.kind, grouped(count.count))).collect();
    parts.join(", ")
}

fn mean_line(mean: &MeanSummary) -> String {
    let point = format!("{:.2}", mean.mean);
    match (mean.low, mean.high, mean.deviation) {
        (Some(low), Some(high), Some(deviation)) => {
            format!("{point}  [{low:.2}, {high:.2}] 95 % Student interval, standard deviation {deviation:.2}")
        }
        _ => point,
    }
}

fn interval(choice: &Choice) -> String {
    format!("[{:>4.1}, {:>4.1}]", choice.low * 100.0, choice.high * 100.0)
}

/// Says what a backend's name stands for: `auto: llama.cpp at http://127.0.0.1:8080, qwen2.5, 4 slots`.
pub(super) fn backend_line(backend: &crate::event::BackendResolved) -> String {
    let place = if backend.endpoint == backend.server { String::new() } else { format!(" at {}", backend.endpoint) };
    let mut parts = vec![format!("{}: {}{place}", backend.backend, backend.server)];
    parts.extend(backend.models.iter().map(|(_, model)| model.to_string()));
    parts.push(counted(u64::from(backend.slots), "slot"));
    parts.join(", ")
}

/// Draws a share in eighths of a column.
fn bar(share: f64, length: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of some dozens of columns"
    )]
    let eighths = (share.clamp(0.0, 1.0) * length as f64 * 8.0).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

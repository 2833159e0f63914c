//! The command lines that keep the journals of runs in order.

use std::time::Duration;

use clap::{Args, Subcommand};

/// Options of `pipe journal`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe journal check                       is the newest run's journal as it was written?
  pipe journal repair debate-2026          what can be read of a damaged one is kept; `pipe resume` asks the rest
  pipe journal sql                         what can be asked
  pipe journal sql last \"select step, count(*) from calls group by step\"")]
pub struct JournalArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: JournalCommand,
}

/// What to do with a journal.
#[derive(Clone, Debug, Subcommand)]
pub enum JournalCommand {
    /// Verify the file, every checksum, every text that is spoken of, and that events follow from one another.
    Check(JournalRunArgs),
    /// Write what holds of a damaged journal anew; the damaged one stays beside it.
    Repair(RepairArgs),
    /// Write the journal anew, as small as it can be.
    Compact(JournalRunArgs),
    /// Ask in SQL; without a question, list what there is. Nothing is ever written, and a live run is not held up.
    Sql(SqlArgs),
}

/// Options of `pipe journal check` and `pipe journal compact`.
#[derive(Clone, Debug, Args)]
pub struct JournalRunArgs {
    /// The run: `last`, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `pipe journal repair`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe journal repair last --yes && pipe resume

Of each case that lost something a beginning is kept, and what follows from it is asked again by `pipe resume`; \
admissions that are lost come from the input, as long as it gives the same items. A run that is live is left alone.")]
pub struct RepairArgs {
    /// The run: `last`, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `pipe journal sql`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe journal sql                                                          the views and their columns
  pipe journal sql last \"select item, verdict from verdicts where vote = 1\"
  pipe journal sql last \"select failure, count(*) from calls group by 1\" --csv > failures.csv
  pipe journal sql last \"select prompt, answer from calls limit 1\" --json | jq -r .answer")]
pub struct SqlArgs {
    /// The run: `last`, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// The question.
    #[arg(value_name = "QUERY")]
    pub query: Option<String>,
    /// Print one JSON object a row.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV.
    #[arg(long)]
    pub csv: bool,
}

/// Options of `pipe prune`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe prune --keep 10                     all but the ten newest; says which, and asks
  pipe prune --older-than 30d --yes        those that began more than thirty days ago
  pipe prune --keep 5 --older-than 2w      those that are both
  pipe prune --cache                       the answers that `cache: true` keeps, instead of runs

Runs that are live stay, and so do those that can be resumed, unless --unfinished is said.")]
pub struct PruneArgs {
    /// Keep so many of the newest runs.
    #[arg(long, value_name = "N", required_unless_present_any = ["older_than", "cache"])]
    pub keep: Option<usize>,
    /// Only those that began longer ago: 12h, 30d, 8w.
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Those too that are not finished and could be resumed.
    #[arg(long)]
    pub unfinished: bool,
    /// No runs, but the answers that `cache: true` keeps: all, or those older than `--older-than`.
    #[arg(long, conflicts_with_all = ["keep", "unfinished"])]
    pub cache: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl JournalArgs {
    /// Tells whether a program reads what it prints.
    #[must_use]
    pub const fn wants_json(&self) -> bool {
        match &self.command {
            JournalCommand::Check(args) | JournalCommand::Compact(args) => args.json,
            JournalCommand::Repair(args) => args.json,
            JournalCommand::Sql(args) => args.json,
        }
    }
}

/// Reads a time of hours, days or weeks.
fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write a number with h, d or w, as in 30d");
    let unit = text.chars().last().filter(char::is_ascii_alphabetic).ok_or_else(wrong)?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(hours * 3_600).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_unit() {
        let hours = |text| age(text).map(|age| age.as_secs() / 3_600).map_err(|error| error.len() > 20);
        assert_eq!([hours("12h"), hours("30d"), hours("2w")], [Ok(12), Ok(720), Ok(336)]);
        assert_eq!([hours("30"), hours("d"), hours("3m"), hours("-1d"), hours("")], [Err(true); 5]);
    }
}

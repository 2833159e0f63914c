//! Events → what people and programs read: tallies, summaries, progress lines, tables of results, transcripts.
//! Reads: `event`, `stats`. Gives: strings and values. Never: printing, colours, terminals, exit codes.
//! Start at [`Tally`] for a whole run, at [`CaseRecord`] for one case.

mod case;
mod cells;
mod cost;
pub mod gpu;
mod number;
mod over_all;
mod progress;
mod results;
mod stopped;
mod summary;
mod summary_text;
mod table;
mod taken_back;
mod tally;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transcript;
mod watch;
mod wrap;

pub use case::{
    CaseRecord, MissingText, Texts, course_line, status_word, task_status_word, unscored_phrase, verdict_words,
};
pub use cells::{CellSummary, Cells, cell_name};
pub use cost::{Cost, Spent};
pub use number::{duration, energy, grouped, height, percent, rate, tenths};
pub use over_all::{AggregateSummary, OverAll, ranking_line, table_line};
pub use progress::{Milestones, Progress};
pub use results::{Layout, Rows, Shape, standard_columns};
pub use stopped::{StopSummary, stop_phrase};
pub use summary::{
    Choice, Claims, CutPrompts, Ending, FailureCount, JudgeSummary, MeanSummary, RunStatus, StepSummary, Summary,
    Tokens,
};
pub use summary_text::text as summary_text;
pub use table::{ColumnKind, TableColumns, TableWriter};
pub use tally::{JudgeTally, StepTally, Tally};
pub use transcript::{Part, claim_line, transcript, transcript_text, verdict_line};
pub use watch::{LaneNow, Mishap, OpenCase, Pace, Said, SettledCase, Watch};
pub use wrap::{Wrapper, columns, cut, wrapped};

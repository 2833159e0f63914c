//! The real-time driver: engine, journal, workers and clock, joined in one owner.
//! Reads: `Plan`, a log, a source of cases. Gives: a finished or resumable run. Never: HTTP, terminal output, policy.
//! Start at [`Conductor::conduct`].

mod audience;
mod clock;
mod conductor;
mod dispatch;
mod evaluations;
mod folder;
mod intake;
mod items;
mod keeping;
mod live;
mod orders;
mod repair;
mod resume;
mod retry;
mod reuse;
mod sampling;
mod texts;

pub use audience::Audience;
pub use clock::Clock;
pub use conductor::{Conductor, Ending, RunError, Steer};
pub use folder::{Folder, open_plain};
pub use intake::{Intake, IntakeError, Read};
pub use items::{ItemProblem, Survey, survey};
pub use live::Live;
pub use orders::{Retune, Retuned, listen};
pub use repair::{Checked, RepairError, Repaired, beginning, check, repair};
pub use resume::{Resumable, ResumeError, Source, load, source_of};
pub use retry::{Reopened, reopened};
pub use reuse::{Adopted, Forecast, Reuse, first_row, forecast};
pub use texts::TextCache;

//! Reading a verdict out of an answer, and many verdicts into one.
//! Reads: answers, options, scales, schemas. Gives: `Verdict`, `Judgement`, how to answer. Never: calling a model.
//! Start at [`Form`] and [`judgement`].

mod answer;
mod choice;
mod form;
mod resemblance;
mod scale;
mod schema;
mod vote;

pub use answer::{json_in, reason_in};
pub use choice::read_choice;
pub use form::{Form, Reading, number};
pub use resemblance::resemblance;
pub use scale::{Scale, ScaleError};
pub use schema::{AnswerSchema, SchemaError};
pub use vote::{Asked, Rule, TIE, judgement};

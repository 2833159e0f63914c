//! Reading a verdict out of an answer, many verdicts into one, and those of all cases into a table or an order.
//! Reads: answers, options, scales, schemas. Gives: `Verdict`, `Judgement`, how to answer. Never: calling a model.
//! Start at [`Form`] and [`judgement`]; over all cases at [`Counting`] and [`Standings`].

mod answer;
mod choice;
mod form;
mod over_all;
mod resemblance;
mod scale;
mod schema;
mod standing;
mod vote;

pub use answer::{json_in, reason_in};
pub use choice::read_choice;
pub use form::{Form, Reading, number};
pub use over_all::{CaseText, Counting};
pub use resemblance::resemblance;
pub use scale::{Scale, ScaleError};
pub use schema::{AnswerSchema, SchemaError};
pub use standing::Standings;
pub use vote::{Asked, Rule, TIE, judgement};

//! What the user wrote: YAML with source positions, every mistake of shape reported.
//! Reads: text. Never: name resolution, the file system, the environment.
//! Start at [`parse`] and [`Spec`].

mod aggregate;
mod answer;
mod decode;
mod defaults;
mod dialogue;
mod document;
mod ending;
mod flow;
mod include;
mod items;
mod judge;
mod load;
mod matrix;
mod node;
mod peers;
mod pipeline;
mod project;
mod quantity;
mod run;
mod schedule;
mod schema;
mod sent;
mod set;
mod setting;
mod steps;
mod stop;
mod table;
mod telemetry;
mod text;
mod traps;
mod words;

pub use aggregate::{Aggregate, AggregateBy};
pub use answer::{Flag, Repairs, SchemaSource, VoteRule};
pub use decode::Required;
pub use defaults::{Defaults, Inherited, StepDefaults};
pub use dialogue::{Dialogue, History, Opens, OpensWord, Order, OrderWord};
pub use document::Document;
pub use ending::{Agree, Budget, JudgeSays, Looping, Says, Stop, Unchanged};
pub use flow::{AnyValue, Assert, ForEach, OnError, Transform, Within};
pub use include::{ReadText, beside};
pub use items::{ColumnTypes, Items, Rows, Sample, Shuffle};
pub use judge::{Contestants, Judge, Levels, Score};
pub use matrix::{Axis, Combination, Matrix};
pub use node::{Kind, Literal, Node, Spanned};
pub use pipeline::{Actor, Backend, BackendLimits, Model, ModelPrice, Param, Spec, parse, parse_beside, parse_with};
pub use project::{Experiment, ParamValue, Project, parse_project};
pub use quantity::{
    Backoff, Count, Length, Money, Number, Rate, Seed, Share, Slots, Temperature, Tokens, TopP, Version,
};
pub use run::{Columns, Limits, Results, Retries, Timeouts};
pub use schedule::Schedule;
pub use schema::{part_schema, project_schema, schema};
pub use sent::{Effort, EffortWord, ExtraBody, Headers, ThinkingBudget};
pub use setting::{FromScalar, Refusal, Setting, reference};
pub use steps::{Chat, Step, StepNames};
pub use stop::{Decided, Errors, FirstItems, Repeat, RepeatStop, RepeatUntil, RunBudget, RunStop};
pub use table::{Entry, Table};
pub use telemetry::{ContentWord, KeepWord, SampleOf, ShapeWord, Telemetry};
pub use text::{Style, Text};
pub use words::{
    BaseUrl, CacheUse, Delimiter, ParamType, PipelineName, PipelinePath, RowsPath, Scalar, TablePath, Word, is_yaml,
};

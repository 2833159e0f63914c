//! `pipe top`: a run on the whole screen, from its journal alone: any run, live or over, from any shell.
//! Reads: events by their number, texts. Gives: pages of lines. Never: anything that the run would have to wait for.
//! Start at [`top`]; `report::Watch` knows what goes on, `page` lays it out.

mod command;
mod follow;
mod page;
mod screen;
#[cfg(test)]
mod tests;

pub(super) use command::top;

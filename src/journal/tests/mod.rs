//! What a journal promises, shown on real files, processes and damage.

mod audit;
mod concurrent;
mod damage;
mod given;
mod home;
mod killed;
mod lock;
mod property;
mod reading;
mod samples;
mod second_process;
mod torn;
mod views;

pub(super) use given::{admitted, batch, events_of, row, snapshot, started};

//! Tests of the whole: the real binary, real files, real servers, and the rules of the house.

mod backend_faults;
mod crash;
mod explain;
mod export;
mod fault_storm;
mod fault_table;
mod fuzz;
mod hostile;
mod house;
mod init;
mod invalid;
mod items;
mod language;
mod network;
mod price;
mod project;
mod readme;
mod retry;
mod reuse;
mod scale;
mod schema;
mod show;
mod steer;
mod stops;
mod surface;
mod sweep;

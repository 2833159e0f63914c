//! Tests of the whole: the real binary, real files, real servers, and the rules of the house.

mod backend_faults;
mod crash;
mod explain;
mod fuzz;
mod hostile;
mod house;
mod init;
mod invalid;
mod language;
mod price;
mod project;
mod readme;
mod reuse;
mod scale;
mod schema;
mod show;
mod steer;
mod surface;

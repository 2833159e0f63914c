//! Tests of the whole command, against real processes: the real binary, real files, real servers.

mod crash;
mod project;
mod surface;

//! What graphics devices did, joined to requests: was it working, what did it wait for, who used how much.
//! Reads: events and samples, each in the order of time. Gives: [`GpuReport`], and a line for each request.
//! Never: more in memory than is in flight at once, so that a run of any length is told.
//! Start at [`First`], then [`Second`]; [`Live`] for requests as they end; [`attribution`] is the method alone.

pub mod attribution;
mod causes;
mod device;
mod flights;
mod joined;
mod live;
pub mod switches;
mod timeline;
mod told;

pub use causes::Cause;
pub use device::{DeviceReport, Gap};
pub use flights::Flown;
pub use joined::{First, Joined, Second};
pub use live::Live;
pub use told::{Beside, GpuReport, Used};
#[cfg(test)]
mod tests;

//! The command line that looks at graphics devices.

use clap::Args;

/// Options of `pipe gpu`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe gpu                     the devices here: memory, who holds it, what they do now
  pipe gpu --watch             the same, again every second, until Ctrl-C
  pipe gpu last                was the GPU working? what the newest run kept it busy with, what it waited for
  pipe gpu last --calls        each request with its energy, one JSON object a line
  pipe gpu --json | jq '.devices[].memory_bytes'

A run samples devices when a model is served on this machine; `pipe run --gpu on` samples them whatever the backend. \
PIPE_GPU_SOURCE=replay:FILE plays a recording instead of asking the driver: for tests, and to look at what another \
machine's devices did. Devices of AMD are looked at where there is no NVIDIA driver, by the files of the kernel's amdgpu \
(another folder of cards: PIPE_GPU_SOURCE=sysfs:DIR): busy, memory, power, heat; they have no counter of energy.

Energy is shared among requests in flight by the method share-v1: what an idle device would use is nobody's, the rest \
goes by the tokens that each moved meanwhile. An allocation: good for steps, models and runs, rough for one request.")]
pub struct GpuArgs {
    /// The run: `last`, or the start of its id. Without it, the devices of this machine are looked at.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Print each request with its energy and its time on devices.
    #[arg(long, requires = "run")]
    pub calls: bool,
    /// Look again every second; the default on a terminal.
    #[arg(long, conflicts_with = "run")]
    pub watch: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

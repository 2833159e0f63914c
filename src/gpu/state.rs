//! The words for devices. What the driver does not tell is absent, never zero.

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gpus {
    /// This build cannot look: the feature `gpu` is off.
    NotBuiltIn,
    /// No driver answers.
    None {
        /// In which way.
        trouble: Trouble,
        /// What looking for it met.
        why: String,
    },
    /// The driver answers; there may still be no device.
    Found {
        /// The driver.
        driver: Driver,
        /// Its devices, by index.
        gpus: Vec<Gpu>,
    },
}

/// In which way a driver is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is none, as on most machines.
    NoDriver,
    /// Its library is there, and nothing of it in the kernel.
    NotLoaded,
    /// Its library is of another version than what the kernel runs.
    Mismatch,
    /// It does not answer this user.
    Forbidden,
    /// It does not answer.
    Silent,
    /// It answers, and knows no device.
    NoDevice,
}

impl Trouble {
    /// Names it, for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoDriver => "no_driver",
            Self::NotLoaded => "driver_not_loaded",
            Self::Mismatch => "version_mismatch",
            Self::Forbidden => "no_permission",
            Self::Silent => "unusable",
            Self::NoDevice => "no_device",
        }
    }

    /// Names it, for people.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::NoDriver => "no NVIDIA driver",
            Self::NotLoaded => "the NVIDIA driver is installed and not loaded",
            Self::Mismatch => "NVIDIA's library and the driver in the kernel are of different versions",
            Self::Forbidden => "the NVIDIA driver does not answer this user",
            Self::Silent => "an NVIDIA driver that does not answer",
            Self::NoDevice => "the NVIDIA driver knows no device",
        }
    }

    /// Tells what helps.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NoDriver => {
                "with an NVIDIA device here, install its driver (`nvidia-smi` must work); in a container, start it with \
                 `--gpus all` (docker) or the device plugin (Kubernetes): that brings libnvidia-ml.so.1"
            }
            Self::NotLoaded => {
                "`sudo modprobe nvidia`, and `dmesg | grep NVRM` where that fails; in a container, start it with \
                 `--gpus all` (docker) or the device plugin (Kubernetes)"
            }
            Self::Mismatch => {
                "the driver was updated while the old one ran: reboot, or end what uses the devices and `sudo rmmod \
                 nvidia_uvm nvidia_drm nvidia_modeset nvidia && sudo modprobe nvidia`; start a container anew"
            }
            Self::Forbidden => {
                "`ls -l /dev/nvidia*` says who may: join that group, or give the container its devices (`--gpus all`)"
            }
            Self::Silent => {
                "see whether `nvidia-smi` works, and `dmesg | grep -e NVRM -e Xid`; a container in which it worked before \
                 is to be started anew: its host took the devices away, as `systemctl daemon-reload` does"
            }
            Self::NoDevice => {
                "`lspci | grep -i nvidia` says what is plugged in, `dmesg | grep NVRM` why the driver leaves it; a \
                 container gets those of NVIDIA_VISIBLE_DEVICES"
            }
        }
    }

    /// Tells whether there should be devices: a machine without a driver has none, and nobody is surprised.
    #[must_use]
    pub const fn is_surprising(self) -> bool {
        !matches!(self, Self::NoDriver | Self::NotLoaded)
    }
}

/// The driver that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// Whose it is, such as `NVIDIA driver`.
    pub name: &'static str,
    /// Such as `550.54.15`.
    pub version: Option<String>,
    /// The newest CUDA that it serves, such as `12.4`.
    pub cuda: Option<String>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its place in the driver's order, from 0.
    pub index: u32,
    /// Its name, such as `NVIDIA GeForce RTX 3090`; `GPU 0` where the driver gives none.
    pub name: String,
    /// Its memory.
    pub memory: Option<Memory>,
    /// The share of the last sampling period in which it computed, in percent.
    pub busy_percent: Option<u32>,
    /// Processes that hold memory on it, the largest first; none when the driver does not tell.
    pub processes: Option<Vec<GpuProcess>>,
    /// It is cut into instances (MIG).
    pub mig: bool,
    /// What the driver said instead, when it does not open the device.
    pub trouble: Option<String>,
}

/// A device's memory, in MiB, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// In all.
    pub total_mib: u64,
    /// Held by processes.
    pub used_mib: u64,
    /// Left; less than total minus used, for the driver keeps some to itself.
    pub free_mib: u64,
}

/// A process that holds memory on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuProcess {
    /// Its number, as the driver sees it: inside a container that may be the host's.
    pub pid: u32,
    /// How much it holds, in MiB; none where the driver does not tell.
    pub mib: Option<u64>,
}

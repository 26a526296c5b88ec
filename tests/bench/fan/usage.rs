//! What a process has used, as the kernel tells (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// CPU time and memory of a process so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Of all its threads that still run.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) resident: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut cpu = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // Nanoseconds on a core come first; /proc/PID/stat counts in hundredths.
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            cpu += first(&text).context("schedstat")?;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = line.and_then(first).context("VmRSS")? * 1024;
        Ok(Self {
            cpu: Duration::from_nanos(cpu),
            resident,
        })
    }
}

fn first(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

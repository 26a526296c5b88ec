//! What a process has used, as the kernel tells (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::role::LISTENING;

/// CPU time and memory of a process so far.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    /// Of all its threads that still run.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) resident: u64,
    /// CPU time of each thread, by name and number.
    threads: BTreeMap<(String, String), Duration>,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?;
            // Nanoseconds on a core come first; /proc/PID/stat counts in hundredths.
            let text = fs::read_to_string(task.path().join("schedstat"))?;
            let name = fs::read_to_string(task.path().join("comm"))?;
            if name.trim_end() == LISTENING {
                continue;
            }
            let number = task.file_name().to_string_lossy().into_owned();
            let cpu = Duration::from_nanos(first(&text).context("schedstat")?);
            threads.insert((name, number), cpu);
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = line.and_then(first).context("VmRSS")? * 1024;
        Ok(Self {
            cpu: threads.values().sum(),
            resident,
            threads,
        })
    }

    /// Its CPU times less those it had before.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let was = |thread| before.threads.get(thread).copied().unwrap_or_default();
        let threads: BTreeMap<_, _> = self
            .threads
            .iter()
            .map(|(thread, cpu)| (thread.clone(), cpu.saturating_sub(was(thread))))
            .collect();
        Self {
            cpu: threads.values().sum(),
            resident: self.resident,
            threads,
        }
    }

    /// Of the CPU time of all threads whose name begins so, what the busiest has; not a number if there are none.
    pub(crate) fn busiest(&self, name: &str) -> f64 {
        let those = || {
            self.threads
                .iter()
                .filter(|((of, _), _)| of.starts_with(name))
                .map(|(_, cpu)| cpu.as_secs_f64())
        };
        those().fold(0.0, f64::max) / those().sum::<f64>()
    }
}

fn first(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

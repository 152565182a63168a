//! How the cores of one machine are shared between workers and the threads inside a session.

/// Threads for models on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadPlan {
    /// Workers that hold a session each.
    pub workers: usize,
    /// Threads inside each session.
    pub intra_threads: usize,
}

/// Shares `cores` between workers and session threads; both at least 1, their product never above
/// `cores` (or 1).
///
/// Two threads in a session pay off for convolutions; above that, another worker with its own video
/// gives more than another thread.
pub fn plan(cores: usize) -> ThreadPlan {
    let cores = cores.max(1);
    let intra_threads = if cores >= 4 { 2 } else { 1 };
    ThreadPlan {
        workers: cores / intra_threads,
        intra_threads,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_plan_uses_more_than_it_has() {
        for cores in 0..200 {
            let plan = plan(cores);
            assert!(plan.workers >= 1 && plan.intra_threads >= 1);
            assert!(plan.workers * plan.intra_threads <= cores.max(1));
            assert!(plan.workers * plan.intra_threads + 1 >= cores);
        }
    }
}

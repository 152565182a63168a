//! A semaphore that counts bytes of pixels.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Bytes that pixels in flight may take together. Only decoding acquires, whole items at once.
#[derive(Debug)]
pub struct ByteBudget {
    total_bytes: u64,
    used_bytes: Mutex<u64>,
    freed: Condvar,
}

impl ByteBudget {
    /// A budget of `total_bytes`.
    pub fn new(total_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            total_bytes,
            used_bytes: Mutex::new(0),
            freed: Condvar::new(),
        })
    }

    /// Waits until `bytes` are free. A request above the whole budget waits to be alone.
    pub fn acquire(self: &Arc<Self>, bytes: u64) -> Permit {
        let mut used = self
            .used_bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && *used + bytes > self.total_bytes {
            used = self
                .freed
                .wait(used)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        Permit {
            budget: Arc::clone(self),
            bytes,
        }
    }

    /// Bytes held at this moment.
    pub fn used_bytes(&self) -> u64 {
        *self
            .used_bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes taken from a [`ByteBudget`]; dropping gives them back.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<ByteBudget>,
    bytes: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut used = self
            .budget
            .used_bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(self.bytes);
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_permit_frees_its_bytes() {
        let budget = ByteBudget::new(10);
        let first = budget.acquire(8);
        assert_eq!(budget.used_bytes(), 8);
        drop(first);
        let alone = budget.acquire(100);
        assert_eq!(budget.used_bytes(), 100);
        drop(alone);
        assert_eq!(budget.used_bytes(), 0);
    }
}

//! Boxes in pixels of the full-resolution display frame.

use serde::{Deserialize, Serialize};

/// Pixel edges, origin top left, half-open: width is `x1 - x0`, no `+1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoxPx {
    /// Left edge.
    pub x0: f32,
    /// Top edge.
    pub y0: f32,
    /// Right edge, exclusive.
    pub x1: f32,
    /// Bottom edge, exclusive.
    pub y1: f32,
}

impl BoxPx {
    /// Area in square pixels; 0 for an empty or reversed box.
    pub fn area(&self) -> f32 {
        (self.x1 - self.x0).max(0.0) * (self.y1 - self.y0).max(0.0)
    }
    /// Centre as `(x, y)`.
    pub fn center(&self) -> (f32, f32) {
        (
            f32::midpoint(self.x0, self.x1),
            f32::midpoint(self.y0, self.y1),
        )
    }
    /// The common part; empty (area 0) where the boxes are apart.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self {
            x0: self.x0.max(other.x0),
            y0: self.y0.max(other.y0),
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
        }
    }
    /// Intersection over union in 0..=1; 0 where the boxes are apart.
    pub fn iou(&self, other: &Self) -> f32 {
        let common = self.intersect(other).area();
        let union = self.area() + other.area() - common;
        if union > 0.0 { common / union } else { 0.0 }
    }
    /// The box times a factor per axis: from one picture size to another.
    #[must_use]
    pub fn scale(&self, x: f32, y: f32) -> Self {
        Self {
            x0: self.x0 * x,
            y0: self.y0 * y,
            x1: self.x1 * x,
            y1: self.y1 * y,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_apart_have_no_overlap() {
        let a = BoxPx {
            x0: 0.0,
            y0: 0.0,
            x1: 2.0,
            y1: 2.0,
        };
        let b = BoxPx {
            x0: 5.0,
            y0: 5.0,
            x1: 9.0,
            y1: 9.0,
        };
        assert_eq!(a.iou(&b), 0.0);
        assert_eq!(a.iou(&a), 1.0);
    }
}

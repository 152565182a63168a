//! The overall gain and offset between two pictures.

/// `to ≈ gain * from + offset`, fitted to what did not change: each round leaves out the samples
/// that fit worst.
pub(super) fn fit_lighting(from: &[f32], to: &[f32]) -> (f32, f32) {
    let (mut gain, mut offset, mut limit) = (1.0_f32, 0.0_f32, f32::INFINITY);
    for _ in 0..4 {
        let [mut n, mut sa, mut sb, mut saa, mut sab, mut sr] = [0.0_f64; 6];
        for (a, b) in from.iter().zip(to) {
            let residual = (gain * a + offset - b).abs();
            if residual <= limit {
                let (a, b) = (f64::from(*a), f64::from(*b));
                n += 1.0;
                sa += a;
                sb += b;
                saa += a * a;
                sab += a * b;
                sr += f64::from(residual);
            }
        }
        if n < 16.0 {
            break;
        }
        if limit.is_finite() {
            let spread = saa - sa * sa / n;
            let fitted = if spread / n > 4.0 {
                ((sab - sa * sb / n) / spread).clamp(0.5, 2.0)
            } else {
                1.0
            };
            gain = fitted as f32;
            offset = ((sb - fitted * sa) / n) as f32;
        }
        limit = (1.5 * sr / n).max(1.0) as f32;
    }
    (gain, offset)
}

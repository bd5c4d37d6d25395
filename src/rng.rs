//! Named, independent streams of random numbers.
//!
//! A stream is a pure function of (seed, name, entity): what one part of a run draws never moves
//! what another part draws, so every algorithm and every config of a grid meets the same workload
//! (common random numbers), and a rate change keeps each request's own draws.

use rand::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(Xoshiro256PlusPlus);

/// The finalizer of `SplitMix64`: a bijection that spreads every bit of its input.
///
/// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a of a name, 64 bits.
const fn hash_name(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

impl Stream {
    /// Opens the stream `name` of `entity` (a session, a copy, a router …) under `seed`.
    pub fn new(seed: u64, name: &str, entity: u64) -> Self {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let key = mix(seed.wrapping_add(GOLDEN));
        let key = mix(key ^ hash_name(name));
        let key = mix(key ^ entity.wrapping_mul(GOLDEN));
        Self(Xoshiro256PlusPlus::seed_from_u64(key))
    }

    /// Draws from [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Draws an index below `n`; the bias of the multiplication is below n / 2⁶⁴.
    ///
    /// # Panics
    ///
    /// When `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "a draw from nothing");
        let wide = u128::from(self.0.next_u64()) * n as u128;
        usize::try_from(wide >> 64).expect("below n")
    }

    /// Draws from the exponential distribution of mean 1, by inversion: one uniform a draw.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.uniform())
    }

    /// Draws from the standard normal distribution, by Box and Muller's formula: two uniforms a
    /// draw, so that the k-th draw always stands at the same place of the stream.
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of a hundred thousand draws.
    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let n = 100_000;
        let values: Vec<f64> = (0..n).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let squares = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
        (mean, squares / f64::from(n - 1))
    }

    #[test]
    fn streams_are_functions_of_their_key() {
        let draw = |seed, name, entity| Stream::new(seed, name, entity).uniform().to_bits();
        let here = draw(42, "arrivals", 0);
        assert_eq!(here, draw(42, "arrivals", 0));
        for other in [draw(43, "arrivals", 0), draw(42, "lengths", 0), draw(42, "arrivals", 1)] {
            assert_ne!(here, other);
        }
    }

    #[test]
    fn distributions_have_their_moments() {
        // 100,000 draws: five standard errors of the mean are 0.016 and 0.005.
        let mut stream = Stream::new(1, "test", 0);
        let (mean, variance) = moments(|| stream.exponential());
        assert!((mean - 1.0).abs() < 0.016 && (variance - 1.0).abs() < 0.05);
        let (mean, variance) = moments(|| stream.normal());
        assert!(mean.abs() < 0.016 && (variance - 1.0).abs() < 0.025);
        let (mean, variance) = moments(|| stream.uniform());
        assert!((mean - 0.5).abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.002);
    }
}

//! Tokens to blocks, without a division where the block size is a power of two.

/// Tokens in a block, from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSize {
    tokens: u32,
    /// Its logarithm, when that is a whole number: nearly always.
    shift: Option<u32>,
}

impl BlockSize {
    pub(super) fn new(tokens: u32) -> Self {
        let shift = tokens.is_power_of_two().then(|| tokens.trailing_zeros());
        Self { tokens, shift }
    }

    pub(super) fn tokens(self) -> u32 {
        self.tokens
    }

    /// Blocks that so many tokens fill.
    #[inline]
    pub(super) fn whole(self, tokens: u32) -> u32 {
        match self.shift {
            Some(shift) => tokens >> shift,
            None => tokens / self.tokens,
        }
    }

    /// Blocks that so many tokens need.
    #[inline]
    pub(super) fn needed(self, tokens: u32) -> u32 {
        let whole = self.whole(tokens);
        whole + u32::from(whole * self.tokens < tokens)
    }

    /// `steps` as whole blocks, and the rest.
    #[inline]
    pub(super) fn split(self, steps: u64) -> (u64, u32) {
        let (whole, rest) = match self.shift {
            Some(shift) => (steps >> shift, steps & u64::from(self.tokens - 1)),
            None => (steps / u64::from(self.tokens), steps % u64::from(self.tokens)),
        };
        (whole, u32::try_from(rest).expect("below the block size"))
    }

    /// `-base` modulo the size.
    #[inline]
    pub(super) fn minus_modulo(self, base: i64) -> u32 {
        let size = i64::from(self.tokens);
        let rest = match self.shift {
            Some(_) => base.wrapping_neg() & (size - 1),
            None => (-base).rem_euclid(size),
        };
        u32::try_from(rest).expect("a remainder below the block size")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_divides(
            tokens in prop_oneof![1..100_u32, (0..12_u32).prop_map(|n| 1 << n)],
            number in 0..1_000_000_u32,
            base in -1_000_000..1_000_000_i64,
        ) {
            let size = BlockSize::new(tokens);
            prop_assert_eq!(size.whole(number), number / tokens);
            prop_assert_eq!(size.needed(number), number.div_ceil(tokens));
            let (whole, rest) = size.split(u64::from(number));
            prop_assert_eq!(whole * u64::from(tokens) + u64::from(rest), u64::from(number));
            prop_assert!(rest < tokens);
            prop_assert_eq!(i64::from(size.minus_modulo(base)), (-base).rem_euclid(i64::from(tokens)));
        }
    }
}

//! The binomial distribution.

/// More trials than anyone counts are refused, so that no call takes seconds.
const MOST_TRIALS: u64 = 1 << 32;

/// Terms so much smaller than the largest are nothing in a sum.
const NEGLIGIBLE: f64 = 1e-30;

/// The probabilities of every number of successes that is not negligible.
pub(super) struct Binomial {
    /// The smallest of these numbers.
    first: u64,
    shares: Vec<f64>,
}

impl Binomial {
    /// Successes of `trials` with probability `p`; none unless 0 < `p` < 1 and there are at most
    /// four thousand million trials.
    ///
    /// Each term follows from its neighbour by a product, from the most likely one outwards, and
    /// all are divided by their sum. So there is no logarithm of a factorial to lose digits in.
    pub(super) fn new(trials: u64, p: f64) -> Option<Self> {
        if trials > MOST_TRIALS || !(p > 0.0 && p < 1.0) {
            return None;
        }
        let odds = p / (1.0 - p);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "p is between 0 and 1, so this is between 0 and trials + 1"
        )]
        let mode = (((trials + 1) as f64 * p) as u64).min(trials);
        let mut shares = vec![1.0];
        let (mut first, mut term) = (mode, 1.0);
        while first > 0 && term > NEGLIGIBLE {
            term *= first as f64 / ((trials - first + 1) as f64 * odds);
            shares.push(term);
            first -= 1;
        }
        shares.reverse();
        let (mut last, mut term) = (mode, 1.0);
        while last < trials && term > NEGLIGIBLE {
            term *= (trials - last) as f64 * odds / (last + 1) as f64;
            shares.push(term);
            last += 1;
        }
        let whole: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= whole);
        Some(Self { first, shares })
    }

    /// The probability of at most `k` successes.
    pub(super) fn at_most(&self, k: u64) -> f64 {
        self.numbered().take_while(|(number, _)| *number <= k).map(|(_, share)| share).sum()
    }

    /// The probability of at least `k` successes.
    pub(super) fn at_least(&self, k: u64) -> f64 {
        let downwards = self.numbered().rev();
        downwards.take_while(|(number, _)| *number >= k).map(|(_, share)| share).sum()
    }

    /// The smallest number of successes that is not passed with a probability of at least `p`.
    pub(super) fn quantile(&self, p: f64) -> u64 {
        let mut reached = 0.0;
        let passed = self.numbered().take_while(|(_, share)| {
            reached += share;
            reached < p
        });
        (self.first + passed.count() as u64).min(self.last())
    }

    fn last(&self) -> u64 {
        self.first + self.shares.len() as u64 - 1
    }

    fn numbered(&self) -> impl DoubleEndedIterator<Item = (u64, f64)> {
        let number = |(index, share): (usize, &f64)| (self.first + index as u64, *share);
        self.shares.iter().enumerate().map(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;

    #[test]
    fn four_coins_by_hand() {
        let coins = Binomial::new(4, 0.5).unwrap();
        // 1, 4, 6, 4, 1 of 16.
        assert_digits(coins.at_most(1), 5.0 / 16.0);
        assert_digits(coins.at_least(3), 5.0 / 16.0);
        assert_eq!([0.05, 0.07, 0.5, 0.95, 1.0].map(|p| coins.quantile(p)), [0, 1, 2, 4, 4]);
        assert_digits(coins.at_least(0), 1.0);
    }

    #[test]
    fn few_and_many_trials_have_their_ends() {
        assert!(Binomial::new(3, 0.0).is_none() && Binomial::new(u64::MAX, 0.5).is_none());
        let none = Binomial::new(0, 0.3).unwrap();
        assert_eq!((none.at_most(0), none.quantile(0.9)), (1.0, 0));
        // The median of a symmetric distribution of an odd number of trials is an exact half.
        let many = Binomial::new(1_000_001, 0.5).unwrap();
        assert_digits(many.at_most(500_000), 0.5);
        assert!(many.shares.len() < 20_000);
    }
}

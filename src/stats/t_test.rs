//! Student's test: how far an estimate is from a claim, in standard errors.

use super::interval::t_cdf;

/// A t statistic and its degrees of freedom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TTest {
    /// (estimate − claim) / standard error.
    pub t: f64,
    /// Degrees of freedom, not always whole.
    pub df: f64,
}

impl TTest {
    /// Tests that what `estimate` estimates is `claim`. None without a spread (`se` of 0 says
    /// nothing of how sure the estimate is), or when a number is not finite.
    pub(super) fn of(estimate: f64, claim: f64, se: f64, df: f64) -> Option<Self> {
        let t = (estimate - claim) / se;
        (se > 0.0 && t.is_finite() && df > 0.0 && df.is_finite()).then_some(Self { t, df })
    }

    /// Returns the probability of a t at least so high when the claim holds: small says that the
    /// truth is above the claim.
    pub fn p_above(&self) -> f64 {
        self.tail(-self.t)
    }

    /// Returns the probability of a t at most so low when the claim holds: small says that the
    /// truth is below the claim.
    pub fn p_below(&self) -> f64 {
        self.tail(self.t)
    }

    /// Returns the probability of a t at least so far from 0 when the claim holds.
    pub fn p_two_sided(&self) -> f64 {
        (2.0 * self.tail(-self.t.abs())).min(1.0)
    }

    /// The lower tail keeps its digits where one minus the upper one would lose them.
    fn tail(&self, t: f64) -> f64 {
        // Both numbers are known and finite by construction; were they not, nothing is shown.
        t_cdf(t, self.df).unwrap_or(1.0)
    }
}

//! The least of many numbers that change one at a time.

/// Numbers by index, all `u64::MAX` at first. Setting one costs the logarithm of their count at
/// most, and finding the least as much.
#[derive(Clone, Debug)]
pub(super) struct MinTree {
    /// A complete binary tree: the children of `n` are `2n` and `2n + 1`, the leaves the numbers.
    nodes: Vec<u64>,
    leaves: usize,
}

impl MinTree {
    pub(super) fn new(len: usize) -> Self {
        let leaves = len.next_power_of_two();
        Self { nodes: vec![u64::MAX; 2 * leaves], leaves }
    }

    /// The least number.
    #[inline]
    pub(super) fn least(&self) -> u64 {
        self.nodes[1]
    }

    /// The first index of the least number.
    #[inline]
    pub(super) fn first(&self) -> usize {
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            node += usize::from(self.nodes[node] != self.nodes[node / 2]);
        }
        node - self.leaves
    }

    #[inline]
    pub(super) fn set(&mut self, index: usize, number: u64) {
        let mut node = self.leaves + index;
        self.nodes[node] = number;
        while node > 1 {
            let least = self.nodes[node].min(self.nodes[node ^ 1]);
            node /= 2;
            if self.nodes[node] == least {
                break;
            }
            self.nodes[node] = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_scan_finds(
            len in 1..70_usize,
            changes in proptest::collection::vec((0..70_usize, 0..9_u64), 1..200),
        ) {
            let mut tree = MinTree::new(len);
            let mut numbers = vec![u64::MAX; len];
            for (index, number) in changes {
                let index = index % len;
                let number = if number == 8 { u64::MAX } else { number };
                numbers[index] = number;
                tree.set(index, number);
                let least = *numbers.iter().min().unwrap();
                prop_assert_eq!(tree.least(), least);
                prop_assert_eq!(tree.first(), numbers.iter().position(|n| *n == least).unwrap());
            }
        }
    }
}

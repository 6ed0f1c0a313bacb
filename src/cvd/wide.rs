//! Unsigned 256-bit integers, as far as the window's sums need them.

/// An unsigned 256-bit integer. Sums and products wrap modulo 2^256, so a chain of them whose true result
/// lies in 0..2^256 is exact whatever its intermediate values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct U256 {
    // The order of the fields makes the derived comparison the numeric one.
    hi: u128,
    lo: u128,
}

impl U256 {
    pub(crate) const ZERO: Self = Self { hi: 0, lo: 0 };

    pub(crate) const fn from_u128(value: u128) -> Self {
        Self { hi: 0, lo: value }
    }

    /// `a · b`, exactly.
    #[inline]
    pub(crate) const fn product(a: u128, b: u128) -> Self {
        if (a | b) >> 64 == 0 {
            // Both fit 64 bits: one machine multiplication.
            return Self { hi: 0, lo: (a as u64 as u128) * (b as u64 as u128) };
        }
        Self::product_of_large(a, b)
    }

    const fn product_of_large(a: u128, b: u128) -> Self {
        const LOW: u128 = u64::MAX as u128;
        let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
        let low = a0 * b0;
        // No sum here overflows: (2^64 − 1)² + 2·(2^64 − 1) = 2^128 − 1.
        let middle = a1 * b0 + (low >> 64);
        let cross = a0 * b1 + (middle & LOW);
        Self { hi: a1 * b1 + (middle >> 64) + (cross >> 64), lo: (cross << 64) | (low & LOW) }
    }

    #[inline]
    pub(crate) const fn wrapping_add(self, other: Self) -> Self {
        let (lo, carry) = self.lo.overflowing_add(other.lo);
        Self { hi: self.hi.wrapping_add(other.hi).wrapping_add(carry as u128), lo }
    }

    #[inline]
    pub(crate) const fn wrapping_sub(self, other: Self) -> Self {
        let (lo, borrow) = self.lo.overflowing_sub(other.lo);
        Self { hi: self.hi.wrapping_sub(other.hi).wrapping_sub(borrow as u128), lo }
    }

    /// `self · factor` modulo 2^256.
    pub(crate) const fn wrapping_mul(self, factor: u64) -> Self {
        let mut product = Self::product(self.lo, factor as u128);
        product.hi = product.hi.wrapping_add(self.hi.wrapping_mul(factor as u128));
        product
    }

    /// `self + a² − b²`.
    #[inline]
    pub(crate) fn exchange(self, a: i128, b: i128) -> Self {
        let (near_a, near_b) = (a as i64, b as i64);
        if self.hi == 0 && i128::from(near_a) == a && i128::from(near_b) == b {
            let square = |near: i64| (i128::from(near) * i128::from(near)) as u128;
            let (sum, carry) = self.lo.overflowing_add(square(near_a));
            let (lo, borrow) = sum.overflowing_sub(square(near_b));
            if !carry && !borrow {
                return Self { hi: 0, lo };
            }
        }
        self.exchange_far(a, b)
    }

    #[cold]
    #[inline(never)]
    fn exchange_far(self, a: i128, b: i128) -> Self {
        self.wrapping_add(Self::square(a)).wrapping_sub(Self::square(b))
    }

    /// `value²`.
    #[inline]
    pub(crate) const fn square(value: i128) -> Self {
        let magnitude = value.unsigned_abs();
        Self::product(magnitude, magnitude)
    }

    /// The value, if it fits 128 bits.
    #[inline]
    pub(crate) const fn to_u128(self) -> Option<u128> {
        if self.hi == 0 { Some(self.lo) } else { None }
    }

    /// The nearest double, ties to even.
    #[inline]
    pub(crate) fn to_f64(self) -> f64 {
        if self.hi == 0 { nearest_f64(self.lo) } else { self.far_to_f64() }
    }

    #[cold]
    #[inline(never)]
    fn far_to_f64(self) -> f64 {
        let shift = self.hi.leading_zeros();
        let (top, rest) = if shift == 0 {
            (self.hi, self.lo)
        } else {
            ((self.hi << shift) | (self.lo >> (128 - shift)), self.lo << shift)
        };
        // A double keeps 53 of these 128 bits. Whatever lies below them only has to break ties, for which
        // one bit is enough.
        let sticky = top | u128::from(rest != 0);
        // The result is below 2^256, so scaling by a power of two is exact.
        sticky as f64 * f64::from_bits((1023 + 128 - u64::from(shift)) << 52)
    }
}

/// `value as f64`, bit for bit and without a call: the nearest double, ties to even.
#[inline]
fn nearest_f64(value: u128) -> f64 {
    let zeros = value.leading_zeros();
    if zeros > 64 {
        return value as u64 as i64 as f64;
    }
    // A double keeps 53 of these 62 bits. Whatever lies below them only has to break ties, for which one bit is enough.
    let shift = 66 - zeros;
    let top = (value >> shift) as i64 | i64::from(value << (128 - shift) != 0);
    // The result is below 2^128, so scaling by a power of two is exact.
    top as f64 * f64::from_bits(u64::from(1023 + shift) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_to_a_double_is_the_long_way_bit_for_bit() {
        let edges = [53, 54, 62, 63, 64, 65, 107, 127].map(|bit| 1u128 << bit);
        let edges = edges
            .into_iter()
            .flat_map(|edge| [edge - 1, edge, edge + 1, edge | edge >> 53, edge | edge >> 54]);
        let near_ties = (54..128).flat_map(|bit| {
            let (edge, tie) = (1u128 << bit, 1u128 << (bit - 53));
            [edge | tie, (edge | tie) - 1, edge | tie | 1, edge | tie << 1 | tie, (edge | tie << 1 | tie) - 1]
        });
        for value in samples().flat_map(|(a, b)| [a, b]).chain(edges).chain(near_ties) {
            assert_eq!(nearest_f64(value).to_bits(), (value as f64).to_bits(), "{value}");
        }
    }

    #[test]
    fn an_exchange_is_a_sum_and_a_difference() {
        for (a, b) in samples() {
            let (a, b) = (a as i128 >> 40, b as i128 >> 40);
            for base in [U256::ZERO, U256::square(b), U256 { hi: 0, lo: u128::MAX }, U256 { hi: 9, lo: 1 }] {
                let expected = base.wrapping_add(U256::square(a)).wrapping_sub(U256::square(b));
                assert_eq!(base.exchange(a, b), expected, "{a} {b}");
                let (a, b) = (a >> 60, b >> 60);
                let expected = base.wrapping_add(U256::square(a)).wrapping_sub(U256::square(b));
                assert_eq!(base.exchange(a, b), expected, "{a} {b}");
            }
        }
    }

    /// The decimal text of a value, by doubling decimal digits: nothing in common with the code above.
    fn decimal(value: U256) -> String {
        let mut digits = vec![0u8];
        for bit in (0..256).rev() {
            let half = if bit >= 128 { value.hi >> (bit - 128) } else { value.lo >> bit };
            let mut carry = (half & 1) as u8;
            for digit in &mut digits {
                let doubled = *digit * 2 + carry;
                (*digit, carry) = (doubled % 10, doubled / 10);
            }
            if carry > 0 {
                digits.push(carry);
            }
        }
        digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
    }

    /// Shift-and-add multiplication.
    fn slow_product(a: u128, b: u128) -> U256 {
        let mut sum = U256::ZERO;
        for bit in (0..128).rev() {
            sum = sum.wrapping_add(sum);
            if (a >> bit) & 1 == 1 {
                sum = sum.wrapping_add(U256::from_u128(b));
            }
        }
        sum
    }

    fn samples() -> impl Iterator<Item = (u128, u128)> {
        let mut random = fastrand::Rng::with_seed(7);
        let edges = [0, 1, u128::from(u64::MAX), 1 << 64, (1 << 64) + 1, u128::MAX - 1, u128::MAX];
        let pairs: Vec<_> = edges.iter().flat_map(|a| edges.iter().map(move |b| (*a, *b))).collect();
        pairs.into_iter().chain(
            (0..2_000)
                .map(move |_| (random.u128(..) >> random.u32(0..128), random.u128(..) >> random.u32(0..128))),
        )
    }

    #[test]
    fn products_equal_shift_and_add() {
        assert_eq!(
            decimal(U256::product(u128::MAX, u128::MAX)),
            "115792089237316195423570985008687907852589419931798687112530834793049593217025"
        );
        for (a, b) in samples() {
            assert_eq!(U256::product(a, b), slow_product(a, b), "{a} * {b}");
        }
    }

    #[test]
    fn sums_and_differences_carry_and_undo_each_other() {
        let one = U256::from_u128(1);
        assert_eq!(U256::from_u128(u128::MAX).wrapping_add(one), U256 { hi: 1, lo: 0 });
        assert_eq!(U256::ZERO.wrapping_sub(one), U256 { hi: u128::MAX, lo: u128::MAX });
        for (a, b) in samples() {
            let (x, y) = (U256::product(a, a), U256::product(b, !a));
            assert_eq!(x.wrapping_add(y).wrapping_sub(y), x);
            // (a + b)² is only formed where the sum fits.
            if let Some(sum) = a.checked_add(b) {
                let cross = U256::product(a, b);
                let expanded = U256::product(a, a).wrapping_add(cross).wrapping_add(cross);
                assert_eq!(expanded.wrapping_add(U256::product(b, b)), U256::product(sum, sum));
            }
        }
    }

    #[test]
    fn multiplying_by_a_small_factor_equals_adding_that_often() {
        for (a, b) in samples() {
            let x = U256::product(a, b);
            let times = (0..37).fold(U256::ZERO, |sum, _| sum.wrapping_add(x));
            assert_eq!(x.wrapping_mul(37), times);
        }
    }

    #[test]
    fn the_double_is_the_nearest_one() {
        let tie = 1u128 << 74;
        let near_ties = [
            U256 { hi: (1 << 127) | tie, lo: 0 },
            U256 { hi: (1 << 127) | tie, lo: 1 },
            U256 { hi: (1 << 127) | (3 * tie), lo: 0 },
            U256 { hi: (1 << 127) | (tie - 1), lo: u128::MAX },
            U256 { hi: 1, lo: 1 << 75 },
            U256 { hi: 1, lo: (1 << 75) + 1 },
            U256 { hi: u128::MAX, lo: u128::MAX },
        ];
        let random = samples().map(|(a, b)| U256::product(a, b));
        for value in near_ties.into_iter().chain(random) {
            let text = decimal(value);
            assert_eq!(value.to_f64().to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
        }
    }
}

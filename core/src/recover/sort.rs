//! Sorting in place in bounded stack and little code: a heap sort. Used once in an open, for the order of segments, where
//! reading their headers costs far more; the standard library's sort would be 6 KB of a firmware.

/// Sorts by a key, the smallest first; equal keys in any order.
pub(super) fn sort_by_key<K: Ord>(items: &mut [u32], key: impl Fn(u32) -> K) {
    let count = items.len();
    for root in (0..count / 2).rev() {
        sift_down(items, root, &key);
    }
    for end in (1..count).rev() {
        items.swap(0, end);
        sift_down(&mut items[..end], 0, &key);
    }
}

/// Lets the item at `root` sink until no child is greater; bounded by the heap's height.
fn sift_down<K: Ord>(items: &mut [u32], mut root: usize, key: &impl Fn(u32) -> K) {
    loop {
        let mut child = 2 * root + 1;
        if child >= items.len() {
            return;
        }
        if child + 1 < items.len() && key(items[child]) < key(items[child + 1]) {
            child += 1;
        }
        if key(items[root]) >= key(items[child]) {
            return;
        }
        items.swap(root, child);
        root = child;
    }
}

#[cfg(test)]
mod tests {
    use super::sort_by_key;
    use std::vec::Vec;

    #[test]
    fn sorts_as_the_standard_library_does() {
        let mut random = 7_u64;
        for count in 0..70 {
            let mut items = Vec::new();
            for _ in 0..count {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                items.push((random >> 40) as u32 % 50);
            }
            let mut expected = items.clone();
            expected.sort_unstable_by_key(|&item| core::cmp::Reverse(item));
            sort_by_key(&mut items, core::cmp::Reverse);
            assert_eq!(items, expected);
        }
    }
}

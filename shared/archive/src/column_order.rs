//! The order that a footer says its columns' bounds are in.
//!
//! The Parquet crate says of floating-point columns that their bounds are in IEEE 754's total order, a newer
//! word of the format. Readers that do not know the word yet leave the bounds aside and read every row group.
//! The column's own order, which all readers know, is true of the same bounds as long as none of them is NaN,
//! and a score is a number of JSON, which has no NaN. The two orders differ in zeros alone, and whoever reads
//! bounds of the column's own order takes 0 and -0 for one.

use std::ops::Range;

/// Bytes behind a footer: its length and Parquet's magic number.
const TRAILER_BYTES: usize = 8;

/// Bytes of one column's order in Thrift's compact protocol: the field that is set, and two ends.
const ORDER_BYTES: usize = 3;

/// The order that the column's type has.
const TYPE_ORDER: [u8; ORDER_BYTES] = [0x1c, 0, 0];

/// The total order of IEEE 754.
const TOTAL_ORDER: [u8; ORDER_BYTES] = [0x2c, 0, 0];

/// Where the orders of so many columns lie in the bytes that end a file; none where the bytes end in
/// another way.
fn orders_in(end: &[u8], columns: usize) -> Option<Range<usize>> {
    // The list is the footer's last field, so that a stop byte follows it.
    let behind = end.len().checked_sub(TRAILER_BYTES + 1)?;
    let begin = behind.checked_sub(columns * ORDER_BYTES)?;
    // The seventh field behind the sixth, a list of structures, longer than a nibble can say.
    let count = u8::try_from(columns).ok().filter(|n| *n < 128)?;
    let is_list = end[..begin].ends_with(&[0x19, 0xfc, count]);
    let mut orders = end[begin..behind].chunks(ORDER_BYTES);
    let are_orders = orders.all(|order| order == TYPE_ORDER || order == TOTAL_ORDER);
    (is_list && are_orders && end[behind] == 0).then_some(begin..behind)
}

/// Says of every column that its bounds are in its type's order; `end` is the end of a part, whose footer
/// keeps its length. Bytes that end in another way stay as they are: their bounds are true, and used by
/// newer readers alone.
pub(crate) fn say_type_order(end: &mut [u8], columns: usize) {
    if let Some(orders) = orders_in(end, columns) {
        for order in end[orders].chunks_mut(ORDER_BYTES) {
            order.copy_from_slice(&TYPE_ORDER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of(orders: &[[u8; ORDER_BYTES]]) -> Vec<u8> {
        let count = u8::try_from(orders.len()).expect("few");
        let mut end = vec![0x2c, 0, 0, 0x19, 0xfc, count];
        end.extend(orders.concat());
        end.push(0);
        end.extend(*b"\x20\0\0\0PAR1");
        end
    }

    #[test]
    fn only_the_orders_change() {
        let mut orders = [TYPE_ORDER; 20];
        orders[7] = TOTAL_ORDER;
        let mut end = end_of(&orders);
        say_type_order(&mut end, 20);
        assert_eq!(end, end_of(&[TYPE_ORDER; 20]));
    }

    #[test]
    fn other_bytes_stay() {
        let ordered = end_of(&[TOTAL_ORDER; 20]);
        let mut unknown = [TOTAL_ORDER; 20];
        unknown[3] = [0x4c, 0, 0];
        for (mut end, columns) in [
            (ordered.clone(), 19),
            (ordered.clone(), 21),
            (ordered[..30].to_vec(), 20),
            (end_of(&unknown), 20),
            (Vec::new(), 20),
        ] {
            let before = end.clone();
            say_type_order(&mut end, columns);
            assert_eq!(end, before);
        }
    }
}

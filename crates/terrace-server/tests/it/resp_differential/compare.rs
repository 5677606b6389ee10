//! How two replies are compared.

use crate::world::Value;

/// How the replies to a step are compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum How {
    /// Every byte.
    Exact,
    /// The elements in any order; of SCAN, those of its second element.
    AnyOrder,
    /// Numbers may differ by this much.
    Near(i64),
    /// Both null, both an error with the same text, or both the same type.
    Type,
    /// Not at all.
    Ignored,
    /// The replies of a transaction, each in its way.
    Each(Vec<How>),
}

/// Whether what arrived from both agrees.
pub(crate) fn agree(how: &How, expect: &[Value], got: &[Value]) -> bool {
    match how {
        How::AnyOrder if expect.len() != 1 => {
            // The confirmations of UNSUBSCRIBE: their names in any order, their counts in theirs.
            let names = |values: &[Value]| {
                sorted(&values.iter().filter_map(|v| v.elements().get(1).cloned()).collect::<Vec<_>>())
            };
            let counts =
                |values: &[Value]| values.iter().map(|v| v.elements().last().cloned()).collect::<Vec<_>>();
            names(expect) == names(got) && counts(expect) == counts(got)
        }
        _ => expect.len() == got.len() && expect.iter().zip(got).all(|(expect, got)| same(how, expect, got)),
    }
}

fn sorted(values: &[Value]) -> Vec<Value> {
    let mut values = values.to_vec();
    values.sort();
    values
}

fn in_order(value: &Value) -> Value {
    let mut value = value.clone();
    value.elements_mut().iter_mut().for_each(|element| element.elements_mut().sort());
    if value.elements().iter().all(|element| element.elements().is_empty()) {
        value.elements_mut().sort();
    }
    value
}

fn same(how: &How, expect: &Value, got: &Value) -> bool {
    match how {
        How::Exact => expect == got,
        How::AnyOrder => in_order(expect) == in_order(got),
        How::Near(tolerance) => match (expect.integer(), got.integer()) {
            (Some(expect), Some(got)) if expect > 0 && got > 0 => (expect - got).abs() <= *tolerance,
            _ => expect == got,
        },
        How::Type => match (expect.is_error(), expect.is_null()) {
            (false, false) => {
                std::mem::discriminant(expect) == std::mem::discriminant(got)
                    && !got.is_error()
                    && !got.is_null()
            }
            _ => expect == got,
        },
        How::Ignored => true,
        How::Each(each) => {
            if expect.elements().len() != each.len() || got.elements().len() != each.len() {
                return expect == got;
            }
            let pairs = expect.elements().iter().zip(got.elements());
            each.iter().zip(pairs).all(|(how, (expect, got))| same(how, expect, got))
        }
    }
}

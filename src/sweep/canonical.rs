//! JSON in the one form that RFC 8785 gives it, so that equal values are equal bytes.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// Returns the canonical text of a value: no spaces, keys in order, the shortest numbers.
///
/// Whole numbers beyond 2⁵³, which the RFC does not have, keep all their digits.
pub(super) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_text(key, out);
                out.push(':');
                write_value(value, out);
            }
            out.push('}');
        }
    }
}

/// Control characters, quotes and backslashes are escaped as the RFC says; so does `serde_json`.
fn write_text(text: &str, out: &mut String) {
    write!(out, "{}", Value::from(text)).expect("a string takes all");
}

fn write_number(number: &Number, out: &mut String) {
    if number.is_f64() {
        write_real(number, out);
    } else {
        write!(out, "{number}").expect("a string takes all");
    }
}

/// Writes a number as ECMAScript does: the shortest digits that give it back, without a point
/// where it is whole, with an exponent from 10²¹ up and below 10⁻⁶.
///
/// `serde_json` has those digits, and writes them another way. (Of two numbers that are as short
/// and as near it takes the even one, as the RFC has it; the standard library does not.)
fn write_real(number: &Number, out: &mut String) {
    let text = number.to_string();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{rest}");
    let significant = all.trim_start_matches('0');
    // The value is 0.DIGITS times ten to the power of `point`.
    let size = |text: &str| i32::try_from(text.len()).unwrap_or(i32::MAX);
    let point = exponent.parse().unwrap_or(0) + size(whole) - (size(&all) - size(significant));
    let digits = significant.trim_end_matches('0');
    if digits.is_empty() {
        out.push('0');
    } else {
        out.push_str(sign);
        place_point(digits, point, out);
    }
}

fn place_point(digits: &str, point: i32, out: &mut String) {
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let len = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if (len..=21).contains(&point) {
        out.push_str(digits);
        out.push_str(&zeros(point - len));
    } else if (1..=21).contains(&point) {
        let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or(0));
        out.extend([whole, ".", rest]);
    } else if (-5..=0).contains(&point) {
        out.extend(["0.", &zeros(-point), digits]);
    } else {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.extend([".", rest]);
        }
        write!(out, "e{:+}", point - 1).expect("a string takes all");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        canonical(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn numbers_are_those_of_the_rfc() {
        // RFC 8785, appendix B, by the bits of the number.
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            let text = canonical(&Value::from(f64::from_bits(bits)));
            assert_eq!(text, expected, "{bits:016x}");
        }
    }

    #[test]
    fn the_rfcs_own_example_comes_out() {
        // RFC 8785, section 3.2.2 and what it becomes in 3.2.3, save a number whose last digit
        // readers of JSON may miss.
        let text = r#"{
            "numbers": [1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        let expected = "{\"literals\":[null,true,false],\
            \"numbers\":[1e+30,4.5,0.002,1e-27],\
            \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(of(text), expected);
    }

    #[test]
    fn keys_go_by_their_utf_16() {
        // RFC 8785, section 3.2.3: the emoji's surrogates come before U+FB33.
        let text = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        let places: Vec<char> =
            of(text).chars().filter(|c| "1234567".contains(*c)).skip(1).collect();
        assert_eq!(places, ['1', '4', '6', '7', '1', '5', '3'], "{}", of(text));
    }

    #[test]
    fn a_whole_number_is_the_same_with_a_point() {
        assert_eq!(of("[1, 1.0, 1e0, 100, 1e2]"), "[1,1,1,100,100]");
    }

    proptest! {
        #[test]
        fn every_number_comes_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = canonical(&Value::from(value));
            // There is no negative zero.
            let (back, value) = (text.parse::<f64>().unwrap(), value + 0.0);
            prop_assert_eq!(back.to_bits(), value.to_bits(), "{}", text);
        }
    }
}

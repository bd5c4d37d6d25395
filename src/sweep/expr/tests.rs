use proptest::prelude::*;

use super::*;

/// Values of a cell: 8 backends, a rate of 12.5/s, no KV blocks given.
fn cell(name: &str) -> Option<Scalar> {
    match name {
        "cluster.num_backends" => Some(Scalar::Whole(8)),
        "rate" => Some(Scalar::Real(12.5)),
        "algorithm" => Some(Scalar::Text("least_kv".to_owned())),
        "enabled" => Some(Scalar::Truth(true)),
        "cluster.kv_cache_blocks" => Some(Scalar::Null),
        "broken" => Some(Scalar::Real(f64::NAN)),
        _ => None,
    }
}

fn value(text: &str) -> Scalar {
    Expr::parse(text).and_then(|expr| expr.evaluate(&cell)).unwrap_or_else(|error| {
        panic!("{text}: {error}");
    })
}

fn truth(text: &str) -> bool {
    value(text) == Scalar::Truth(true)
}

/// Byte, message and hint of what is wrong.
fn wrong(text: &str) -> (usize, String, String) {
    let error = Expr::parse(text).and_then(|expr| expr.evaluate(&cell)).expect_err(text);
    (error.at, error.message, error.hint.unwrap_or_default())
}

#[test]
fn tighter_signs_go_first() {
    for (text, whole) in [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 4 - 3", 3),
        ("2 * 3 % 4", 2),
        ("2 + 7 % 4 * 2", 8),
        ("-2 * -3", 6),
        ("- -2", 2),
        ("-(1 + 2)", -3),
        ("7 % -4", 3),
        ("-7 % 4", -3),
        ("pow(2, 3) + 1", 9),
        ("-9223372036854775808", i64::MIN),
        ("-9_223_372_036_854_775_808 % -1", 0),
    ] {
        assert_eq!(value(text), Scalar::Whole(whole), "{text}");
    }
}

#[test]
fn and_is_tighter_than_or_and_not_is_looser_than_comparisons() {
    assert!(truth("true || false && false"));
    assert!(!truth("(true || false) && false"));
    assert!(truth("true or false and false"));
    assert!(truth("not 1 == 2"));
    assert!(truth("!enabled == false"));
    assert!(truth("!(1 == 2) && not 2 < 1"));
    assert!(truth("1 + 1 < 2 * 3 && 4 - 1 >= 3"));
    assert_eq!(wrong("!1 == 2").0, 1);
}

#[test]
fn names_are_dotted_and_listed_once() {
    let text =
        "rate / cluster.num_backends < 2 && (rate > 1 || workload.generator.num_prefixes==0)";
    let expr = Expr::parse(text).unwrap();
    let names = ["rate", "cluster.num_backends", "workload.generator.num_prefixes"];
    assert_eq!(expr.names(), names);
    assert_eq!(expr.text(), text);
    assert_eq!(expr.evaluate(&cell), Ok(Scalar::Truth(true)), "what is unknown is not needed");
    assert_eq!(Expr::parse("min + if_ + round(int)").unwrap().names(), ["min", "if_", "int"]);
}

#[test]
fn whole_numbers_stay_whole_and_division_does_not() {
    for (text, expected) in [
        ("6 / 3", Scalar::Real(2.0)),
        ("1 / 4", Scalar::Real(0.25)),
        ("1 + 0.5", Scalar::Real(1.5)),
        ("5.5 % 2", Scalar::Real(1.5)),
        ("1e3", Scalar::Real(1000.0)),
        ("2.5E-1", Scalar::Real(0.25)),
        ("1_000", Scalar::Whole(1000)),
        ("int(-2.7)", Scalar::Whole(-2)),
        ("round(2.5)", Scalar::Whole(3)),
        ("round(-2.5)", Scalar::Whole(-3)),
        ("floor(-2.1)", Scalar::Whole(-3)),
        ("ceil(2.1)", Scalar::Whole(3)),
        ("ceil(7)", Scalar::Whole(7)),
        ("abs(-3)", Scalar::Whole(3)),
        ("abs(-3.5)", Scalar::Real(3.5)),
        ("min(3, 2.5, 7)", Scalar::Real(2.5)),
        ("max(2, 2.0)", Scalar::Whole(2)),
        ("max(4,)", Scalar::Whole(4)),
        ("sqrt(9)", Scalar::Real(3.0)),
        ("log2(1024)", Scalar::Real(10.0)),
        ("pow(2, 10)", Scalar::Whole(1024)),
        ("pow(2, -1)", Scalar::Real(0.5)),
        ("pow(2.0, 3)", Scalar::Real(8.0)),
        ("pow(-1, 4294967297)", Scalar::Whole(-1)),
        ("pow(0, 4294967296)", Scalar::Whole(0)),
        ("2 * rate", Scalar::Real(25.0)),
        ("algorithm", Scalar::Text("least_kv".to_owned())),
        ("null", Scalar::Null),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn numbers_compare_without_rounding() {
    // 2⁵³ + 1 becomes 2⁵³ as a real.
    assert!(truth("9007199254740993 > 9007199254740992.0"));
    assert!(truth("9007199254740993 != 9007199254740992.0"));
    assert!(truth("9223372036854775807 < 9223372036854775808.0"));
    assert!(truth("-9223372036854775808 == -9223372036854775808.0"));
    assert!(truth("-9223372036854775808 > -1e300 && 5 < 1e300"));
    assert!(truth("-3 < -2.5 && -2 > -2.5 && 3 > 2.5 && 2 < 2.5 && 2 == 2.0 && -0.0 == 0"));
    assert!(truth("'a' < 'b' && \"b\" >= 'b' && 'Z' < 'a'"));
}

#[test]
fn lists_are_searched_until_it_is_found() {
    assert!(truth("algorithm in ['round_robin', 'least_kv']"));
    assert!(truth("algorithm not in ['round_robin']"));
    assert!(truth("cluster.num_backends in [4, 8.0, unknown]"));
    assert!(truth("1 + 1 in [2] && not 1 in [2, 3,]"));
    assert!(!truth("rate in []"));
    assert_eq!(wrong("rate in [1, 'a']").1, "compares a number with a text");
}

#[test]
fn what_is_not_needed_is_not_evaluated() {
    assert!(truth("true || 1 / 0 > 0"));
    assert!(!truth("false && unknown"));
    assert_eq!(value("if(rate > 10, 1, 1 / 0)"), Scalar::Whole(1));
    assert_eq!(value("if(rate < 10, unknown, 'b')"), Scalar::Text("b".to_owned()));
    let guarded = "cluster.kv_cache_blocks == null || cluster.kv_cache_blocks > 100";
    assert!(truth(guarded));
    assert!(truth("null == null && 1 != null && 'a' != null && false != null"));
}

#[test]
fn null_asks_for_a_guard() {
    let hint = "guard it: `cluster.kv_cache_blocks == null || …`".to_owned();
    let message = "`<` takes two numbers or two texts, and `cluster.kv_cache_blocks` is null";
    assert_eq!(wrong("1 < cluster.kv_cache_blocks"), (4, message.to_owned(), hint.clone()));
    let message = "`+` takes numbers, and `cluster.kv_cache_blocks` is null";
    assert_eq!(wrong("cluster.kv_cache_blocks + 1"), (0, message.to_owned(), hint.clone()));
    let message = "`&&` takes true or false, and `cluster.kv_cache_blocks` is null";
    assert_eq!(wrong("cluster.kv_cache_blocks && true"), (0, message.to_owned(), hint));
    let message = "`sqrt` takes numbers, and this is null";
    let hint = "guard it: `x == null || …`";
    assert_eq!(wrong("sqrt(null)"), (5, message.to_owned(), hint.to_owned()));
}

#[test]
fn values_of_the_wrong_kind_are_named() {
    for (text, at, message) in [
        ("rate == 'fast'", 5, "compares a number with a text"),
        ("enabled != 1", 8, "compares a truth value with a number"),
        ("'a' < 1", 4, "compares a text with a number"),
        (
            "rate >= enabled",
            8,
            "`>=` takes two numbers or two texts, and `enabled` is a truth value",
        ),
        ("algorithm + 1", 0, "`+` takes numbers, and `algorithm` is a text"),
        ("-'a'", 1, "`-` takes numbers, and this is a text"),
        ("!rate", 1, "`!` takes true or false, and `rate` is a number"),
        ("1 || true", 0, "`||` takes true or false, and this is a number"),
        ("if(1, 2, 3)", 3, "`if` takes true or false, and this is a number"),
        ("min(1, true)", 7, "`min` takes numbers, and this is a truth value"),
        ("1 + ratee", 4, "unknown name `ratee`"),
        ("broken", 0, "`broken` is NaN, no number"),
    ] {
        let (found_at, found, _) = wrong(text);
        assert_eq!((found_at, found.as_str()), (at, message), "{text}");
    }
}

#[test]
fn results_that_are_no_number_are_refused() {
    for (text, at, message) in [
        ("9223372036854775807 + 1", 20, "the result of `+` leaves 64 bits"),
        ("-9223372036854775807 - 2", 21, "the result of `-` leaves 64 bits"),
        ("3037000500 * 3037000500", 11, "the result of `*` leaves 64 bits"),
        ("-(-9223372036854775808)", 0, "the result of `-` leaves 64 bits"),
        ("abs(-9223372036854775808)", 0, "the result of `abs` leaves 64 bits"),
        ("pow(2, 63)", 0, "the result of `pow` leaves 64 bits"),
        ("pow(2, 4294967296)", 0, "the result of `pow` leaves 64 bits"),
        ("round(1e19)", 0, "the result of `round` leaves 64 bits"),
        ("1 / 0", 2, "division by zero"),
        ("1.5 / -0.0", 4, "division by zero"),
        ("1 % 0", 2, "remainder by zero"),
        ("1e308 * 10", 6, "the result of `*` is inf, no number"),
        ("sqrt(-1)", 0, "the result of `sqrt` is NaN, no number"),
        ("log2(0)", 0, "the result of `log2` is -inf, no number"),
        ("pow(0, -1)", 0, "the result of `pow` is inf, no number"),
        ("pow(-8, 0.5)", 0, "the result of `pow` is NaN, no number"),
    ] {
        let (found_at, found, _) = wrong(text);
        assert_eq!((found_at, found.as_str()), (at, message), "{text}");
    }
}

#[test]
fn what_is_no_expression_is_shown_where_it_goes_wrong() {
    for (text, at, message, hint) in [
        ("", 0, "the expression ends too soon", ""),
        ("1 +", 3, "the expression ends too soon", ""),
        ("(1", 2, "expected `)`, found the end", ""),
        ("1 2", 2, "unexpected `2`", ""),
        ("rate 'a'", 5, "unexpected `'a'`", ""),
        ("* 2", 0, "unexpected `*`", "a power is `pow(a, b)`"),
        ("2 ** 3", 3, "unexpected `*`", "a power is `pow(a, b)`"),
        ("2 ^ 3", 2, "unexpected `^`", "a power is `pow(a, b)`"),
        ("rate = 3", 5, "unexpected `=`", "equality is `==`"),
        ("a & b", 2, "unexpected `&`", "both is `&&`"),
        ("a | b", 2, "unexpected `|`", "either is `||`"),
        ("1 < 2 < 3", 6, "comparisons do not chain", "write `a < b && b < c`"),
        ("1 == a in [1]", 7, "comparisons do not chain", "write `a < b && b < c`"),
        ("a in [1] not in [2]", 9, "comparisons do not chain", "write `a < b && b < c`"),
        ("a in 3", 5, "expected `[`, found `3`", ""),
        ("a not 3", 2, "unexpected `not`", ""),
        ("[1]", 0, "unexpected `[`", "a list stands after `in`"),
        ("and 3", 0, "unexpected `and`", ""),
        ("if + 1", 0, "expected `(` after `if`", "write `if(condition, value, other)`"),
        ("if(a, b)", 0, "`if` has 2 arguments, expected a condition and two values", ""),
        ("min()", 0, "`min` has 0 arguments, expected one or more", ""),
        ("pow(1)", 0, "`pow` has 1 arguments, expected 2", ""),
        ("rond(1)", 0, "unknown function `rond`", "did you mean `round`?"),
        ("'abc", 0, "the text has no closing '", ""),
        ("9223372036854775808", 0, "`9223372036854775808` leaves 64 bits", ""),
        ("1 + 99999999999999999999", 4, "`99999999999999999999` leaves 64 bits", ""),
        ("1e999", 0, "`1e999` is beyond all numbers", ""),
        ("1.", 0, "`1.` is no number", ""),
        ("1.5.2", 0, "`1.5.2` is no number", ""),
        ("0x10", 0, "`0x10` is no number", ""),
        ("1__0", 0, "`1__0` is no number", ""),
        ("a..b", 0, "`a..b` is no name", "names are like `rate` and `cluster.num_backends`"),
        ("a.1", 0, "`a.1` is no name", "names are like `rate` and `cluster.num_backends`"),
        ("1 + é", 4, "unexpected `é`", "names of an expression have letters, digits, `_` and `.`"),
    ] {
        let expected = (at, message.to_owned(), hint.to_owned());
        let error = Expr::parse(text).expect_err(text);
        assert_eq!((error.at, error.message, error.hint.unwrap_or_default()), expected, "{text}");
    }
}

#[test]
fn an_error_is_shown_with_its_place_and_its_hint() {
    let error = Expr::parse("rate = 3").unwrap_err().to_string();
    assert_eq!(error, "byte 5: unexpected `=`\nhint: equality is `==`");
}

#[test]
fn no_depth_fills_the_stack() {
    for deep in ["(", "!", "-", "not ", "min(", "1 in [", "if(1,"] {
        let error = Expr::parse(&deep.repeat(100_000)).unwrap_err();
        assert_eq!(error.message, "the expression is more than 100 levels deep", "{deep}");
    }
    // A long chain is as deep on its left.
    let chain = |terms: usize| vec!["1"; terms].join(" + ");
    assert_eq!(value(&chain(100)), Scalar::Whole(100));
    assert_eq!(wrong(&chain(101)).1, "the expression is more than 100 levels deep");
    let nested = |levels: usize| format!("{}1{}", "(".repeat(levels), ")".repeat(levels));
    assert_eq!(value(&nested(99)), Scalar::Whole(1));
    assert_eq!(wrong(&nested(100)).1, "the expression is more than 100 levels deep");
}

#[test]
fn scalars_are_written_as_people_do() {
    for (scalar, text) in [
        (Scalar::Null, "null"),
        (Scalar::Truth(true), "true"),
        (Scalar::Whole(-7), "-7"),
        (Scalar::Real(12.0), "12"),
        (Scalar::Real(0.1), "0.1"),
        (Scalar::Real(-0.00001), "-0.00001"),
        (Scalar::Real(0.000_001), "1e-6"),
        (Scalar::Real(1e16), "1e16"),
        (Scalar::Real(0.0), "0"),
        (Scalar::Text("a b".to_owned()), "a b"),
    ] {
        assert_eq!(scalar.to_string(), text);
    }
}

/// An arithmetic or logical tree, to be written and evaluated by other means.
#[derive(Clone, Debug)]
enum Tree {
    Whole(i64),
    Quarters(i32),
    Negative(Box<Tree>),
    Two(&'static str, Box<Tree>, Box<Tree>),
}

/// What a tree is worth: a whole number, a real, or a truth value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Worth {
    Whole(i128),
    Real(f64),
    Truth(bool),
}

/// How tightly a sign binds, by position.
const SIGNS: [&[&str]; 5] =
    [&["||"], &["&&"], &["==", "!=", "<", "<=", ">", ">="], &["+", "-"], &["*", "/", "%"]];

impl Tree {
    fn strength(&self) -> usize {
        match self {
            Self::Two(sign, ..) => SIGNS.iter().position(|signs| signs.contains(sign)).unwrap(),
            Self::Negative(_) => 5,
            Self::Whole(_) | Self::Quarters(_) => 6,
        }
    }

    /// Writes the tree with no more parentheses than it needs.
    fn written(&self) -> String {
        let side = |tree: &Self, least: usize| {
            let text = tree.written();
            if tree.strength() < least { format!("({text})") } else { text }
        };
        match self {
            Self::Whole(value) => value.to_string(),
            Self::Quarters(value) => format!("{:?}", f64::from(*value) / 4.0),
            Self::Negative(right) => format!("-{}", side(right, 5)),
            Self::Two(sign, left, right) => {
                let strength = self.strength();
                // Comparisons do not chain; all else leans to the left.
                let left = side(left, strength + usize::from(strength == 2));
                format!("{left} {sign} {}", side(right, strength + 1))
            }
        }
    }

    /// The worth, if there is one: exact in 128 bits, or real.
    fn worth(&self) -> Option<Worth> {
        let real = |worth| match worth {
            Worth::Whole(value) => Some(value as f64),
            Worth::Real(value) => Some(value),
            Worth::Truth(_) => None,
        };
        let fits = |value: i128| i64::try_from(value).ok().map(|_| Worth::Whole(value));
        match self {
            Self::Whole(value) => Some(Worth::Whole((*value).into())),
            Self::Quarters(value) => Some(Worth::Real(f64::from(*value) / 4.0)),
            Self::Negative(right) => match right.worth()? {
                Worth::Whole(value) => fits(-value),
                worth => Some(Worth::Real(-real(worth)?)),
            },
            Self::Two(sign @ ("||" | "&&"), left, right) => match left.worth()? {
                Worth::Truth(truth) if truth == (*sign == "||") => Some(Worth::Truth(truth)),
                Worth::Truth(_) => right.worth().filter(|worth| matches!(worth, Worth::Truth(_))),
                Worth::Whole(_) | Worth::Real(_) => None,
            },
            Self::Two(sign, left, right) => match (*sign, left.worth()?, right.worth()?) {
                ("==", Worth::Truth(a), Worth::Truth(b)) => Some(Worth::Truth(a == b)),
                ("!=", Worth::Truth(a), Worth::Truth(b)) => Some(Worth::Truth(a != b)),
                ("+", Worth::Whole(a), Worth::Whole(b)) => fits(a + b),
                ("-", Worth::Whole(a), Worth::Whole(b)) => fits(a - b),
                ("*", Worth::Whole(a), Worth::Whole(b)) => fits(a * b),
                ("%", Worth::Whole(a), Worth::Whole(b)) => a.checked_rem(b).map(Worth::Whole),
                (sign, a, b) => of_reals(sign, real(a)?, real(b)?),
            },
        }
    }
}

fn of_reals(sign: &str, a: f64, b: f64) -> Option<Worth> {
    let order = a.partial_cmp(&b);
    let value = match sign {
        "==" => return order.map(|order| Worth::Truth(order.is_eq())),
        "!=" => return order.map(|order| Worth::Truth(order.is_ne())),
        "<" => return order.map(|order| Worth::Truth(order.is_lt())),
        "<=" => return order.map(|order| Worth::Truth(order.is_le())),
        ">" => return order.map(|order| Worth::Truth(order.is_gt())),
        ">=" => return order.map(|order| Worth::Truth(order.is_ge())),
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        _ => a % b,
    };
    Some(Worth::Real(value)).filter(|_| value.is_finite())
}

fn two(signs: &[&'static str], side: BoxedStrategy<Tree>) -> BoxedStrategy<Tree> {
    let sign = proptest::sample::select(signs.to_vec());
    (sign, side.clone(), side)
        .prop_map(|(sign, a, b)| Tree::Two(sign, Box::new(a), Box::new(b)))
        .boxed()
}

/// Arithmetic of up to 16 leaves below 10: no whole number leaves the 2⁵³ that a real holds.
fn numbers() -> BoxedStrategy<Tree> {
    let leaf = prop_oneof![
        4 => (0_i64..10).prop_map(Tree::Whole),
        1 => (0_i32..40).prop_map(Tree::Quarters),
    ];
    let deeper = |inner: BoxedStrategy<Tree>| {
        prop_oneof![
            1 => inner.clone().prop_map(|tree| Tree::Negative(Box::new(tree))),
            6 => two(&["+", "-", "*", "/", "%"], inner),
        ]
    };
    leaf.prop_recursive(4, 16, 2, deeper).boxed()
}

fn truths() -> BoxedStrategy<Tree> {
    let compared = two(SIGNS[2], numbers());
    compared
        .prop_recursive(3, 8, 2, |inner| {
            prop_oneof![3 => two(&["||", "&&"], inner.clone()), 1 => two(&["==", "!="], inner)]
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn trees_have_the_worth_that_another_evaluator_finds(
        tree in prop_oneof![numbers(), truths(), two(&SIGNS.concat(), prop_oneof![numbers(), truths()].boxed())]
    ) {
        let text = tree.written();
        let expr = Expr::parse(&text);
        prop_assert!(expr.is_ok(), "{text}: {expr:?}");
        let found = match expr.unwrap().evaluate(&|_| None) {
            Ok(Scalar::Whole(value)) => Some(Worth::Whole(value.into())),
            Ok(Scalar::Real(value)) => Some(Worth::Real(value)),
            Ok(Scalar::Truth(truth)) => Some(Worth::Truth(truth)),
            Ok(Scalar::Null | Scalar::Text(_)) | Err(_) => None,
        };
        prop_assert_eq!(found, tree.worth(), "{}", text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        if let Err(error) = Expr::parse(&text) {
            prop_assert!(text.is_char_boundary(error.at));
        }
    }

    #[test]
    fn no_heap_of_tokens_makes_it_panic(
        tokens in proptest::collection::vec(
            proptest::sample::select(vec![
                "(", ")", "[", "]", ",", "+", "-", "*", "/", "%", "<", "==", "!", "&&", "||", "in",
                "not", "and", "if(", "min(", "pow(", "rate", "enabled", "algorithm", "null", "0",
                "9223372036854775808", "1.5", "'é'", "true", " ",
            ]),
            0..30,
        )
    ) {
        let text = tokens.concat();
        match Expr::parse(&text).and_then(|expr| expr.evaluate(&cell)) {
            Ok(Scalar::Real(value)) => prop_assert!(value.is_finite()),
            Ok(_) => {}
            Err(error) => prop_assert!(text.is_char_boundary(error.at)),
        }
    }

    #[test]
    fn a_real_reads_back_as_it_was_written(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let text = Scalar::Real(value).to_string();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{}", text);
    }
}

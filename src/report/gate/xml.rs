//! Text in XML.

/// Returns a text as it may stand in an attribute in double quotes, or between tags.
///
/// A tab and an end of line come back as they were: as they are, an attribute would have spaces.
/// What XML 1.0 can't hold in any way is U+FFFD, the sign for what could not be shown.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' => escaped.push_str("&#9;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_means_something_to_xml_is_written_out() {
        assert_eq!(escaped("a<b & \"c\">'d'"), "a&lt;b &amp; &quot;c&quot;&gt;&apos;d&apos;");
        assert_eq!(escaped("1\n2\t3"), "1&#10;2&#9;3");
        assert_eq!(escaped("\u{1b}[31m\u{0}\u{ffff}é€𝄞"), "\u{fffd}[31m\u{fffd}\u{fffd}é€𝄞");
    }

    proptest! {
        #[test]
        fn a_reader_of_xml_has_the_text_back(text in any::<String>()) {
            let back = quick_xml::escape::unescape(&escaped(&text)).unwrap().into_owned();
            let held = |c: char| match c {
                '\t' | '\n' | '\r' => c,
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
                _ => c,
            };
            prop_assert_eq!(back, text.chars().map(held).collect::<String>());
        }
    }
}

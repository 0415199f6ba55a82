//! `-name value -other 'a b'`: how one job gives options to another.

use crate::context::split_words;

/// Splits an argument line into options and their values.
///
/// A word that begins with `-` names an option, and the word after it is its value; `-name` at the end of the line has
/// an empty value. Words are those of [`split_words`].
///
/// # Errors
/// A sentence that names the word that is no option.
pub fn parse_arguments(line: &str) -> Result<Vec<(String, String)>, String> {
    let mut options = Vec::new();
    let mut words = split_words(line).into_iter();
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix('-').filter(|name| !name.is_empty()) else {
            return Err(format!(
                "`{word}` is neither an option nor the value of one; options are written `-name value`"
            ));
        };
        options.push((name.to_owned(), words.next().unwrap_or_default()));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_argument_lines() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parse_arguments(r#"-env prod -message 'two words' -quoted "a ""b"" c" -ref ${option.x y} -n -5"#),
            Ok(vec![
                pair("env", "prod"),
                pair("message", "two words"),
                pair("quoted", "a \"b\" c"),
                pair("ref", "${option.x y}"),
                pair("n", "-5"),
            ])
        );
        assert_eq!(parse_arguments("  "), Ok(vec![]));
        assert_eq!(parse_arguments("-flag"), Ok(vec![pair("flag", "")]));
        assert_eq!(parse_arguments("-empty '' -b 1"), Ok(vec![pair("empty", ""), pair("b", "1")]));
        assert!(parse_arguments("prod").is_err());
        assert!(parse_arguments("-a b c").is_err());
    }
}

//! `-name value -other 'a b'`: how one job gives options to another.

/// Splits an argument line into options and their values.
///
/// Words are divided by spaces; `'…'` and `"…"` hold a word together, a doubled quote inside of its own kind is one
/// quote. A word that begins with `-` names an option, and the word after it is its value; `-name` at the end of the
/// line has an empty value.
///
/// # Errors
/// A sentence that names the word that is no option, or the open quote.
pub fn parse_arguments(line: &str) -> Result<Vec<(String, String)>, String> {
    let words = split_words(line)?;
    let mut options = Vec::new();
    let mut words = words.into_iter().peekable();
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

/// Splits a line into words as [`parse_arguments`] does.
///
/// # Errors
/// A sentence on the quote that is not closed.
pub fn split_words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    let mut word: Option<String> = None;
    while let Some(letter) = letters.next() {
        match letter {
            quote @ ('\'' | '"') => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        None => {
                            return Err(format!("the quote {quote} is not closed in `{}`", crate::file::clip(line)));
                        }
                        Some(next) if next == quote => {
                            if letters.next_if_eq(&quote).is_none() {
                                break;
                            }
                            word.push(quote);
                        }
                        Some(next) => word.push(next),
                    }
                }
            }
            space if space.is_whitespace() => words.extend(word.take()),
            // A reference is one word, whatever stands in it.
            '$' if letters.peek() == Some(&'{') => {
                let word = word.get_or_insert_default();
                word.push('$');
                for next in letters.by_ref() {
                    word.push(next);
                    if next == '}' {
                        break;
                    }
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
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
        assert!(parse_arguments("-a 'b").is_err());
    }
}

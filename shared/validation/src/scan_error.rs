//! What the scanner finds wrong.

/// Why the text is no JSON document within bounds; the scanner stands at the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanError {
    TooDeep,
    Value,
    EndInString,
    EndAtValue,
    Control,
    Escape,
    Hexadecimal,
    Digit,
    NeedlessZero,
    Key,
    Colon,
    AfterMember,
    AfterElement,
    AfterAll,
    TooLong,
}

impl ScanError {
    /// What is wrong, in words.
    pub(crate) fn what(self) -> &'static str {
        match self {
            ScanError::TooDeep => "nested too deeply",
            ScanError::Value => "no JSON value",
            ScanError::EndInString => "the text ends within a string",
            ScanError::EndAtValue => "the text ends where a value should be",
            ScanError::Control => "a control character in a string must be escaped",
            ScanError::Escape => "unknown escape in a string",
            ScanError::Hexadecimal => "\\u needs four hexadecimal digits",
            ScanError::Digit => "a digit is missing in a number",
            ScanError::NeedlessZero => "a number starts with a needless zero",
            ScanError::Key => "a key in quotes should be here",
            ScanError::Colon => "a colon should be here",
            ScanError::AfterMember => "a comma or a closing brace should be here",
            ScanError::AfterElement => "a comma or a closing bracket should be here",
            ScanError::AfterAll => "something follows the value",
            ScanError::TooLong => "too long",
        }
    }
}

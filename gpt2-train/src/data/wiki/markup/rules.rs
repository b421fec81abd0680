//! What becomes of templates, by their names.

use std::borrow::Cow;
use std::collections::HashMap;

/// What becomes of a template.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// Nothing, and the page is a disambiguation.
    Disambiguation,
    /// This text.
    Text(&'static str),
    /// The title of the page.
    Title,
    /// An argument, counted from 1.
    Argument(usize),
    /// The last argument without a name.
    Last,
    /// The argument `lt` or `label`, or else the first one.
    Label,
    /// The argument `text` or `quote`, or else the first one, as a paragraph.
    Quotation,
    /// What stands behind the colon.
    Function,
    /// What a function makes of names and texts of all arguments.
    Compose(fn(&[Value]) -> String),
}

/// An argument: its name, if it has one, and its text.
pub type Value<'a> = (Option<&'a str>, &'a str);

/// Templates that say that a page tells meanings of a word apart: in English, Indonesian, Portuguese, Japanese and Czech.
const DISAMBIGUATIONS: &str = "disambiguation|disambig|disamb|dab|disambiguation page|disambiguation cleanup|geodis|hndis|\
    human name disambiguation|place name disambiguation|airport disambiguation|biology disambiguation|\
    call sign disambiguation|chinese title disambiguation|church disambiguation|hospital disambiguation|\
    letter–number combination disambiguation|letter-number combination disambiguation|mathematical disambiguation|\
    numberdis|phonetics disambiguation|road disambiguation|roaddis|school disambiguation|schooldis|\
    species latin name disambiguation|species latin name abbreviation disambiguation|station disambiguation|\
    taxonomy disambiguation|synagogue disambiguation|genus disambiguation|hndis-cleanup|mathdab|\
    disambiguasi|disambig tokoh|disambiguasi tokoh|disambiguasi tempat|disambiguasi geografi|disambignama|\
    disambiguation tokoh|\
    desambiguação|desambiguacao|desambig|desambiguação-curta|desambiguação pessoas|desambiguação de topônimos|\
    desambiguação de apelidos|desambiguação sobrenome|\
    aimai|曖昧さ回避|あいまいさ回避|人名の曖昧さ回避|地名の曖昧さ回避|駅名の曖昧さ回避|学校名の曖昧さ回避|\
    山の曖昧さ回避|曖昧さ回避 (数字)|\
    rozcestník|disambiguace|rozcestník - příjmení|rozcestník - jméno|rozcestník – příjmení|rozcestník - 2 písmena|\
    rozcestník - 3 písmena|rozcestník - 4 písmena|rozcestník - místopisné jméno";

/// Templates that are an argument of theirs.
const ARGUMENTS: [(usize, &str); 2] = [
    (
        1,
        "nowrap|nobr|nobreak|no break|nobold|noitalic|small|smaller|big|larger|large|em|strong|bold|italic|sc|smallcaps|\
         small caps|caps|allcaps|abbr|abbrlink|abrev|abreviatura|tooltip|sup|sub|flag|flagcountry|flagu|\
         vlajka a název|unicode|lang-latn|nihongo2|ruby|ruby-ja|ふりがな|ルビ|振り仮名|要出典範囲|\
         補助漢字フォント|jis2004フォント|jis90フォント|visible anchor|vanc|vanchor|dfn|term|zkratka|zkr|polytonic|as of|\
         angle bracket|angbr|not a typo|not typo|sic|proper name|kbd|mono|underline|strikethrough|center|centralizar|\
         align|hlist-inline|noautolink|plainlist-inline|fontsize|fmtn|fmtnum|num|nts|script/hebrew|script/arabic|\
         okina text|transliterasi|nama asli|zh-full|linktext|wiktionary link|wikt-inline|単位|数値",
    ),
    (
        2,
        "lang|langx|langue|cizojazyčně|cj|vjazyce2|color|colour|cor|barva|色|font color|script|wikt-lang",
    ),
];

/// Templates that quote.
const QUOTATIONS: &str = "quote|blockquote|cquote|quotation|rquote|quote box|citação|quote1|citação2|citát|citace textu|kutipan|\
    kutipan blok|引用|引用文";

/// Templates that link to a page that another Wikipedia has.
const LABELS: &str = "ill|illm|ill2|interlanguage link|interlanguage link multi|link-interwiki|仮リンク|ilc|lien|pautan antarbahasa|\
    ligação interlíngua|ill-wd";

/// Templates and variables that are always the same text.
const TEXTS: [(&str, &str); 21] = [
    ("!", "|"),
    ("=", "="),
    ("'", "'"),
    ("'s", "'s"),
    ("okina", "ʻ"),
    ("snd", " – "),
    ("spnd", " – "),
    ("spaced ndash", " – "),
    ("ndash", "–"),
    ("–", " – "),
    ("mdash", "—"),
    ("spaced mdash", " — "),
    ("nbsp", " "),
    ("space", " "),
    ("spaces", " "),
    ("·", " · "),
    ("•", " • "),
    ("break", "\n"),
    ("crlf", "\n"),
    ("br", "\n"),
    ("((", "{{"),
];

/// Longest name of a template that is looked up.
const LONGEST_NAME: usize = 120;

/// What becomes of templates; those without a rule are dropped.
#[derive(Debug, Clone)]
pub struct Rules(HashMap<Box<str>, Rule>);

impl Rules {
    /// The rules of this module, and further names of templates that make a page a disambiguation.
    #[must_use]
    pub fn new(disambiguations: &[String]) -> Self {
        let mut rules: HashMap<Box<str>, Rule> = HashMap::new();
        let mut add = |names: &str, rule: Rule| {
            rules.extend(names.split('|').map(|name| (name.trim().into(), rule)));
        };
        add(DISAMBIGUATIONS, Rule::Disambiguation);
        for (number, names) in ARGUMENTS {
            add(names, Rule::Argument(number));
        }
        add(QUOTATIONS, Rule::Quotation);
        add(LABELS, Rule::Label);
        add("transl|transliteration|translit|tlit|přepis", Rule::Last);
        add("pagename|pagenamee|fullpagename|subjectpagename|basepagename", Rule::Title);
        add("formatnum:|lc:|uc:|lcfirst:|ucfirst:", Rule::Function);
        add("nihongo|nihongo foot|nihongo krt|nihongo title", Rule::Compose(nihongo));
        add("読み仮名|読み仮名 ruby不使用|読み", Rule::Compose(reading));
        add("convert|cvt|converter|unit|unidade|konversi", Rule::Compose(convert));
        add("val", Rule::Compose(value));
        add("frac|fraction|sfrac|fração|zlomek", Rule::Compose(fraction));
        add("circa|c.|ca.|cca", Rule::Compose(circa));
        rules.extend(TEXTS.map(|(name, text)| (name.into(), Rule::Text(text))));
        let further = disambiguations.iter().map(|name| normal(name).into_owned().into());
        rules.extend(further.map(|name| (name, Rule::Disambiguation)));
        Self(rules)
    }

    /// The rule for a template by the name that it is called by, and, for a function, the length of that name.
    pub(super) fn find(&self, name: &str) -> Option<(Rule, usize)> {
        let function = name.find(':').map(|colon| colon + 1);
        let key = &name[..function.unwrap_or(name.len())];
        if key.len() > LONGEST_NAME {
            return None;
        }
        let key = normal(key);
        if let Some(rule) = self.0.get(&*key) {
            return Some((*rule, function.unwrap_or(0)));
        }
        // `{{lang-ja|..}}`, `{{Rozcestník - ..}}`
        let is_language = key.strip_prefix("lang-").is_some_and(|code| code.len() <= 12);
        match () {
            () if is_language => Some((Rule::Argument(1), 0)),
            () if key.starts_with("rozcestník ") => Some((Rule::Disambiguation, 0)),
            () => None,
        }
    }
}

/// A name as MediaWiki takes it, and without a difference between capitals and others.
fn normal(name: &str) -> Cow<'_, str> {
    let name =
        name.trim_matches(|sign: char| sign.is_whitespace() || sign == '_' || sign.is_control());
    let is_normal = |byte: u8| byte.is_ascii() && byte != b'_' && !byte.is_ascii_uppercase();
    match name.bytes().all(is_normal) {
        true => Cow::Borrowed(name),
        false => Cow::Owned(name.replace('_', " ").to_lowercase()),
    }
}

/// Texts of the arguments without a name, and of those whose name is a number.
fn unnamed<'a>(arguments: &'a [Value<'a>]) -> impl Iterator<Item = &'a str> {
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    arguments.iter().filter(move |(name, _)| name.is_none_or(is_number)).map(|(_, text)| *text)
}

/// `English (日本語, Nihongo)`
fn nihongo(arguments: &[Value]) -> String {
    let texts: Vec<&str> = unnamed(arguments).take(3).filter(|text| !text.is_empty()).collect();
    match texts.as_slice() {
        [] => String::new(),
        [text] => (*text).to_string(),
        [text, rest @ ..] => format!("{text} ({})", rest.join(", ")),
    }
}

/// `漢字（かんじ）`
fn reading(arguments: &[Value]) -> String {
    let mut texts = unnamed(arguments);
    match (texts.next(), texts.next()) {
        (Some(text), Some(reading)) if !reading.is_empty() => format!("{text}（{reading}）"),
        (text, _) => text.unwrap_or_default().to_string(),
    }
}

/// Numbers, what stands between them, and their unit, as they were before conversion.
fn convert(arguments: &[Value]) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut has_unit = false;
    for text in unnamed(arguments) {
        let is_number = text
            .starts_with(|sign: char| sign.is_ascii_digit() || "-−+.,".contains(sign))
            && text.contains(|sign: char| sign.is_ascii_digit());
        // Feet and inches; what follows a unit and is no number is what it is converted to.
        if has_unit && !is_number {
            break;
        }
        let is_between = matches!(
            text,
            "-" | "–"
                | "to"
                | "and"
                | "by"
                | "x"
                | "×"
                | "or"
                | "+/-"
                | "±"
                | "a"
                | "e"
                | "až"
                | "dan"
        );
        has_unit = !is_number && !is_between;
        words.push(text);
        if words.len() > 8 {
            break;
        }
    }
    // Two numbers after a unit are a precision, not a quantity.
    while words.len() > 2 && words.last().is_some_and(|word| word.parse::<f64>().is_ok()) {
        words.pop();
    }
    words.into_iter().map(unit).collect::<Vec<_>>().join(" ")
}

/// `km2` as it is shown; other words as they are.
fn unit(word: &str) -> Cow<'_, str> {
    let is_letters = |word: &str| !word.is_empty() && word.chars().all(char::is_alphabetic);
    match (
        word.strip_suffix('2').filter(|rest| is_letters(rest)),
        word.strip_suffix('3').filter(|rest| is_letters(rest)),
    ) {
        (Some(rest), _) => Cow::Owned(format!("{rest}²")),
        (_, Some(rest)) => Cow::Owned(format!("{rest}³")),
        _ => Cow::Borrowed(word),
    }
}

/// A number and the argument `u`.
fn value(arguments: &[Value]) -> String {
    let number = unnamed(arguments).next().unwrap_or_default();
    match arguments.iter().find(|(name, _)| matches!(name, Some("u" | "ul"))) {
        Some((_, unit)) => format!("{number} {unit}"),
        None => number.to_string(),
    }
}

/// `1/2`, `1 1/2`
fn fraction(arguments: &[Value]) -> String {
    match unnamed(arguments).collect::<Vec<_>>().as_slice() {
        [denominator] => format!("1/{denominator}"),
        [numerator, denominator] => format!("{numerator}/{denominator}"),
        [whole, numerator, denominator, ..] => format!("{whole} {numerator}/{denominator}"),
        [] => String::new(),
    }
}

/// `c. 1500`
fn circa(arguments: &[Value]) -> String {
    match unnamed(arguments).next() {
        Some(year) => format!("c. {year}"),
        None => "c.".to_string(),
    }
}

//! Words of Wikipedias in several languages.

/// How the text of a page begins that only leads to another one, behind the `#`, in small letters.
const REDIRECTS: [&str; 16] = [
    "redirect",
    "alih",
    "redirecionamento",
    "přesměruj",
    "転送",
    "リダイレクト",
    "weiterleitung",
    "redirección",
    "redirection",
    "rinvia",
    "doorverwijzing",
    "patrz",
    "перенаправление",
    "重定向",
    "omdirigering",
    "presmeruj",
];

/// How the title of a page ends that tells meanings of a word apart.
const DISAMBIGUATIONS: [&str; 8] = [
    " (disambiguation)",
    " (disambiguasi)",
    " (desambiguação)",
    " (rozcestník)",
    " (曖昧さ回避)",
    "（曖昧さ回避）",
    " (begriffsklärung)",
    " (homonymie)",
];

/// Whether a page's text only leads to another page.
pub fn is_redirect(text: &str) -> bool {
    const LONGEST: usize = 64;
    let Some(text) = text.trim_start().strip_prefix('#') else { return false };
    let Some((word, _)) = text.split_once("[[").filter(|(word, _)| word.len() <= LONGEST) else {
        return false;
    };
    let word = word.trim_end_matches(|sign: char| sign.is_whitespace() || sign == ':').trim_start();
    REDIRECTS.contains(&&*word.to_lowercase())
}

/// Whether a page's title says that it tells meanings of a word apart.
pub fn is_disambiguation(title: &str) -> bool {
    let title = title.to_lowercase();
    DISAMBIGUATIONS.iter().any(|end| title.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_known_in_five_languages() {
        for text in [
            "#REDIRECT [[A]]",
            "#redirect[[A]]",
            " #ALIH [[A]]",
            "#REDIRECIONAMENTO [[A]]",
            "#PŘESMĚRUJ [[A]]",
            "#přesměruj: [[A]]",
            "#転送 [[A]]",
            "#リダイレクト[[A]]",
            "# REDIRECT [[A#b]] {{x}}",
        ] {
            assert!(is_redirect(text), "{text}");
        }
        for text in ["REDIRECT [[A]]", "# satu [[A]]", "#redirect", "#alihkan [[A]]", "", "#"] {
            assert!(!is_redirect(text), "{text}");
        }
        assert!(
            is_disambiguation("Merkur (rozcestník)")
                && is_disambiguation("マーキュリー (曖昧さ回避)")
        );
        assert!(!is_disambiguation("Disambiguation") && !is_disambiguation("Merkur (planeta)"));
    }
}

//! What a dump says of the wiki that it is of.

/// Key of the namespace of files.
const FILE: i32 = 6;

/// Key of the namespace of categories.
const CATEGORY: i32 = 14;

/// Names of these namespaces that dumps do not give: MediaWiki's own, which every wiki understands, and older ones.
const FILES: [&str; 9] =
    ["file", "image", "berkas", "gambar", "ficheiro", "imagem", "soubor", "ファイル", "画像"];
const CATEGORIES: [&str; 4] = ["category", "kategori", "categoria", "kategorie"];

/// A wiki.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// Where its pages are, such as `https://cs.wikipedia.org/wiki/`.
    pub base: String,
    /// Names of files and categories, in small letters, in order.
    hidden: Vec<String>,
}

impl Site {
    /// A wiki with its main page and the keys and names of its namespaces.
    #[must_use]
    pub fn new(main_page: &str, namespaces: &[(i32, String)]) -> Self {
        let base = main_page.rfind('/').map_or("", |slash| &main_page[..=slash]).to_string();
        let named = namespaces
            .iter()
            .filter(|(key, _)| [FILE, CATEGORY].contains(key))
            .map(|(_, name)| name.to_lowercase());
        let known = FILES.iter().chain(&CATEGORIES).map(ToString::to_string);
        let mut hidden: Vec<String> = known.chain(named).filter(|name| !name.is_empty()).collect();
        hidden.sort();
        hidden.dedup();
        Self { base, hidden }
    }

    /// Whether links to pages with this prefix show nothing in the text: files and categories.
    #[must_use]
    pub fn is_hidden(&self, prefix: &str) -> bool {
        self.hidden.binary_search(&prefix.to_lowercase()).is_ok()
    }

    /// Where a page is; empty for a wiki that does not say where it is.
    #[must_use]
    pub fn url(&self, title: &str) -> String {
        if self.base.is_empty() {
            return String::new();
        }
        let mut url = self.base.clone();
        for byte in title.bytes() {
            match byte {
                b' ' => url.push('_'),
                b'A'..=b'Z'
                | b'a'..=b'z'
                | b'0'..=b'9'
                | b'-'
                | b'_'
                | b'.'
                | b'~'
                | b'('
                | b')'
                | b','
                | b'/'
                | b':'
                | b'!'
                | b'*'
                | b';'
                | b'@'
                | b'$' => {
                    url.push(char::from(byte));
                }
                _ => url.push_str(&format!("%{byte:02X}")),
            }
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_of_the_dump_and_of_every_wiki_are_known() {
        let names = [
            (6, "Datei".to_string()),
            (14, "Kategorie".to_string()),
            (0, String::new()),
            (4, "Wikipedia".to_string()),
        ];
        let site = Site::new("https://de.wikipedia.org/wiki/Hauptseite", &names);
        for hidden in ["Datei", "datei", "File", "image", "KATEGORIE", "ファイル"] {
            assert!(site.is_hidden(hidden), "{hidden}");
        }
        for shown in ["", "Wikipedia", "Spezial"] {
            assert!(!site.is_hidden(shown), "{shown}");
        }
        assert_eq!(
            site.url("Čapek, Karel (autor)"),
            "https://de.wikipedia.org/wiki/%C4%8Capek,_Karel_(autor)"
        );
        assert_eq!(Site::new("", &[]).url("a"), "");
    }
}

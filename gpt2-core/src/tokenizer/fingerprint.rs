//! What two tokenizers must have in common to give the same ids.

use xxhash_rust::xxh3::Xxh3;

use super::bpe::Bpe;
use super::save::tokens_in_order;
use super::sentencepiece::SentencePiece;
use super::special::AddedToken;
use super::{Engine, Tokenizer};

impl Tokenizer {
    /// A hash of all that decides which ids a text becomes, as 32 hexadecimal digits: tokens, merges, added tokens, and
    /// what is done to a text before it is divided.
    ///
    /// It is of the content and not of the files: a tokenizer that is saved and read again has the same.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = match &self.engine {
            Engine::Bpe(bpe) => hash_bpe(bpe),
            Engine::SentencePiece(model) => hash_sentencepiece(model),
        };
        format!("{:032x}", hash.digest128())
    }

    /// Whether a text can be encoded in parts: wherever `a` ends in a character that is no white space and `b` begins
    /// with one that is, the ids of `a` followed by those of `b` are the ids of both in one.
    ///
    /// So it is with GPT-2's division into words. A tokenizer that puts a space before a text, changes the text first,
    /// takes it as one word, or has added tokens that reach over white space does not promise it; nor does SentencePiece.
    #[must_use]
    pub fn encodes_in_parts(&self) -> bool {
        let Engine::Bpe(bpe) = &self.engine else { return false };
        let reaches_over = |token: &AddedToken| {
            token.rstrip || token.content.is_empty() || token.content.contains(char::is_whitespace)
        };
        let divided = !bpe.add_prefix_space() && !bpe.one_word() && bpe.normalizers().is_empty();
        divided && !bpe.added().iter().any(reaches_over)
    }
}

fn hash_bpe(bpe: &Bpe) -> Xxh3 {
    let mut hash = Xxh3::new();
    // Every text is followed by a byte that no UTF-8 text holds.
    let mut text = |text: &str| {
        hash.update(text.as_bytes());
        hash.update(&[0xFF]);
    };
    text("bbpe");
    for (id, token) in tokens_in_order(bpe) {
        text(&id.to_string());
        text(&token);
    }
    for (left, right) in bpe.merges() {
        text(&format!("{left} {right}"));
    }
    let mut added: Vec<&AddedToken> = bpe.added().iter().collect();
    added.sort_by_key(|token| token.id);
    for token in added {
        let AddedToken { id, content, single_word, lstrip, rstrip, normalized, special: _ } = token;
        // What is not normalized matters only where something is.
        let normalized = *normalized && !bpe.normalizers().is_empty();
        text(content);
        text(&format!("{id} {single_word} {lstrip} {rstrip} {normalized}"));
    }
    text(&format!("{:?} {:?}", bpe.normalizers(), bpe.unk_token()));
    text(&format!("{:?} {} {}", bpe.model_flags(), bpe.add_prefix_space(), bpe.one_word()));
    hash
}

fn hash_sentencepiece(tokenizer: &SentencePiece) -> Xxh3 {
    let mut hash = Xxh3::new();
    hash.update(b"sentencepiece");
    hash.update(&tokenizer.digest().to_le_bytes());
    for token in tokenizer.added() {
        let AddedToken { id, content, single_word, lstrip, rstrip, .. } = token;
        hash.update(format!("{content}\0{id} {single_word} {lstrip} {rstrip}\0").as_bytes());
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TEXTS, small};
    use super::*;

    /// The tokenizer of [`small`], saved, with one file changed.
    fn changed(name: &str, change: impl Fn(&str) -> String) -> Tokenizer {
        let folder = tempfile::tempdir().unwrap();
        small().save(folder.path()).unwrap();
        let path = folder.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let new = change(&text);
        assert_ne!(text, new, "{name}");
        std::fs::write(&path, new).unwrap();
        Tokenizer::from_folder(folder.path()).unwrap()
    }

    #[test]
    fn the_fingerprint_is_of_the_content_and_not_of_the_files() {
        let (trained, folder) = (small(), tempfile::tempdir().unwrap());
        trained.save(folder.path()).unwrap();
        let loaded = Tokenizer::from_folder(folder.path()).unwrap();
        assert_eq!(trained.fingerprint(), loaded.fingerprint());
        for file in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
        let first_release = Tokenizer::from_folder(folder.path()).unwrap();
        assert_eq!(trained.fingerprint(), first_release.fingerprint());
    }

    #[test]
    fn another_merge_token_or_prefix_is_another_fingerprint() {
        let one = small().fingerprint();
        let prefix = changed("tokenizer_config.json", |text| {
            text.replace("\"add_prefix_space\": false", "\"add_prefix_space\": true")
        });
        let token =
            changed("tokenizer.json", |text| text.replace("\"lstrip\": false", "\"lstrip\": true"));
        let fewer = Tokenizer::train_bpe(
            TEXTS.iter().map(|text| text.to_string()),
            &super::super::TrainBpeOptions {
                vocab_size: 299,
                min_frequency: 1,
                ..Default::default()
            },
        )
        .unwrap();
        for other in [prefix, token, fewer] {
            assert_ne!(other.fingerprint(), one);
        }
    }

    #[test]
    fn parts_that_end_before_white_space_have_the_ids_of_the_whole() {
        let tokenizer = small();
        assert!(tokenizer.encodes_in_parts());
        let text = TEXTS.concat() + "\r\n\t\u{a0} the\u{85}\u{2028}<|endoftext|> \n<|endoftext|> '";
        let whole = tokenizer.encode_ids(&text).unwrap();
        let mut parts = 0;
        for (at, c) in text.char_indices().skip(1) {
            if c.is_whitespace() && !text[..at].ends_with(char::is_whitespace) {
                let [a, b] = [&text[..at], &text[at..]].map(|t| tokenizer.encode_ids(t).unwrap());
                assert_eq!([a, b].concat(), whole, "at {at}");
                parts += 1;
            }
        }
        assert!(parts > 20);
    }

    #[test]
    fn a_tokenizer_that_looks_beyond_white_space_promises_no_parts() {
        let prefix = changed("tokenizer_config.json", |text| {
            text.replace("\"add_prefix_space\": false", "\"add_prefix_space\": true")
        });
        let strips =
            changed("tokenizer.json", |text| text.replace("\"rstrip\": false", "\"rstrip\": true"));
        assert!(!prefix.encodes_in_parts() && !strips.encodes_in_parts());
    }
}

//! Claims about SentencePiece models.

"""Languages: BCP-47 codes, English names, detection."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from llmcli.errors import InputError, UsageError

COMMON = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian",
    "lv": "Latvian", "nb": "Norwegian", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
UNSPACED = frozenset({"zh", "ja", "th"})
"""Languages that put no space between sentences."""
CERTAIN = 0.25
"""The least probability at which a detected language is believed."""


def matching(incomplete: str) -> Iterator[tuple[str, str]]:
    """Common languages whose code or English name begins so: what completes it, and what it is."""
    for code, name in COMMON.items():
        if code.startswith(incomplete):
            yield code, name
        if incomplete and name.startswith(incomplete):
            yield name, code


def parse(name: str) -> str:
    """The language subtag of a BCP-47 code or an English name. Raises UsageError for neither."""
    folded = name.strip().lower()
    if folded in COMMON:
        return folded
    for code, known in COMMON.items():
        if known.lower() == folded:
            return code
    import langcodes

    try:
        found = langcodes.Language.get(folded, normalize=True)
        if found.is_valid() and found.language and found.language != "und":
            return _macro(str(found.language))
        return _macro(str(langcodes.find(folded).language))
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"no language called {name!r}",
            code="bad-language",
            hint="give a code like fr, or a name like French",
        ) from error


_TOKEN = re.compile(r"__([a-z]{2,3})__|>>([\w-]+)<<|([a-z]{2,3}_[A-Z][A-Za-z]{1,3})")


def codes(tokens: Iterable[str]) -> dict[str, str]:
    """The language tokens of a tokenizer by language: ``fr`` -> ``__fr__``, ``fr_XX``, ``fra_Latn`` or ``>>fra<<``.

    Where a language has several (``zho_Hans``, ``zho_Hant``), the one of its usual script is taken.
    """
    import langcodes

    found: dict[str, tuple[int, str]] = {}
    for token in tokens:
        match = _TOKEN.fullmatch(token)
        try:
            tag = langcodes.standardize_tag(next(filter(None, match.groups())), macro=True) if match else "und"
        except ValueError:  # a group of languages
            continue
        language, *rest = tag.split("-")
        if language in ("und", "mul"):
            continue
        usual = not rest or rest[0] in ("XX", langcodes.Language.get(language).maximize().script)
        ranked = (0 if usual else 1, token)
        found[_macro(language)] = min(found.get(_macro(language), ranked), ranked, key=lambda item: item[0])
    return {language: token for language, (_, token) in found.items()}


def _macro(code: str) -> str:
    return {"no": "nb", "cmn": "zh", "fil": "tl"}.get(code, code)


def name(code: str) -> str:
    """The English name of a language."""
    if code in COMMON:
        return COMMON[code]
    import langcodes

    return str(langcodes.Language.get(code).language_name())


def listed(codes: Sequence[str], most: int = 20) -> str:
    """Languages for an error's hint: the first ones of many."""
    more = f" and {len(codes) - most} more" if len(codes) > most else ""
    return (", ".join(codes[:most]) or "none") + more


def detect(text: str, allowed: Sequence[str]) -> str:
    """The language of a text, among those allowed. Raises InputError where it cannot be told.

    Method: py3langid, the maintained fork of langid.py (Lui and Baldwin, ACL 2012).
    """
    if not any(character.isalpha() for character in text):
        raise InputError("the text has no letters to tell its language by", code="no-language", hint="give --from")
    code, score = _identifier(tuple(sorted(allowed))).classify(text[:4000])
    if float(score) < CERTAIN:
        raise InputError("cannot tell the text's language", code="no-language", hint="give --from")
    return _macro(str(code))


@functools.lru_cache(maxsize=4)
def _identifier(allowed: tuple[str, ...]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = [code for code in allowed if code in set(identifier.labels)]
    if known:
        identifier.set_languages(known)
    return identifier

"""Languages: BCP-47 codes, English names, detection."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
_CODES = {title.lower(): code for code, title in COMMON.items()}
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
    """The language subtag of a BCP-47 code, or of a name in English or in the language itself.

    Scripts and regions are read and left out: ``zh-Hant``, ``pt-BR``, ``português do Brasil``.
    Raises UsageError (``bad-language``) for neither, with the nearest name as a hint.
    """
    folded = name.strip().lower()
    if folded in COMMON:
        return folded
    language = _CODES.get(folded) or _of_code(folded) or _names().get(folded) or _of_any_name(folded)
    if not language:
        near = _nearest(folded[:40]) if len(folded) > 3 else ""
        hint = f"did you mean {near}?" if near else "give a code like fr, or a name like French"
        raise UsageError(f"no language called {name[:40]!r}", code="bad-language", hint=hint)
    return _macro(language)


def tag(name: str) -> str:
    """The BCP-47 tag of a language, with the script or region that is named: ``zh-Hant``, ``pt-BR``, ``sr-Latn``.

    Raises UsageError as :func:`parse` does.
    """
    import langcodes

    language = parse(name)
    try:
        found = langcodes.Language.get(name.strip(), normalize=True)
    except ValueError:
        try:
            found = langcodes.find(name.strip())
        except (LookupError, ValueError):
            return language
    named = [part for part in (found.script, found.territory) if part]
    return "-".join([language, *named]) if _macro(str(found.language)) == language else language


def variant(tag: str, known: Iterable[str]) -> str:
    """Of the tags that are known, the one for a tag: itself, that of its script, or the language alone."""
    import langcodes

    script = langcodes.Language.get(tag).maximize().script
    wanted = (tag, f"{base(tag)}-{script}")
    return next((one for one in wanted if one in {*known}), base(tag))


_NO_LANGUAGE = frozenset({"und", "mul", "mis", "zxx"})
"""Codes of what is not one language."""


def _of_code(folded: str) -> str:
    import langcodes

    try:
        tag = langcodes.Language.get(folded, normalize=True)
        language = str(tag.language or "") if tag.is_valid() else ""
    except ValueError:  # also of every name
        return ""
    return language if language.isalpha() and language not in _NO_LANGUAGE else ""


@functools.cache
def _names() -> dict[str, str]:
    """Languages by their names in lower case, those of COMMON first: in English, then in the language itself."""
    from language_data.name_data import CODE_TO_NAMES

    languages = [
        *COMMON,
        *(code for code in CODE_TO_NAMES if len(code) < 4 and code.isalpha() and code not in _NO_LANGUAGE),
    ]
    names = dict(_CODES)
    for within_english in (True, False):
        for code in languages:
            title = CODE_TO_NAMES[code].get("en" if within_english else code, "").lower()
            if title:
                names.setdefault(title, code)
    return names


def _of_any_name(folded: str) -> str:
    """By langcodes: names in every language, and their beginnings, as in ``português do Brasil``."""
    import langcodes

    try:
        return str(langcodes.find(folded).language or "")
    except (LookupError, ValueError):  # ValueError: what the names' index cannot hold
        return ""


def _nearest(folded: str) -> str:
    """The English name of the language that is called most like this, or nothing; common languages come first."""
    import difflib

    names = _names()
    for some in ([title for title, code in names.items() if code in COMMON], names):
        near = difflib.get_close_matches(folded, some, n=1, cutoff=0.75)
        if near:
            return name(names[near[0]])
    return ""


_TOKEN = re.compile(r"__([a-z]{2,3})__|>>([\w-]+)<<|([a-z]{2,3}_[A-Z][A-Za-z]{1,3})")


def codes(tokens: Iterable[str]) -> dict[str, str]:
    """The language tokens of a tokenizer by language: ``fr`` -> ``__fr__``, ``fr_XX``, ``fra_Latn`` or ``>>fra<<``.

    Where a language has several (``zho_Hans``, ``zho_Hant``), the one of its usual script is taken, and each is known
    by its script or region too: ``zh-Hant``.
    """
    import langcodes

    found: dict[str, tuple[int, str]] = {}
    variants: dict[str, dict[str, str]] = {}
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
        code = _macro(language)
        found[code] = min(found.get(code, ranked), ranked, key=lambda item: item[0])
        if rest and rest != ["XX"]:
            variants.setdefault(code, {})["-".join([code, *rest])] = token
    told_apart = {tag: token for several in variants.values() if len(several) > 1 for tag, token in several.items()}
    return {language: token for language, (_, token) in found.items()} | told_apart


def _macro(code: str) -> str:
    return {"no": "nb", "cmn": "zh", "fil": "tl"}.get(code, code)


def base(tag: str) -> str:
    """The language of a tag, without script and region."""
    return tag.partition("-")[0]


def name(code: str) -> str:
    """The English name of a language."""
    if code in COMMON:
        return COMMON[code]
    import langcodes

    language = langcodes.Language.get(code)
    return str(language.display_name() if "-" in code else language.language_name())


def listed(codes: Sequence[str], most: int = 20) -> str:
    """Languages for an error's hint: the first ones of many."""
    more = f" and {len(codes) - most} more" if len(codes) > most else ""
    return (", ".join(codes[:most]) or "none") + more


@dataclass(frozen=True)
class Detected:
    """A language, as a BCP-47 code, and how probable it is (0-1)."""

    code: str
    probability: float


def told(text: str, allowed: Sequence[str]) -> Detected:
    """The likeliest language of a text, among those allowed. Raises InputError for a text without letters.

    Method: py3langid, the maintained fork of langid.py (Lui and Baldwin, ACL 2012).
    """
    if not any(character.isalpha() for character in text):
        raise InputError("the text has no letters to tell its language by", code="no-language", hint="give --from")
    code, score = _identifier(tuple(sorted(set(allowed)))).classify(text[:4000])
    return Detected(_macro(str(code)), float(score))


def likely(text: str, allowed: Sequence[str]) -> dict[str, float]:
    """The probability of each language that a text may be in, the likeliest first."""
    ranked = _identifier(tuple(sorted(set(allowed)))).rank(text[:4000])
    return {_macro(str(code)): float(score) for code, score in ranked}


def detect(text: str, allowed: Sequence[str]) -> str:
    """The language of a text, among those allowed. Raises InputError where it cannot be told."""
    found = told(text, allowed)
    if found.probability < CERTAIN:
        raise InputError("cannot tell the text's language", code="no-language", hint="give --from")
    return found.code


@functools.lru_cache(maxsize=4)
def _identifier(allowed: tuple[str, ...]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = [code for code in allowed if code in set(identifier.labels)]
    if known:
        identifier.set_languages(known)
    return identifier

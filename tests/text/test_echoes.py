"""A piece of the prompt's own examples is no answer, unless the text calls for it."""

from __future__ import annotations

import pytest

from llmcli.text.echoes import Example, echoes

EXAMPLES = [
    Example("Désolés pour le retard, votre colis a quitté notre entrepôt ce matin.",
            "Sorry for the delay, your parcel left our warehouse this morning."),
    Example("漫长冬天的尾声", "The end of a long winter"),
    Example("The end of a long winter", "漫长冬天的尾声"),
    Example("a function that tells whether a number is even", "\ndef is_even(n):\n    return n % 2 == 0"),
]  # fmt: skip
CASES = {
    # name: answer, source, whether it is an echo
    "a whole example": ("Sorry for the delay, your parcel left our warehouse this morning.", "</p>", True),
    "its beginning": ("Sorry for the delay, your dog.", "Bonjour", True),
    "its end, in capitals": ("YOUR PARCEL LEFT OUR WAREHOUSE", "x", True),
    "a few common words": ("Sorry for the noise.", "Désolé du bruit", False),
    "the text calls for it": ("Sorry for the delay, your parcel left us.", "Désolés pour le retard, merci.", False),
    "the text says it itself": ("your parcel left our warehouse", "He wrote: your parcel left our warehouse!", False),
    "all of a short one": ("The end of a long winter", "Titre", True),
    "Chinese": ("漫长冬天的尾声", "Hi", True),
    "code": ("def is_even(n):\n    return n % 2 == 0", "sort a list", True),
    "code that was asked for": ("def is_even(n):\n    return n % 2 == 0", "tell whether a number is even", False),
    "nothing": ("", "x", False),
}


@pytest.mark.parametrize("name", CASES)
def test_echoes(name: str):
    answer, source, expected = CASES[name]
    assert echoes(answer, source=source, examples=EXAMPLES) == expected

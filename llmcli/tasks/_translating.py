"""Sentences through a model: what must not change is carried over, and of its answers the soundest is taken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmcli.tasks._candidates import UNTRANSLATED, Candidates, Wording
from llmcli.text import checks, languages
from llmcli.text.checks import Fault, Pair
from llmcli.text.glossary import Term
from llmcli.text.inline import Sentence, Style, laid

if TYPE_CHECKING:
    from llmcli.pipelines.protocol import Completion

LIGHT = frozenset({"brackets", "quotes", "end"})
"""Checks that a sound translation may fail; the others count for more."""

SEARCHED = 4
"""Beams of a sentence whose greedy answer has grave faults."""


@dataclass(frozen=True)
class Job:
    """A sentence to translate, and its language."""

    sentence: Sentence
    source: str


@dataclass(frozen=True)
class Translated:
    """A sentence's translation, what is wrong with it, and what the model made for it."""

    text: str
    faults: tuple[Fault, ...] = ()
    made: tuple[Completion, ...] = ()


@dataclass
class Translator:
    """Translates sentences to one language. ``terms`` are those of the glossary, ``keep`` what stays as it is."""

    candidates: Candidates
    keep: re.Pattern[str] | None = None
    terms: Sequence[Term] = field(default=())

    def __call__(self, jobs: Sequence[Job]) -> list[Translated]:
        """One translation a sentence, in order.

        A ladder: marks are shown as brackets and names, and counted in the answers; where no answer has them all, the
        bare sentence is translated, and marks are put around the same words; at last, what stands between nouns that
        are not carried is translated by itself. Marks that find no place are left out, and it is reported.
        """
        found: dict[int, Translated] = {}
        # A model may copy what has brackets: where its answer has grave faults, the bare sentence is tried too.
        for rung, grave in ((self._with_brackets, False), (self._bare, True), (self._apart, False)):
            left = [place for place in range(len(jobs))
                    if place not in found or (grave and _grave(found[place]))]  # fmt: skip
            for place, translated in zip(left, rung([jobs[place] for place in left]), strict=True):
                if translated is not None and (place not in found or _sounder(translated, found[place])):
                    found[place] = translated
        return [found.get(place) or _nothing(job) for place, job in enumerate(jobs)]

    def _with_brackets(self, jobs: Sequence[Job]) -> list[Translated | None]:
        """Where a greedy answer has grave faults, beams are searched for a sounder one."""
        wordings = [Wording(job.sentence.shown(Style.BRACKETS), job.source) for job in jobs]
        answers = [self._restored(job, some) for job, some in zip(jobs, self.candidates(wordings), strict=True)]
        generation, facts = self.candidates.config.generation, self.candidates.config.model.facts
        if not facts.beams or (generation.num_beams or 1) > 1 or generation.sampled or self.candidates.samples:
            return answers
        again = [place for place, answer in enumerate(answers) if answer is None or _grave(answer)]
        beams = self.candidates([wordings[place] for place in again], search=SEARCHED)
        for place, some in zip(again, beams, strict=True):
            sounder = self._restored(jobs[place], some)
            before = answers[place]
            if sounder is not None and (before is None or _sounder(sounder, before)):
                answers[place] = sounder
        return answers

    def _restored(self, job: Job, beams: Sequence[Completion]) -> Translated | None:
        return self._soundest(job, [(job.sentence.restored(beam.text.strip(), Style.BRACKETS), beam) for beam in beams])

    def _bare(self, jobs: Sequence[Job]) -> list[Translated | None]:
        """Of sentences with marks around words: the bare sentence, and what is within each mark by itself."""
        wordings: list[Wording] = []
        for job in jobs:
            if job.sentence.pairs:
                wordings.append(Wording(job.sentence.shown(Style.BARE), job.source))
                wordings += [Wording(text, job.source) for text in job.sentence.phrases]
        beams = iter(self.candidates(wordings))
        return [self._laid(job, beams) if job.sentence.pairs else None for job in jobs]

    def _laid(self, job: Job, beams: Any) -> Translated | None:
        answers: list[Completion] = next(beams)
        phrases = {
            place: [text, *(beam.text.strip() for beam in next(beams))]
            for place, text in enumerate(job.sentence.phrases)
        }
        return self._soundest(job, [(laid(job.sentence, answer.text.strip(), phrases), answer) for answer in answers])

    def _apart(self, jobs: Sequence[Job]) -> list[Translated | None]:
        """What stands between nouns, each by itself. Marks around words are left out."""
        wordings = [Wording(piece.strip(), job.source) for job in jobs for piece in job.sentence.between
                    if _worded(piece) and job.sentence.nouns]  # fmt: skip
        beams = iter(self.candidates(wordings))
        made: list[Translated | None] = []
        for job in jobs:
            if not job.sentence.nouns:
                made.append(None)
                continue
            texts, used = [], []
            for piece, noun in zip(job.sentence.between, [*job.sentence.nouns, None], strict=True):
                text = piece
                if _worded(piece):
                    used.append(next(beams)[0])
                    lead, tail = piece[: len(piece) - len(piece.lstrip())], piece[len(piece.rstrip()) :]
                    text = lead + used[-1].text.strip() + tail
                texts += [job.sentence.spelled(text), noun.raw if noun else ""]
            text = "".join(texts)
            made.append(Translated(text, tuple(self._faults(job, text, used)), tuple(used)))
        return made

    def _soundest(self, job: Job, answers: Iterable[tuple[str | None, Completion]]) -> Translated | None:
        """The first of the answers with the fewest faults; None where none has carried the marks."""
        best: tuple[tuple[int, int, int], Translated] | None = None
        for rank, (text, completion) in enumerate(answers):
            if text is None or (not text.strip() and job.sentence.text.strip()):
                continue
            faults = tuple(self._faults(job, text, [completion]))
            light = sum(fault.check in LIGHT for fault in faults)
            key = (len(faults) - light, light, rank)
            if best is None or key < best[0]:
                best = key, Translated(text, faults, (completion,))
            if not faults:
                break
        return best[1] if best else None

    def _faults(self, job: Job, text: str, used: Sequence[Completion]) -> list[Fault]:
        if any(completion.finish_reason == UNTRANSLATED for completion in used):
            return [Fault("echo", "the model had no translation of its own")]
        sentence, target = job.sentence, languages.base(self.candidates.target)
        return checks.check(Pair(sentence.text, text, job.source, target, sentence.syntax, self.keep, self.terms))


def _grave(translated: Translated) -> list[Fault]:
    return [fault for fault in translated.faults if fault.check not in LIGHT]


def _sounder(one: Translated, other: Translated) -> bool:
    return len(_grave(one)) < len(_grave(other))


def _nothing(job: Job) -> Translated:
    """A sentence that the model has nothing to say for: it stays as it is."""
    return Translated(job.sentence.text, (Fault("empty", "there is no translation: it is as it was"),))


def _worded(piece: str) -> bool:
    return any(character.isalpha() for character in piece)

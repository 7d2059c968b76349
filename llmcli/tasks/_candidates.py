"""What a model answers to sentences: beams or samples, none a piece of its prompt, the likeliest both ways first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmcli.errors import GenerationError
from llmcli.tasks import _parallel
from llmcli.text import languages, powers, prompts
from llmcli.text.echoes import Example, echoes

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig
    from llmcli.config.schemas import Generation, Prompt
    from llmcli.pipelines.protocol import Completion, Model
    from llmcli.text.prompts import Rendered

UNTRANSLATED = "untranslated"
"""The finish reason of a sentence that is as it was."""
SHORT, WIDER = 12, 2
"""A sentence of so few tokens is reranked among so many times the beams: the right one is often not among eight ("I am
tired.", docs/quality.md), and its steps are few."""
DRAWN = {"temperature": 0.6, "top_p": 0.95}
"""How samples are drawn. Before scripts were left out, of twelve chrF was 40.8, of eight beams read back 38.4, of one
38.2: 60 rows of WMT22 zh-en by qwen2.5-coder-0.5b-instruct. At a temperature of 0.8, of the likeliest 0.9, 40.2."""
AGREEMENT = 5.0
"""What a sample's likeness to the others counts for beside a log-probability a token: 40.5 without it."""
GRAMS = range(1, 5)
"""Characters that are compared together."""


@dataclass(frozen=True)
class Wording:
    """A text that a model reads, and its language."""

    text: str
    source: str


@dataclass(frozen=True)
class Candidates:
    """Asks a model for the translations of wordings to one language.

    ``rerank``: the one that is likeliest to be read back is first. ``samples``: so many are drawn beside the likeliest.
    """

    model: Model
    config: AnyConfig
    target: str
    rerank: bool = False
    samples: int = 0

    def __call__(self, wordings: Sequence[Wording], *, search: int = 0) -> list[list[Completion]]:
        """The answers to each wording, best first: none is a piece of the prompt's examples. Equal ones are asked once.

        Where all are, the one that is given is the wording itself, with the finish reason ``untranslated``. ``search``:
        so many beams, whatever the settings say.
        """
        asked = list(dict.fromkeys(wordings))
        if not asked:
            return []
        prompt, generation = prompts.of(self.config), self.config.generation
        if self.config.model.facts.shared_window:
            most = generation.max_new_tokens or self._answer(prompt, asked)
            generation = generation.model_copy(update={"max_new_tokens": most})
        if search:
            generation = generation.model_copy(update={"num_beams": search})
        several = (generation.num_beams or 1) > 1 and not generation.sampled
        instructed = self.config.model.facts.instructed and prompt.style == "completion"
        reranked = self.samples > 0 or (self.rerank and several and instructed)
        texts = [powers.converted(each.text, each.source, languages.base(self.target)) for each in asked]
        rows = [_parallel.render(prompt, text, source=each.source, target=self.target)
                for each, text in zip(asked, texts, strict=True)]  # fmt: skip
        short = [reranked and several and self.model.count(each.text) <= SHORT for each in asked]
        found = self._searched(rows, generation, short=short)
        if self.samples:
            drawing = {"num_return_sequences": self.samples, "seed": generation.seed or 0}
            drawn = self.model.complete(rows, generation.model_copy(update=DRAWN | drawing))
            found = [_agreeing([*likeliest, *others]) for likeliest, others in zip(found, drawn, strict=True)]
        beams = [
            [beam for beam in completions if not self._echoes(beam, wording, prompt)]
            or [replace(completions[0], text=wording.text, finish_reason=UNTRANSLATED)]
            for wording, completions in zip(asked, found, strict=True)
        ]
        if reranked:
            beams = self._reranked(prompt, asked, beams)
        answers = dict(zip(asked, beams, strict=True))
        return [answers[wording] for wording in wordings]

    def _searched(
        self, rows: Sequence[Rendered], generation: Generation, *, short: Sequence[bool]
    ) -> Iterable[Sequence[Completion]]:
        """The completions of each row: of beams all, and of a short one so many times as many."""
        if generation.sampled or (generation.num_beams or 1) == 1:
            return self.model.complete(rows, generation)
        beams = [(generation.num_beams or 1) * (WIDER if each else 1) for each in short]
        if self.model.batch:  # there, a step of many beams takes no longer: one search is quicker than two
            beams = [max(beams)] * len(rows)
        answers: dict[int, Sequence[Completion]] = {}
        for number in set(beams):
            places = [place for place in range(len(rows)) if beams[place] == number]
            asked = generation.model_copy(update={"num_beams": number, "num_return_sequences": number})
            answers |= zip(places, self.model.complete([rows[place] for place in places], asked), strict=True)
        return [answers[place] for place in range(len(rows))]

    def _answer(self, prompt: Prompt, wordings: Sequence[Wording]) -> int:
        """The most tokens of an answer. Raises GenerationError where it does not fit beside prompt and sentence."""
        longest = max(self.model.count(wording.text) for wording in wordings)
        taken = max(self.model.size(_parallel.render(prompt, "", source=source, target=self.target))
                    for source in {wording.source for wording in wordings})  # fmt: skip
        answer, room = 2 * longest + 32, self.model.context_window - taken
        if longest + answer > room:
            raise GenerationError(f"a sentence has {longest} tokens, and beside the prompt {max(room, 0)} are left for "
                                  "it and its translation", code="too-long")  # fmt: skip
        return answer

    def _echoes(self, beam: Completion, wording: Wording, prompt: Prompt) -> bool:
        shots = (Example(shot[wording.source], shot[languages.base(self.target)]) for shot in
                 _parallel.shots(prompt, wording.source, languages.base(self.target)))  # fmt: skip
        return echoes(beam.text, source=wording.text, examples=shots)

    def _reranked(
        self, prompt: Prompt, wordings: Sequence[Wording], beams: list[list[Completion]]
    ) -> list[list[Completion]]:
        """The beams y of each sentence x by log P(y|x)/|y| + log P(x|y)/|x|, best first; samples have another score.

        Noisy-channel reranking: Yee et al., "Simple and Effective Noisy Channel Modeling for NMT" (EMNLP 2019).
        """
        pairs = [(place, beam) for place, row in enumerate(beams) for beam in row if beam.text.strip()]
        back = [_parallel.render(prompt, beam.text.strip(), source=self.target, target=wordings[place].source)
                for place, beam in pairs]  # fmt: skip
        gap = " " if prompt.style == "completion" else ""
        scores = self.model.likelihood(back, [gap + wordings[place].text for place, _ in pairs])
        ranked: list[list[tuple[float, Completion]]] = [[] for _ in beams]
        for (place, beam), score in zip(pairs, scores, strict=True):
            ranked[place].append((beam.score + score, beam))
        return [
            [beam for _, beam in sorted(scored, key=lambda item: -item[0])] or row[:1]
            for scored, row in zip(ranked, beams, strict=True)
        ]


def _agreeing(completions: Sequence[Completion]) -> list[Completion]:
    """Those whose texts differ; a score says how like the others each one is.

    Minimum Bayes risk decoding: Eikema and Aziz, "Sampling-Based Approximations to Minimum Bayes Risk Decoding for
    Neural Machine Translation" (EMNLP 2022).
    """
    counted = [_grams(one.text) for one in completions]
    differing: dict[str, Completion] = {}
    for one, own in zip(completions, counted, strict=True):
        shared = sum(2 * (own & other).total() / max(own.total() + other.total(), 1) for other in counted)
        differing.setdefault(one.text.strip(), replace(one, score=AGREEMENT * shared / len(counted)))
    return list(differing.values())


def _grams(text: str) -> Counter[str]:
    joined = "".join(text.split())
    return Counter(joined[at : at + size] for size in GRAMS for at in range(len(joined) - size + 1))

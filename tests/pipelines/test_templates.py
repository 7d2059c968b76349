"""Chat templates: as transformers renders them, and refused in one line where they take too much or fail."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmcli.config.schemas import Prompt
from llmcli.errors import ModelError
from llmcli.pipelines import templates
from llmcli.pipelines.tokens import Encoder
from llmcli.text import prompts
from llmcli.text.prompts import Rendered
from tests.support import tiny

CHAT = [
    {"role": "system", "content": "Be <bos> brief."},
    {"role": "user", "content": "a <eos> dog\nreads 'words' \U000f0000 é"},
]


@pytest.fixture(autouse=True)
def renderer(monkeypatch: pytest.MonkeyPatch) -> Iterator[templates.Renderer]:
    """A process of the test's own, with less time."""
    monkeypatch.setattr(templates, "SECONDS", 0.5)
    made = templates.Renderer()
    monkeypatch.setattr(templates, "renderer", made)
    yield made
    made._end()


LOOP = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}"
ORDINARY = {
    "plain": tiny.CHAT,
    "blocks": "  {% for m in messages %}\n  {%- if m['role'] == 'user' %}\n<bos>{{ m['content'] | trim }}<eos>\n"
    "  {% endif %}\n{% endfor %}\n",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ ns.n }}"
    "{{ m.content }}{% if loop.last %}{% break %}{% endif %}{% endfor %}",
    "filters": "{{ messages | tojson(indent=2) }}{{ messages[1].content | upper | replace('A', 'b') }}{{ 'é'|tojson }}",
    "generation": LOOP + "{% generation %}<bos>{% endgeneration %}",
    "macro": "{% macro f(m) %}[{{ m.role }}]{{ m.content }}{% endmacro %}{% for m in messages %}{{ f(m) }}{% endfor %}",
    "dict": "{% set d = dict(a=1, b=messages[1].content) %}{{ d.b }}{{ dict.fromkeys(['a']) }}{{ d.items() | list }}",
    "special tokens": "{{ bos_token }}" + LOOP + "{{ eos_token }}",
    "options": "{{ thinking }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}" + LOOP,
    "undefined": "{{ nothing }}" + LOOP + "{{ messages[0].none is defined }}",
    "joined tokens": "{% for m in messages %}{{ '<' + 'bos' + '>' }}{{ m.content.split()[0] }}{% endfor %}",
}


@pytest.mark.parametrize("template", ORDINARY.values(), ids=ORDINARY)
def test_a_chat_is_encoded_as_transformers_does(template: str):
    ours, theirs = tiny.byte_tokenizer(), tiny.byte_tokenizer()
    ours.chat_template = theirs.chat_template = template
    text = templates.rendered(ours, CHAT, {"thinking": False})
    expected = theirs.apply_chat_template(
        CHAT, add_generation_prompt=True, tokenize=True, return_dict=True, sanitize_control_tokens=True, thinking=False
    )["input_ids"]
    assert ours(text, add_special_tokens=False, sanitize_control_tokens=True)["input_ids"] == expected


@pytest.mark.parametrize("text", ["a dog", "\na", " <eos>"])
@pytest.mark.parametrize("name", ["plain", "namespace", "generation", "macro", "special tokens", "options"])
def test_a_chat_behind_shared_messages_is_the_same_chat(name: str, text: str):
    tokenizer = tiny.byte_tokenizer()
    tokenizer.chat_template, encoder = ORDINARY[name], Encoder(tokenizer)
    messages = (*CHAT, {"role": "assistant", "content": "It does."}, {"role": "user", "content": text})
    whole, parts = (encoder.prompt(Rendered(messages=messages, shared=shared)) for shared in (0, 3))
    assert (whole.prefix, parts.prefix + parts.row) == ((), whole.row)


def test_rows_have_the_tokens_of_their_shared_messages_in_common():
    tokenizer = tiny.byte_tokenizer()
    tokenizer.chat_template, encoder = tiny.CHAT, Encoder(tokenizer)
    prompt = Prompt(
        style="chat", instruction="Be brief.", example="{text}?{answer}", examples=[{"text": "a", "answer": "zu"}]
    )
    rows = [encoder.prompt(prompts.render(prompt, text)) for text in ("read", "rest", "a longer one")]
    assert {tokenizer.decode(row.prefix).count(part) for row in rows for part in ("Be brief.", "a?", "zu")} == {1}
    assert len({row.prefix for row in rows}) == 1
    assert [encoder.prompt(Rendered(messages=(message,))).prefix for message in CHAT[1:]] == [()]


MEMORY, ENDLESS = "too much memory", "does not come to an end"
BAD = {
    "a long string": ("{{ 'x' * 20_000_000_000 }}", MEMORY),
    "a long list": ("{% set a = [0] * 3_000_000_000 %}", MEMORY),
    "a long power": ("{{ 9 ** (9 ** 9) }}", ENDLESS),
    "a power of the text's": ("{% set n = messages | length + 8 %}{{ n ** (n ** n) }}", ENDLESS),
    "a centre": ("{{ 'x' | center(20_000_000_000) }}", MEMORY),
    "a width": ("{{ '%020000000000d' % 1 }}", MEMORY),
    "another width": ("{{ '{:>20000000000}'.format(1) }}", MEMORY),
    "doubling": ("{% set ns = namespace(s='x') %}{% for i in range(99999) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
                 MEMORY),
    "doubling lists": ("{% set ns = namespace(s=[1]) %}{% for i in range(99999) %}{% set ns.s = ns.s + ns.s %}"
                       "{% endfor %}", MEMORY),
    "joining": ("{{ (['x'] * 100_000) | join('y' * 100_000) }}", MEMORY),
    "replacing": ("{{ ('x' * 100_000) | replace('x', 'y' * 100_000) }}", MEMORY),
    "a loop": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", ENDLESS),
    "itself": ("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
    "depth": ("{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}", "RecursionError"),
    "length": ("{# " + "x" * templates.LARGEST + " #}", "too long"),
    "what it says": ("{{ raise_exception('This template needs tools') }}", "This template needs tools"),
    "an escape and a token": ("{{ raise_exception('no \x1b[31m hf_abcdefgh') }}", "no �[31m hf_***"),
    "what the user says": ("{{ raise_exception(messages[0].content) }}", "it raises an error"),
    "a name": ("{{ now.year }}" + LOOP, "'now' is undefined"),
    "a filter": ("{{ 1 | nosuchfilter }}", "No filter named 'nosuchfilter'"),
    "a syntax": ("{% for m in messages %}{{ m.content", "TemplateSyntaxError"),
    "a sandbox": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "not allowed"),
    "a hidden name": ("{% set ns = namespace(__class__=1) %}", "not allowed"),
    "a file": ("{% include '/etc/passwd' %}", "TypeError"),
    "a type": ("{{ 1 + 'a' }}", "TypeError"),
    "a division": ("{{ 1 // 0 }}", "ZeroDivisionError"),
    "the user's key": ("{{ {}[messages[0].content].x }}", "UndefinedError"),
    "no message": ("hello", "leaves out the message"),
}  # fmt: skip


@pytest.fixture
def ask(cli, checkpoint: Callable[..., Path], tmp_path: Path) -> Callable[..., Any]:
    def run(template: str, text: str) -> Any:
        folder = shutil.copytree(checkpoint("qwen3"), tmp_path / "model")
        (folder / "chat_template.jinja").write_text(template)
        return cli("generate", "-m", str(folder), "--max-new-tokens", "2", text)

    return run


@pytest.mark.parametrize(("template", "reason"), BAD.values(), ids=BAD)
def test_a_bad_template_is_one_line(ask, template: str, reason: str):
    done = ask(template, "What is SECRETWORD?")
    assert (done.code, done.out, done.err.count("\n")) == (4, "", 1), done.err
    assert "error[bad-template]" in done.err
    assert reason in done.err
    assert "SECRETWORD" not in done.err
    assert "\x1b" not in done.err


def test_after_a_bad_template_a_good_one_is_rendered(renderer: templates.Renderer):
    for template in ("{{ 'x' * 20_000_000_000 }}", "{{ 9 ** (9 ** 9) }}", "{{"):
        with pytest.raises(ModelError):
            renderer.render(template, {})
        assert renderer.render("a{{ b }}", {"b": 1}) == "a1"


def test_a_large_chat_is_no_large_template(renderer: templates.Renderer):
    text = "long text " * 300_000
    assert renderer.render("{{ a | trim }}", {"a": text}) == text.strip()


def test_the_process_reads_nothing_of_the_users(renderer: templates.Renderer, tmp_path: Path, monkeypatch):
    (tmp_path / "jinja2.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert renderer.render("{{ a }}", {"a": json.dumps("é\ud800")}) == json.dumps("é\ud800")

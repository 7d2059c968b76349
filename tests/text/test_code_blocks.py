"""Code in a model's answer: fences of every kind, and the names of languages."""

from __future__ import annotations

import pytest

from llmcli.text import code_blocks

README = "# Tool\n\n```python\nimport tool\n```\n\nDone."


@pytest.mark.parametrize(
    ("answer", "lang", "code", "named"),
    [
        ("Sure!\n~~~python\nx = 1\n~~~\nBye", "python", "x = 1", "python"),
        ("~~~\nx = 1\n```\ny = 2\n~~~", "auto", "x = 1\n```\ny = 2", ""),
        ("````js\nlet a = `\n```\n`\n````", "js", "let a = `\n```\n`", "js"),
        ("```ts\nlet a: number\n```", "typescript", "let a: number", "ts"),
        ("```js\na\n```\n```ts\nb\n```", "TypeScript", "b", "ts"),
        ("```python\na\n```\n```sh\nb\n```", "shell", "b", "sh"),
        ("```c\na\n```\n```cpp\nb\n```\n```csharp\nc\n```", "c++", "b", "cpp"),
        ("```c\na\n```\n```cpp\nb\n```\n```csharp\nc\n```", "c#", "c", "csharp"),
        ("```text\na\n```\n```golang\nb\n```", "go", "b", "golang"),
        ("```json\na\n```\n```yml\nb\n```", "yaml", "b", "yml"),
        ('```python title="a.py"\nx = 1\n```', "python", "x = 1", "python"),
        ("```{.rust}\nfn main() {}\n```", "rs", "fn main() {}", "rust"),
        ("```python\nno\n```\n```sql\nSELECT 1;\n```", "ruby", "no", "python"),
        # A fence inside Markdown, its marks as long as the outer ones or shorter.
        (f"Here:\n```markdown\n{README}\n```\nBye", "auto", README, "markdown"),
        (f"Here:\n```markdown\n{README}\n```\nBye", "markdown", README, "markdown"),
        (f"Here:\n```markdown\n{README}\n```\nBye", "py", "import tool", "python"),
        (f"````md\n{README}\n````", "auto", README, "md"),
        (f"````md\n{README}\n````", "python", "import tool", "python"),
        (f"````\n{README}\n````", "auto", "import tool", "python"),
        (f"````\n{README}\n````", "markdown", README, ""),
        # Indented, as in a list; and a fence in a docstring, which ends nothing.
        ("1. Do this:\n\n   ```sh\n   ls\n     -l\n   ```\n", "bash", "ls\n  -l", "sh"),
        ('```python\ndef f():\n    """\n    ```\n    f()\n    ```\n    """\n```', "python",
         'def f():\n    """\n    ```\n    f()\n    ```\n    """', "python"),
        # Never closed, or never opened.
        ("~~~python\nx = 1", "python", "x = 1", "python"),
        (f"```markdown\n{README}", "python", "import tool", "python"),
        ("x = 1\n```\n", "python", "x = 1", ""),
        ("x = 1\n```", "auto", "x = 1", ""),
        ("```python\n```\n", "auto", "", "python"),
        ("inline ```code``` only", "sql", "inline ```code``` only", ""),
        ("", "auto", "", ""),
    ],
)  # fmt: skip
def test_the_block_of_the_language_asked_for_is_taken(answer: str, lang: str, code: str, named: str):
    assert code_blocks.extract(answer, lang=lang) == (code, named)


@pytest.mark.parametrize(
    ("alias", "name"),
    [("ts", "typescript"), ("JS", "javascript"), ("zsh", "bash"), ("cpp", "c++"), ("csharp", "c#"), ("rs", "rust"),
     ("rb", "ruby"), ("py3", "python"), ("golang", "go"), ("yml", "yaml"), ("cobol", "cobol"), (" Go ", "go")],
)  # fmt: skip
def test_aliases_name_one_language(alias: str, name: str):
    assert code_blocks.canonical(alias) == name


@pytest.mark.parametrize(("lang", "named", "python"), [("py", "", True), ("auto", "python3", True), ("ts", "", False)])
def test_python_under_any_name_is_checked(lang: str, named: str, python: bool):
    assert code_blocks.is_python("x = 1", lang=lang, named=named) is python

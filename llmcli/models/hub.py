"""The Hugging Face Hub, through huggingface_hub: only the files that are needed, of one pinned commit."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from llmcli.config.model_config import HubSource
from llmcli.errors import LlmcliError, ModelError, OutputError
from llmcli.models import checking, foreign, hub_files, manifest, refusals, transfer
from llmcli.reports import Report, human

AGAIN = "try again: files that came whole are kept"
DESCRIBING = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
"""What tells what a checkpoint is; of Marian, ``vocab.json`` too: its target languages are tokens."""
LARGEST = 1 << 25
"""The most bytes of such a file."""
SMALL = 1 << 20
"""A file may be so large, whatever the Hub says."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
CONVERTER = "SFconvertbot"
"""The Hub's own account that offers repositories their weights as safetensors, in a pull request."""


def offline() -> bool:
    """Whether the ecosystem's own variable forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def newest(source: HubSource) -> str:
    """The commit that a repository's revision names now. Raises ModelError as :func:`fetch` does."""
    with _told(source):
        return str(_info(source).sha)


def _info(source: HubSource) -> Any:
    """What the Hub knows of a revision; of the Hub's own conversion to safetensors, where it has none itself."""
    info = transfer.watched(lambda _: _asked(source))
    if not _COMMIT.fullmatch(str(info.sha)):
        raise TypeError("no commit")
    return info


def _asked(source: HubSource) -> Any:
    from huggingface_hub import HfApi

    api = HfApi()
    info = api.model_info(source.repo, revision=source.revision, files_metadata=True)
    if any(hub_files.like(file.rfilename, hub_files.WEIGHTS) for file in info.siblings or []):
        return info
    offered = api.get_repo_discussions(
        source.repo, author=CONVERTER, discussion_type="pull_request", discussion_status="open"
    )
    conversion = next(
        (change for change in offered if change.author == CONVERTER and "safetensors" in change.title), None
    )
    if conversion is None:
        return info
    return api.model_info(source.repo, revision=f"refs/pr/{conversion.num}", files_metadata=True)


def fetch(source: HubSource, folder: Path, *, report: Report) -> str:
    """Download a repository's checkpoint into ``folder`` and give the commit; files that are whole there are kept.

    The small files come first, and a checkpoint that would not be loaded is refused before its weights are fetched.
    Raises ModelError (missing, gated, unreachable, refused, not what the Hub has) or OutputError (no room).
    """
    with _told(source, folder):
        info = _info(source)
        commit = str(info.sha)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        small, weights = hub_files.needed(sizes, source.repo)
        _room(sum(sizes[name] for name in small + weights), folder, source.repo)
        digests = {file.rfilename: file.lfs.sha256 for file in info.siblings or [] if file.lfs}
        done, total = 0, sum(sizes[name] for name in small + weights) or 1
        for group in (small, weights):
            for name in group:
                place = HubSource(repo=source.repo, revision=commit)
                _file(place, name, folder, size=sizes[name], report=partial(_tell, report, done, total))
                _compare(folder / name, digests.get(name), source.repo)
                done += sizes[name]
            if group is small:
                _refuse_code(_config(folder, source.repo), source.repo)
                checking.refuse(folder)
    return commit


def describe(source: HubSource, folder: Path) -> dict[str, str]:
    """Fetch into ``folder`` what tells what a checkpoint is, none of its weights; gives where it is from.

    The facts: repo, revision, the pinned commit, license, and the size of all that a run would fetch.
    Raises ModelError and OutputError as :func:`fetch` does; what would not be loaded is refused here already.
    """
    with _told(source, folder):
        info = _info(source)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        small, weights = hub_files.needed(sizes, source.repo)
        commit, here = str(info.sha), {name: sizes[name] for name in small}
        _download(source.repo, folder, commit, {name: here[name] for name in DESCRIBING if name in here})
        config = _config(folder, source.repo)
        if "auto_map" in config:
            _refuse_code(config, source.repo)
        if config.get("model_type") == "marian" and "vocab.json" in here:
            _download(source.repo, folder, commit, {"vocab.json": here["vocab.json"]})
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    licence = next((tag.partition(":")[2] for tag in info.tags or [] if tag.startswith("license:")), "")
    size = human(sum(sizes[name] for name in small + weights))
    left = ", ".join(refusals.refused([*sizes]))
    return {"repo": source.repo, "revision": source.revision, "commit": commit, "license": licence, "size": size,
            "refused": left}  # fmt: skip


def _download(repo: str, folder: Path, commit: str, sizes: dict[str, int]) -> None:
    """Small files of a commit, without a bar."""
    for name, size in sizes.items():
        if size > LARGEST:
            raise ModelError(f"{repo}: refused: its {name} has {size:,} bytes", code="hostile")
        _file(HubSource(repo=repo, revision=commit), name, folder, size=size, report=lambda count: None)


def _config(folder: Path, repo: str) -> dict[str, Any]:
    """What a repository says of its checkpoint."""
    try:
        return checking.read_json(folder / "config.json")
    except ModelError as error:  # it names the file in our store, which is none of the user's
        raise ModelError(f"{repo}: its config.json cannot be used", code="bad-model") from error


def _file(place: HubSource, name: str, folder: Path, *, size: int, report: Callable[[int], None]) -> None:
    """Download one file of a commit; it may not be larger than it was said to be."""
    from huggingface_hub import hf_hub_download

    def fetch(meter: transfer.Meter) -> None:
        def tell(count: int) -> None:
            meter.reach(count)  # not every way of downloading is a request that is counted
            if count > max(size, SMALL):
                raise ModelError(f"{place.repo}: refused: {name} is larger than the Hub says", code="hostile")
            report(count)

        hf_hub_download(place.repo, name, revision=place.revision, local_dir=folder, tqdm_class=_bar(tell))

    transfer.watched(fetch)


def _room(size: int, folder: Path, repo: str) -> None:
    place = next(place for place in (folder, *folder.parents) if place.exists())
    if size > (free := shutil.disk_usage(place).free):
        raise OutputError(f"{place}: {repo} needs {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
                          code="cache", hint="free some room, or set LLMCLI_CACHE_DIR")  # fmt: skip


def _compare(path: Path, sha256: object, repo: str) -> None:
    """Raise ModelError, and remove the file, where it is not the one that the Hub has."""
    if sha256 is not None and manifest.sha256(path) != sha256:
        path.unlink()
        raise ModelError(f"{repo}: {path.name} is not what the Hub has: its sha256 is another", code="bad-checksum",
                         hint="try again")  # fmt: skip


@contextlib.contextmanager
def _told(source: HubSource, folder: Path | None = None) -> Iterator[None]:
    """Say what the Hub, the network or the disk refused, in one line; the library's own words are not printed."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    except LlmcliError:
        raise
    except HfHubHTTPError as error:
        raise _answered(error, source) from error
    except (HTTPError, TimeoutError) as error:
        why = str(error) if isinstance(error, TimeoutError) else type(error).__name__
        raise ModelError(f"{source.repo}: cannot reach the Hub: {why}", code="no-network", hint=AGAIN) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise OutputError(f"{folder}: {error.strerror}", code="cache", hint="free some room") from error
        raise ModelError(f"{source.repo}: could not be fetched: {foreign.reason(error)}",
                         code="fetch-failed") from error  # fmt: skip
    except Exception as error:  # the library takes what the answer holds as it is
        raise ModelError(f"{source.repo}: the Hub's answer is no description of a repository", code="hub",
                         hint="look at HF_ENDPOINT, or at the proxy") from error  # fmt: skip


def _refuse_code(config: dict[str, Any], repo: str) -> None:
    """A checkpoint that needs its own Python is not loaded: do not fetch it either."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise ModelError(f"{repo}: its config.json cannot be used", code="bad-model")
    if kind not in CONFIG_MAPPING_NAMES:
        raise ModelError(f"{repo}: refused: it needs Python code of its own", code="remote-code")


def _tell(report: Report, before: int, total: int, here: int) -> None:
    report("fetching", 0.95 * (before + here) / total)


def _bar(report: Callable[[int], None]) -> Any:
    """A tqdm that draws nothing and tells how many bytes there are."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options | {"disable": True})
            self.n = int(options.get("initial") or 0)

        def update(self, n: float | None = 1) -> None:
            self.n += int(n or 0)
            report(self.n)

    return Bar


def _answered(error: Any, source: HubSource) -> ModelError:
    """The one line for what the Hub answered."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    repo = source.repo
    if isinstance(error, GatedRepoError):
        return ModelError(f"{repo} is gated", code="gated",
                          hint=f"accept its terms at https://huggingface.co/{repo} and set HF_TOKEN")  # fmt: skip
    if isinstance(error, RevisionNotFoundError):
        return ModelError(f"{repo} has no revision {source.revision}", code="no-revision")
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(f"no repository {repo} on the Hub, or a private one", code="no-model",
                          hint="check the spelling; for a private one set HF_TOKEN")  # fmt: skip
    status = getattr(error.response, "status_code", "an error")
    return ModelError(f"{repo}: the Hub answered {status}", code="hub", hint=AGAIN)

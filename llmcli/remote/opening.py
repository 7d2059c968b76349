"""From a run's settings to a server's model. Nothing is asked of the server before the first row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmcli.config import places
from llmcli.errors import ModelError, UsageError
from llmcli.remote import protocol
from llmcli.remote.asking import Asker
from llmcli.remote.files import FileAsks, RequestFiles, Responses
from llmcli.remote.likelihoods import Echo
from llmcli.remote.model import ServerModel
from llmcli.remote.pace import MOST, Pace
from llmcli.remote.rungs import LETTERS, Answered, Enum, Labels, Rung
from llmcli.remote.scoring import Ladder
from llmcli.remote.transport import Transport, outside

if TYPE_CHECKING:
    from llmcli.config.model_config import ModelConfig
    from llmcli.config.run_config import AnyConfig
    from llmcli.pipelines.protocol import Model
    from llmcli.reports import Report


def load(config: AnyConfig, *, report: Report) -> Model:
    """The model of a run. ``--batch-size`` is the most requests at once. Raises ServerError for a key that is none."""
    source = config.model.source
    if config.source.responses:
        return from_files(config, None)
    if config.offline and outside(str(source.server)):
        raise ModelError(f"{source.server} is on the network, which is forbidden (--offline)", code="no-network")
    size = config.settings.batch_size
    most = size if isinstance(size, int) else MOST
    asker = Asker(Transport(source), Pace(most))
    ladder = Ladder(asker, model=source.model, chat=config.model.chat, more=protocol.more(config.model))
    return ServerModel(config.model, asker, ladder, most=most)


def from_files(config: AnyConfig, requests: RequestFiles | None) -> Model:
    """The model whose answers are in files; what is not, is written to ``requests``. Raises InputError."""
    responses = Responses([places.absolute(path) for path in config.source.responses])
    asks = FileAsks(responses, requests, seeded=config.generation.seed is not None)
    return ServerModel(config.model, asks, _Unprobed(asks, config.model), most=1)


class _Unprobed:
    """How labels are chosen where no server can be tried: by what most engines can do."""

    def __init__(self, asks: FileAsks, config: ModelConfig) -> None:
        self._asks, self._config = asks, config

    def rung(self, labels: Labels, *, multi: bool) -> Rung:
        """See Scores."""
        if multi:
            raise UsageError("--multi needs a server that can be asked what it can do", hint="give -m URL#NAME alone")
        if not self._config.chat:
            raise UsageError("labels in request files are for a chat model",
                             hint="give -m URL#NAME alone, or leave chat: false out of its YAML")  # fmt: skip
        kind = Answered if len(labels) <= len(LETTERS) else Enum
        return kind(self._asks, self._config.source.model, protocol.more(self._config))

    def echo(self) -> Echo:
        """See Scores."""
        raise ModelError("request files ask for no log-probabilities of a text", code="no-scores")

"""From a run's settings to a server's model. Nothing is asked of the server before the first row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmcli.errors import ModelError
from llmcli.remote.asking import Asker
from llmcli.remote.model import ServerModel
from llmcli.remote.pace import MOST, Pace
from llmcli.remote.scoring import Ladder
from llmcli.remote.transport import Transport, outside

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig
    from llmcli.pipelines.protocol import Model
    from llmcli.reports import Report


def load(config: AnyConfig, *, report: Report) -> Model:
    """The model of a run. ``--batch-size`` is the most requests at once. Raises ServerError for a key that is none."""
    source = config.model.source
    if config.offline and outside(str(source.server)):
        raise ModelError(f"{source.server} is on the network, which is forbidden (--offline)", code="no-network")
    size = config.settings.batch_size
    most = size if isinstance(size, int) else MOST
    asker = Asker(Transport(source), Pace(most))
    kwargs = config.model.chat_template_kwargs
    more = {"chat_template_kwargs": kwargs} if kwargs else {}
    ladder = Ladder(asker, model=source.model, chat=config.model.chat, more=more)
    return ServerModel(config.model, asker, ladder, most=most)

"""docs/reference-yaml.md holds every key, as the schemas declare it."""

from __future__ import annotations

import pytest

from llmcli.config import model_config, schemas
from tests.support import reference


def test_the_reference_is_as_the_schemas_are():
    assert reference.TARGET.read_text("utf-8") == reference.text(), "run python -m tests.support.reference"


@pytest.mark.parametrize("schema", [model_config.ModelConfig, schemas.Settings, schemas.UserConfig])
def test_each_key_of_a_file_is_explained(schema: type[schemas.Strict]):
    rows = [line for line in reference.text().splitlines() if line.startswith("| `")]
    for name in schema.model_fields:
        assert [row for row in rows if row.startswith(f"| `{name}` |") and not row.endswith("|  |")], name

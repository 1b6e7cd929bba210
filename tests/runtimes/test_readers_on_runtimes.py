"""The codec and the strict JSON reader accept, refuse and give the same on every runtime."""

import pytest

from tests.runtimes.runtimes import Runtime


@pytest.mark.parametrize("script", ["codec_table.py", "strictjson_table.py"])
def test_the_same_as_on_cpython(micropython: Runtime, script: str) -> None:
    assert micropython.run(script) == Runtime("cpython").run(script)

"""Every scenario of the bench whose words a board has too, on the stand-in board: a long run."""

import pytest

from tests.micropython.test_scenarios import cell
from tests.scenarios.words import scenarios

__all__ = ["cell"]

pytestmark = pytest.mark.soak

globals().update(scenarios(pins=True))

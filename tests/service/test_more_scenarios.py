"""Every scenario of the bench whose words the service has too, on real processes: a long run."""

import pytest

from tests.scenarios.words import scenarios
from tests.service.test_scenarios import cell

__all__ = ["cell"]

pytestmark = pytest.mark.soak

globals().update(scenarios())

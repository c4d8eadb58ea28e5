"""The wheel in an environment of its own, as the tests of the packaging install it."""

from tests.packaging.conftest import distributions, installation, wheel

__all__ = ["distributions", "installation", "wheel"]

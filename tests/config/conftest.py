from tests.store_fixtures import quickly, web

__all__ = ["quickly", "web"]

from tests.store_fixtures import bucket, moto_port, proxy, quickly, s3, web

__all__ = ["bucket", "moto_port", "proxy", "quickly", "s3", "web"]

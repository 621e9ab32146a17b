"""Fixtures for tests that read and write on stores; a conftest imports those that it needs."""

import os

import pytest

from bridgeflow.io.stores.options import configure_stores
from tests.io.stores.servers import FileServer, Proxy, serving

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture
def quickly():
    """Waits of a test's length."""
    before = configure_stores(first_wait=0.001, longest_wait=0.01)
    yield configure_stores
    configure_stores(**vars(before))


@pytest.fixture
def web(quickly):
    """A server of files."""
    pytest.importorskip("aiohttp")
    pytest.importorskip("fsspec")
    with serving(FileServer()) as server:
        yield server


@pytest.fixture(scope="session")
def moto_port():
    """The port of an S3 server."""
    pytest.importorskip("s3fs")
    pytest.importorskip("flask")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture
def bucket(moto_port, quickly, monkeypatch, request):
    """The name of a bucket of its own on an S3 server, which the environment names."""
    boto3 = pytest.importorskip("boto3")
    endpoint = f"http://127.0.0.1:{moto_port}"
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=endpoint)
    bucket.number = getattr(bucket, "number", 0) + 1
    name = f"bucket-{bucket.number}"
    client.create_bucket(Bucket=name)
    yield name
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for one in page.get("Contents", ()):
            client.delete_object(Bucket=name, Key=one["Key"])
    client.delete_bucket(Bucket=name)
    client.close()


@pytest.fixture
def s3(bucket, moto_port):
    """A client of the S3 server, to look at it from outside."""
    client = pytest.importorskip("boto3").client("s3", endpoint_url=f"http://127.0.0.1:{moto_port}")
    yield client
    client.close()


@pytest.fixture
def proxy(bucket, moto_port, monkeypatch):
    """A server in front of S3 that fails as it is told; the environment names it."""
    with serving(Proxy(moto_port)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server

"""A server on this machine that speaks S3, conditional writes included, for as long as a test needs it."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import s3fs


@contextlib.contextmanager
def s3_server(log, host: str, port: int, inside: tuple = ()):
    """(process, environment) for those who are to use it; there is a bucket named `studies`. `inside` comes before the
    command that starts it."""
    endpoint = f"http://{host}:{port}"
    with open(log, "a") as file:
        process = subprocess.Popen(
            [*inside, sys.executable, "-m", "ministack"],
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, "GATEWAY_PORT": str(port), "BIND_HOST": host},
        )
    try:
        deadline = time.monotonic() + 60
        while not answers(endpoint):
            assert process.poll() is None and time.monotonic() < deadline, "the S3 server never came up"
            time.sleep(0.1)
        s3fs.S3FileSystem(key="test", secret="test", endpoint_url=endpoint, skip_instance_cache=True).mkdir("studies")
        yield (
            process,
            {
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": "us-east-1",
            },
        )
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True

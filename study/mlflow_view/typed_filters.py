"""MLflow's server, whose search box takes a param's number as it is typed: `params.depth = 3`, of which MLflow asks for quotes.

`mlflow server --app-name study` starts it (an application plugin, in MLflow's words), and so does `make ui`.
"""

import json
import re

TEXT = r"""'[^']*'|"[^"]*"|`[^`]*`"""
PARAM = rf"""\b(?:params?|parameters?)\.(?:{TEXT}|[^\s=!<>'"`]+)\s*!?="""
NUMBER_OF_A_PARAM = re.compile(rf"({PARAM})\s*([-+]?[\d.][\w.+-]*)|{TEXT}", re.IGNORECASE)


def quoted(typed: str) -> str:
    """A filter in whose comparisons of params numbers stand in quotes; texts, and all the rest, are as they were."""
    return NUMBER_OF_A_PARAM.sub(lambda found: f"{found[1]} '{found[2]}'" if found[1] else found[0], typed)


class TypedFilters:
    """MLflow's application (ASGI), asked for runs by such a filter."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/mlflow/runs/search"):
            scope, receive = await rewritten(scope, receive)
        await self.app(scope, receive, send)


async def rewritten(scope, receive) -> tuple:
    """A request with its filter quoted. One that MLflow would not understand either is left for it to refuse."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    try:
        asked = json.loads(body)
        body = json.dumps(asked | {"filter": quoted(asked["filter"])}).encode()
    except (ValueError, TypeError, KeyError):  # no JSON, no filter, or none of text
        pass
    headers = [(name, value) for name, value in scope["headers"] if name not in (b"content-length", b"transfer-encoding")]
    whole = [{"type": "http.request", "body": body, "more_body": False}]

    async def again():
        return whole.pop() if whole else await receive()

    return scope | {"headers": [*headers, (b"content-length", str(len(body)).encode())]}, again


def app() -> TypedFilters:
    """What the server runs: its own application behind the one here."""
    from mlflow.server.fastapi_app import app as of_mlflow

    return TypedFilters(of_mlflow)

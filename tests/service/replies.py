"""The refusals that only tests ask for, in the words of the real services."""

from __future__ import annotations

from codex_magic.local_service.faults import Reply

HTML = "text/html; charset=utf-8"


def api_error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
) -> Reply:
    """Return a refusal in the form of the model API."""
    return Reply(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


CONNECTION_LIMIT = api_error(
    400,
    "Responses websocket connection limit reached (60 minutes). Create a new websocket connection to continue.",
    code="websocket_connection_limit_reached",
)


def unauthorized(code: str, message: str) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return Reply(401, {"error": error, "status": 401})


TOKEN_REVOKED = unauthorized("token_revoked", "Encountered invalidated oauth token for user, failing request")


def model_not_found(model: str) -> Reply:
    return api_error(404, f"Model not found {model}", code="model_not_found")


def item_not_found(item_id: str) -> Reply:
    return api_error(
        404,
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input.",
        param="input",
    )


def previous_response_not_found(response_id: str) -> Reply:
    message = f"Previous response with id '{response_id}' not found."
    return api_error(400, message, param="previous_response_id", code="previous_response_not_found")


def web_page(status: int, title: str) -> Reply:
    """What a proxy or load balancer says in place of the service."""
    page = f"<html>\r\n<head><title>{status} {title}</title></head>\r\n<body><center><h1>{status} {title}</h1></center></body>\r\n</html>\r\n"
    return Reply(status, page, {"Content-Type": HTML})


REFRESH_TOKEN_EXPIRED = unauthorized(
    "refresh_token_expired", "Your refresh token has expired. Please try signing in again."
)

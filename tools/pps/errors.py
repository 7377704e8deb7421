"""What a request can be refused with: the codes of docs/api.md."""

STATUS = {
    "bad_request": 422,
    "unauthenticated": 401,
    "forbidden": 403,
    "unknown_module": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "no_report_key": 409,
    "too_large": 413,
    "code_refused": 403,
    "too_many": 429,
    "internal": 500,
    "unavailable": 503,
}


class ServiceError(Exception):
    """A refusal with its typed code. The message is for people and holds no secret and no value that was sent.

    `field`: which input is at fault, where a form has several.
    """

    def __init__(self, code, message, *, status=None, retry_after_s=None, field=None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUS[code]
        self.retry_after_s = retry_after_s
        self.field = field

    def body(self):
        return {"error": {"code": self.code, "message": self.message}}
